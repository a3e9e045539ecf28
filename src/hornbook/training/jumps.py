"""When a loss jumps, what was in the batch? The rule, and the note that is left for a person.

A loss jumps when it lies above the median of the 50 before it by more than six deviations. The
deviation is the robust one, 1.4826 times the median distance from the median, which for normal
noise is the standard deviation and which a few wild losses do not widen:

    losses before   2.1 2.0 2.2 2.1 2.0 …     median 2.1, median distance 0.1, deviation 0.148
    limit           2.1 + 6 × 0.148 = 2.99
    next loss       3.4                       jumps: one in a thousand million would by chance
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

REMEMBERED = 50
"""Losses that the next one is compared with."""

FEWEST = 20
"""With fewer losses before it none jumps: at the start of a run all are wild."""

DEVIATIONS = 6.0

SMALLEST_DEVIATION = 0.01
"""As a share of the median: losses that hardly differ must not make a jump of any difference."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a loss should be, after those before it.

    Attributes:
        usual: their median [nats per token].
        limit: what lies above it has jumped [nats per token].
    """

    usual: float
    limit: float


def expectation(before: Sequence[float]) -> Expectation | None:
    """What to expect after the losses ``before``, oldest first; ``None`` after too few.

    >>> expectation([2.0] * 19)
    >>> found = expectation([2.1, 2.0, 2.2, 2.1, 2.0] * 10)
    >>> found.usual, round(found.limit, 3)
    (2.1, 2.99)
    """
    last = before[-REMEMBERED:]
    if len(last) < FEWEST:
        return None
    usual = statistics.median(last)
    distance = statistics.median(abs(loss - usual) for loss in last)
    deviation = max(1.4826 * distance, SMALLEST_DEVIATION * abs(usual))
    return Expectation(usual, usual + DEVIATIONS * deviation)


def jump(loss: float, before: Sequence[float]) -> Expectation | None:
    """What was expected, if ``loss`` is a jump after the losses ``before``.

    Where the loss before it jumped already, it is no new one: a run that stays high is noted once.
    A loss that is not finite is no jump: it ends a run, or is skipped.

    >>> before = [2.1, 2.0, 2.2, 2.1, 2.0] * 10
    >>> jump(3.4, before) is None, jump(2.9, before) is None, jump(3.4, [*before, 3.4]) is None
    (False, True, True)
    """
    expected = expectation(before)
    if expected is None or not expected.limit < loss < math.inf:
        return None
    earlier = expectation(before[:-1])
    jumped_already = earlier is not None and before[-1] > earlier.limit
    return None if jumped_already else expected
