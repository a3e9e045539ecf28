"""How far a run is: steps that were issued, and what is known once they were read."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hornbook.runs.checkpoints import TrainingState
from hornbook.training.jumps import REMEMBERED
from hornbook.training.step import Reading, StepResult


@dataclass(frozen=True, slots=True)
class Issued:
    """A step that the device was told to take.

    Attributes:
        first_example: place of its first example in the run.
        examples: how many it has.
        rate: its learning rate.
        result: its numbers, on the device.
    """

    first_example: int
    examples: int
    rate: float
    result: StepResult


def with_step(state: TrainingState, issued: Issued, reading: Reading) -> TrainingState:
    """The state after one more step, whose numbers are known now."""
    tokens, finite = issued.result.tokens, math.isfinite(reading.loss)
    recent = [*state.recent_losses, reading.loss] if finite else state.recent_losses
    return replace(
        state,
        step=state.step + 1,
        examples_seen=state.examples_seen + issued.examples,
        tokens_seen=state.tokens_seen + tokens,
        running_loss=state.running_loss + (reading.loss * tokens if finite else 0.0),
        running_tokens=state.running_tokens + (tokens if finite else 0),
        running_examples=state.running_examples + issued.examples,
        skipped_steps=state.skipped_steps + (not reading.applied),
        skipped_in_a_row=0 if reading.applied else state.skipped_in_a_row + 1,
        # One more than a loss is compared with, so that it is known whether the last one jumped.
        recent_losses=recent[-REMEMBERED - 1 :],
    )


def with_time(state: TrainingState, seconds: float, waited: float) -> TrainingState:
    """The state after ``seconds`` more of training, of which it ``waited`` for data."""
    return replace(
        state,
        seconds=state.seconds + seconds,
        running_seconds=state.running_seconds + seconds,
        running_waiting=state.running_waiting + waited,
    )


def with_new_line(state: TrainingState) -> TrainingState:
    """The state after a line of metrics: all running sums begin anew."""
    return replace(
        state,
        running_loss=0.0,
        running_tokens=0,
        running_examples=0,
        running_seconds=0.0,
        running_waiting=0.0,
    )
