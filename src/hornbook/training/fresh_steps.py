"""The first steps of a run, taken on trial to be measured; nothing of them is kept.

with fresh_steps(config, equipment, tokenizer, store) as steps:
    taken = steps.take()        the first step, from the weights that the seed draws
    taken = steps.take()        the second …
    taken.seconds               with its data, both passes and the optimizer
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from hornbook.data.token_store import TokenStore
from hornbook.listener import SILENT, Listener
from hornbook.randomness import stream_seed
from hornbook.runs.assembly import make_batches, make_optimizer, make_trainable
from hornbook.runs.config import RunConfig
from hornbook.tokenizers import Tokenizer
from hornbook.training.equipment import Equipment, make_step
from hornbook.training.preflight_machine import clock
from hornbook.training.step import micro_batches, read
from hornbook.training.step_time import StepClock


class TakenStep(NamedTuple):
    """One step.

    Attributes:
        seconds: from asking for its data until the device was done.
        tokens: real targets in it.
        loss: of its batch, before the weights moved [nats per token].
    """

    seconds: float
    tokens: int
    loss: float


class FreshSteps:
    """Takes one step after the other, from the run's first weights.

    ``fresh_steps`` sets the process up for them as well; by itself it must stand within
    ``equipment.in_use``. The arguments are the same.

    Attributes:
        model: with the weights of now.
    """

    def __init__(
        self,
        config: RunConfig,
        equipment: Equipment,
        tokenizer: Tokenizer,
        store: TokenStore,
        listener: Listener = SILENT,
    ) -> None:
        self._config, self._device = config, equipment.device
        self._batches = make_batches(config, store).training
        model = make_trainable(config, tokenizer).to(equipment.device).train()
        self.model = model
        self._step = make_step(config, equipment, model, make_optimizer(config, model), listener)
        plan = config.training
        self._carried = (
            model.init_state(plan.batch_size, self._device) if plan.carry_state else None
        )
        self._number = 0

    @property
    def clock(self) -> StepClock:
        """Knows where the time of the steps went."""
        return self._step.clock

    def take(self) -> TakenStep:
        """Take the next step, and wait until it is done."""
        plan, number = self._config.training, self._number
        began = clock(self._device)
        first = number * plan.batch_size
        parts = micro_batches(self._batches, first, plan.batch_size, plan.micro_batch_size)
        at_hand = [part.to(self._device) for part in parts]
        self.clock.add("data", clock(self._device) - began)
        result = self._step(
            at_hand,
            learning_rate=plan.learning_rate_at(min(number, plan.steps - 1)),
            dropout_seed=stream_seed(self._config.seed, "dropout", number),
            carried=self._carried,
        )
        loss = read([result])[0].loss
        self._carried, self._number = result.carried, number + 1
        return TakenStep(clock(self._device) - began, result.tokens, loss)


@contextmanager
def fresh_steps(
    config: RunConfig,
    equipment: Equipment,
    tokenizer: Tokenizer,
    store: TokenStore,
    listener: Listener = SILENT,
) -> Iterator[FreshSteps]:
    """Set the process up for the steps of a run; afterwards it is as it was before.

    Args:
        config: the run's settings.
        equipment: what to take them with.
        tokenizer: its tokenizer.
        store: its tokens.
        listener: told when compiling fails.

    Raises:
        DataError: when the text is too short for the batch.
        MemoryError, RuntimeError: when weights do not fit; see ``runs.memory``.
    """
    accelerators = [equipment.device] if equipment.device.type == "cuda" else []
    with equipment.in_use(), torch.random.fork_rng(accelerators):
        yield FreshSteps(config, equipment, tokenizer, store, listener)
