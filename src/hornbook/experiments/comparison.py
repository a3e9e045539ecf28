"""What a study found: a mean and an interval for each cell, and a verdict in plain words.

Nothing here is written: ``outcome_files`` does that, and the command line prints it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hornbook.experiments.curves import steps_to_loss
from hornbook.experiments.measures import Measure
from hornbook.experiments.outcomes import Measurement, Outcome, read_outcome_of
from hornbook.experiments.record import StudyRecord
from hornbook.experiments.statistics import Difference, Estimate, differences, estimate
from hornbook.experiments.study import REAL_TEXT

MOST_NAMED = 8
"""Cells that a sentence of a verdict names; the table has them all."""


@dataclass(frozen=True)
class Verdict:
    """What one measure says.

    Attributes:
        measure: what was measured.
        estimates: each cell that was measured with every seed.
        pairs: every difference between two of them, by the names of the cells. Of a measure that
            should be like the real text, differences of the distances from it.
        distances: how far each cell is from what is wished: the measure itself where less is
            better, its negative where more is, else its distance from the real text.
    """

    measure: Measure
    estimates: dict[str, Estimate]
    pairs: dict[tuple[str, str], Difference]
    distances: dict[str, float]

    @property
    def best(self) -> str | None:
        """The cell that is nearest to what is wished."""
        return min(self.distances, key=lambda name: self.distances[name], default=None)

    def difference(self, first: str, second: str) -> tuple[float, float, bool] | None:
        """By how much ``first`` is worse, half its interval, and whether it is real."""
        for pair, sign in (((first, second), 1.0), ((second, first), -1.0)):
            if pair in self.pairs:
                found = self.pairs[pair]
                return sign * found.mean, found.half_width, found.beyond_noise
        return None

    def __str__(self) -> str:
        """The verdict in a few sentences."""
        title = self.measure.title[0].upper() + self.measure.title[1:]
        if self.best is None:
            return f"{title}: no cell was measured with every seed."
        value = self.measure.shown(self.estimates[self.best].mean)
        has = "is nearest to the real text" if self.measure.aim == "like" else (
            f"has the {'fewest' if self.measure.aim == 'less' else 'most'} {self.measure.unit}"
        )  # fmt: skip
        best = f"{self.best} {has} ({value})"
        others = [name for name in self.distances if name != self.best]
        if not others:
            return f"{title}: {best}; there is nothing to compare it with."
        if not self.pairs:
            return f"{title}: {best}. One seed says nothing about the noise; use --seeds 3."
        if not any(found.beyond_noise for found in self.pairs.values()):
            return f"{title}: no difference larger than the noise ({best})."
        return f"{title}: {best}. " + " ".join(self._sentences(others))

    def _sentences(self, others: list[str]) -> list[str]:
        alike, worse = [], []
        for name in sorted(others, key=lambda name: self.distances[name]):
            found = self.difference(name, self.best or "")
            assert found is not None, "every pair was compared"
            mean, half_width, real = found
            shown = self.measure.shown
            (worse if real else alike).append(f"{name} by {shown(mean)} ± {shown(half_width)}")
        sentences = []
        if worse:
            sentences.append(f"Worse by more than the noise: {_named(worse)}.")
        if alike:
            sentences.append(f"Behind it by no more than the noise: {_named(alike)}.")
        return sentences


def _named(cells: list[str]) -> str:
    """The cells that are nearest to the best, and how many others there are.

    >>> _named(["a by 1", "b by 2"])
    'a by 1, b by 2'
    """
    more = len(cells) - MOST_NAMED
    return ", ".join(cells[:MOST_NAMED]) + (f", and {more} more" if more > 0 else "")


@dataclass(frozen=True)
class Comparison:
    """A study and all that was measured.

    Attributes:
        folder: where it lies.
        record: its settings and its plan.
        outcomes: one for each cell and seed, in the study's order.
    """

    folder: Path
    record: StudyRecord
    outcomes: tuple[Outcome, ...]

    @classmethod
    def read(cls, folder: Path, record: StudyRecord | None = None) -> Comparison:
        """What the study in ``folder`` has measured so far; raises ``RunError`` if damaged."""
        record = record or StudyRecord.read(folder)
        found = [
            read_outcome_of(folder, record.study.kind, cell, seed)
            for cell in record.cells
            for seed in record.seed_numbers
        ]
        return cls(folder, record, tuple(one for one in found if one is not None))

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """The outcomes of cells that were trained."""
        return tuple(one for one in self.outcomes if isinstance(one, Measurement))

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """One for each measure."""
        return tuple(self._verdict(measure) for measure in self.record.measures)

    def of(self, cell: str) -> list[Outcome]:
        """The outcomes of a cell, in the order of seeds."""
        return [one for one in self.outcomes if one.cell == cell]

    def trained(self, cell: str) -> list[Measurement]:
        """The outcomes of a cell that was trained, in the order of seeds."""
        return [one for one in self.measurements if one.cell == cell]

    def values(self, cell: str, measure: str) -> list[float | None]:
        """What the seeds of a cell came to; ``None`` where one was not measured."""
        if measure == "steps_to_loss":
            return steps_to_loss(self.trained(self.record.cells[0]), self.trained(cell))
        return [getattr(one, measure) for one in self.of(cell)]

    @property
    def failed(self) -> dict[str, str]:
        """Cells that could not be measured with every seed, each with the reason."""
        reasons = {}
        for cell in self.record.cells:
            for one in self.of(cell):
                if one.failed:
                    reasons[cell] = f"seed {one.seed}: {' '.join(one.failed.split())}"
        return reasons

    def fate(self, cell: str) -> str:
        """``diverged``, ``crashed`` or ``stopped early`` where a seed did; else nothing."""
        found = self.of(cell)
        if any(one.crashed for one in found):
            return "crashed"
        if any(isinstance(one, Measurement) and one.diverged for one in found):
            return "diverged"
        return "stopped early" if any(one.failed for one in found) else ""

    def _verdict(self, measure: Measure) -> Verdict:
        values: dict[str, list[float]] = {}
        for cell in self.record.cells:
            found = [value for value in self.values(cell, measure.name) if value is not None]
            if len(found) == self.record.seeds and not self.fate(cell):
                values[cell] = found
        distances = _distances(measure, values)
        names = list(distances)
        pairs = differences(np.array([distances[name] for name in names])) if names else []
        return Verdict(
            measure,
            {name: estimate(values[name]) for name in values},
            {(names[pair.first], names[pair.second]): pair for pair in pairs},
            {name: float(np.mean(distances[name])) for name in names},
        )


def _distances(measure: Measure, values: dict[str, list[float]]) -> dict[str, list[float]]:
    """How far each cell is from what is wished, seed by seed."""
    if measure.aim == "like":
        real = values.get(REAL_TEXT, [])
        return {
            name: [abs(value - wished) for value, wished in zip(found, real, strict=False)]
            for name, found in values.items()
            if name != REAL_TEXT and real
        }
    sign = 1.0 if measure.aim == "less" else -1.0
    return {name: [sign * value for value in found] for name, found in values.items()}
