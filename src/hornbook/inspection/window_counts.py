"""What an epoch of each window strategy holds, from the lengths of the lines alone.

Nothing is gathered, so counting a corpus takes as long as reading where its documents end. A
window that starts at place s of a line of L tokens has this many targets that count, for a
context length of C:

    min(s + C, C, L - 1, L - 1 - s)

                    ┌─────────┐  C, or L - 1 where the line is shorter
    targets       ╱             ╲
                ╱                 ╲
    s       1 - C     0   L-1-C    L - 2

The windows of a line start ``stride`` apart, so a sum over them is three arithmetic sums: up,
along the top, and down. The last window, which is always an example, is added by itself.

>>> lengths = np.array([7, 3])                   # the two lines of docs/windows.md
>>> line_targets("left_padded", lengths, context_length=5, stride=1).tolist()
[20, 3]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from hornbook.data import DataConfig, LineWindows, StreamWindows, TokenSequence
from hornbook.data.packing import PackedWindows, Packing
from hornbook.data.windows import LineStrategy, line_examples
from hornbook.errors import DataError

_LINES_AT_ONCE = 1 << 16
"""Lines whose lengths are counted in one go."""


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """One strategy over one text, for an epoch.

    Attributes:
        name: what a person calls the strategy, such as ``left_padded`` or ``packed, split``.
        stride: tokens from one window to the next of its line; ``None`` where there is none.
        examples: windows, each of which is one row of a batch.
        targets: targets that count.
        places: places in these windows, which is what has to be computed [tokens].
        refusal: why this strategy cannot serve this text; then all counts are 0.
    """

    name: str
    stride: int | None = None
    examples: int = 0
    targets: int = 0
    places: int = 0
    refusal: str | None = None

    @property
    def padding(self) -> float:
        """The share of places without a target that counts [0 to 1]."""
        return 1 - self.targets / self.places if self.places else 0.0


@dataclass(frozen=True, slots=True)
class LineFacts:
    """How long the lines of a text are, with ``<s>`` and ``</s>`` [tokens].

    Attributes:
        lines: how many there are.
        tokens: tokens in the store, which holds ``</s>`` but not ``<s>``.
        median, longest: lengths of lines.
        empty: lines in which nothing stands between ``<s>`` and ``</s>``.
        single: lines in which one token does.
    """

    lines: int
    tokens: int
    median: int
    longest: int
    empty: int
    single: int


def line_facts(sequence: TokenSequence) -> LineFacts:
    """Measure the lines of one side of a store."""
    lengths, lines = distinct_lengths(sequence.document_ends)
    total = int(lines.sum())
    up_to = np.cumsum(lines)
    return LineFacts(
        lines=total,
        tokens=len(sequence),
        median=int(lengths[np.searchsorted(up_to, (total + 1) // 2)]) if total else 0,
        longest=int(lengths.max(initial=0)),
        empty=int(lines[lengths == 2].sum()),
        single=int(lines[lengths == 3].sum()),
    )


def line_targets(
    strategy: LineStrategy, lengths: NDArray[np.int64], context_length: int, stride: int
) -> NDArray[np.int64]:
    """How many targets that count the examples of each line have.

    Args:
        strategy: how windows are cut.
        lengths: [lines] ``int64`` tokens of each line, start and end included; at least 2.
        context_length: tokens in each window's inputs.
        stride: every so many-th window of a line, and its last, is an example.

    Returns:
        [lines] ``int64``.
    """
    first, whole = line_examples(strategy, lengths, context_length, 1)
    before_last = line_examples(strategy, lengths, context_length, stride)[1] - 1
    top = np.minimum(context_length, lengths - 1)
    # Of the windows before the last, ``rising`` start left of the top and ``kept`` not behind it.
    rising = np.clip(-((first + context_length - top) // stride), 0, before_last)
    kept = np.clip((lengths - 1 - top - first) // stride + 1, rising, before_last)
    up = rising * (first + context_length) + stride * _sum_below(rising)
    down = (before_last - kept) * (lengths - 1 - first) - stride * (
        _sum_below(before_last) - _sum_below(kept)
    )
    last = first + whole - 1
    end = np.minimum(np.minimum(last + context_length, top), lengths - 1 - last)
    return up + (kept - rising) * top + down + end


def count_by_line(
    sequence: TokenSequence, strategy: LineStrategy, context_length: int, stride: int
) -> tuple[int, int]:
    """Examples, and targets that count, of an epoch of a strategy by line.

    Raises:
        DataError: when the strategy cannot serve this text.
    """
    windows = LineWindows(sequence.document_ends, context_length, stride, strategy)
    lengths, lines = distinct_lengths(sequence.document_ends)
    each = line_targets(strategy, lengths, context_length, stride)
    return len(windows), int((each * lines).sum())


def count_windows(
    sequence: TokenSequence, data: DataConfig, context_length: int, *, seed: int = 1
) -> WindowCounts:
    """Count the strategy of ``data``; what it cannot do stands in ``refusal``.

    Args:
        sequence: one side of a store.
        data: the settings.
        context_length: tokens in each window's inputs.
        seed: that of the run, which picks the order of packed documents.
    """
    name = f"packed, {data.packing}" if data.windows == "packed" else data.windows
    step = data.stride_for(context_length)
    stride = None if data.windows == "packed" else step
    try:
        if data.windows == "packed":
            plan = PackedWindows(sequence.document_ends, context_length, data.packing, seed)
            examples, targets = len(plan), plan.targets
        elif data.windows == "stream":
            examples = len(
                StreamWindows(len(sequence), context_length, data.stride_for(context_length))
            )
            targets = examples * context_length
        else:
            examples, targets = count_by_line(
                sequence, data.windows, context_length, data.stride_for(context_length)
            )
    except DataError as error:
        return WindowCounts(name, stride, refusal=str(error))
    return WindowCounts(name, stride, examples, targets, examples * context_length)


def strategies(data: DataConfig) -> Iterator[DataConfig]:
    """Every strategy, as settings that differ from ``data`` in nothing else."""
    for windows in (*get_args(LineStrategy), "stream"):
        yield data.model_copy(update={"windows": windows})
    for packing in get_args(Packing):
        # A stride has no meaning there, and is refused in the settings of a run.
        yield data.model_copy(update={"windows": "packed", "packing": packing, "stride": 0})


def distinct_lengths(
    ends: NDArray[np.integer],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The lengths that lines have, ``<s>`` included, in rising order; and how many lines have each.

    >>> [each.tolist() for each in distinct_lengths(np.array([4, 6, 10, 11]))]
    [[2, 3, 5], [1, 1, 2]]
    """
    found: Counter[int] = Counter()
    for first in range(0, len(ends), _LINES_AT_ONCE):
        piece = ends[max(first - 1, 0) : first + _LINES_AT_ONCE].astype(np.int64)
        lengths = np.diff(piece if first else np.concatenate([[0], piece])) + 1
        values, counts = np.unique(lengths, return_counts=True)
        found.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    table = np.array(sorted(found.items()), dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _sum_below(count: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 + 1 + … + (count - 1)."""
    return count * (count - 1) // 2
