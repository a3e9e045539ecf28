"""A range test: train a model that is thrown away, at a learning rate that grows at every step.

Batches, objective, optimizer and clipping are those of the run that would be trained; only the
schedule, the batch ramp and everything that writes to the disk are left out.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from hornbook.data import TokenStore
from hornbook.errors import ConfigError, Problem
from hornbook.listener import SILENT, Listener
from hornbook.models import LanguageModel
from hornbook.optimization import fitting_tensors, load_optimizer_tensors
from hornbook.optimization.rate_range import FEWEST, RateRange, growing_rates, has_climbed
from hornbook.randomness import stream_seed
from hornbook.runs.assembly import make_batches, make_optimizer, make_trainable
from hornbook.runs.checkpoints import Checkpoint
from hornbook.runs.config import RunConfig
from hornbook.runs.memory import explained_memory
from hornbook.tokenizers import Tokenizer
from hornbook.training.equipment import Equipment, choose_equipment, make_step
from hornbook.training.expected_memory import expect_memory
from hornbook.training.step import NotFinite, micro_batches, not_finite, read

LOWEST, HIGHEST = 1e-6, 10.0
"""The range that a test covers unless told otherwise."""
STEPS = 100


def range_test(
    config: RunConfig,
    tokenizer: Tokenizer,
    store: TokenStore,
    *,
    checkpoint: Checkpoint | None = None,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    steps: int = STEPS,
    listener: Listener = SILENT,
) -> RateRange:
    """Raise the learning rate from ``lowest`` to ``highest`` and note the losses.

    Args:
        config: the run's settings; ``training.learning_rate`` is what is varied.
        tokenizer: its tokenizer.
        store: its tokens.
        checkpoint: weights, optimizer state and place in the data to begin with; drawn weights
            unless given.
        lowest, highest: the learning rates of the first and the last step.
        steps: how many.
        listener: who watches.

    Raises:
        ConfigError: when the range is empty, or the model is not trained by gradients.
        RunError: when a step does not fit into memory.
    """
    _refuse_impossible(config, lowest, highest, steps)
    equipment = choose_equipment(config)
    expect_memory(config, equipment, tokenizer.vocab_size, listener)
    model = make_trainable(config, tokenizer)
    rates, losses, broke_off = [], [], ""
    accelerators = [equipment.device] if equipment.device.type == "cuda" else []
    size = config.training.micro_batch_size or config.training.batch_size
    remedy = f"Set training.micro_batch_size to less, such as {max(size // 2, 1)}."
    with (
        equipment.in_use(),
        torch.random.fork_rng(accelerators),
        explained_memory(f"A step with {size} windows at once", remedy),
        listener.progress("raising the learning rate", total=steps, unit="steps") as progress,
    ):
        step = _stepper(config, equipment, model, store, checkpoint)
        for number, rate in enumerate(growing_rates(lowest, highest, steps)):
            try:
                loss = step(number, rate)
            except NotFinite as error:
                broke_off = error.what
                break
            rates.append(rate)
            losses.append(loss)
            progress.advance(1)
            if has_climbed(losses):
                broke_off = f"the loss had climbed from {losses[0]:.2f} to {loss:.2f}"
                break
    return RateRange(tuple(rates), tuple(losses), broke_off)


def _stepper(
    config: RunConfig,
    equipment: Equipment,
    model: LanguageModel,
    store: TokenStore,
    checkpoint: Checkpoint | None,
) -> Callable[[int, float], float]:
    """A function that takes step ``number`` with ``training.learning_rate`` = ``rate``."""
    plan, batches = config.training, make_batches(config, store)
    first = 0
    if checkpoint is not None:
        checkpoint.verify()
        checkpoint.load_model(model)
        first = checkpoint.state().examples_seen
    model.to(equipment.device).train()
    optimizer = make_optimizer(config, model)
    if checkpoint is not None:
        kept = fitting_tensors(optimizer, model, checkpoint.optimizer_tensors())
        load_optimizer_tensors(optimizer, model, kept)
    step = make_step(config, equipment, model, optimizer)

    def loss_after(number: int, rate: float) -> float:
        begin = first + number * plan.batch_size
        parts = micro_batches(batches.training, begin, plan.batch_size, plan.micro_batch_size)
        result = step(
            [part.to(equipment.device) for part in parts],
            learning_rate=plan.model_copy(update={"learning_rate": rate}).peak_learning_rate,
            dropout_seed=stream_seed(config.seed, "dropout", number),
        )
        reading = read([result])[0]
        if not reading.applied:
            raise not_finite(result, reading)
        return reading.loss

    return loss_after


def _refuse_impossible(config: RunConfig, lowest: float, highest: float, steps: int) -> None:
    problems = []
    if config.model.kind == "bigram_counts":
        message = "has no learning rate: it is counted, not trained; use model.kind=bigram"
        problems.append(Problem("model.kind", message, config.model.kind))
    if not 0 < lowest < highest < float("inf"):
        message = "is no range; the first must be above 0 and below the second, as in 1e-6 to 10"
        problems.append(Problem("lr-find", message, f"{lowest:g} to {highest:g}"))
    if steps < FEWEST:
        problems.append(Problem("steps", f"are too few to show anything; use {FEWEST} or more",
                                str(steps)))  # fmt: skip
    if problems:
        raise ConfigError(problems)
