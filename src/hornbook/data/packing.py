"""Many documents in one row: which document, or which part of one, stands in which row.

The documents are shuffled, once for the whole run. Then they are put into rows of
``context_length`` places, here 6, in one of two ways. Documents of 5, 3, 2, 3 and 2 tokens:

    split       a a a a a b      joined, and cut where a row is full
                b b c c d d
                d e e · · ·

    best_fit    a a a a a ·      whole; the longest first, each into the row where the least
                b b b d d d      space is left behind it (best-fit decreasing)
                c c e e · ·

``split`` wastes no place but at the very end, and cuts a document in most rows. ``best_fit`` cuts
nothing but documents that are longer than a row, which give full rows and a rest, and wastes
a few places (Ding et al., 2024, "Fewer Truncations Improve Language Modeling").

What stands in a place is told in ``packed_batches``. Here a token of the store is a target, so
every token of the store is in exactly one row.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hornbook.data.order import permute
from hornbook.errors import DataError
from hornbook.randomness import stream_seed

Packing = Literal["split", "best_fit"]
"""The ways to fill rows."""

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Piece:
    """A document, or a part of one, in a row: tokens ``start`` up to ``stop`` of the store.

    These are its targets. Its inputs lie one token earlier.
    """

    document: int
    start: int
    stop: int


class RowPieces(NamedTuple):
    """The pieces of some rows; each array is [pieces] ``int64``, in the order of reading.

    Attributes:
        rows: which of the rows asked for, counted from 0.
        numbers: which piece of its row, counted from 0.
        columns: place of its first token in its row.
        begins: place of its first target in the store.
        lengths: how many tokens it has.
    """

    rows: Integers
    numbers: Integers
    columns: Integers
    begins: Integers
    lengths: Integers


class PackedWindows:
    """The plan of a packed run: row i and the pieces in it.

    Memory: 12 bytes a piece and 8 bytes a row. A document gives one piece, and one more for each
    place where it is cut.

    Args:
        document_ends: [documents] signed or unsigned integers, where each document ends in the
            store, its end token included.
        context_length: places in a row.
        packing: how rows are filled.
        seed: picks the order of the documents.

    Attributes:
        first_pieces: [rows + 1] ``int64``, which piece is the first of each row.
        piece_begins: [pieces] ``int64``, place of its first target in the store.
        piece_lengths: [pieces] ``int32``, how many tokens it has.

    Raises:
        DataError: when there is no document.

    >>> plan = PackedWindows(np.array([5, 8, 10]), context_length=6, packing="best_fit", seed=1)
    >>> len(plan), plan.targets, round(plan.padding, 3)
    (2, 10, 0.167)
    >>> sorted((piece.document, piece.stop - piece.start) for row in plan for piece in row)
    [(0, 5), (1, 3), (2, 2)]
    """

    def __init__(
        self, document_ends: NDArray[np.integer], context_length: int, packing: Packing, seed: int
    ) -> None:
        if not len(document_ends):
            raise DataError(
                "data.windows=packed needs documents, but the training side has none. Use more "
                "text, or less of corpus.validation_fraction."
            )
        self.context_length = context_length
        self.packing: Packing = packing
        self.document_ends = document_ends
        order = np.arange(len(document_ends), dtype=np.int64)
        order = permute(order, len(order), stream_seed(seed, "packing"))
        ends = np.asarray(document_ends).astype(np.int64)
        lengths = np.diff(ends, prepend=0)[order]
        fill = split if packing == "split" else best_fit
        rows, begins, lengths = fill(ends[order] - lengths, lengths, context_length)
        self.first_pieces = np.zeros(int(rows.max()) + 2, dtype=np.int64)
        np.cumsum(np.bincount(rows), out=self.first_pieces[1:])
        # Within a row the pieces keep the order of the documents, whatever was placed first.
        by_row = np.argsort(rows, kind="stable")
        self.piece_begins = begins[by_row]
        self.piece_lengths = lengths[by_row].astype(np.int32)

    @property
    def targets(self) -> int:
        """Tokens to predict in an epoch: every token of the store."""
        return int(self.document_ends[-1])

    @property
    def pieces(self) -> int:
        """Documents and parts of documents in all rows."""
        return len(self.piece_begins)

    @property
    def padding(self) -> float:
        """The share of places that hold no token."""
        return 1 - self.targets / (len(self) * self.context_length)

    @property
    def summary(self) -> str:
        """What a person wants to know of the plan, in one line."""
        documents, cuts = len(self.document_ends), self.pieces - len(self.document_ends)
        return (
            f"packed: {documents:,} documents in {len(self):,} rows of {self.context_length} "
            f"({self.packing}), cut in {cuts:,} places, {self.padding:.2%} padding"
        )

    @property
    def index_bytes(self) -> int:
        """Memory of the plan [bytes]; the ends of the documents count, though they are mapped."""
        plan = self.first_pieces.nbytes + self.piece_begins.nbytes + self.piece_lengths.nbytes
        return plan + self.document_ends.nbytes

    def __len__(self) -> int:
        return len(self.first_pieces) - 1

    def __getitem__(self, index: int) -> tuple[Piece, ...]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        found = self.row_pieces(np.array([index % len(self)], dtype=np.int64))
        documents = self.documents(found.begins).tolist()
        spans = zip(documents, found.begins.tolist(), found.lengths.tolist(), strict=True)
        return tuple(Piece(document, begin, begin + length) for document, begin, length in spans)

    def __iter__(self) -> Iterator[tuple[Piece, ...]]:
        return (self[index] for index in range(len(self)))

    def row_pieces(self, indices: Integers) -> RowPieces:
        """The pieces of these rows ([batch] ``int64``, each below ``len``)."""
        counts = self.first_pieces[indices + 1] - self.first_pieces[indices]
        rows, numbers = _numbered(counts)
        pieces = self.first_pieces[indices][rows] + numbers
        begins, lengths = self.piece_begins[pieces], self.piece_lengths[pieces].astype(np.int64)
        stops = np.cumsum(lengths)
        before = stops[np.cumsum(counts) - counts] - lengths[np.cumsum(counts) - counts]
        return RowPieces(rows, numbers, stops - lengths - before[rows], begins, lengths)

    def documents(self, places: Integers) -> Integers:
        """Which document the token at each place of the store belongs to."""
        # Keys of another type would make NumPy copy all ends to find one.
        keys = places.astype(self.document_ends.dtype)
        return np.searchsorted(self.document_ends, keys, side="right")


def split(
    begins: Integers, lengths: Integers, context_length: int
) -> tuple[Integers, Integers, Integers]:
    """Join the documents, and cut them where a row is full.

    Args:
        begins: [documents] where each starts in the store, in the order in which to join them.
        lengths: [documents] how many tokens each has, at least 1.
        context_length: places in a row.

    Returns:
        three arrays [pieces]: row, begin in the store, and length.

    >>> [x.tolist() for x in split(np.array([10, 0]), np.array([4, 3]), context_length=5)]
    [[0, 0, 1], [10, 0, 1], [4, 1, 2]]
    """
    stops = np.cumsum(lengths)
    starts = stops - lengths
    first_rows = starts // context_length
    owners, numbers = _numbered((stops - 1) // context_length - first_rows + 1)
    rows = first_rows[owners] + numbers
    piece_starts = np.maximum(starts[owners], rows * context_length)
    piece_stops = np.minimum(stops[owners], (rows + 1) * context_length)
    return rows, (begins - starts)[owners] + piece_starts, piece_stops - piece_starts


def best_fit(
    begins: Integers, lengths: Integers, context_length: int
) -> tuple[Integers, Integers, Integers]:
    """Cut documents that are longer than a row, and find the row with the best fit for each piece.

    Arguments and results are those of ``split``.

    >>> [x.tolist() for x in best_fit(np.array([0, 7, 9]), np.array([7, 2, 3]), context_length=5)]
    [[0, 1, 2, 1], [0, 5, 7, 9], [5, 2, 2, 3]]
    """
    owners, numbers = _numbered(-(-lengths // context_length))
    starts = numbers * context_length
    lengths = np.minimum(lengths[owners] - starts, context_length)
    return best_fit_rows(lengths, context_length), begins[owners] + starts, lengths


# A row that takes a document of the length at hand goes on taking them while they fit, since
# its space is now the smallest that does. So all documents of one length and all rows of one
# space are dealt with in one go: a row leaves such a go with less than half of its space, and
# therefore there are O(context_length × log context_length) of them, however many documents.
# One at a time with a tree over the spaces (Ding et al.) is O(documents × log context_length).


def best_fit_rows(lengths: Integers, capacity: int) -> Integers:
    """Best-fit decreasing: the row of each piece.

    Longest first, in the given order among equals; each into the row with the least space that
    suffices, and of several the one that has had this space for longest.

    Args:
        lengths: [pieces] 1 up to ``capacity``.
        capacity: places in a row.

    Returns:
        [pieces] ``int64`` rows, counted from 0.

    >>> best_fit_rows(np.array([2, 3, 5, 3, 2]), capacity=6).tolist()
    [2, 1, 0, 1, 2]
    """
    rows = np.empty(len(lengths), dtype=np.int64)
    longest_first = _longest_first(lengths, capacity)
    counts = np.bincount(lengths)[::-1]
    borders = np.cumsum(counts)
    open_rows = _OpenRows(capacity)
    for group in np.flatnonzero(counts):
        length, stop = len(counts) - 1 - int(group), int(borders[group])
        start = stop - int(counts[group])
        while start < stop:
            start += open_rows.place(length, longest_first[start:stop], rows)
    return rows


class _OpenRows:
    """Rows by the space that is left in them."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._count = 0
        self._spaces: list[int] = []  # ascending
        self._rows: dict[int, list[Integers]] = {}  # longest waiting first

    def place(self, length: int, pieces: Integers, rows: Integers) -> int:
        """Give rows of one space to as many ``pieces`` of this length as they hold; how many."""
        at = bisect_left(self._spaces, length)
        space = self._spaces[at] if at < len(self._spaces) else self._capacity
        each = space // length
        taken = self._take(space, -(-len(pieces) // each))
        placed = min(len(pieces), len(taken) * each)
        rows[pieces[:placed]] = np.repeat(taken, each)[:placed]
        in_last = placed - (len(taken) - 1) * each
        self._put(space - each * length, taken[:-1])
        self._put(space - in_last * length, taken[-1:])
        return placed

    def _take(self, space: int, count: int) -> Integers:
        """Up to ``count`` rows with this space; new ones if no row is open with it."""
        if space not in self._rows:
            self._count += count
            return np.arange(self._count - count, self._count, dtype=np.int64)
        waiting = self._rows.pop(space)
        rows = np.concatenate(waiting) if len(waiting) > 1 else waiting[0]
        if len(rows) > count:
            self._rows[space] = [rows[count:]]
        else:
            self._spaces.remove(space)
        return rows[:count]

    def _put(self, space: int, rows: Integers) -> None:
        if not space or not len(rows):
            return
        if space not in self._rows:
            insort(self._spaces, space)
            self._rows[space] = []
        self._rows[space].append(rows)


def _longest_first(lengths: Integers, capacity: int) -> Integers:
    """[pieces] which piece comes when, in the given order among equals."""
    # NumPy sorts numbers of 16 bits by counting, in time that grows with how many there are.
    missing = capacity - lengths
    return np.argsort(missing.astype(np.uint16) if capacity <= 1 << 16 else missing, kind="stable")


def _numbered(counts: Integers) -> tuple[Integers, Integers]:
    """Lay out groups one after another: the group of each member, and its number within.

    >>> [x.tolist() for x in _numbered(np.array([2, 1, 3]))]
    [[0, 0, 1, 2, 2, 2], [0, 1, 0, 0, 1, 2]]
    """
    stops = np.cumsum(counts)
    groups = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    numbers = np.arange(len(groups), dtype=np.int64) - np.repeat(stops - counts, counts)
    return groups, numbers
