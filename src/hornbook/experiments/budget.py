"""From a time to a number of tokens, and from tokens to the steps and rows of each cell.

Every cell gets the same number of targets that count. A strategy that pads has fewer of them
in a row, so it gets more rows in a step; the steps then follow, and are nearly the same for all:

    cell           targets in a row   rows in a step   steps for 100,000 targets
    stream               64                 16             98
    left_padded          24.3               42             98

A study with a budget first trains each cell for a few steps. With ``s`` seconds for a target of
a cell, ``e`` for an evaluated one and ``o`` that every run takes whatever its length, n targets
and m evaluated ones take ``seeds * sum(o + n * s + m * e)`` over the cells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from hornbook.errors import ConfigError, Problem
from hornbook.settings import Settings

RUN_SECONDS = 1.2
"""What a run takes besides its steps and its evaluation: folder, checkpoint, report [seconds]."""
RESERVE = 0.1
"""The share of a budget that is kept for a machine that gets slower."""
EVALUATED_SHARE = 0.15
"""The share of a run's time that its evaluation may take."""
MOST_EVALUATED = 16_384
"""Evaluated targets of each measure that no study needs more of."""
FEWEST_EVALUATED = 2048
"""With fewer, a difference would be one on a handful of lines."""
FEWEST_STEPS = 20
"""A cell of a budget has at least so many steps, or it would compare initial weights."""
LEAST_STEPS, LEAST_EVALUATED = 4, 256
"""What a budget makes do with that is too short for those two, before it is refused."""
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


class CellPlan(Settings):
    """How one cell is trained."""

    steps: int = Field(ge=1)
    """Optimizer steps."""

    batch_size: int = Field(ge=1)
    """Rows in a step."""

    targets_per_row: float = Field(gt=0)
    """Targets that count in a row, on average."""

    seconds_per_step: float = 0.0
    """How long a step took when it was tried; 0 where none was."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a few steps of a cell showed.

    Attributes:
        batch_size: rows in a step.
        targets_per_row: targets that count in a row, on average.
        seconds_per_step: time of a step.
        initial_weights: a checksum of each tensor before the first step, by name and shape.
    """

    batch_size: int
    targets_per_row: float
    seconds_per_step: float
    initial_weights: Mapping[str, str]

    @property
    def seconds_per_target(self) -> float:
        """Time for a target that counts."""
        return self.seconds_per_step / (self.batch_size * self.targets_per_row)


def parse_duration(words: str) -> float:
    """A time such as ``90s``, ``10m`` or ``1h30m`` in seconds; a plain number is seconds.

    Raises:
        ConfigError: when it is none, or not longer than nothing.

    >>> parse_duration("10m"), parse_duration("1h30m"), parse_duration("2.5m")
    (600.0, 5400.0, 150.0)
    """
    text = words.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        text += "s"
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or seconds <= 0:
        raise ConfigError([Problem("--budget", "is no time; write 90s, 10m or 1h30m", words)])
    return seconds


def rows_for(targets_per_step: float, targets_per_row: float) -> int:
    """The rows whose targets come nearest to so many in a step.

    >>> rows_for(1024, 64), rows_for(1024, 24.3), rows_for(10, 64)
    (16, 42, 1)
    """
    return max(1, round(targets_per_step / targets_per_row))


def steps_for(tokens: int, trial: Trial) -> int:
    """The steps after which a cell has seen nearly ``tokens`` targets that count."""
    return max(1, round(tokens / (trial.batch_size * trial.targets_per_row)))


def plan_cell(tokens: int, trial: Trial) -> CellPlan:
    """How to train a cell on ``tokens`` targets."""
    return CellPlan(
        steps=steps_for(tokens, trial),
        batch_size=trial.batch_size,
        targets_per_row=round(trial.targets_per_row, 4),
        seconds_per_step=round(trial.seconds_per_step, 5),
    )


def tokens_in(
    seconds: float,
    trials: Sequence[Trial],
    seeds: int,
    seconds_per_evaluated: float,
    *,
    jobs: int = 1,
) -> tuple[int, int]:
    """How many targets to train each cell on, and how many to evaluate, in so much time.

    Args:
        seconds: what is left of the budget.
        trials: one for each cell.
        seeds: runs of each cell.
        seconds_per_evaluated: for one target of each measure.
        jobs: how many runs are trained at the same time.

    Raises:
        ConfigError: when not even ``LEAST_STEPS`` steps a cell would fit.

    >>> trial = Trial(batch_size=16, targets_per_row=64, seconds_per_step=0.02, initial_weights={})
    >>> tokens_in(60.0, [trial, trial], seeds=3, seconds_per_evaluated=0.0004)
    (339000, 2924)
    """
    # The last round may not have a run for every process.
    runs = -(-len(trials) * seeds // jobs)
    a_run = (seconds * (1 - RESERVE)) / runs - RUN_SECONDS
    per_target = sum(trial.seconds_per_target for trial in trials) / len(trials)
    largest_step = max(trial.batch_size * trial.targets_per_row for trial in trials)
    wished = min(MOST_EVALUATED, int(EVALUATED_SHARE * a_run / seconds_per_evaluated))
    needed = 0.0
    for steps, fewest in ((FEWEST_STEPS, FEWEST_EVALUATED), (LEAST_STEPS, LEAST_EVALUATED)):
        evaluated = max(fewest, wished)
        training = a_run - evaluated * seconds_per_evaluated
        least_training = steps * largest_step * per_target
        if training >= least_training:
            return _rounded(training / per_target), evaluated
        needed = runs * (RUN_SECONDS + fewest * seconds_per_evaluated + least_training)
    raise ConfigError(
        [
            Problem(
                "--budget",
                f"is too short for one evaluation of {len(trials)} cells with {seeds} seeds; give "
                f"at least {needed / (1 - RESERVE) * 1.2 + 10:.0f}s, fewer --seeds, or a smaller "
                "model",
            )
        ]
    )


def _rounded(tokens: float) -> int:
    """Three digits are as many as a trial of a few steps can promise.

    >>> _rounded(1_234_567.0), _rounded(45_678.9)
    (1234000, 45600)
    """
    size = 10 ** max(0, len(str(int(tokens))) - (4 if tokens >= 1e6 else 3))
    return int(tokens) // size * size
