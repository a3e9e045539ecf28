"""What a few seeds say about cells: means with intervals, and which differences are real.

A table of measurements has a row a cell and a column a seed. Seeds move all cells together (the
same initial weights, often the same examples), so cells are compared seed by seed:

                  seed 1  seed 2  seed 3     less the seed's and the cell's own mean
    left_padded    2.31    2.35    2.30        +0.005  -0.010   0.005
    stream         2.42    2.50    2.41        -0.005  +0.010  -0.005

What is left over is the noise. Its deviation is taken from all cells at once, which makes the most
of three seeds: (cells - 1) * (seeds - 1) degrees of freedom (Fisher, 1935, "The Design of
Experiments", randomised blocks). With two cells this is the paired t-test. Each pair's p is
corrected for the number of pairs (Holm, 1979, "A simple sequentially rejective multiple test
procedure"), so that among all pairs a false difference comes up in at most one study in twenty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hornbook.experiments.student import t_quantile, two_sided_p

CONFIDENCE = 0.95
"""Of every interval; 1 less this is the chance of a false difference in a study."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds, and how far the truth may lie from it.

    Attributes:
        mean: of the measurements.
        half_width: half of the 95 % interval; ``None`` with a single measurement.
    """

    mean: float
    half_width: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more the first cell has than the second, seed by seed.

    Attributes:
        first, second: numbers of the cells, from 0.
        mean: of the differences.
        half_width: half of the 95 % interval of this difference by itself.
        p: the chance of such a difference without a cause, corrected for the number of pairs.
    """

    first: int
    second: int
    mean: float
    half_width: float
    p: float

    @property
    def beyond_noise(self) -> bool:
        """Whether the difference is larger than the noise."""
        return self.p < 1 - CONFIDENCE


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of ``values`` with its 95 % interval (Student's t).

    >>> found = estimate([1.0, 2.0, 3.0])
    >>> found.mean, round(found.half_width, 3)
    (2.0, 2.484)
    """
    count, mean = len(values), float(np.mean(values))
    if count < 2:
        return Estimate(mean, None)
    error = float(np.std(values, ddof=1)) / math.sqrt(count)
    return Estimate(mean, t_quantile(CONFIDENCE, count - 1) * error)


def differences(table: NDArray[np.float64]) -> list[Difference]:
    """Every pair of rows of [cells, seeds] measurements; none with fewer than two seeds.

    >>> two = np.array([[2.0, 3.0, 4.0], [1.0, 2.1, 2.9]])
    >>> [found] = differences(two)
    >>> round(found.mean, 3), round(found.half_width, 3), found.beyond_noise
    (1.0, 0.248, True)
    """
    cells, seeds = table.shape
    if cells < 2 or seeds < 2:
        return []
    means = table.mean(axis=1)
    left_over = table - means[:, None] - table.mean(axis=0) + table.mean()
    freedom = (cells - 1) * (seeds - 1)
    error = math.sqrt(float((left_over**2).sum()) / freedom * 2 / seeds)
    # Sums of equal numbers are not exactly zero in floating point.
    error = 0.0 if error < 1e-12 * float(np.abs(table).max()) else error
    half_width = t_quantile(CONFIDENCE, freedom) * error
    pairs = list(combinations(range(cells), 2))
    found = [float(means[a] - means[b]) for a, b in pairs]
    ps = holm([two_sided_p(_over(difference, error), freedom) for difference in found])
    return [
        Difference(a, b, difference, half_width, p)
        for (a, b), difference, p in zip(pairs, found, ps, strict=True)
    ]


def holm(ps: Sequence[float]) -> list[float]:
    """Correct p-values for how many there are: the smallest times n, the next times n - 1, …

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(ps)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        largest = max(largest, min(1.0, ps[index] * (len(ps) - rank)))
        corrected[index] = largest
    return corrected


def _over(difference: float, error: float) -> float:
    if error:
        return difference / error
    return math.inf if abs(difference) > 1e-12 else 0.0
