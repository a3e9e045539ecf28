"""The learning rate at a step, as a pure function: nothing to save, nothing to replay."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from hornbook.settings import Settings


class ScheduleConfig(Settings):
    """How the learning rate rises and falls over a run."""

    kind: Literal["cosine", "linear", "constant"] = "cosine"
    """How it falls after the warm-up: along half a cosine, along a line, or not at all."""

    warmup_steps: int = Field(default=0, ge=0)
    """It rises evenly from near zero over this many steps [steps]."""

    final_fraction: float = Field(default=0.1, ge=0, le=1)
    """The learning rate at the last step as a share of the peak; not read by constant."""


def learning_rate_at(step: int, *, steps: int, peak: float, schedule: ScheduleConfig) -> float:
    """The learning rate that optimizer step ``step`` uses.

    Args:
        step: counted from 0; the last step is ``steps - 1``.
        steps: length of the run.
        peak: the largest value, reached when the warm-up ends.
        schedule: the shape.

    >>> line = ScheduleConfig(kind="linear", warmup_steps=2, final_fraction=0.0)
    >>> [learning_rate_at(s, steps=5, peak=1.0, schedule=line) for s in range(5)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if step < schedule.warmup_steps:
        return peak * (step + 1) / schedule.warmup_steps
    if schedule.kind == "constant":
        return peak
    after = steps - 1 - schedule.warmup_steps
    progress = min((step - schedule.warmup_steps) / after, 1.0) if after > 0 else 1.0
    if schedule.kind == "linear":
        share = 1.0 - progress
    else:
        share = 0.5 * (1.0 + math.cos(math.pi * progress))
    return peak * (schedule.final_fraction + (1.0 - schedule.final_fraction) * share)
