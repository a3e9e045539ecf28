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


@given(
    length=st.integers(9, 200),
    context=st.integers(2, 8),
    stride=st.integers(2, 8),
    epochs=st.just(9),
)
def test_a_stream_that_is_cut_anew_is_the_text_from_further_on(
    length: int, context: int, stride: int, epochs: int
) -> None:
    stride = min(stride, context)
    windows = StreamWindows(length, context, stride)
    count = len(windows)
    plain = TrainingBatches(sequence(length), windows, ExampleOrder(count, 1))
    recut = TrainingBatches(sequence(length), windows, ExampleOrder(count, 1), recut=True)
    first = 0
    for epoch in range(9):
        moved = int(epoch * 0.6180339887 % 1 * stride)
        its, theirs = (batches.batch(first, count) for batches in (recut, plain))
        # The ids of this text are places in it.
        wanted = torch.clamp(theirs.tokens[:, 0] + moved, max=length - 1 - context)
        assert torch.equal(its.tokens, wanted[:, None] + torch.arange(context))
        assert torch.equal(its.targets, its.tokens + 1)
        seen = set(its.targets.flatten().tolist())
        missed = set(theirs.targets.flatten().tolist()) - seen
        assert missed <= set(range(1, moved + 1)), "only tokens before the first window are left"
        first += count
    # A batch does not have to end with its epoch.
    both = recut.batch(count - 1, 2)
    assert both.tokens[1].equal(recut.batch(count, 1).tokens[0])


def test_the_places_of_a_recut_stream_are_spread() -> None:
    windows = StreamWindows(1000, 64, 64)
    epochs = np.arange(64)
    moved = windows.moved_starts(np.zeros(64, dtype=np.int64), epochs)
    assert moved[0] == 0
    for count in (4, 8, 16, 32):
        gaps = np.diff(np.sort(moved[:count]), append=64)
        assert gaps.max() <= 3 * 64 / count, "no place is far from where some epoch cuts"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"windows": "packed"}, "windows=packed"),
        ({"windows": "full"}, "windows=full"),
        ({"split": "window"}, "holds back"),
        ({"stride": 1}, "larger data.stride"),
    ],
)
def test_what_cannot_be_cut_anew_is_refused(changes: dict[str, object], said: str) -> None:
    config = DataConfig.model_validate({"recut": True, **changes})
    problems = [*config.conflicts(), *config.conflicts_with_context(8)]
    assert any(p.key == "recut" and said in p.message for p in problems), problems


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
