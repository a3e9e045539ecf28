"""Windows by line equal a twin that writes them down one by one, and store nothing."""

from __future__ import annotations

import tracemalloc
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hornbook.data import (
    Batch,
    DataConfig,
    ExampleOrder,
    LineIds,
    LineWindows,
    Positions,
    TokenSequence,
    TrainingBatches,
)
from hornbook.data.numpy_gathering import line_batch
from hornbook.data.windows import LineStrategy
from hornbook.data.windows_reference import END, PAD, START, Cell, counts, line_of, pairs
from hornbook.errors import DataError
from hornbook.targets import IGNORED_TARGET, PADDING_SEGMENT

STRATEGIES: tuple[LineStrategy, ...] = get_args(LineStrategy)
IDS = {START: 60_001, END: 60_002, PAD: 60_003}
LINE_IDS = LineIds(start=IDS[START], pad=IDS[PAD])


def lines_of(sizes: list[int]) -> list[list[Cell]]:
    """Lines of these many tokens, each token with an id of its own."""
    borders = np.cumsum([0, *sizes])
    return [line_of(range(a, b)) for a, b in zip(borders[:-1], borders[1:], strict=True)]


def sequence_of(lines: list[list[Cell]]) -> TokenSequence:
    """The lines as a store holds them: without start tokens, in two shards."""
    ids = [IDS[token] if isinstance(token, str) else token for line in lines for token in line[1:]]
    tokens = np.array(ids, dtype=np.uint16)
    ends = np.cumsum([len(line) - 1 for line in lines]).astype(np.uint64)
    return TokenSequence([tokens[: len(tokens) // 3], tokens[len(tokens) // 3 :]], ends)


def ids_of(cells: list[Cell]) -> list[int]:
    return [IDS[cell] if isinstance(cell, str) else cell for cell in cells]


def gathered(windows: LineWindows, sequence: TokenSequence, indices: list[int]) -> Batch:
    rows = np.array(indices, dtype=np.int64)
    return line_batch(sequence, windows, rows, LINE_IDS, Positions(), rows)


@settings(deadline=None)
@given(
    strategy=st.sampled_from(STRATEGIES),
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=5),
    context=st.integers(1, 9),
    stride=st.integers(1, 9),
)
@example(strategy="full", sizes=[7, 3, 1], context=5, stride=2)
@example(strategy="slide_through", sizes=[0, 1], context=4, stride=4)
def test_windows_are_those_of_the_twin(
    strategy: LineStrategy, sizes: list[int], context: int, stride: int
) -> None:
    lines = lines_of(sizes)
    sequence = sequence_of(lines)
    expected = [
        (number, x, y)
        for number, line in enumerate(lines)
        for x, y in pairs(strategy, line, context, stride)
    ]
    if strategy == "full" and max(map(len, lines)) <= context:
        with pytest.raises(DataError, match="full"):
            LineWindows(sequence.document_ends, context, stride, strategy)
        return
    windows = LineWindows(sequence.document_ends, context, stride, strategy)
    assert len(windows) == len(expected)
    batch = gathered(windows, sequence, list(range(len(windows))))
    real = 0
    for row, (number, x, y) in enumerate(expected):
        learned = [counts(a, b) for a, b in zip(x, y, strict=True)]
        targets = [b if c else IGNORED_TARGET for b, c in zip(ids_of(y), learned, strict=True)]
        assert batch.tokens[row].tolist() == ids_of(x)
        assert batch.targets[row].tolist() == targets
        assert windows[row].line == number
        assert windows[row].stop == windows[row].start + context
        assert any(learned), "an example that teaches nothing"
        real += sum(learned)
    assert batch.real_targets == real
    assert windows[-1] == windows[len(windows) - 1]
    with pytest.raises(IndexError):
        windows[len(windows)]


@settings(deadline=None)
@given(
    strategy=st.sampled_from(STRATEGIES),
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    context=st.integers(1, 9),
    data=st.data(),
)
def test_any_stride_up_to_the_context_predicts_every_token_of_every_line(
    strategy: LineStrategy, sizes: list[int], context: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, context))
    lines = lines_of([*sizes, context])  # the last one is long enough for full
    sequence = sequence_of(lines)
    windows = LineWindows(sequence.document_ends, context, stride, strategy)
    batch = gathered(windows, sequence, list(range(len(windows))))
    predicted = {
        (windows[row].line, token)
        for row, targets in enumerate(batch.targets.tolist())
        for token in targets
        if token != IGNORED_TARGET
    }
    assert predicted == {(n, token) for n, line in enumerate(lines) for token in ids_of(line[1:])}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("stride", [1, 2, 3, 7])
def test_the_count_follows_the_documented_formula(strategy: LineStrategy, stride: int) -> None:
    context, sizes = 7, [0, 1, 4, 5, 6, 30]
    unstrided = {
        "left_padded": lambda length: length - 1,
        "slide_through": lambda length: length + context - 2,
        "full": lambda length: length - context if length > context else max(context - length, 1),
        "first_full": lambda length: length - context if length > context else 1,
    }[strategy]
    expected = 0
    for line in lines_of(sizes):
        count = unstrided(len(line))
        assert count == len(pairs(strategy, line, context))
        expected += -(-(count - 1) // stride) + 1
    ends = np.cumsum([size + 1 for size in sizes])
    assert len(LineWindows(ends, context, stride, strategy)) == expected


def test_padding_is_drawn_as_the_issue_describes_it() -> None:
    line, short = line_of([1, 2, 3]), line_of([1])
    assert [x for x, _ in pairs("left_padded", line, 3)] == [
        [PAD, PAD, START], [PAD, START, 1], [START, 1, 2], [1, 2, 3],
    ]  # fmt: skip
    assert pairs("slide_through", line, 3)[-1] == ([3, PAD, PAD], [END, PAD, PAD])
    assert pairs("full", line, 3) == [([START, 1, 2], [1, 2, 3]), ([1, 2, 3], [2, 3, END])]
    first, *_, last = pairs("full", short, 6)
    assert first == ([PAD, PAD, PAD, START, 1, END], [PAD, PAD, START, 1, END, PAD])
    assert last == ([PAD, START, 1, END, PAD, PAD], [START, 1, END, PAD, PAD, PAD])
    assert pairs("first_full", short, 4) == [([START, 1, PAD, PAD], [1, END, PAD, PAD])]


def test_padding_before_a_line_is_a_segment_and_positions_begin_behind_it() -> None:
    sequence = sequence_of(lines_of([3]))
    windows = LineWindows(sequence.document_ends, 4, 1, "left_padded")
    batch = gathered(windows, sequence, [1])
    assert batch.tokens.tolist() == [[IDS[PAD], IDS[PAD], IDS[START], 0]]
    assert batch.segments is not None
    assert batch.segments.tolist() == [[PADDING_SEGMENT, PADDING_SEGMENT, 0, 0]]
    assert batch.positions is not None
    assert batch.positions.tolist() == [[0, 0, 0, 1]]
    assert {t.dtype for t in (batch.tokens, batch.targets, batch.positions, batch.segments)} == {
        torch.int64
    }
    whole = gathered(windows, sequence, [3])
    assert whole.segments is None
    assert whole.positions is None


def test_an_epoch_holds_every_window_once() -> None:
    sequence = sequence_of(lines_of([5, 0, 9, 2]))
    windows = LineWindows(sequence.document_ends, 4, 2, "slide_through")
    order = ExampleOrder(len(windows), seed=3)
    batches = TrainingBatches(sequence, windows, order, Positions(), LINE_IDS)
    rows = [
        (tuple(x), tuple(y))
        for first in range(len(windows))
        for batch in [batches.batch(first, 1)]
        for x, y in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True)
    ]
    straight = gathered(windows, sequence, list(range(len(windows))))
    assert sorted(rows) == sorted(
        (tuple(x), tuple(y))
        for x, y in zip(straight.tokens.tolist(), straight.targets.tolist(), strict=True)
    )


def test_the_index_of_the_bible_is_under_a_megabyte_and_of_100_million_lines_under_two_gigabytes():
    verses = LineWindows(np.arange(1, 31_103, dtype=np.uint64) * 30, 32, 1, "left_padded")
    assert verses.index_bytes < 1_000_000
    million = np.arange(1, 1_000_001, dtype=np.uint64) * 30
    tracemalloc.start()
    windows = LineWindows(million, 32, 1, "slide_through")
    windows[len(windows) // 2]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    held = windows.index_bytes
    assert held == million.nbytes + 8 * len(million)
    # Counting needs some memory for a moment, which does not grow with the lines.
    passing = peak - (held - million.nbytes)
    assert passing < 16_000_000
    assert held * 100 + passing < 2_000_000_000


def test_full_needs_one_full_window() -> None:
    ends = np.array([4, 9])  # lines of 5 and 6 tokens with start and end
    assert len(LineWindows(ends, 5, 1, "full"))
    with pytest.raises(DataError, match=r"longest has 6 .* at most 5.*first_full"):
        LineWindows(ends, 6, 1, "full")
    assert len(LineWindows(ends, 6, 1, "first_full")) == 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_line_at_all_says_what_to_do(strategy: LineStrategy) -> None:
    with pytest.raises(DataError, match="validation_fraction"):
        LineWindows(np.zeros(0, dtype=np.uint64), 4, 1, strategy)


def test_the_stride_of_nought_is_the_strategy_s_own() -> None:
    assert DataConfig().stride_for(64) == 64
    assert DataConfig(windows="full").stride_for(64) == 1
    assert DataConfig(windows="full", stride=5).stride_for(64) == 5
    problems = list(DataConfig(windows="full", stride=65).conflicts_with_context(64))
    assert [problem.key for problem in problems] == ["stride"]
