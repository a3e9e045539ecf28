"""The batch size at a step: small batches while the gradient is loud, the whole one later.

Early in training, gradients of few examples agree with those of many, and small batches make more
steps of the same text (McCandlish et al., 2018, "An Empirical Model of Large-Batch Training";
the ramp is that of Brown et al., 2020, "GPT-3", appendix B). The batch grows by ``start`` examples
at a time, evenly over ``steps``:

    start=4, steps=6, the whole batch 16        4 4 8 8 12 12 16 16 16 …

Sizes are multiples of the first, so whatever divides that (micro-batches, ranks) divides all.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from hornbook.errors import Problem
from hornbook.settings import Settings


class BatchRampConfig(Settings):
    """How the batch grows at the beginning of a run."""

    start: int = Field(default=0, ge=0)
    """The batch of the first step, a divisor of training.batch_size; 0 is no ramp [windows]."""

    steps: int = Field(default=0, ge=0)
    """The batch grows to training.batch_size over this many steps [steps]."""

    def conflicts_with_run(self, *, batch_size: int, steps: int) -> Iterator[Problem]:
        """Yield a problem for each value that does not fit the whole batch or the run."""
        if not self.start:
            return
        if batch_size % self.start:
            fitting = [n for n in range(1, batch_size) if batch_size % n == 0]
            near = sorted(sorted(fitting, key=lambda n: abs(n - self.start))[:4])
            yield Problem(
                "start",
                f"does not divide training.batch_size={batch_size}; {', '.join(map(str, near))} "
                "would, and 0 is no ramp",
                str(self.start),
            )
        if not 0 < self.steps < steps:
            yield Problem(
                "steps",
                f"is the length of the ramp from batch_ramp.start={self.start}; use 1 to "
                f"{steps - 1}, less than the run (training.steps={steps})",
                str(self.steps),
            )


def batch_size_at(step: int, *, whole: int, ramp: BatchRampConfig) -> int:
    """Examples in optimizer step ``step``.

    Args:
        step: counted from 0.
        whole: the batch after the ramp, a multiple of ``ramp.start``.
        ramp: how it grows.

    >>> ramp = BatchRampConfig(start=4, steps=6)
    >>> [batch_size_at(step, whole=16, ramp=ramp) for step in range(8)]
    [4, 4, 8, 8, 12, 12, 16, 16]
    """
    if not ramp.start or step >= ramp.steps:
        return whole
    sizes = whole // ramp.start
    return ramp.start * (1 + step * (sizes - 1) // ramp.steps)


def examples_before(step: int, *, whole: int, ramp: BatchRampConfig) -> int:
    """Examples used by all steps before ``step``: the place in the data where it begins.

    >>> examples_before(7, whole=16, ramp=BatchRampConfig(start=4, steps=6))
    64
    """
    ramped = min(step, ramp.steps) if ramp.start else 0
    used = sum(batch_size_at(earlier, whole=whole, ramp=ramp) for earlier in range(ramped))
    return used + (step - ramped) * whole
