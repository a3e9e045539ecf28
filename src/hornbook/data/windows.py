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
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hornbook.errors import DataError, Problem
from hornbook.settings import Settings


class DataConfig(Settings):
    """How token ids become training examples."""

    windows: Literal["stream"] = "stream"
    """How the tokens are cut into examples: stream joins all documents by the end token."""

    stride: int = Field(default=0, ge=0)
    """How far one window starts after the one before; 0 means one context length, so that
    windows do not overlap [tokens]."""

    def conflicts_with_context(self, context_length: int) -> Iterator[Problem]:
        """Yield a problem when the stride would leave tokens out between windows."""
        if self.stride > context_length:
            yield Problem(
                "stride",
                f"is larger than context_length ({context_length}), so the tokens between two "
                f"windows would never be seen; use 1 to {context_length}, or 0",
                str(self.stride),
            )


@dataclass(frozen=True, slots=True)
class Window:
    """Example i as a place: tokens ``start`` up to ``stop`` of ``line`` are its inputs."""

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
        if not -len(self) <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        start = (index % len(self)) * self.stride
        return Window(0, start, start + self.context_length)

    def starts(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first token of each window: [batch] indices to [batch] places in the stream."""
        return indices * self.stride
