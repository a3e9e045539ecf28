"""Packing: the plan is that of the twin, and an epoch predicts every token exactly once."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hornbook.data import ExampleOrder, PackedBatches, PackedWindows, Positions, TokenSequence
from hornbook.data.packing import Packing, best_fit, best_fit_rows, split
from hornbook.data.packing_reference import best_fit_rows as slow_best_fit_rows
from hornbook.data.packing_reference import rows_of
from hornbook.errors import ConfigError, DataError
from hornbook.runs.resolution import resolve
from hornbook.targets import IGNORED_TARGET, PADDING_SEGMENT

PACKINGS: tuple[Packing, ...] = get_args(Packing)
END, PAD = 60_000, 60_001


def sequence_of(sizes: list[int]) -> TokenSequence:
    """Documents of these many tokens, each with an id of its own; the last is the end token."""
    ends = np.cumsum(sizes)
    tokens = np.arange(int(ends[-1]), dtype=np.uint16)
    tokens[ends - 1] = END
    cut = len(tokens) // 3
    return TokenSequence([tokens[:cut], tokens[cut:]], ends.astype(np.uint64))


def batches_of(
    sizes: list[int], context: int, packing: Packing, **more: Any
) -> tuple[TokenSequence, PackedBatches]:
    sequence = sequence_of(sizes)
    windows = PackedWindows(sequence.document_ends, context, packing, seed=4)
    return sequence, PackedBatches(sequence, windows, ExampleOrder(len(windows), 5), PAD, **more)


@settings(deadline=None)
@given(
    packing=st.sampled_from(PACKINGS),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=30),
    context=st.integers(1, 12),
)
@example(packing="best_fit", sizes=[12, 24, 1], context=12)
def test_rows_are_those_of_the_twin(packing: Packing, sizes: list[int], context: int) -> None:
    stops = np.cumsum(sizes)
    documents = [list(range(stop - size, stop)) for size, stop in zip(sizes, stops, strict=True)]
    fill = split if packing == "split" else best_fit
    rows, begins, lengths = fill(stops - np.array(sizes), np.array(sizes), context)
    found: list[list[list[int]]] = [[] for _ in range(int(rows.max()) + 1)]
    for row, begin, length in zip(rows.tolist(), begins.tolist(), lengths.tolist(), strict=True):
        found[row].append(list(range(begin, begin + length)))
    assert found == rows_of(documents, context, packing)


@settings(deadline=None, max_examples=200)
@given(
    capacity=st.integers(1, 40),
    shares=st.lists(st.floats(0, 1, exclude_min=True), min_size=1, max_size=120),
)
@example(capacity=1 << 17, shares=[0.5, 1e-5, 0.5, 0.9])
def test_best_fit_is_that_of_the_twin_and_never_overfills(
    capacity: int, shares: list[float]
) -> None:
    lengths = np.array([max(1, int(share * capacity)) for share in shares])
    rows = best_fit_rows(lengths, capacity)
    assert rows.tolist() == slow_best_fit_rows(lengths.tolist(), capacity)
    fills = np.bincount(rows, weights=lengths)
    assert fills.max() <= capacity
    assert fills.min() > 0


@settings(deadline=None)
@given(
    packing=st.sampled_from(PACKINGS),
    sizes=st.lists(st.integers(1, 25), min_size=1, max_size=20),
    context=st.integers(1, 12),
)
def test_an_epoch_predicts_every_token_once_from_the_one_before(
    packing: Packing, sizes: list[int], context: int
) -> None:
    sequence, batches = batches_of(sizes, context, packing)
    count = len(batches.windows)
    batch = batches.batch(0, count)
    stored = sequence.slice(0, len(sequence)).tolist()
    found = batch.targets[batch.targets != IGNORED_TARGET].tolist()
    assert sorted(found) == sorted(stored)
    assert batch.real_targets == len(stored) == batches.windows.targets
    assert batches.windows.padding == pytest.approx(1 - len(stored) / batch.tokens.numel())
    assert batch.segments is not None
    assert batch.positions is not None
    starts = {0, *np.cumsum(sizes).tolist()}
    for row, index in enumerate(batches.order.examples(0, count).tolist()):
        column = 0
        for number, piece in enumerate(batches.windows[index]):
            span = slice(column, column + piece.stop - piece.start)
            column = span.stop
            before = END if piece.start in starts else stored[piece.start - 1]
            expected = [before, *stored[piece.start : piece.stop - 1]]
            assert batch.tokens[row, span].tolist() == expected
            assert batch.targets[row, span].tolist() == stored[piece.start : piece.stop]
            assert batch.segments[row, span].tolist() == [number] * len(expected)
            assert batch.positions[row, span].tolist() == list(range(len(expected)))
            begin = sum(sizes[: piece.document])
            assert begin <= piece.start < piece.stop <= begin + sizes[piece.document]
        assert column <= context
        assert (batch.tokens[row, column:] == PAD).all()
        assert (batch.targets[row, column:] == IGNORED_TARGET).all()
        assert (batch.segments[row, column:] == PADDING_SEGMENT).all()


def test_split_wastes_places_in_the_last_row_only_and_best_fit_cuts_long_documents_only() -> None:
    sizes = [3, 9, 25, 1, 14, 8, 8, 2, 6, 11]
    ends = np.cumsum(sizes)
    joined = PackedWindows(ends, 10, "split", seed=1)
    assert [sum(p.stop - p.start for p in row) for row in joined][:-1] == [10] * (len(joined) - 1)
    whole = PackedWindows(ends, 10, "best_fit", seed=1)
    parts = np.bincount([piece.document for row in whole for piece in row])
    assert parts.tolist() == [-(-size // 10) for size in sizes]
    with pytest.raises(IndexError):
        whole[len(whole)]
    assert whole[-1] == whole[len(whole) - 1]


@pytest.mark.parametrize("packing", PACKINGS)
def test_documents_share_rows_by_the_seed(packing: Packing) -> None:
    ends = np.arange(1, 200) * 5
    plans = [list(PackedWindows(ends, 20, packing, seed)) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]
    shown = [piece.document for row in plans[0] for piece in row]
    assert shown != sorted(shown)


def test_an_example_belongs_to_its_place_in_the_run_and_not_to_the_batch() -> None:
    _, batches = batches_of(
        [5, 9, 3, 30, 2, 7, 7] * 5, 16, "best_fit", positions=Positions("random", 40, 7)
    )
    whole = batches.batch(0, 24)
    for first in range(0, 24, 4):
        part = batches.batch(first, 4)
        for name in ("tokens", "targets", "positions", "segments"):
            assert getattr(part, name).tolist() == getattr(whole, name)[first : first + 4].tolist()


@pytest.mark.parametrize("packing", PACKINGS)
def test_positions_of_a_packed_row(packing: Packing) -> None:
    sizes, context, last = [5, 9, 3, 30, 2, 7, 7], 12, 20
    _, in_line = batches_of(sizes, context, packing, positions=Positions("line", last))
    _, drawn = batches_of(sizes, context, packing, positions=Positions("random", last, 3))
    _, through = batches_of(
        sizes, context, packing, positions=Positions("random", last, 3), reset_positions=False
    )
    _, plain = batches_of(sizes, context, packing, reset_positions=False)
    count = len(in_line.windows)
    assert plain.batch(0, count).positions is None
    rows = [x.batch(0, count).positions for x in (in_line, drawn, through)]
    offsets = set()
    for row, index in enumerate(in_line.order.examples(0, count).tolist()):
        column = 0
        assert rows[2] is not None
        offset = int(rows[2][row, 0])
        assert rows[2][row].tolist() == list(range(offset, offset + context))
        offsets.add(offset)
        for piece in in_line.windows[index]:
            length = piece.stop - piece.start
            place = min(piece.start - sum(sizes[: piece.document]), last)
            for found, begin in ((rows[0], place), (rows[1], offset)):
                assert found is not None
                expected = list(range(begin, begin + length))
                assert found[row, column : column + length].tolist() == expected
            column += length
    assert len(offsets) > 1


def test_a_plan_needs_documents_and_little_memory() -> None:
    with pytest.raises(DataError, match="packed needs documents"):
        PackedWindows(np.zeros(0, dtype=np.uint64), 8, "split", seed=1)
    ends = np.cumsum(np.full(10_000, 40))
    for packing in PACKINGS:
        assert PackedWindows(ends, 512, packing, seed=1).index_bytes / len(ends) < 24


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"data.stride": 4}, "data.stride"),
        ({"data.stride": 400}, "data.stride"),
        ({"training.carry_state": True, "model.kind": "rnn"}, "training.carry_state"),
        ({"data.positions": "line", "data.reset_positions": False}, "data.reset_positions"),
        ({"data.packing": "loose"}, "data.packing"),
    ],
)
def test_settings_that_packed_rows_cannot_follow_are_named(
    changes: dict[str, Any], key: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(preset="tiny", overrides={"data.windows": "packed", **changes})
    assert [problem.key for problem in caught.value.problems] == [key]
