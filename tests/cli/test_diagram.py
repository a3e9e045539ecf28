"""``hornbook diagram``: pictures of presets and runs in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["small"], "KV cache"),
        (["--data"], "make_batches"),
        (["small", "model.kind=lstm"], "LSTM cell"),
        (["nanogpt-cpu", "--vocab-size", "65"], "V = 65 rows"),
    ],
)
def test_a_preset_is_drawn_twice_the_same(
    call: Any, tmp_path: Path, words: list[str], said: str
) -> None:
    places = tmp_path / "one.svg", tmp_path / "two.svg"
    for place in places:
        assert call("diagram", *words, "--out", place).exit_code == 0
    assert places[0].read_bytes() == places[1].read_bytes()
    assert said in places[0].read_text("utf-8")


def test_a_run_is_drawn_with_its_own_vocabulary(
    call: Any, tmp_path: Path, finished_run: Any
) -> None:
    place = tmp_path / "run.mmd"
    assert call("diagram", finished_run.path, "--out", place).exit_code == 0
    text = place.read_text("utf-8")
    assert text.splitlines()[1] == "flowchart TD"
    assert f"V = {finished_run.tokenizer.vocab_size:,} rows" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["small", "--out", "model.png"], "should end in .svg"),
        (["small", "--out", "nowhere/model.svg"], "no folder"),
        (["smal", "--out", "model.svg"], "neither a preset"),
        (["--out", "model.svg"], "Nothing is named"),
        (["small", "--data", "--out", "model.svg"], "takes nothing else"),
        (["small", "model.heads=3", "--out", "model.svg"], "does not divide"),
    ],
)
def test_mistakes_are_told(refused: Callable[..., str], words: list[str], said: str) -> None:
    assert said in refused("diagram", *words)
