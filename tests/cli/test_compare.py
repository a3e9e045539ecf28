"""``hornbook compare``: the table, the verdict, and mistakes told in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hornbook.cli import compare as command
from hornbook.experiments import StudyInterrupted, built_in_names

Call = Callable[..., Any]

WORDS = [
    "context_length=8",
    "corpus.separate_by=line",
    "corpus.split=by_document",
    "tokenizer.vocab_size=300",
    "model.layers=1",
    "model.d_model=8",
    "training.batch_size=4",
    "training.device=cpu",
]


@pytest.fixture(scope="module")
def study(call: Call, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A finished study and what it printed."""
    folder = tmp_path_factory.mktemp("studies") / "windows"
    result = call("compare", "windows", corpus, "--tokens", 400, "--out", folder, *WORDS)
    return result, folder


def test_it_prints_a_table_and_a_verdict(study: tuple[Any, Path]) -> None:
    result, folder = study
    assert result.exit_code == 0, result.output
    rows = [line.split()[0] for line in result.stdout.splitlines() if line]
    names = ["stream", "packed-split", "packed-best-fit", "left_padded", "slide_through"]
    assert rows[1:8] == [*names, "full", "first_full"]
    assert "Lines by themselves: " in result.stdout
    assert "Running text: " in result.stdout
    assert str(folder) in result.stderr
    assert "21 of 21, first_full, seed 3" in result.stderr
    assert {path.name for path in folder.iterdir()} >= {"study.toml", "plot.svg", "results.csv"}


def test_a_finished_study_is_shown_again(call: Call, study: tuple[Any, Path], corpus: Path) -> None:
    result, folder = study
    again = call("compare", "--resume", folder)
    same = call("compare", "windows", corpus, "--out", folder, *WORDS)
    assert again.stdout == result.stdout == same.stdout
    assert "seed" not in same.stderr.split("evaluated by each measure")[1]


def test_without_a_folder_it_goes_under_studies(
    call: Call, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = 'settings.tokenizer.kind = "byte"\n[[cells]]\nname = "a"\nsettings.model.layers = 1\n'
    Path("depth.toml").write_text(text + '[[cells]]\nname = "b"\nsettings.model.layers = 2\n')
    words = ["compare", "depth.toml", corpus, "--tokens", 60, "--seeds", 1]
    words += ["model.d_model=8", "context_length=8", "training.batch_size=2"]
    for more in ([], [], ["seed=7"]):
        result = call(*words, *more)
        assert result.exit_code == 0, result.output
    assert sorted(path.name for path in Path("studies").iterdir()) == [
        "depth-sentences",
        "depth-sentences-2",
    ]


def test_studies_are_listed(call: Call) -> None:
    listed = call("compare", "list").stdout
    described = call("compare", "--help").stdout
    for name in built_in_names():
        assert name in listed
        assert name in described


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "hornbook compare windows"),
        (["windows"], "which text"),
        (["winows", "x.txt"], "Did you mean windows"),
        (["windows", "no-such-file.txt"], "no-such-file.txt"),
        (["windows", "x.txt", "--budget", "never"], "is no time"),
        (["windows", "x.txt", "data.windows=full"], "is what the study windows compares"),
        (["--resume", "nowhere"], "is no study"),
        (["--resume", "nowhere", "--seeds", "4"], "--seeds"),
        (["windows", "--resume", "nowhere"], "'windows' cannot be used with --resume"),
    ],
)
def test_mistakes_are_told_in_words(
    refused: Callable[..., str],
    words: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert named in refused("compare", *words)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_says_how_to_go_on(
    call: Call, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    import hornbook.experiments as room

    def stopped(*_: Any, **__: Any) -> None:
        raise StudyInterrupted(Path("studies/x"), signal.SIGTERM)

    monkeypatch.setattr(room, "compare", stopped)
    result = call("compare", "windows", corpus)
    assert result.exit_code == 128 + signal.SIGTERM
    assert "hornbook compare --resume studies/x" in result.stderr
    assert command.compare.__doc__ is not None
