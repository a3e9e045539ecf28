"""A few steps of a run on trial: what they cost in time and memory, and what would fit.

They are the very steps with which the run would begin, with its own optimizer, precision and
compiler. They move the weights, so the model must not be trained afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from hornbook.data import Batch
from hornbook.optimization import load_optimizer_tensors
from hornbook.randomness import stream_seed
from hornbook.runs.assembly import make_optimizer
from hornbook.runs.memory import is_out_of_memory
from hornbook.training.equipment import make_step, spread_out
from hornbook.training.evaluation import ValidationWindows, evaluate
from hornbook.training.fitting import find_fitting, first_rows
from hornbook.training.loop import TrainingLoop
from hornbook.training.preflight_machine import MeasuredSteps, clock, watched_memory
from hornbook.training.step import TrainingStep, micro_batches, read

STEPS = 4
"""Steps that are measured, unless these take long."""
LONG_ENOUGH = 10.0
"""After so long no further step is measured [seconds]."""


def trial_steps(loop: TrainingLoop) -> tuple[TrainingStep | None, MeasuredSteps]:
    """Take the first steps of the run; returns the step that took them, if it was ever made.

    Args:
        loop: with the weights of the first step; nothing is written.
    """
    trial = _Trial(loop)
    seconds: list[float] = []
    losses: list[float] = []
    finite, fits = True, True
    with watched_memory(loop.device) as memory:
        try:
            while finite and len(losses) < STEPS and sum(seconds) < LONG_ENOUGH:
                began = clock(loop.device)
                loss, finite = trial.next_step()
                seconds.append(clock(loop.device) - began)
                losses.append(loss)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            fits = False
    if not fits:  # outside of the block above, which keeps the tensors of the step alive
        return trial.step, MeasuredSteps(refused=trial.what_fits())
    measured = MeasuredSteps(tuple(seconds), tuple(losses), finite, memory.before, memory.peak)
    return trial.step, measured


class _Trial:
    """The steps of a loop, one after the other, without anything that a loop does besides."""

    def __init__(self, loop: TrainingLoop) -> None:
        self._loop = loop
        self._number = loop.state.step
        self._place = loop.state.examples_seen
        self._carried = None
        self._parts: list[Batch] = []
        self.step: TrainingStep | None = None

    def next_step(self) -> tuple[float, bool]:
        """The loss of the next step, and whether all was finite, or is skipped as float16 may.

        Every step has the whole batch, so that they can be compared.
        """
        loop, plan = self._loop, self._loop.plan
        step = self.step or self._make_step()
        size, micro = plan.batch_size, plan.micro_batch_size
        parts = micro_batches(loop.batches.training, self._place, size, micro)
        self._parts = [part.to(loop.device) for part in parts]
        result = step(
            self._parts,
            learning_rate=plan.learning_rate_at(min(self._number, plan.steps - 1)),
            dropout_seed=stream_seed(loop.config.seed, "dropout", self._number),
            carried=self._carried,
        )
        reading = read([result])[0]
        self._carried = result.carried
        self._number, self._place = self._number + 1, self._place + size
        return reading.loss, reading.applied or step.scale is not None

    def _make_step(self) -> TrainingStep:
        loop, config = self._loop, self._loop.config
        spread = spread_out(config, loop.equipment, loop.model)
        loop.model.train()
        optimizer = make_optimizer(config, loop.model)
        if loop.newest is not None:
            load_optimizer_tensors(optimizer, loop.model, loop.newest.optimizer_tensors())
        if loop.plan.carry_state:
            self._carried = loop.model.init_state(loop.plan.batch_size, loop.device)
        self.step = make_step(config, loop.equipment, loop.model, optimizer, loop.listener, spread)
        return self.step

    def what_fits(self) -> str:
        """What did not fit into memory, in words, and what would."""
        if self.step is None or not self._parts:
            return (
                "weights and optimizer do not fit. Choose less of model.d_model, model.layers or "
                "tokenizer.vocab_size"
            )
        step, rows = self.step, self._parts[0]
        fitting = find_fitting(
            len(rows.tokens), lambda count: step.trial(first_rows(rows, count), dropout_seed=0)
        )
        if fitting.fits is None:
            return f"{fitting}. Choose less of model.d_model, model.layers or context_length"
        return (
            f"{fitting}. Set training.micro_batch_size={fitting.fits}: the gradient stays the same"
        )


class _FirstWindows:
    """The first batch of the validation windows, of the size that a measurement has."""

    def __init__(self, windows: ValidationWindows) -> None:
        self._windows, self.context_length, self.count = windows, windows.context_length, 0

    def batches(self, size: int) -> Iterator[Batch]:
        for batch in self._windows.batches(size):
            self.count = len(batch.tokens)
            yield batch
            return


def evaluation_seconds(loop: TrainingLoop, windows: ValidationWindows) -> float:
    """How long a measurement takes, judged by its first batch [seconds].

    Args:
        loop: with its model on its device.
        windows: all that are measured, whose number ``len`` gives.
    """
    first = _FirstWindows(windows)
    lengths = torch.tensor(loop.tokenizer.byte_lengths())
    began = clock(loop.device)
    with loop.equipment.precision.products():
        evaluate(loop.model, first, lengths)
    share = max(first.count, 1) / len(windows)  # pyright: ignore[reportArgumentType]
    return (clock(loop.device) - began) / share
