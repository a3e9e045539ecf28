"""What measured batches say: from which size on is a device busy, and what of the learning rate?

    batch    windows/s
        1          90
        2         170
        4         300
        8         460
       16         480      the best; 8 is within a tenth of it, so 8 saturates the device

A larger batch then only takes longer. Up to there it costs little time a step, and its gradient is
less noisy, so that a larger learning rate may be possible: by how much, two rules guess.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hornbook.optimization import RateScaling, rescaled
from hornbook.runs.config import TrainingConfig

SATURATED = 0.9
"""A batch saturates a device from this share of the best throughput on."""


@dataclass(frozen=True, slots=True)
class BatchSpeed:
    """What was measured of one batch size.

    Attributes:
        batch: windows in a step.
        threads: that computed on a CPU.
        steps: how many were measured.
        step_seconds: of one, the median.
        seconds_for_steps: of the fixed number of steps.
        seconds_for_windows: of the fixed number of windows.
        steps_projected: whether fewer steps than the fixed number were measured.
        windows_projected: the same of the windows.
        memory: what training took at the peak beyond what was there before [bytes]; ``None`` where
            the system does not say.
        expected_memory: what it should take by the account [bytes].
        watts: the mean power; ``None`` where it cannot be read.
    """

    batch: int
    threads: int
    steps: int
    step_seconds: float
    seconds_for_steps: float
    seconds_for_windows: float
    steps_projected: bool
    windows_projected: bool
    memory: int | None
    expected_memory: int
    watts: float | None

    @property
    def windows_per_second(self) -> float:
        """Windows, which are sequences of ``context_length`` tokens, in a second."""
        return self.batch / self.step_seconds


@dataclass(frozen=True, slots=True)
class DeviceSpeed:
    """What was measured of one device.

    Attributes:
        device: as ``training.device`` calls it.
        name: the card's or the processor's own.
        equipment: what was chosen there, for a person.
        batches: a row for each batch size, from 1 on.
        ended: why no larger one follows.
        fits: the most windows whose step should fit into the free memory, by the account.
        free_memory: when it began [bytes]; ``None`` where the system does not say.
        threads: one batch size with each number of threads; empty beside an accelerator.
        power: who told the power, or why nobody did.
    """

    device: str
    name: str
    equipment: str
    batches: tuple[BatchSpeed, ...]
    ended: str
    fits: int
    free_memory: int | None
    threads: tuple[BatchSpeed, ...]
    power: str

    @property
    def rates(self) -> dict[int, float]:
        """Windows a second of each batch size."""
        return {speed.batch: speed.windows_per_second for speed in self.batches}

    @property
    def best_rate(self) -> float:
        """The most windows a second of any batch size."""
        return max(self.rates.values(), default=0.0)

    @property
    def saturated_from(self) -> int | None:
        """See ``saturating_batch``."""
        return saturating_batch(self.rates)

    @property
    def batch_to_try(self) -> int:
        """The one that saturates the device, or as long as none does, the fastest."""
        return self.saturated_from or max(self.rates, key=self.rates.__getitem__)

    @property
    def fastest_threads(self) -> int | None:
        """The number of threads that trains on the most windows a second."""
        best = max(self.threads, key=lambda speed: speed.windows_per_second, default=None)
        return None if best is None else best.threads


@dataclass(frozen=True, slots=True)
class RateSuggestion:
    """A learning rate to try with another batch.

    Attributes:
        batch: the batch to try.
        base: the one that the learning rate of the settings is for.
        rule: ``linear`` or ``sqrt``, whichever suits the optimizer.
        rate: what the settings say for ``base``.
        rates: what each rule makes of it.
        steps: how many read as much text as the run's own.
    """

    batch: int
    base: int
    rule: RateScaling
    rate: float
    rates: Mapping[RateScaling, float]
    steps: int

    @property
    def settings(self) -> list[str]:
        """The words to try it with."""
        return [
            f"training.batch_size={self.batch}",
            f"training.base_batch_size={self.base}",
            f"training.learning_rate_scaling={self.rule}",
        ]


def saturating_batch(rates: Mapping[int, float]) -> int | None:
    """The smallest batch within a tenth of the best throughput.

    Args:
        rates: windows a second of each batch that was measured.

    Returns:
        ``None`` when it is the largest one of several, for then a larger one may be faster still.

    >>> saturating_batch({1: 90, 2: 170, 4: 300, 8: 460, 16: 480})
    8
    >>> saturating_batch({1: 90, 2: 170, 4: 300}) is None
    True
    >>> saturating_batch({1: 90, 2: 88, 4: 95})
    1
    """
    if len(rates) < 2:
        return None
    best = max(rates.values())
    found = min(batch for batch, rate in rates.items() if rate >= SATURATED * best)
    return None if found == max(rates) else found


def time_of(seconds: Sequence[float], steps: float) -> float:
    """What so many steps take: as measured as far as that goes, the rest at their mean.

    Args:
        seconds: of each measured step, at least one.
        steps: how many, which may be part of one.

    >>> time_of([2.0, 1.0, 1.0], 2), time_of([2.0, 1.0, 0.0], 5), time_of([2.0, 2.0], 0.5)
    (3.0, 5.0, 1.0)
    """
    measured = seconds[: int(steps)]
    return sum(measured) + (steps - len(measured)) * statistics.fmean(seconds)


def batch_sizes(most: int) -> list[int]:
    """1, 2, 4 … and the most that there may be.

    >>> batch_sizes(8), batch_sizes(11), batch_sizes(0)
    ([1, 2, 4, 8], [1, 2, 4, 8, 11], [])
    """
    if most < 1:
        return []
    return sorted({*(1 << power for power in range(most.bit_length())), most})


def thread_counts(cores: int, cpus: int, chosen: int) -> list[int]:
    """Numbers of threads to try.

    Args:
        cores: physical ones that the process may use.
        cpus: logical ones, two a core where it has hyper-threads.
        chosen: what the settings lead to.

    >>> thread_counts(6, 12, 6), thread_counts(2, 2, 2), thread_counts(1, 1, 1)
    ([1, 2, 4, 6, 12], [1, 2], [1])
    """
    return sorted({*batch_sizes(cores), max(cores, cpus), chosen})


def suggest_rate(plan: TrainingConfig, batch: int) -> RateSuggestion | None:
    """How to scale the learning rate of the settings for a larger batch.

    Noise of a gradient falls with the root of the batch. For SGD a step of a k times larger batch
    stands for k small ones: linear (Goyal et al., 2017). AdamW divides by the noise as well: the
    root (Malladi et al., 2022); Muon, which makes all steps equally long, is treated like it.

    Args:
        plan: the settings of the run.
        batch: to try instead.

    Returns:
        ``None`` when the batch of the settings is no smaller.

    >>> found = suggest_rate(TrainingConfig(batch_size=16, learning_rate=1e-3), 64)
    >>> found.rule, found.rates["sqrt"], found.rates["linear"], found.steps
    ('sqrt', 0.002, 0.004, 250)
    >>> suggest_rate(TrainingConfig(batch_size=16), 8) is None
    True
    """
    if batch <= plan.batch_size:
        return None
    scaled = plan.learning_rate_scaling != "none"
    base, rate = plan.base_batch_size if scaled else plan.batch_size, plan.learning_rate
    rules: tuple[RateScaling, ...] = ("linear", "sqrt")
    return RateSuggestion(
        batch=batch,
        base=base,
        rule="linear" if plan.optimizer.kind == "sgd" else "sqrt",
        rate=rate,
        rates={rule: rescaled(rate, rule, batch_size=batch, base=base) for rule in rules},
        steps=math.ceil(plan.steps * plan.batch_size / batch),
    )
