"""Counts from lengths alone equal counts of real batches."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook.data import (
    DataConfig,
    ExampleOrder,
    LineIds,
    LineWindows,
    Positions,
    StreamWindows,
    TokenSequence,
)
from hornbook.data.numpy_gathering import line_batch
from hornbook.data.packed_batches import PackedBatches
from hornbook.data.packing import PackedWindows, Packing
from hornbook.data.windows import LineStrategy
from hornbook.inspection.window_counts import (
    count_windows,
    line_facts,
    line_targets,
    strategies,
)


def sequence_of(lengths: list[int]) -> TokenSequence:
    """Lines of so many tokens, the end token (0) included and the start token not."""
    tokens = [token for length in lengths for token in [*range(5, length + 4), 0]]
    return TokenSequence(
        [np.array(tokens, dtype=np.uint16)], np.cumsum(np.array(lengths, dtype=np.uint64))
    )


@given(
    lengths=st.lists(st.integers(1, 14), min_size=1, max_size=6),
    context_length=st.integers(1, 9),
    stride=st.integers(1, 9),
    strategy=st.sampled_from(get_args(LineStrategy)),
)
def test_counting_is_what_an_epoch_of_batches_holds(
    lengths: list[int], context_length: int, stride: int, strategy: LineStrategy
) -> None:
    sequence = sequence_of(lengths)
    data = DataConfig(windows=strategy, stride=stride)
    counts = count_windows(sequence, data, context_length)
    if strategy == "full" and max(lengths) + 1 <= context_length:
        assert counts.refusal is not None
        return
    windows = LineWindows(sequence.document_ends, context_length, stride, strategy)
    every = np.arange(len(windows), dtype=np.int64)
    batch = line_batch(sequence, windows, every, LineIds(1, 3), Positions(), every)
    assert counts.refusal is None
    assert counts.examples == len(batch.tokens)
    assert counts.targets == batch.real_targets
    assert counts.places == batch.tokens.numel()
    assert counts.padding == pytest.approx(1 - batch.real_targets / batch.tokens.numel())


@given(length=st.integers(1, 60), context_length=st.integers(1, 20), stride=st.integers(0, 20))
def test_the_stream_has_no_padding(length: int, context_length: int, stride: int) -> None:
    counts = count_windows(sequence_of([length]), DataConfig(stride=stride), context_length)
    if length <= context_length:
        assert counts.refusal is not None
        assert f"The text has {length} tokens" in counts.refusal
        return
    windows = StreamWindows(length, context_length, stride or context_length)
    assert counts.examples == len(windows)
    assert counts.targets == counts.places == len(windows) * context_length
    assert counts.padding == 0


@given(
    lengths=st.lists(st.integers(1, 14), min_size=1, max_size=6),
    context_length=st.integers(1, 9),
    packing=st.sampled_from(get_args(Packing)),
)
def test_packed_rows_predict_every_token_once(
    lengths: list[int], context_length: int, packing: Packing
) -> None:
    sequence = sequence_of(lengths)
    data = DataConfig(windows="packed", packing=packing)
    counts = count_windows(sequence, data, context_length, seed=5)
    plan = PackedWindows(sequence.document_ends, context_length, packing, seed=5)
    rows = PackedBatches(sequence, plan, ExampleOrder(len(plan), 5), pad=3)
    batch = rows.batch(0, len(plan))
    assert (counts.stride, counts.name) == (None, f"packed, {packing}")
    assert (counts.examples, counts.places) == (len(batch.tokens), batch.tokens.numel())
    assert counts.targets == batch.real_targets == sum(lengths)
    assert counts.padding == pytest.approx(plan.padding)


def test_every_strategy_is_named_once() -> None:
    found = list(strategies(DataConfig(stride=3)))
    names = [count_windows(sequence_of([9]), data, 4).name for data in found]
    assert names == [*get_args(LineStrategy), "stream", "packed, split", "packed, best_fit"]
    for data in found:
        assert list(data.conflicts()) == []
        assert data.stride == (0 if data.windows == "packed" else 3)


def test_a_line_of_a_billion_tokens_is_counted_without_walking_along_it() -> None:
    length = np.array([10**9], dtype=np.int64)
    assert line_targets("first_full", length, 4, 1).tolist() == [4 * (10**9 - 4)]
    assert line_targets("left_padded", length, 4, 1).tolist() == [4 * (10**9 - 4) + 1 + 2 + 3]


def test_what_the_lines_are_like() -> None:
    facts = line_facts(sequence_of([1, 2, 2, 5, 9]))
    assert (facts.lines, facts.tokens, facts.median, facts.longest) == (5, 19, 3, 10)
    assert (facts.empty, facts.single) == (1, 2)
    nothing = line_facts(TokenSequence([], np.empty(0, dtype=np.uint64)))
    assert (nothing.lines, nothing.median, nothing.longest) == (0, 0, 0)


def test_lines_in_many_pieces_have_the_same_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = sequence_of([3, 1, 4, 1, 5, 9, 2, 6])
    whole = [count_windows(sequence, data, 4) for data in strategies(DataConfig())]
    monkeypatch.setattr("hornbook.inspection.window_counts._LINES_AT_ONCE", 3)
    again = [count_windows(sequence, data, 4) for data in strategies(DataConfig())]
    assert whole == again
    assert line_facts(sequence).longest == 10
