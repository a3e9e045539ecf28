"""What a study found: a mean and an interval for each cell, and a verdict in plain words.

Nothing here is written: ``outcome_files`` does that, and the command line prints it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hornbook.experiments.record import Measurement, StudyRecord, read_measurement
from hornbook.experiments.statistics import Difference, Estimate, differences, estimate

MEASURES = {"lines": "lines by themselves", "running_text": "running text"}
"""The measures, and what they are called."""


@dataclass(frozen=True)
class Verdict:
    """What one measure says.

    Attributes:
        measure: a key of ``MEASURES``.
        estimates: bits per byte of each cell that was measured with every seed.
        pairs: every difference between two of them, by the names of the cells.
    """

    measure: str
    estimates: dict[str, Estimate]
    pairs: dict[tuple[str, str], Difference]

    @property
    def best(self) -> str | None:
        """The cell with the fewest bits per byte."""
        means = {name: found.mean for name, found in self.estimates.items()}
        return min(means, key=lambda name: means[name]) if means else None

    def difference(self, first: str, second: str) -> tuple[float, float, bool] | None:
        """By how much ``first`` is above ``second``, half its interval, and whether it is real."""
        for pair, sign in (((first, second), 1.0), ((second, first), -1.0)):
            if pair in self.pairs:
                found = self.pairs[pair]
                return sign * found.mean, found.half_width, found.beyond_noise
        return None

    def __str__(self) -> str:
        """The verdict in a few sentences."""
        title = MEASURES[self.measure].capitalize()
        if self.best is None:
            return f"{title}: no cell was measured with every seed."
        best = f"{self.best} has the fewest bits per byte ({self.estimates[self.best].mean:.3f})"
        others = [name for name in self.estimates if name != self.best]
        if not others:
            return f"{title}: {best}; there is nothing to compare it with."
        if not self.pairs:
            return f"{title}: {best}. One seed says nothing about the noise; use --seeds 3."
        if not any(found.beyond_noise for found in self.pairs.values()):
            return f"{title}: no difference larger than the noise ({best})."
        return f"{title}: {best}. " + " ".join(self._sentences(others))

    def _sentences(self, others: list[str]) -> list[str]:
        alike, worse = [], []
        for name in sorted(others, key=lambda name: self.estimates[name].mean):
            found = self.difference(name, self.best or "")
            assert found is not None, "every pair was compared"
            mean, half_width, real = found
            (worse if real else alike).append(f"{name} by {mean:.3f} ± {half_width:.3f}")
        sentences = []
        if worse:
            sentences.append(f"Worse by more than the noise: {', '.join(worse)}.")
        if alike:
            sentences.append(f"Behind it by no more than the noise: {', '.join(alike)}.")
        return sentences


@dataclass(frozen=True)
class Comparison:
    """A study and all that was measured.

    Attributes:
        folder: where it lies.
        record: its settings and its plan.
        measurements: one for each cell and seed, in the study's order.
    """

    folder: Path
    record: StudyRecord
    measurements: tuple[Measurement, ...]

    @classmethod
    def read(cls, folder: Path, record: StudyRecord | None = None) -> Comparison:
        """What the study in ``folder`` has measured so far; raises ``RunError`` if damaged."""
        record = record or StudyRecord.read(folder)
        found = [
            read_measurement(folder, cell, seed)
            for cell in record.cells
            for seed in record.seed_numbers
        ]
        return cls(folder, record, tuple(one for one in found if one is not None))

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """One for each measure."""
        return tuple(self._verdict(measure) for measure in MEASURES)

    def of(self, cell: str) -> list[Measurement]:
        """The measurements of a cell, in the order of seeds."""
        return [one for one in self.measurements if one.cell == cell]

    @property
    def failed(self) -> dict[str, str]:
        """Cells that could not be measured with every seed, each with the reason."""
        reasons = {}
        for cell in self.record.cells:
            for one in self.of(cell):
                if one.failed:
                    reasons[cell] = f"seed {one.seed}: {' '.join(one.failed.split())}"
        return reasons

    def _verdict(self, measure: str) -> Verdict:
        values: dict[str, list[float]] = {}
        for cell in self.record.cells:
            found = [getattr(one, measure) for one in self.of(cell)]
            if len(found) == self.record.seeds and None not in found:
                values[cell] = found
        names = list(values)
        pairs = differences(np.array([values[name] for name in names])) if names else []
        return Verdict(
            measure,
            {name: estimate(values[name]) for name in names},
            {(names[pair.first], names[pair.second]): pair for pair in pairs},
        )
