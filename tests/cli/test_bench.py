"""``hornbook bench step``: every way is measured from the same weights, and the choice is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hornbook.training.step_time import PARTS

from .conftest import Call


def test_every_way_is_measured_and_computes_the_same(
    call: Call, corpus: Path, fast_words: list[str]
) -> None:
    words = [*fast_words, "training.precision=auto", "training.threads=2"]
    before = torch.get_num_threads()
    result = call("bench", "step", corpus, *words, "--steps", 2, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    ways = told["ways"]
    assert [way["chosen"] for way in ways] == [True] + [False] * (len(ways) - 1)
    assert ways[0]["way"]["precision"] in told["chosen"]
    named = {(way["way"]["precision"], way["way"]["threads"]) for way in ways}
    chosen = ways[0]["way"]["precision"]
    assert named == {("float32", 2), ("bfloat16", 2), (chosen, 1)}
    for way in ways:
        assert way["loss"] == pytest.approx(ways[0]["loss"], abs=0.02)
        assert set(way["parts"]) == set(PARTS)
        assert 0 < sum(way["parts"].values()) <= 3 * way["seconds"]
        assert way["tokens_per_second"] == pytest.approx(way["tokens"] / way["seconds"])
    assert torch.get_num_threads() == before


def test_a_run_is_measured_with_its_own_settings(
    call: Call, finished_run: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = call("bench", "step", str(finished_run.path), "--steps", 1)  # type: ignore[attr-defined]
    assert result.exit_code == 0, result.output
    chosen = [line for line in result.stdout.splitlines() if line.endswith("chosen")]
    assert len(chosen) == 1
    assert chosen[0].startswith("float32")  # as the run asks for


def test_what_is_not_trained_by_steps_is_refused(
    refused: Callable[..., str], corpus: Path, fast_words: list[str]
) -> None:
    words = [word for word in fast_words if not word.startswith("model.")]
    assert "bigram_counts" in refused("bench", "step", corpus, *words, "model.kind=bigram_counts")
