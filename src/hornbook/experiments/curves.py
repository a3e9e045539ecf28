"""The validation loss on the way: read from a run, and how soon it reached what another ended with.

bits per byte   3.0  2.6  2.4  2.3   after 10, 20, 30, 40 steps: ends with 2.3
another         2.7  2.3  2.1  2.0   was there after 20
"""

from __future__ import annotations

from collections.abc import Sequence

from hornbook.experiments.outcomes import Measurement
from hornbook.runs.run import Run

Curve = Sequence[tuple[int, float]]


def curve_of(run: Run) -> tuple[tuple[int, float], ...]:
    """Steps done and bits per byte, at each measurement of the validation loss."""
    return tuple(
        (int(entry["step"]), float(entry["bits_per_byte"]))
        for entry in run.metrics()
        if entry.get("bits_per_byte") is not None
    )


def reached_after(curve: Curve, level: float) -> float | None:
    """The steps after which a curve first is at ``level``, between two points by a straight line.

    Returns ``None`` if it never is there, and the first point's steps if it begins below.

    >>> reached_after([(10, 3.0), (20, 2.0)], 2.5), reached_after([(10, 3.0)], 2.5)
    (15.0, None)
    """
    before: tuple[int, float] | None = None
    for step, value in curve:
        if value <= level:
            if before is None or before[1] == value:
                return float(step)
            share = (before[1] - level) / (before[1] - value)
            return before[0] + share * (step - before[0])
        before = step, value
    return None


def steps_to_loss(
    reference: Sequence[Measurement], found: Sequence[Measurement]
) -> list[float | None]:
    """After how many steps each seed of a cell is as good as the reference with it is at its end.

    Args:
        reference: the cell whose last loss counts, a measurement a seed.
        found: the cell that is asked about.
    """
    last = {one.seed: one.curve[-1][1] for one in reference if one.curve and not one.failed}
    return [
        reached_after(one.curve, last[one.seed]) if one.seed in last and not one.failed else None
        for one in found
    ]
