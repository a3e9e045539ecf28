"""Kernels gather exactly what NumPy gathers, and only come when there is enough to gather."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.data import (
    Batch,
    ExampleOrder,
    LineIds,
    LineWindows,
    PackedWindows,
    Positions,
    StreamWindows,
    TokenSequence,
    TrainingBatches,
    gathering,
    kernel_gathering,
    numpy_gathering,
)
from hornbook.data.gathering import Gathering
from hornbook.data.packing import Packing
from hornbook.data.positions import PositionMeaning
from hornbook.data.windows import LineStrategy

STRATEGIES: tuple[LineStrategy, ...] = get_args(LineStrategy)
LINE_IDS = LineIds(start=60_001, pad=60_003)
sizes_of_lines = st.lists(st.integers(0, 12), min_size=1, max_size=6)


def sequence_of(sizes: list[int], cuts: list[float], dtype: type = np.uint16) -> TokenSequence:
    """Lines of these many tokens, in shards that end where the cuts are."""
    ends = np.cumsum([size + 1 for size in sizes]).astype(np.uint64)
    tokens = np.arange(int(ends[-1]), dtype=dtype)
    tokens.flags.writeable = False
    return TokenSequence(np.split(tokens, sorted(int(cut * len(tokens)) for cut in cuts)), ends)


def assert_same(found: Batch, expected: Batch) -> None:
    assert found.real_targets == expected.real_targets
    for name in ("tokens", "targets", "positions", "segments"):
        mine, theirs = getattr(found, name), getattr(expected, name)
        assert (mine is None) == (theirs is None), name
        if mine is not None:
            assert mine.dtype == torch.int64
            assert torch.equal(mine, theirs), name


@settings(deadline=None)
@given(
    strategy=st.sampled_from(STRATEGIES),
    sizes=sizes_of_lines,
    context=st.integers(1, 9),
    stride=st.integers(1, 9),
    cuts=st.lists(st.floats(0, 1), max_size=3),
    meaning=st.sampled_from(get_args(PositionMeaning)),
)
def test_windows_by_line(
    strategy: LineStrategy,
    sizes: list[int],
    context: int,
    stride: int,
    cuts: list[float],
    meaning: PositionMeaning,
) -> None:
    sequence = sequence_of([*sizes, 12], cuts)
    windows = LineWindows(sequence.document_ends, context, stride, strategy)
    every = np.arange(len(windows), dtype=np.int64)
    asked = (sequence, windows, every, LINE_IDS, Positions(meaning, 5, seed=3), every + 7)
    assert_same(kernel_gathering.line_batch(*asked), numpy_gathering.line_batch(*asked))


@settings(deadline=None)
@given(
    sizes=sizes_of_lines,
    context=st.integers(1, 20),
    cuts=st.lists(st.floats(0, 1), max_size=3),
)
def test_windows_over_a_stream(sizes: list[int], context: int, cuts: list[float]) -> None:
    sequence = sequence_of([*sizes, 20], cuts)
    starts = np.arange(len(sequence) - context, dtype=np.int64)
    expected = starts[:, None] + np.arange(context)
    for gather in (kernel_gathering, numpy_gathering):
        inputs, targets = gather.stream_rows(sequence, starts, context)
        assert np.array_equal(inputs, expected)
        assert np.array_equal(targets, expected + 1)
        assert inputs.dtype == targets.dtype == np.int64
        for outside in (-1, len(sequence) - context):
            with pytest.raises(IndexError, match="leaves the sequence"):
                gather.stream_rows(sequence, np.array([0, outside]), context)


@settings(deadline=None)
@given(
    sizes=sizes_of_lines,
    context=st.integers(1, 20),
    packing=st.sampled_from(get_args(Packing)),
    cuts=st.lists(st.floats(0, 1), max_size=3),
)
def test_packed_rows(sizes: list[int], context: int, packing: Packing, cuts: list[float]) -> None:
    sequence = sequence_of(sizes, cuts)
    windows = PackedWindows(sequence.document_ends, context, packing, seed=2)
    asked = (sequence, windows, np.arange(len(windows), dtype=np.int64), LINE_IDS.pad)
    (found, real), (expected, counted) = (
        gather.packed_rows(*asked) for gather in (kernel_gathering, numpy_gathering)
    )
    assert real == counted == len(sequence)
    assert np.array_equal(found, expected)


@settings(deadline=None)
@given(
    count=st.integers(1, 5000) | st.integers(1, 2**50),
    seed=st.integers(0, 1000),
    first=st.integers(0, 2**52),
    number=st.integers(0, 40),
)
def test_the_order_of_examples(count: int, seed: int, first: int, number: int) -> None:
    order = ExampleOrder(count, seed)
    found = kernel_gathering.examples(order, first, number)
    assert found.tolist() == order.examples(first, number).tolist()


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
@pytest.mark.parametrize("strategy", ["stream", *STRATEGIES])
def test_batches_are_the_same_before_and_after_kernels_come(
    strategy: LineStrategy, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batches are NumPy's, the later ones the kernels'; nobody can tell."""
    sequence = sequence_of([30, 2, 11, 0, 45, 7], [0.4], dtype)
    if strategy == "stream":
        windows = StreamWindows(len(sequence), 8, 3)
    else:
        windows = LineWindows(sequence.document_ends, 8, 2, strategy)
    order = ExampleOrder(len(windows), 1)
    plain = TrainingBatches(sequence, windows, order, line_ids=LINE_IDS)
    changing = TrainingBatches(sequence, windows, order, line_ids=LINE_IDS)
    monkeypatch.setattr(gathering, "WORTH_LOADING", 8 * 16)
    monkeypatch.setattr(gathering, "WORTH_COMPILING", 8 * 16)
    plain.gathering.by = lambda tokens: numpy_gathering  # type: ignore[method-assign]
    for first in range(0, 64, 16):
        assert_same(changing.batch(first, 16), plain.batch(first, 16))
    assert changing.gathering.by(0) is kernel_gathering


def test_a_small_run_never_waits_for_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "kept", lambda: False)
    small = Gathering()
    assert small.by(500 * 16 * 128) is numpy_gathering  # the preset of the demo, from end to end
    assert small.by(gathering.WORTH_COMPILING) is kernel_gathering
    asked = Gathering()
    asked.prepare()
    assert asked.by(1) is kernel_gathering


def test_kernels_that_are_kept_come_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "kept", lambda: True)
    counting = Gathering()
    assert counting.by(gathering.WORTH_LOADING) is numpy_gathering
    assert counting.by(1) is kernel_gathering
