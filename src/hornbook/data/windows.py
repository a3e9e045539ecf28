"""Which tokens make example number i: arithmetic, never a list.

A strategy is a pure mapping from an index to (line, start, stop). The count of examples
follows from the lengths alone, so a billion windows cost as much memory as one.

``stream``: all documents are joined by the end token into one long line of ``length``
tokens, and a window of ``context_length`` tokens starts at every ``stride``-th token. Its
targets are the same tokens shifted by one, so the last window must leave one token over:

    length = 8, context_length = 4, stride = 2        tokens   0 1 2 3 4 5 6 7
    window 0                                          x        0 1 2 3
                                                      y          1 2 3 4
    window 1                                          x            2 3 4 5
                                                      y              3 4 5 6
    count = (8 - 4 - 1) // 2 + 1 = 2

With ``recut`` every epoch after the first cuts the line elsewhere, so that a token does not stand
at the edge of its window each time. All windows move by a share of the stride, and one that would
leave the line moves back to end with it:

    epoch 0    window 0 starts at 0, window 1 at 2
    epoch 1    window 0 starts at 1, window 1 at 3          moved by 1

The other strategies stay within one line ``<s> t1 … tn </s>``, which is a document of the
store. A window may reach over either end of its line; what lies outside is padding. Example
j of a line of L tokens starts at ``first + j``, for ``count`` values of j:

    strategy        first                         count
    left_padded     1 - C                         L - 1
    slide_through   1 - C                         L + C - 2
    full            0      if L > C else L - C    L - C if L > C else max(C - L, 1)
    first_full      0                             L - C if L > C else 1

with C for the context length. A stride of k takes every k-th of them and always the last,
``ceil((count - 1) / k) + 1`` in all, so that the end of a line is learned at any stride.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hornbook.data.packing import Packing
from hornbook.data.positions import PositionMeaning
from hornbook.errors import DataError, Problem
from hornbook.settings import Settings

LineStrategy = Literal["left_padded", "slide_through", "full", "first_full"]
"""The ways to cut windows out of one line at a time."""

_GOLDEN_RATIO = (1 + 5**0.5) / 2

_LINES_AT_ONCE = 1 << 16
"""Lines whose counts are summed in one go: 64 thousand need a few MiB for a moment."""


class DataConfig(Settings):
    """How token ids become training examples."""

    windows: Literal["stream", "packed", "left_padded", "slide_through", "full", "first_full"] = (
        "stream"
    )
    """How the tokens are cut into examples. stream: all documents joined by the end token. packed:
    several documents in one row, none of which sees another. The others stay within one line,
    which is a document (see corpus.separate_by). left_padded: up to every token of the line.
    slide_through: on until the line has left the window. full: only full windows; a short line
    moves through the window. first_full: from the first full window on; a short line is one
    example."""

    packing: Packing = "best_fit"
    """How packed rows are filled. best_fit: documents are placed whole where they fit best, and
    only those longer than a row are cut. split: documents are joined and cut where a row is full.
    Only read with windows=packed."""

    reset_positions: bool = True
    """Whether positions begin anew with every document in a packed row; if not, they run through
    the row. Only read with windows=packed."""

    stride: int = Field(default=0, ge=0)
    """How far one window starts after the one before; 0 means one context length for stream, so
    that windows do not overlap, and 1 for the strategies by line. Packed rows have none
    [tokens]."""

    recut: bool = False
    """Whether every epoch cuts the stream at other places than the one before, so that a text that
    is read several times is not read in the same pieces. Needs windows=stream, split=text and a
    stride above 1."""

    positions: PositionMeaning = "window"
    """What the position of a token means. window: its place in the window, counted from the first
    real token. line: its place in the line, wherever the window stands. random: its place in the
    window plus an offset that is drawn for each example."""

    split: Literal["text", "window"] = "text"
    """What is kept for validation. text: documents or parts of the text, as corpus.split says.
    window: the share corpus.validation_fraction of the windows, at random, whatever their text;
    corpus.split is not read then, and the vocabulary comes from all text. Windows that overlap
    share tokens, so that the validation loss flatters; how many is told when training begins."""

    def conflicts(self) -> Iterator[Problem]:
        """Yield a problem for each setting that the chosen windows cannot follow."""
        if self.recut and self.windows != "stream":
            yield Problem(
                "recut",
                f"moves the windows of a stream, and windows={self.windows} stand where their "
                "lines say; use false, or data.windows=stream",
                "true",
            )
        if self.recut and self.split == "window":
            yield Problem(
                "recut",
                "moves windows over those that split=window holds back, which would be trained "
                "on; use false, or data.split=text",
                "true",
            )
        if self.windows == "packed" and self.split == "window":
            yield Problem(
                "split",
                "cannot deal packed rows, which hold whole documents and share nothing; use "
                "data.split=text with corpus.split=random, or another data.windows",
                self.split,
            )
        if self.windows == "packed" and self.stride:
            yield Problem(
                "stride",
                "has no meaning with data.windows=packed, where every token is predicted once; use "
                "0, or data.windows=stream",
                str(self.stride),
            )
        if self.windows == "packed" and self.positions == "line" and not self.reset_positions:
            yield Problem(
                "reset_positions",
                "contradicts data.positions=line, which numbers tokens by their place in the "
                "document; use true, or data.positions=window or random",
                "false",
            )

    def conflicts_with_context(self, context_length: int) -> Iterator[Problem]:
        """Yield a problem when the stride leaves tokens out, or leaves no room to move."""
        if self.recut and self.windows == "stream" and self.stride_for(context_length) == 1:
            yield Problem(
                "recut",
                "finds no other places to cut at when a window starts at every token; use false, "
                "or a larger data.stride",
                "true",
            )
        if self.stride > context_length and self.windows != "packed":
            yield Problem(
                "stride",
                f"is larger than context_length ({context_length}), so the tokens between two "
                f"windows would never be seen; use 1 to {context_length}, or 0",
                str(self.stride),
            )

    def stride_for(self, context_length: int) -> int:
        """The stride with 0 resolved."""
        return self.stride or (context_length if self.windows in ("stream", "packed") else 1)


@dataclass(frozen=True, slots=True)
class Window:
    """Example i as a place: tokens ``start`` up to ``stop`` of ``line`` are its inputs.

    A window by line may start before 0 and stop behind the line's end; these places are padding.
    """

    line: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class StreamWindows:
    """Windows over one joined stream of tokens.

    Attributes:
        length: tokens in the stream.
        context_length: tokens in each window's inputs.
        stride: tokens from one window's start to the next one's.

    Raises:
        DataError: when the stream is too short for a single window.

    >>> windows = StreamWindows(length=8, context_length=4, stride=2)
    >>> len(windows), windows[1]
    (2, Window(line=0, start=2, stop=6))
    """

    length: int
    context_length: int
    stride: int

    def __post_init__(self) -> None:
        if self.length < self.context_length + 1:
            raise DataError(
                f"The text has {self.length:,} tokens, but one window of context_length="
                f"{self.context_length} needs {self.context_length + 1:,} (its inputs and one "
                f"more target). Use more text, or a context_length of at most "
                f"{max(self.length - 1, 0):,}."
            )

    def __len__(self) -> int:
        return (self.length - self.context_length - 1) // self.stride + 1

    def __getitem__(self, index: int) -> Window:
        index = _checked(index, len(self))
        start = index * self.stride
        return Window(0, start, start + self.context_length)

    def starts(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first token of each window: [batch] indices to [batch] places in the stream."""
        return indices * self.stride

    def moved_starts(
        self, indices: NDArray[np.int64], epochs: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The same where every epoch cuts elsewhere: [batch] indices and epochs to places.

        Multiples of the golden ratio, without their whole parts, lie as evenly as numbers can
        that come one by one; so do the places where few epochs cut.

        >>> windows = StreamWindows(length=30, context_length=10, stride=10)
        >>> windows.moved_starts(np.array([0, 0, 0, 1]), np.array([0, 1, 2, 2])).tolist()
        [0, 6, 2, 12]
        """
        moved = (epochs * _GOLDEN_RATIO % 1 * self.stride).astype(np.int64)
        last = self.length - self.context_length - 1
        return np.minimum(self.starts(indices) + moved, last)


@dataclass(frozen=True, slots=True)
class LinePlaces:
    """Where windows by line stand; each array is [batch] ``int64``.

    Attributes:
        lines: which line, counted from 0.
        starts: place of the first input within its line, where ``<s>`` has place 0; negative
            where the window starts with padding.
        origins: place of ``<s>`` in the token sequence. The store does not hold it, so what
            lies there is the end token of the line before (-1 for the first line).
        lengths: tokens of the line, ``<s>`` and ``</s>`` included.
    """

    lines: NDArray[np.int64]
    starts: NDArray[np.int64]
    origins: NDArray[np.int64]
    lengths: NDArray[np.int64]


class LineWindows:
    """Windows within single lines; see the module's text for the strategies.

    Memory: 8 bytes a line for the counts, beside the 8 of ``line_ends``, which may be mapped
    from disk.

    Args:
        line_ends: [lines] unsigned or signed integers; where each line's tokens end in the
            sequence, its end token included. The start token is not in the sequence.
        context_length: tokens in each window's inputs.
        stride: every so many-th window of a line is an example.
        strategy: how windows are cut.

    Attributes:
        cumulative: [lines] ``int64``, windows of each line and of all before it.

    Raises:
        DataError: when there is no line, or ``full`` finds no line that fills a window.

    >>> ends = np.array([3, 5])              # <s> t1 t2 </s>   <s> t1 </s>
    >>> windows = LineWindows(ends, context_length=2, stride=1, strategy="left_padded")
    >>> len(windows)
    5
    >>> windows[0], windows[4]
    (Window(line=0, start=-1, stop=1), Window(line=1, start=0, stop=2))
    """

    def __init__(
        self,
        line_ends: NDArray[np.integer],
        context_length: int,
        stride: int,
        strategy: LineStrategy,
    ) -> None:
        self.context_length = context_length
        self.stride = stride
        self.strategy: LineStrategy = strategy
        self.line_ends = line_ends
        self.cumulative = np.empty(len(line_ends), dtype=np.int64)
        total, longest = 0, 0
        # Piece by piece: arrays over all lines at once would need several times the index.
        for first in range(0, len(line_ends), _LINES_AT_ONCE):
            stop = min(first + _LINES_AT_ONCE, len(line_ends))
            _, lengths = self._lines(np.arange(first, stop, dtype=np.int64))
            _, counts = line_examples(strategy, lengths, context_length, stride)
            self.cumulative[first:stop] = total + np.cumsum(counts)
            total = int(self.cumulative[stop - 1])
            longest = max(longest, int(lengths.max()))
        if not total:
            raise DataError(
                f"data.windows={strategy} needs lines, but the training side has none. Use more "
                "text, or less of corpus.validation_fraction."
            )
        if strategy == "full" and longest <= context_length:
            raise DataError(
                f"data.windows=full finds no full window: one of context_length={context_length} "
                f"needs a line of {context_length + 1:,} tokens, and the longest has {longest:,} "
                f"(with start and end). Use a context_length of at most {longest - 1:,}, or "
                "data.windows=first_full, left_padded or stream."
            )

    @property
    def shows_end(self) -> bool:
        """Whether ``</s>`` stands in the inputs, where nothing is left to predict from it.

        Only under ``full``, where a short line is shown whole while it moves through the window.
        """
        return self.strategy == "full"

    @property
    def index_bytes(self) -> int:
        """Memory of the index [bytes]; the ends of the lines count, though they may be mapped."""
        return self.cumulative.nbytes + self.line_ends.nbytes

    def __len__(self) -> int:
        return int(self.cumulative[-1])

    def __getitem__(self, index: int) -> Window:
        index = _checked(index, len(self))
        places = self.places(np.array([index], dtype=np.int64))
        start = int(places.starts[0])
        return Window(int(places.lines[0]), start, start + self.context_length)

    def places(self, indices: NDArray[np.int64]) -> LinePlaces:
        """Where the windows with these numbers stand ([batch] ``int64``, each below ``len``)."""
        lines = np.searchsorted(self.cumulative, indices, side="right")
        before = np.where(lines > 0, self.cumulative[lines - 1], 0)
        origins, lengths = self._lines(lines)
        first, count = line_examples(self.strategy, lengths, self.context_length, 1)
        starts = first + np.minimum((indices - before) * self.stride, count - 1)
        return LinePlaces(lines, starts, origins, lengths)

    def _lines(self, lines: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Origin and length of each of these lines; see ``LinePlaces``."""
        ends = self.line_ends[lines].astype(np.int64)
        begins = np.where(lines > 0, self.line_ends[lines - 1].astype(np.int64), 0)
        return begins - 1, ends - begins + 1


def line_examples(
    strategy: LineStrategy, lengths: NDArray[np.int64], context_length: int, stride: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the first window of each line starts, and how many examples the line gives.

    Args:
        strategy: how windows are cut.
        lengths: [lines] tokens of each line, start and end included; at least 2.
        context_length: tokens in each window's inputs.
        stride: every so many-th window, and the last, is an example.

    Returns:
        two arrays [lines] ``int64``: place of the first input within the line (negative where
        the window starts with padding), and the count.

    >>> lengths = np.array([4, 9])
    >>> for strategy in ("left_padded", "slide_through", "full", "first_full"):
    ...     first, count = line_examples(strategy, lengths, context_length=6, stride=1)
    ...     print(strategy, first.tolist(), count.tolist())
    left_padded [-5, -5] [3, 8]
    slide_through [-5, -5] [8, 13]
    full [-2, 0] [2, 3]
    first_full [0, 0] [1, 3]
    >>> line_examples("left_padded", lengths, context_length=6, stride=3)[1].tolist()
    [2, 4]
    """
    fills = lengths > context_length
    if strategy == "left_padded":
        first, count = np.full_like(lengths, 1 - context_length), lengths - 1
    elif strategy == "slide_through":
        first, count = np.full_like(lengths, 1 - context_length), lengths + context_length - 2
    elif strategy == "full":
        first = np.where(fills, 0, lengths - context_length)
        # A line of exactly context_length has no room to move: it is shown once.
        count = np.where(fills, lengths - context_length, np.maximum(context_length - lengths, 1))
    else:
        first = np.zeros_like(lengths)
        count = np.where(fills, lengths - context_length, 1)
    return first, -(-(count - 1) // stride) + 1


def _checked(index: int, count: int) -> int:
    """A list's index, which may count from the end, as one from 0; raises ``IndexError``."""
    if not -count <= index < count:
        raise IndexError(f"window {index} of {count}")
    return index % count
