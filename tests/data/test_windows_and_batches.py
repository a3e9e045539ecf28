"""Windows are arithmetic: counts, places, targets, and each validation token once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hornbook.data import (
    DataConfig,
    EvaluationBatches,
    ExampleOrder,
    StreamWindows,
    TrainingBatches,
)
from hornbook.data.token_store import TokenSequence
from hornbook.errors import DataError
from hornbook.targets import IGNORED_TARGET


def sequence(length: int) -> TokenSequence:
    ids = np.arange(length, dtype=np.uint16)
    return TokenSequence([ids[: length // 3], ids[length // 3 :]], np.array([length]))


@given(length=st.integers(2, 300), context=st.integers(1, 40), stride=st.integers(1, 40))
def test_windows_are_those_that_a_loop_would_list(length: int, context: int, stride: int) -> None:
    by_hand = [
        (start, start + context)
        for start in range(0, length, stride)
        if start + context + 1 <= length
    ]
    if not by_hand:
        with pytest.raises(DataError, match="tokens"):
            StreamWindows(length, context, stride)
        return
    windows = StreamWindows(length, context, stride)
    assert len(windows) == len(by_hand)
    assert [(windows[i].start, windows[i].stop) for i in range(len(windows))] == by_hand
    assert windows.starts(np.arange(len(windows))).tolist() == [start for start, _ in by_hand]
    assert windows[-1] == windows[len(windows) - 1]
    with pytest.raises(IndexError):
        windows[len(windows)]


def test_targets_are_the_inputs_shifted_by_one() -> None:
    windows = StreamWindows(100, 8, 3)
    batches = TrainingBatches(sequence(100), windows, ExampleOrder(len(windows), 1))
    batch = batches.batch(first_example=5, size=4)
    assert batch.tokens.shape == batch.targets.shape == (4, 8)
    assert batch.tokens.dtype == torch.int64
    assert torch.equal(batch.targets, batch.tokens + 1)
    assert batch.real_targets == 32


@given(length=st.integers(2, 200), context=st.integers(1, 50), size=st.integers(1, 7))
def test_evaluation_predicts_every_token_after_the_first_once(
    length: int, context: int, size: int
) -> None:
    batches = EvaluationBatches(sequence(length), context)
    predicted = []
    for batch in batches.batches(size):
        real = batch.targets != IGNORED_TARGET
        assert batch.real_targets == int(real.sum())
        assert torch.equal(batch.targets[real], (batch.tokens + 1)[real])
        predicted.extend(batch.targets[real].tolist())
    assert sorted(predicted) == list(range(1, length))


def test_a_sample_of_the_evaluation_is_fixed() -> None:
    def tokens(seed: int) -> list[int]:
        batches = EvaluationBatches(sequence(1000), 10, sample=7, seed=seed)
        assert len(batches) == 7
        return [t for batch in batches.batches(3) for t in batch.tokens.flatten().tolist()]

    assert tokens(1) == tokens(1)
    assert tokens(1) != tokens(2)
    assert len(EvaluationBatches(sequence(1000), 10, sample=5000)) == 100


def test_too_little_validation_text_says_what_to_do() -> None:
    with pytest.raises(DataError, match="validation_fraction"):
        EvaluationBatches(sequence(1), 10)


def test_a_stride_beyond_the_context_is_a_conflict() -> None:
    problems = list(DataConfig(stride=33).conflicts_with_context(32))
    assert [p.key for p in problems] == ["stride"]
    assert not list(DataConfig(stride=32).conflicts_with_context(32))


def test_nothing_is_stored(tmp_path: Path) -> None:
    windows = StreamWindows(10**12, 1024, 1)
    assert len(windows) == 10**12 - 1024
    assert windows[10**11].start == 10**11
