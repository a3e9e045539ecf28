"""hornbook train: what is refused and how, and that a run begins, goes on and forks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hornbook
from hornbook.cli.words import sort_words


def test_words_are_sorted_into_names_and_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.txt").touch()
    words = ["poems/", "model.layers=6", "a=b.txt", "-", "my file=x", "*.txt", "seed=", "1=2"]
    assert sort_words(words) == (
        ["poems/", "a=b.txt", "-", "my file=x", "*.txt", "1=2"],
        ["model.layers=6", "seed="],
    )


def test_unreadable_text_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
    out = ["--out", tmp_path / "run"]
    assert "/dev/null" in refused("train", "/dev/null", *out)
    message = refused("train", picture, *out)
    assert "not UTF-8" in message
    assert "byte 0" in message
    assert "no such file" in refused("train", tmp_path / "absent.txt", *out)
    assert not (tmp_path / "run").exists()


def test_all_wrong_settings_are_told_at_once(refused: Callable[..., str], corpus: Path) -> None:
    message = refused("train", corpus, "model.layer=6", "model.heads=7", "training.steps=-1")
    assert "Did you mean model.layers?" in message
    assert "model.heads=7" in message
    assert "training.steps=-1" in message
    assert "3 settings" in message


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--preset", "smal"], "Did you mean small?"),
        (["--config", "absent.toml"], "absent.toml"),
        (["--resume", "absent"], "absent is not a run"),
        (["--from", "absent@3"], "absent is not a run"),
        (["--resume", "a", "--from", "b"], "give one of them"),
        (["--resume", "a", "poems.txt"], "corpus.files=PATH"),
        (["--resume", "a", "poems.txt"], "use --from"),
        (["--resume", "a", "--preset", "tiny"], "--preset cannot be used with --resume"),
        (["--from", "a", "--config", "b.toml"], "--config cannot be used with --from"),
        (["--resume", "a", "--out", "b"], "--out cannot be used with --resume"),
    ],
)
def test_wishes_that_contradict_are_refused(
    refused: Callable[..., str],
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refused("train", *words)


def test_a_run_begins_goes_on_and_forks(
    call: Any, corpus: Path, fast_words: list[str], tmp_path: Path
) -> None:
    place = tmp_path / "poems"
    first = call("train", corpus, "--out", place, *fast_words, "training.steps=4")
    assert first.exit_code == 0, first.output
    assert first.stdout.strip()
    assert "\x1b" not in first.stderr + first.stdout
    assert f"hornbook sample {place}" in first.stderr
    assert "step 4: validation loss" in first.stderr

    more = call("train", "--resume", place, "training.steps=6")
    assert more.exit_code == 0, more.output
    assert hornbook.open_run(place).checkpoints()[-1].step == 6

    fork = call("train", "--from", f"{place}@4", "training.steps=8", "--out", tmp_path / "fork")
    assert fork.exit_code == 0, fork.output
    shown = call("show", tmp_path / "fork").stdout
    assert "poems@4" in shown
    assert "training.steps from 6 to 8" in shown


def test_interrupted_training_tells_how_to_go_on(
    call: Any, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    from hornbook.training import Interrupted, Outcome

    def stopped(*_: object, **__: object) -> None:
        raise Interrupted(hornbook.Run.__new__(hornbook.Run), Outcome(3, signal.SIGTERM))

    monkeypatch.setattr(hornbook.Run, "path", Path("runs/poems"))
    monkeypatch.setattr("hornbook.training.train", stopped)
    result = call("train", corpus)
    assert result.exit_code == 128 + signal.SIGTERM
    assert "hornbook train --resume runs/poems" in result.stderr
