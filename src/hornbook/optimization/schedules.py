"""The learning rate at a step, as a pure function: nothing to save, nothing to replay.

 cosine        linear        wsd           inverse_sqrt   constant
  ╭─╮           ╱╲            ╭────╮        ╱╲             ╭──────
 ╱   ╲         ╱  ╲          ╱      ╲      ╱  ╲_           ╱
╱     ╰──     ╱    ╲        ╱        ╲    ╱     ╲____     ╱
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from hornbook.errors import Problem
from hornbook.settings import Settings

RateScaling = Literal["none", "linear", "sqrt"]


class ScheduleConfig(Settings):
    """How the learning rate rises and falls over a run."""

    kind: Literal["cosine", "wsd", "linear", "constant", "inverse_sqrt"] = "cosine"
    """What follows the warm-up: half a cosine down, wsd (stable, then a decay at the end), a line
    down, nothing, or a fall with the root of the steps that grows ever slower."""

    warmup_steps: int = Field(default=0, ge=0)
    """It rises evenly from near zero over this many steps [steps]."""

    final_fraction: float = Field(default=0.1, ge=0, le=1)
    """The learning rate at the last step as a share of the peak; not read by constant and
    inverse_sqrt."""

    decay_fraction: float = Field(default=0.2, gt=0, le=1)
    """The share of all steps in which wsd decays, at the end of the run."""

    decay_shape: Literal["linear", "cosine", "sqrt"] = "linear"
    """How wsd decays: along a line, half a cosine, or one minus the root of the way gone, which
    falls fast at first (Hägele et al., 2024, "Scaling Laws and Compute-Optimal Training Beyond
    Fixed Training Durations")."""

    def conflicts(self) -> Iterator[Problem]:
        """Yield a problem where a value that the kind needs is missing."""
        if self.kind == "inverse_sqrt" and self.warmup_steps == 0:
            yield Problem(
                "warmup_steps",
                "is also the time scale of kind=inverse_sqrt (four times as many steps, half the "
                "learning rate); use 1 or more",
                "0",
            )

    def decay_steps(self, steps: int) -> int:
        """In how many of ``steps`` wsd decays: at least one.

        >>> ScheduleConfig(kind="wsd", decay_fraction=0.25).decay_steps(1000)
        250
        """
        return max(1, round(steps * self.decay_fraction))

    def conflicts_with_steps(self, steps: int) -> Iterator[Problem]:
        """Yield a problem for parts of the schedule that are longer than the whole."""
        if self.warmup_steps >= steps:
            yield Problem(
                "warmup_steps",
                f"is not shorter than the run (training.steps={steps}); use 0 to {steps - 1}",
                str(self.warmup_steps),
            )
        elif self.kind == "wsd" and self.warmup_steps + self.decay_steps(steps) > steps:
            yield Problem(
                "decay_fraction",
                f"leaves less than warmup_steps={self.warmup_steps} of the run's {steps} steps; "
                f"use at most {math.floor(100 * (steps - self.warmup_steps) / steps) / 100}",
                str(self.decay_fraction),
            )


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
    >>> late = ScheduleConfig(kind="wsd", decay_fraction=0.4, final_fraction=0.0)
    >>> [learning_rate_at(s, steps=5, peak=1.0, schedule=late) for s in range(5)]
    [1.0, 1.0, 1.0, 0.5, 0.0]
    >>> root = ScheduleConfig(kind="inverse_sqrt", warmup_steps=2)
    >>> [learning_rate_at(s, steps=9, peak=1.0, schedule=root) for s in (0, 1, 7)]
    [0.5, 1.0, 0.5]
    """
    warmup = schedule.warmup_steps
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule.kind == "constant":
        return peak
    if schedule.kind == "inverse_sqrt":  # Vaswani et al., 2017, section 5.3
        return peak * math.sqrt(max(warmup, 1) / (step + 1))
    falls_after = warmup
    if schedule.kind == "wsd":
        # The step before the decay is the last at the peak, and the first that is counted.
        falls_after = max(warmup, steps - 1 - schedule.decay_steps(steps))
    length = steps - 1 - falls_after
    progress = min(max((step - falls_after) / length, 0.0), 1.0) if length > 0 else 1.0
    share = _left(progress, schedule.decay_shape if schedule.kind == "wsd" else schedule.kind)
    return peak * (schedule.final_fraction + (1.0 - schedule.final_fraction) * share)


def rescaled(learning_rate: float, rule: RateScaling, *, batch_size: int, base: int) -> float:
    """The learning rate for a batch, from the one that suits a batch of ``base``.

    Args:
        learning_rate: for a batch of ``base``.
        rule: ``linear`` (Goyal et al., 2017, "Accurate, Large Minibatch SGD"), ``sqrt``
            (Malladi et al., 2022, "On the SDEs and Scaling Rules for Adaptive Gradient
            Algorithms") or ``none``.
        batch_size: examples in the step.
        base: examples in the batch that ``learning_rate`` is for; not read by ``none``.

    >>> [rescaled(0.1, rule, batch_size=64, base=16) for rule in ("linear", "sqrt", "none")]
    [0.4, 0.2, 0.1]
    """
    if rule == "none":
        return learning_rate
    ratio = batch_size / base
    return learning_rate * (ratio if rule == "linear" else math.sqrt(ratio))


def _left(progress: float, shape: str) -> float:
    """What is left of the way down, from 1 to 0, after a share of its steps."""
    if shape == "linear":
        return 1.0 - progress
    if shape == "sqrt":
        return 1.0 - math.sqrt(progress)
    return 0.5 * (1.0 + math.cos(math.pi * progress))
