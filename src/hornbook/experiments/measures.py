"""What cells are compared by: names, units, and whether less, more or likeness is better.

A measure is a field of what a cell came to (``outcomes.py``). Studies choose among those of their
kind; the first ones are usual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that each cell with each seed comes to.

    Attributes:
        name: the field that holds it.
        title: what it is called.
        unit: what it counts.
        aim: ``less`` or ``more`` is better, or the nearer to the real text (``like``).
        digits: shown behind the point.
    """

    name: str
    title: str
    unit: str
    aim: Literal["less", "more", "like"] = "less"
    digits: int = 3

    def shown(self, value: float) -> str:
        """A value as it is printed.

        >>> TRAINING["lines"].shown(2.34567), TRAINING["tokens_per_second"].shown(12345.6)
        ('2.346', '12,346')
        """
        return f"{value:,.{self.digits}f}"

    @property
    def header(self) -> str:
        """The head of its column."""
        return f"{self.title} [{self.unit}]" if self.unit else self.title


def _by_name(*measures: Measure) -> dict[str, Measure]:
    return {measure.name: measure for measure in measures}


TRAINING = _by_name(
    Measure("lines", "lines by themselves", "bits per byte"),
    Measure("running_text", "running text", "bits per byte"),
    Measure("tokens_per_second", "speed", "tokens per second", "more", 0),
    Measure("steps_to_loss", "until the first cell's last loss", "steps", "less", 0),
)
"""Measures of trained cells. ``steps_to_loss`` needs ``curve_points``."""

DECODING = _by_name(
    Measure("distinct_1", "distinct words", "share", "like"),
    Measure("distinct_2", "distinct pairs of words", "share", "like"),
    Measure("repetition", "repeated runs of four words", "share", "like"),
    Measure("perplexity", "perplexity under the model", "", "like", 2),
)
"""Measures of texts that were sampled."""

USUAL = {"training": ("lines", "running_text"), "decoding": tuple(DECODING)}
"""The measures of a study that names none, by its kind."""


def known_measures(kind: str) -> dict[str, Measure]:
    """All measures of a kind of study."""
    return TRAINING if kind == "training" else DECODING


def chosen_measures(kind: str, names: tuple[str, ...]) -> tuple[Measure, ...]:
    """The measures of a study, in its order."""
    known = known_measures(kind)
    return tuple(known[name] for name in names or USUAL[kind])
