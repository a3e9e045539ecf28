"""Axes: one setting each, with the values that it takes; cells are all of their combinations.

    [[axes]]                                 [[axes]]
    key = "training.optimizer.kind"          key = "training.learning_rate"
    values = ["sgd", "adamw"]                log = { from = 1e-3, to = 1e-1, count = 3 }

are six cells: ``sgd-0.001``, ``sgd-0.01``, ``sgd-0.1``, ``adamw-0.001`` and so on. Beside a list of
cells, every cell is tried at every point of the axes; a cell with axes of its own has those
instead, so that each optimizer can have rates that suit it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, Field

from hornbook.errors import Problem
from hornbook.settings import Settings

DIGITS = 2
"""Significant digits of the points of a logarithmic range."""
MOST_CELLS = 200
"""More combinations than this are a mistake."""


class LogRange(Settings):
    """Points at equal ratios, both ends among them."""

    model_config = ConfigDict(populate_by_name=True)

    first: float = Field(alias="from", gt=0)
    """The first point."""

    to: float = Field(gt=0)
    """The last point."""

    count: int = Field(ge=2, le=100)
    """How many points."""

    def points(self) -> tuple[float, ...]:
        """The points, each rounded to what a reader would write.

        >>> LogRange.model_validate({"from": 1e-4, "to": 0.1, "count": 7}).points()
        (0.0001, 0.00032, 0.001, 0.0032, 0.01, 0.032, 0.1)
        """
        ratio = (self.to / self.first) ** (1 / (self.count - 1))
        return tuple(
            float(f"{self.first * ratio**number:.{DIGITS}g}") for number in range(self.count)
        )


class Axis(Settings):
    """One setting and the values that it takes."""

    key: str
    """The setting, such as training.learning_rate."""

    values: tuple[Any, ...] = ()
    """The values, one after the other."""

    log: LogRange | None = None
    """Instead of values: a logarithmic range, from, to and count."""

    title: str = ""
    """What a plot calls it; its key unless given."""

    def points(self) -> tuple[Any, ...]:
        """The values, wherever they come from."""
        return self.log.points() if self.log is not None else self.values

    def conflicts(self) -> Iterator[Problem]:
        """Yield a problem unless there are at least two different points."""
        if bool(self.values) == (self.log is not None):
            yield Problem("", "needs either values or log = { from = …, to = …, count = … }")
        elif len(set(map(repr, self.points()))) < 2:
            yield Problem("", "needs at least two different values", str(list(self.points())))
        elif len(set(map(repr, self.points()))) < len(self.points()):
            yield Problem("", "names a value twice", str(list(self.points())))


def combinations(axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    """Every combination of points, the last axis running fastest.

    >>> two = Axis(key="model.layers", values=(1, 2)), Axis(key="seed", values=(7, 8))
    >>> list(combinations(two))[1]
    {'model.layers': 1, 'seed': 8}
    """
    for values in itertools.product(*(axis.points() for axis in axes)):
        yield {axis.key: value for axis, value in zip(axes, values, strict=True)}


def point_names(at: Mapping[str, Any]) -> list[str]:
    """The place of a cell on its axes as parts of its name; a fraction alone says enough.

    >>> point_names({"training.optimizer.kind": "sgd", "training.learning_rate": 0.01})
    ['sgd', '0.01']
    >>> point_names({"sampling.top_p": 0.9, "sampling.temperature": 0.5})
    ['top_p-0.9', 'temperature-0.5']
    >>> point_names({"model.layers": 4, "model.bias": True})
    ['layers-4', 'bias-true']
    """
    fractions = sum(isinstance(value, float) for value in at.values())
    return [
        f"{value:g}" if isinstance(value, float) and fractions == 1 else _named(key, value)
        for key, value in at.items()
    ]


def _named(key: str, value: Any) -> str:
    if isinstance(value, str):
        return re.sub(r"[^A-Za-z0-9._-]+", "-", value).strip("-._") or "none"
    shown = f"{value:g}" if isinstance(value, float) else str(value).lower()
    return f"{key.rpartition('.')[2]}-{shown}"
