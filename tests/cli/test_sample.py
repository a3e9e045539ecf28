"""hornbook sample: the same text for the same seed, streamed, stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hornbook


def test_the_same_seed_draws_the_same_text(call: Any, finished_run: hornbook.Run) -> None:
    words = ["sample", finished_run.path, "The river", "--device", "cpu", "--max-tokens", "20"]
    first, again = (call(*words, "--seed", 5) for _ in range(2))
    assert first.exit_code == 0
    assert first.stdout == again.stdout
    assert first.stdout.startswith("The river")
    assert first.stdout != call(*words, "--seed", 6).stdout
    expected = finished_run.sample("The river", max_tokens=20, seed=5)
    assert first.stdout == f"{expected}\n"


def test_settings_that_are_not_given_are_the_runs_own(
    call: Any, finished_run: hornbook.Run
) -> None:
    assert call("sample", finished_run.path).stdout == f"{finished_run.sample()}\n"


def test_several_samples_come_in_order(call: Any, finished_run: hornbook.Run) -> None:
    printed = call("sample", finished_run.path, "The", "--samples", 3).stdout
    samples = finished_run.samples("The", samples=3)
    expected = "".join(f"--- sample {i} ---\n{sample}\n" for i, sample in enumerate(samples))
    assert printed == expected


def test_a_stop_text_is_left_out(call: Any, finished_run: hornbook.Run) -> None:
    words = ["sample", finished_run.path, "The", "--seed", 3, "--max-tokens", 20]
    text = call(*words).stdout.removeprefix("The").removesuffix("\n")
    stop = text[5:8]
    stopped = call(*words, "--stop", "no such text", "--stop", stop).stdout
    assert stopped == f"The{text[: text.index(stop)]}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stop", ""], 'sampling.stop="": a stop text'),
        (["--stop", "a", "--stop", ""], 'sampling.stop=["a", ""]: a stop text'),
        (["--logit-bias", "3=1e300"], "sampling.logit_bias=3=1e300: an id"),
    ],
)
def test_what_is_refused_is_shown_as_it_was_written(
    words: list[str], said: str, refused: Callable[..., str], finished_run: hornbook.Run
) -> None:
    assert said in refused("sample", finished_run.path, "The", *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--temperature", "-1"], "sampling.temperature"),
        (["--samples", "0"], "sampling.samples"),
        (["--device", "toaster"], "training.device"),
        (["--top-k", "301"], "vocabulary"),
    ],
)
def test_settings_out_of_range_are_refused(
    refused: Callable[..., str], finished_run: hornbook.Run, words: list[str], said: str
) -> None:
    assert said in refused("sample", finished_run.path, *words)


def test_checkpoints_are_chosen_by_step(
    call: Any, refused: Callable[..., str], finished_run: hornbook.Run
) -> None:
    step = finished_run.checkpoints()[0].step
    assert call("sample", f"{finished_run.path}@{step}").exit_code == 0
    assert "no checkpoint '5'" in refused("sample", f"{finished_run.path}@5")


def test_ctrl_c_keeps_what_was_written(
    call: Any, finished_run: hornbook.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hornbook.generation import Piece

    def stream(*_: object, **__: object) -> Any:
        yield Piece(0, " flows")
        raise KeyboardInterrupt

    monkeypatch.setattr(hornbook.Run, "stream", stream)
    result = call("sample", finished_run.path, "It")
    assert (result.exit_code, result.stdout) == (130, "It flows\n")


def test_prompts_come_from_a_pipe_or_a_file(
    call: Any, finished_run: hornbook.Run, tmp_path: Path
) -> None:
    words = ["sample", finished_run.path, "--seed", 4]
    piped = call(*words, text="The\nA bird\n")
    expected = [finished_run.sample(prompt, seed=4) for prompt in ("The", "A bird")]
    printed = [f"--- prompt {i}, sample 0 ---\n{each}\n" for i, each in enumerate(expected)]
    assert piped.stdout == "".join(printed)
    file = tmp_path / "prompts.txt"
    file.write_text("The\r\nA bird")
    assert call(*words, "--prompts", file).stdout == piped.stdout
    assert call(*words, "--prompts", "-", text="The\nA bird\n").stdout == piped.stdout
    assert call(*words, text="The\n").stdout == f"{expected[0]}\n"


def test_json_is_one_object_a_sample(call: Any, finished_run: hornbook.Run) -> None:
    words = ["sample", finished_run.path, "--seed", 4, "--samples", 2, "--json"]
    found = [json.loads(line) for line in call(*words, text="The\nA bird\n").stdout.splitlines()]
    assert [(each["prompt_number"], each["sample"]) for each in found] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]
    samples = [*finished_run.samples("The", seed=4, samples=2)]
    samples += finished_run.samples("A bird", seed=4, samples=2)
    assert [each["text"] for each in found] == [sample.text for sample in samples]
    assert {each["ending"] for each in found} <= {"end", "stop", "length"}
    alone = json.loads(call("sample", finished_run.path, "--json", "The", "--seed", 4).stdout)
    assert alone == found[0]


def test_prompts_that_cannot_be_read_are_told(
    refused: Callable[..., str], finished_run: hornbook.Run, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    words = ["sample", finished_run.path, "--prompts"]
    assert "is empty" in refused(*words, empty)
    assert "cannot be read" in refused(*words, tmp_path / "missing.txt")
    assert "not both" in refused(*words, empty, "The")
    assert "not UTF-8" in refused("sample", finished_run.path, text=b"\xff\n")
