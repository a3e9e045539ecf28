"""Which cells make a line in a plot: those that differ in one number alone.

sgd-0.01  sgd-0.1  adamw-0.01  adamw-0.1    ->   sgd: 0.01, 0.1     adamw: 0.01, 0.1
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hornbook.experiments.study import REAL_TEXT, Study

FEWEST = 3
"""With fewer points there is no line to see."""
WIDE = 20
"""What spans more than this ratio is drawn on a logarithmic scale."""
_NEARLY = 0.15
"""How much steps of a geometric row may differ, for numbers that were rounded."""


@dataclass(frozen=True)
class AxisLines:
    """The cells of a study along one of its axes.

    Attributes:
        key: the setting.
        title: what to call it.
        logarithmic: whether its points stand at equal ratios, or far apart.
        lines: the cells of each line with their place, from left to right, by its label.
    """

    key: str
    title: str
    logarithmic: bool
    lines: dict[str, list[tuple[float, str]]]

    @property
    def points(self) -> list[float]:
        """Every place on the axis, from left to right."""
        return sorted({place for line in self.lines.values() for place, _ in line})


def lines_of(study: Study, cells: list[str]) -> AxisLines | None:
    """The cells along the axis with the most numbers, or ``None`` if some cell is on no line.

    Args:
        study: what was compared.
        cells: the names of those that took part.
    """
    placed = {cell.name: cell for cell in study.cells if cell.name in cells}
    placed.pop(REAL_TEXT, None)
    counts = {
        key: len({cell.at.get(key) for cell in placed.values()})
        for key in _numeric_keys([cell.at for cell in placed.values()])
    }
    key = max(counts, key=lambda name: counts[name], default=None)
    if key is None or counts[key] < FEWEST:
        return None
    lines: dict[str, list[tuple[float, str]]] = {}
    for cell in placed.values():
        rest = [_choice(name, value) for name, value in cell.at.items() if name != key]
        label = ", ".join([*([cell.line] if cell.line else []), *rest])
        lines.setdefault(label, []).append((float(cell.at[key]), cell.name))
    for line in lines.values():
        line.sort()
    title = next((axis.title for axis in study.axes if axis.key == key and axis.title), "")
    points = sorted({place for line in lines.values() for place, _ in line})
    wide = points[0] > 0 and points[-1] >= WIDE * points[0]
    return AxisLines(key, title or _words(key), wide or is_geometric(points), lines)


def is_geometric(points: list[float]) -> bool:
    """Whether numbers stand at about equal ratios.

    >>> is_geometric([0.001, 0.0032, 0.01]), is_geometric([1, 2, 3, 4]), is_geometric([0, 1, 2])
    (True, False, False)
    """
    if points[0] <= 0:
        return False
    steps = [math.log(b / a) for a, b in zip(points, points[1:], strict=False)]
    return max(steps) <= (1 + _NEARLY) * min(steps)


def _numeric_keys(places: list[dict[str, Any]]) -> list[str]:
    """The keys that all places have, with numbers for values."""
    if not places:
        return []
    return [
        key
        for key in places[0]
        if all(
            isinstance(place.get(key), (int, float)) and not isinstance(place.get(key), bool)
            for place in places
        )
    ]


def _choice(key: str, value: Any) -> str:
    """A value of another axis: words speak for themselves."""
    return value if isinstance(value, str) else f"{_words(key)} {str(value).lower()}"


def _words(key: str) -> str:
    return key.rpartition(".")[2].replace("_", " ")
