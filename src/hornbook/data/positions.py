"""What the position of a token means: its place in the window, in the line, or a random one.

A window's real tokens always have consecutive positions; the meaning only decides where they
begin. For a window that starts at place 5 of its line, with two places of padding before:

    window      0 0 0 1 2 3      begins at 0
    line        5 5 5 6 7 8      begins at the place in the line
    random      9 9 9 …          begins at a number that is drawn for each example

(Padding repeats the first real position; nothing looks at it.) A model knows ``position_count``
positions, so a window cannot begin beyond ``position_count - context_length``: further along
a line its tokens keep the last positions. Only learned positions can tell the meanings apart;
rotary ones depend on distances alone, which are the same in all three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hornbook.data.order import mixed_bits

PositionMeaning = Literal["window", "line", "random"]
"""The place in the window, the place in the line, or the place in the window plus an offset."""


@dataclass(frozen=True, slots=True)
class Positions:
    """Position numbers for the rows of a batch.

    Attributes:
        meaning: what a position means.
        last_offset: the largest number at which a window may begin,
            ``position_count - context_length``.
        seed: picks the random offsets.

    >>> line = Positions("line", last_offset=100)
    >>> line.within_lines(np.array([-2, 5]), np.array([0, 1]), length=4).tolist()
    [[0, 0, 0, 1], [5, 6, 7, 8]]
    >>> Positions().within_lines(np.array([-2, 5]), np.array([0, 1]), length=4).tolist()
    [[0, 0, 0, 1], [0, 1, 2, 3]]
    """

    meaning: PositionMeaning = "window"
    last_offset: int = 0
    seed: int = 0

    def within_lines(
        self, starts: NDArray[np.int64], examples: NDArray[np.int64], length: int
    ) -> NDArray[np.int64]:
        """Positions of windows by line.

        Args:
            starts: [batch] place of each window's first input within its line; negative where
                the window starts with padding.
            examples: [batch] place of each example in the run, which picks random offsets.
            length: inputs in a window.

        Returns:
            [batch, length] ``int64``.
        """
        padding = np.maximum(-starts, 0)
        begins = self.begins(starts, examples)
        places = np.arange(length, dtype=np.int64) - padding[:, None]
        return begins[:, None] + np.maximum(places, 0)

    def begins(self, starts: NDArray[np.int64], examples: NDArray[np.int64]) -> NDArray[np.int64]:
        """The position of the first real token of windows by line: [n] ``int64``.

        Args:
            starts: [n] place of each window's first input within its line.
            examples: [n] place in the run of the example that each belongs to.
        """
        if self.meaning == "line":
            return np.clip(starts, 0, self.last_offset)
        return self._offsets(examples)

    def within_stream(
        self,
        starts: NDArray[np.int64],
        examples: NDArray[np.int64],
        length: int,
        line_ends: NDArray[np.integer],
    ) -> NDArray[np.int64] | None:
        """Positions of windows over a stream, which may hold the ends and starts of many lines.

        Args:
            starts: [batch] place of each window's first input in the stream.
            examples: [batch] place of each example in the run.
            length: inputs in a window.
            line_ends: [lines] where each line ends in the stream, its end token included.

        Returns:
            [batch, length] ``int64``, or ``None`` for 0, 1, 2, … in every row.

        >>> line = Positions("line", last_offset=100)
        >>> line.within_stream(np.array([1, 2]), np.array([0, 1]), 4, np.array([3, 9])).tolist()
        [[2, 3, 1, 2], [3, 1, 2, 3]]
        """
        if self.meaning == "window":
            return None
        if self.meaning == "random":
            return self.within_rows(examples, length)
        places = starts[:, None] + np.arange(length, dtype=np.int64)
        # Keys of another type would make NumPy copy all of ``line_ends`` to find one.
        lines = np.searchsorted(line_ends, places.astype(line_ends.dtype), side="right")
        begins = np.where(lines > 0, line_ends[lines - 1].astype(np.int64), 0)
        # The start token, which the stream does not hold, has place 0 of its line.
        first = np.maximum(starts[:, None], begins) - begins + 1
        return np.minimum(first, self.last_offset) + (places - begins + 1 - first)

    def within_rows(self, examples: NDArray[np.int64], length: int) -> NDArray[np.int64] | None:
        """Positions that run through a row, whatever stands in it; not for places in the line.

        Arguments and result are those of ``within_stream``.
        """
        if self.meaning == "window":
            return None
        return self._offsets(examples)[:, None] + np.arange(length, dtype=np.int64)

    def _offsets(self, examples: NDArray[np.int64]) -> NDArray[np.int64]:
        """[batch] the random offset of each example of the run; zeros unless random."""
        if self.meaning != "random" or not self.last_offset:
            return np.zeros_like(examples)
        bits = mixed_bits(mixed_bits(examples.astype(np.uint64)) + np.uint64(self.seed))
        return (bits % np.uint64(self.last_offset + 1)).astype(np.int64)


WINDOW_POSITIONS = Positions()
"""Positions as they are unless set otherwise: each window counts from its first real token."""
