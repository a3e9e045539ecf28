"""Every validation token once, each with as much before it as a window holds.

Two ways to read the validation side, both the same for every model, however it was trained.
With windows of 4 places (``context_length``) and the lines ``a b c d e </s>`` and ``f </s>``:

    lines by themselves       x  | a  b  c      y  a  b  c  d       what stands before a line,
                              x  a  b  c  d     y  ·  ·  ·  e       then the line; from the fifth
                              x  b  c  d  e     y  ·  ·  · </s>     target on a window for each
                              x  | f  _  _      y  f </s> ·  ·

    running text              x  a  b  c  d     y  b  ·  ·  ·       one text of all lines; a
                              x  a  b  c  d     y  ·  c  ·  ·       window for each target, which
                              x  b  c  d  e     y  ·  ·  · </s>     has all that fits before it
                              x  c  d  e </s>   y  ·  ·  ·  f

(``|`` is what training put before a line, ``·`` a target that does not count, ``_`` padding.)
A target whose window would begin before the text shares that of the first full window.

A sample is drawn where all is too much: whole lines, or single targets of the running text,
the same ones for the same seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hornbook.data.batch import Batch
from hornbook.data.order import ExampleOrder
from hornbook.data.positions import WINDOW_POSITIONS, Positions
from hornbook.data.token_store import TokenSequence
from hornbook.errors import DataError
from hornbook.targets import IGNORED_TARGET

Integers = NDArray[np.int64]


class LineRows(NamedTuple):
    """Windows over single lines; each array is [rows] ``int64``.

    A place is counted within the line, where what stands before it has place 0.

    Attributes:
        lines: which line.
        starts: place of the first input.
        first_targets, last_targets: places of the targets that count, both included.
    """

    lines: Integers
    starts: Integers
    first_targets: Integers
    last_targets: Integers


def line_rows(lines: Integers, counts: Integers, context_length: int) -> LineRows:
    """The windows that predict the first ``counts`` tokens of each line once.

    Args:
        lines: [n] numbers of the lines.
        counts: [n] how many targets of each count, at least 1.
        context_length: places in a window.

    >>> rows = line_rows(np.array([7, 8]), np.array([6, 2]), context_length=4)
    >>> for name, values in rows._asdict().items():
    ...     print(name, values.tolist())
    lines [7, 7, 7, 8]
    starts [0, 1, 2, 0]
    first_targets [1, 5, 6, 1]
    last_targets [4, 5, 6, 2]
    """
    rows_of_line = 1 + np.maximum(counts - context_length, 0)
    owners = np.repeat(np.arange(len(lines)), rows_of_line)
    starts = np.arange(len(owners)) - np.repeat(
        np.cumsum(rows_of_line) - rows_of_line, rows_of_line
    )
    last = np.minimum(starts + context_length, counts[owners])
    return LineRows(lines[owners], starts, np.where(starts == 0, 1, last), last)


class LinesAlone:
    """The validation lines, each by itself.

    Args:
        sequence: the validation side.
        context_length: places in a window.
        before: the id that training put before a line.
        pad: the id behind a line that is shorter than the window.
        sample: about how many targets to use; whole lines are drawn, and the last one drawn is
            cut where the number is reached. 0 means all.
        seed: picks the lines.
        positions: what position numbers mean to the model; random offsets are left out.

    Raises:
        DataError: when there is no line.
    """

    def __init__(
        self,
        sequence: TokenSequence,
        context_length: int,
        *,
        before: int,
        pad: int,
        sample: int = 0,
        seed: int = 0,
        positions: Positions = WINDOW_POSITIONS,
    ) -> None:
        ends = np.asarray(sequence.document_ends).astype(np.int64)
        if not len(ends):
            raise _nothing_to_predict()
        self.context_length = context_length
        self._sequence, self._before, self._pad = sequence, before, pad
        self._positions = positions if positions.meaning == "line" else WINDOW_POSITIONS
        self._begins = np.concatenate([[0], ends[:-1]])
        self._lengths = ends - self._begins
        lines, counts = _drawn_lines(self._lengths, sample, seed)
        self.rows = line_rows(lines, counts, context_length)

    def batches(self, size: int) -> Iterator[Batch]:
        """The windows, ``size`` at a time (the last batch may be smaller)."""
        for first in range(0, len(self.rows.lines), size):
            rows = LineRows(*(values[first : first + size] for values in self.rows))
            yield self._gather(rows)

    def _gather(self, rows: LineRows) -> Batch:
        places = rows.starts[:, None] + np.arange(self.context_length + 1)
        inside = (places >= 1) & (places <= self._lengths[rows.lines][:, None])
        stored = np.where(inside, self._begins[rows.lines][:, None] + places - 1, 0)
        tokens = np.where(inside, self._sequence.take(stored), self._pad)
        tokens[places == 0] = self._before
        counted = places[:, 1:] >= rows.first_targets[:, None]
        counted &= places[:, 1:] <= rows.last_targets[:, None]
        numbers = None
        if self._positions.meaning == "line":
            numbers = self._positions.within_lines(rows.starts, rows.lines, self.context_length)
        return _batch(tokens, counted, numbers)


class RunningText:
    """The validation side as one text.

    Args:
        sequence: the validation side.
        context_length: places in a window.
        sample: how many targets to use, spread over the text; 0 means all.
        seed: picks them.
        positions: what position numbers mean to the model; random offsets are left out.

    Raises:
        DataError: when there are fewer than two tokens.
    """

    def __init__(
        self,
        sequence: TokenSequence,
        context_length: int,
        *,
        sample: int = 0,
        seed: int = 0,
        positions: Positions = WINDOW_POSITIONS,
    ) -> None:
        count = len(sequence) - 1
        if count < 1:
            raise _nothing_to_predict()
        self.context_length = min(context_length, count)
        self._sequence = sequence
        self._positions = positions if positions.meaning == "line" else WINDOW_POSITIONS
        chosen = np.arange(count, dtype=np.int64)
        if 0 < sample < count:
            chosen = np.sort(ExampleOrder(count, seed).examples(0, sample))
        self.targets = chosen + 1

    def batches(self, size: int) -> Iterator[Batch]:
        """The windows, ``size`` at a time (the last batch may be smaller)."""
        for first in range(0, len(self.targets), size):
            yield self._gather(self.targets[first : first + size])

    def _gather(self, targets: Integers) -> Batch:
        length = self.context_length
        starts = np.maximum(targets - length, 0)
        tokens = self._sequence.gather(starts, length + 1)
        counted = starts[:, None] + np.arange(1, length + 1) == targets[:, None]
        ends = self._sequence.document_ends
        return _batch(tokens, counted, self._positions.within_stream(starts, targets, length, ends))


def _drawn_lines(lengths: Integers, sample: int, seed: int) -> tuple[Integers, Integers]:
    """Which lines count, in their order, and how many targets of each."""
    if not 0 < sample < lengths.sum():
        return np.arange(len(lengths)), lengths
    drawn = ExampleOrder(len(lengths), seed).examples(0, len(lengths))
    behind = np.cumsum(lengths[drawn])
    number = int(np.searchsorted(behind, sample)) + 1
    drawn, counts = drawn[:number], lengths[drawn[:number]]
    counts[-1] -= behind[number - 1] - sample
    order = np.argsort(drawn)
    return drawn[order], counts[order]


def _batch(tokens: Integers, counted: NDArray[np.bool_], positions: Integers | None) -> Batch:
    """[batch, time + 1] tokens and [batch, time] whether a target counts, as a ``Batch``."""
    targets = np.where(counted, tokens[:, 1:], IGNORED_TARGET)
    return Batch(
        torch.from_numpy(tokens[:, :-1].copy()),
        torch.from_numpy(targets),
        int(counted.sum()),
        None if positions is None else torch.from_numpy(positions),
    )


def _nothing_to_predict() -> DataError:
    return DataError(
        "The validation side holds nothing to predict. Raise corpus.validation_fraction, or use "
        "more text."
    )
