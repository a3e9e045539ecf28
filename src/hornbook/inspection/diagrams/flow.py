"""What a flow chart consists of, from top to bottom, before anything has a place.

Flow
  Box("token embedding", …)          ┌───────────────┐
  Repeat(4, "layers 0 to 3",         │token embedding│
    Residual(Box, Box), …)           └───────┬───────┘
  Box("head")                                │ [B, T, d_model = 128]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["table", "product", "norm", "plain"]


@dataclass(frozen=True, slots=True)
class Side:
    """What stands beside a box and is read or written by it, such as a cache.

    Attributes:
        title: what it is.
        lines: what is to be said of it.
        loops: whether the box's own result comes back to it with the next token.
    """

    title: str
    lines: tuple[str, ...] = ()
    loops: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """One step.

    Attributes:
        title: what it is.
        lines: what is to be said of it.
        parameters: how many numbers it learns.
        shape: what goes on from it.
        kind: for its colour.
        side: what stands beside it.
    """

    title: str
    lines: tuple[str, ...] = ()
    parameters: int = 0
    shape: str = ""
    kind: Kind = "plain"
    side: Side | None = None


@dataclass(frozen=True, slots=True)
class Residual:
    """Boxes that a path goes past; both are summed after them.

    Attributes:
        inside: the boxes.
        shape: what goes on from the sum.
    """

    inside: tuple[Box, ...]
    shape: str


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part that comes several times, each time with weights of its own.

    Attributes:
        times: how often.
        caption: which ones.
        inside: the part.
    """

    times: int
    caption: str
    inside: tuple[Box | Residual, ...]


Item = Box | Residual | Repeat


@dataclass(frozen=True, slots=True)
class Flow:
    """A whole chart.

    Attributes:
        start: what goes in.
        items: from top to bottom.
        facts: a line below the title.
    """

    start: str
    items: tuple[Item, ...]
    facts: str

    def boxes(self) -> Iterator[tuple[Box, int]]:
        """Every box with how often it is there."""
        for item in self.items:
            times, inside = (item.times, item.inside) if isinstance(item, Repeat) else (1, (item,))
            for part in inside:
                for box in part.inside if isinstance(part, Residual) else (part,):
                    yield box, times

    def parameters(self) -> int:
        """What all boxes learn together."""
        return sum(times * box.parameters for box, times in self.boxes())


def folded(keys: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Cut a sequence into stretches that repeat: where each begins, its length, how often it comes.

    >>> list(folded("aaab")), list(folded("ababab")), list(folded("abcab"))
    ([(0, 1, 3), (3, 1, 1)], [(0, 2, 3)], [(0, 1, 1), (1, 1, 1), (2, 1, 1), (3, 1, 1), (4, 1, 1)])
    """
    first = 0
    while first < len(keys):
        best = (1, 1)
        for length in range(1, len(keys) // 2 + 1):
            part, times = keys[first : first + length], 1
            while keys[first + times * length : first + (times + 1) * length] == part:
                times += 1
            if times > 1 and times * length > best[0] * best[1]:
                best = length, times
        yield first, best[0], best[1]
        first += best[0] * best[1]
