"""Positions mean what the setting says: the window, the line, or a drawn offset."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.data import (
    EvaluationBatches,
    ExampleOrder,
    LineIds,
    LineWindows,
    Positions,
    StreamWindows,
    TokenSequence,
    TrainingBatches,
)


def sequence_of(sizes: list[int]) -> TokenSequence:
    ends = np.cumsum(sizes).astype(np.uint64)
    return TokenSequence([np.arange(int(ends[-1]), dtype=np.uint32)], ends)


@settings(deadline=None)
@given(starts=st.lists(st.integers(-7, 40), min_size=1, max_size=6), last_offset=st.integers(0, 20))
def test_places_in_the_line_are_consecutive_and_stay_below_the_last(
    starts: list[int], last_offset: int
) -> None:
    length = 8
    rows = Positions("line", last_offset).within_lines(
        np.array(starts), np.arange(len(starts)), length
    )
    for start, row in zip(starts, rows.tolist(), strict=True):
        begin, expected = max(start, 0), []
        for place in range(start, start + length):
            expected.append(min(begin, last_offset) + max(place - begin, 0))
        assert row == expected
        assert max(row) < last_offset + length


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=6),
    last_offset=st.integers(1, 12),
    stride=st.integers(1, 4),
)
def test_in_a_stream_each_line_counts_for_itself(
    sizes: list[int], last_offset: int, stride: int
) -> None:
    sequence, context = sequence_of(sizes), 2
    in_line = [place + 1 for size in sizes for place in range(size)]
    line = [number for number, size in enumerate(sizes) for _ in range(size)]
    windows = StreamWindows(len(sequence), context, stride)
    batches = TrainingBatches(
        sequence, windows, ExampleOrder(len(windows), 1), Positions("line", last_offset)
    )
    batch = batches.batch(0, len(windows))
    assert batch.positions is not None
    for tokens, found in zip(batch.tokens.tolist(), batch.positions.tolist(), strict=True):
        expected = []
        for token in tokens:  # a token's id is its place in the stream
            first = next(t for t in tokens if line[t] == line[token])
            expected.append(min(in_line[first], last_offset) + in_line[token] - in_line[first])
        assert found == expected
        assert max(found) < last_offset + context


def random_batches(seed: int = 5, last_offset: int = 9) -> TrainingBatches:
    sequence = sequence_of([6, 30, 11])
    windows = LineWindows(sequence.document_ends, 8, 1, "left_padded")
    return TrainingBatches(
        sequence,
        windows,
        ExampleOrder(len(windows), 1),
        Positions("random", last_offset, seed),
        LineIds(start=50, pad=51),
    )


def test_a_random_offset_belongs_to_the_example_and_not_to_the_batch() -> None:
    batches = random_batches()
    whole = batches.batch(0, 40).positions
    parts = [batches.batch(first, 8).positions for first in range(0, 40, 8)]
    assert whole is not None
    assert whole.tolist() == [row for part in parts if part is not None for row in part.tolist()]
    other = random_batches(seed=6).batch(0, 40).positions
    assert other is not None
    assert whole.tolist() != other.tolist()


def test_random_offsets_reach_from_nought_to_the_last_and_change_with_the_epoch() -> None:
    batches = random_batches()
    count = len(batches.windows)
    first, second = (batches.batch(epoch * count, count).positions for epoch in range(2))
    assert first is not None
    assert second is not None
    offsets = first[:, 0].tolist()
    assert set(offsets) == set(range(10))
    assert offsets != second[:, 0].tolist()
    steps = (first[:, 1:] - first[:, :-1]).unique().tolist()
    assert steps == [0, 1]  # padding repeats the first position; the rest goes up by one


def test_evaluation_numbers_places_in_the_line_but_draws_nothing() -> None:
    sequence = sequence_of([3, 4])
    by_line = next(EvaluationBatches(sequence, 3, positions=Positions("line", 9)).batches(9))
    assert by_line.tokens.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert by_line.positions is not None
    assert by_line.positions.tolist() == [[1, 2, 3], [1, 2, 3]]
    drawn = next(EvaluationBatches(sequence, 3, positions=Positions("random", 9)).batches(9))
    assert drawn.positions is None
