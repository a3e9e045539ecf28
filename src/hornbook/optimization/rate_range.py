"""What a range test says: which learning rate to try first, and why.

A range test (Smith, 2017, "Cyclical Learning Rates for Training Neural Networks") raises the
learning rate from far too little to far too much while it trains, a little at every step:

    loss  ──────────╮                      too little: nothing is learned
                     ╲          ╭          too much: the loss climbs
                      ╲________╱
          1e-6      1e-3      1e-1   learning rate

The best learning rate for a whole run lies where the loss falls, before it is lowest: at the
lowest point steps already do as much harm as good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST = 10
"""Steps that a test must have taken before it says anything."""
_CLIMBED = 0.25
"""A loss that has risen above the first by this share of it will not come back."""
_WINDOW = 15
"""Losses are averaged over one in so many of all steps, to either side."""
_SAFETY = 4.0
"""The suggestion stays below the learning rate of the lowest loss by at least this factor."""


@dataclass(frozen=True, slots=True)
class RateRange:
    """The losses of a range test.

    Attributes:
        rates: [steps] the learning rate of each step.
        losses: [steps] the mean loss of its batch before it moved the weights [nats per token].
        broke_off: why the test ended before its last step; empty where it did not.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    broke_off: str = ""

    @property
    def smoothed(self) -> list[float]:
        """The losses, each as the mean of those around it."""
        return smoothed(self.losses)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A learning rate to try first.

    Attributes:
        rate: of a whole run; ``None`` where the test shows none.
        steepest: where the loss fell fastest.
        lowest: where it was lowest.
        reason: why, in a sentence or two.
    """

    rate: float | None
    steepest: float | None
    lowest: float | None
    reason: str


def growing_rates(lowest: float, highest: float, steps: int) -> list[float]:
    """The learning rate of every step: evenly spaced by their ratio.

    >>> [round(rate, 3) for rate in growing_rates(0.001, 1.0, 4)]
    [0.001, 0.01, 0.1, 1.0]
    """
    ratio = highest / lowest
    return [lowest * ratio ** (step / (steps - 1)) for step in range(steps)]


def has_climbed(losses: Sequence[float]) -> bool:
    """Whether the loss has risen so far that more steps would show nothing new.

    >>> has_climbed([4.0, 3.0, 3.5, 5.5, 5.5]), has_climbed([4.0, 3.0, 3.5])
    (True, False)
    """
    recent = losses[-2:]
    return len(losses) > 2 and min(recent) > (1 + _CLIMBED) * losses[0]


def smoothed(losses: Sequence[float]) -> list[float]:
    """Each loss as the mean of those around it; at the ends, of as many as there are.

    >>> smoothed([1.0, 2.0, 6.0])
    [1.5, 3.0, 4.0]
    """
    reach = max(1, len(losses) // _WINDOW // 2)
    return [
        math.fsum(losses[max(0, k - reach) : k + reach + 1])
        / len(losses[max(0, k - reach) : k + reach + 1])
        for k in range(len(losses))
    ]


def suggestion(found: RateRange) -> Suggestion:
    """What to try first, from the losses of a test."""
    curve = found.smoothed
    if len(curve) < FEWEST:
        return Suggestion(
            None, None, None,
            f"The test broke off after {len(curve)} steps ({found.broke_off}), too few to say "
            "anything; begin at a smaller learning rate.",
        )  # fmt: skip
    low = min(range(len(curve)), key=curve.__getitem__)
    first = min(curve[: low + 1][: FEWEST // 2])
    if low == 0 or curve[low] > first - 0.01 * abs(first):
        return Suggestion(
            None, None, found.rates[low],
            "The loss never fell by as much as a hundredth: this model learns nothing here at any "
            "of these learning rates. More steps, or a wider range, may show more.",
        )  # fmt: skip
    drops = [curve[k] - curve[k + 1] for k in range(low)]
    steep = max(range(low), key=drops.__getitem__)
    steepest, lowest = found.rates[steep], found.rates[low]
    rate = min(steepest, lowest / _SAFETY)
    reason = f"The loss fell fastest at {steepest:.2g} and was lowest at {lowest:.2g}"
    if found.broke_off:
        reason += f"; at {found.rates[-1]:.2g} {found.broke_off}"
    if rate < steepest:
        reason += f". At the lowest point steps do as much harm as good, so: a {_SAFETY:g}th of it."
    else:
        reason += ". So: where it fell fastest."
    return Suggestion(_rounded(rate), steepest, lowest, reason)


def _rounded(rate: float) -> float:
    """Two digits are more than such a test knows.

    >>> _rounded(0.0034567)
    0.0035
    """
    return float(f"{rate:.1e}")
