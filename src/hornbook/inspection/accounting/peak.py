"""The most memory that a training step takes, and in which moment.

While the forward pass goes up through the layers, what they keep piles up; the backward pass takes
it down again and leaves gradients behind. So one of four moments is the highest:

    loss        everything is kept, and the logits stand beside their probabilities and gradient
    last layer  everything but the loss's, and what the layer's own gradients need for a moment
    first layer little is kept any more, but nearly all gradients are there
    update      all gradients, and what the optimizer needs beside its state

    memory  ▲         ╱╲ loss
            │       ╱    ╲ last layer
            │     ╱        ╲___ first layer
            │   ╱              ╲_ update
            └──────────────────────────► time

What a kernel takes from the system by itself, memory that is reserved and not used, and the
program's own code are not in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from hornbook.inspection.accounting.activations import (
    activations,
    bytes_of,
    chunk_rows,
    in_chunks,
    kept_after_layers,
    kept_before_layers,
    kept_in_layer,
)
from hornbook.inspection.accounting.execution import LONG, Execution
from hornbook.inspection.accounting.sizes import Sizes
from hornbook.inspection.accounting.standing import (
    INDEX,
    counting,
    matrix_count,
    most_alike,
    optimizer_state,
    tables,
    weight_count,
)
from hornbook.models import BigramCountsConfig, TransformerConfig
from hornbook.models.feedforward import GATED
from hornbook.optimization import OptimizerConfig
from hornbook.optimization.newton_schulz import fast_dtype

TOLERANCE = 0.1
"""The share by which a measured peak may differ, as tests hold it on a CPU."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What of a training step memory depends on.

    Attributes:
        sizes: of the model and of one micro-batch.
        how: where and in which numbers it is computed.
        optimizer: its settings.
        checkpointing: whether blocks keep their input alone.
        accumulates: whether a batch comes in several micro-batches.
        trained: weights that are not frozen; ``None`` for all.
    """

    sizes: Sizes
    how: Execution
    optimizer: OptimizerConfig
    checkpointing: bool = False
    accumulates: bool = False
    trained: int | None = None

    @property
    def trained_weights(self) -> int:
        """Weights that are not frozen."""
        return weight_count(self.sizes) if self.trained is None else self.trained

    def with_batch(self, windows: int) -> Plan:
        """The same with so many windows at once."""
        sizes = Sizes.of(
            self.sizes.config,
            vocab_size=self.sizes.V.value,
            context_length=self.sizes.T.value,
            batch=windows,
        )
        return replace(self, sizes=sizes)


@dataclass(frozen=True, slots=True)
class Memory:
    """What a training step takes [bytes].

    Attributes:
        weights, tables, gradients, optimizer: what stands there; gradients only in a part of it.
        kept: what the forward pass keeps for the backward pass.
        moments: all memory that is in use in each of the moments of the step.
    """

    weights: int
    tables: int
    gradients: int
    optimizer: int
    kept: int
    moments: dict[str, int]

    @property
    def peak(self) -> int:
        """The most that is in use at once."""
        return max(self.moments.values())

    @property
    def moment(self) -> str:
        """When that is."""
        return max(self.moments, key=self.moments.__getitem__)


def training_memory(plan: Plan) -> Memory:
    """What a step of ``plan`` takes."""
    if isinstance(plan.sizes.config, BigramCountsConfig):
        return _counting(plan)
    sizes, how = plan.sizes, plan.how
    weights = LONG * weight_count(sizes)
    gradients = LONG * plan.trained_weights
    state = bytes_of(optimizer_state(sizes, plan.optimizer, plan.trained_weights))
    standing = weights + bytes_of(tables(sizes)) + state + _batch(sizes, how)
    begun = gradients if plan.accumulates else 0
    layers, last = _kept_by_layers(plan), bytes_of(kept_after_layers(sizes, how))
    first = bytes_of(kept_before_layers(sizes, how))
    head = LONG * sizes.V.value * sizes.d.value
    inside = _inside_of_layer(plan)
    moments = {
        "loss": standing + begun + first + layers + last + _beside_loss(plan),
        "last layer": standing + (begun or head) + first + layers + inside,
        "first layer": standing + gradients + first + inside + head,
        "update": standing + gradients + _beside_update(plan),
    }
    kept = first + layers + last
    return Memory(weights, bytes_of(tables(sizes)), gradients, state, kept, moments)


def _counting(plan: Plan) -> Memory:
    """Of the model that is counted instead of trained."""
    weights = LONG * weight_count(plan.sizes)
    return Memory(weights, 0, 0, 0, 0, {"counting": bytes_of(counting(plan.sizes))})


def largest_batch(plan: Plan, memory: int) -> int:
    """The most windows at once whose step takes no more than ``memory`` [bytes]; 0 if none do."""
    fits, too_many = 0, 1
    while too_many <= 1 << 24 and training_memory(plan.with_batch(too_many)).peak <= memory:
        fits, too_many = too_many, 2 * too_many
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if training_memory(plan.with_batch(middle)).peak <= memory:
            fits = middle
        else:
            too_many = middle
    return fits


def _batch(sizes: Sizes, how: Execution) -> int:
    """Tokens and targets; with documents their numbers too."""
    return sizes.tokens.value * INDEX * (4 if how.segmented else 2)


def _kept_by_layers(plan: Plan) -> int:
    sizes, how = plan.sizes, plan.how
    if not plan.checkpointing:
        everything = bytes_of(activations(sizes, how))
        ends = kept_before_layers(sizes, how) + kept_after_layers(sizes, how)
        return everything - bytes_of(ends)
    return LONG * sizes.L.value * sizes.tokens.value * sizes.d.value


def _inside_of_layer(plan: Plan) -> int:
    """What the gradients of one layer need beside what is kept, at their worst."""
    sizes, how, config = plan.sizes, plan.how, plan.sizes.config
    n, d = sizes.tokens.value, sizes.d.value
    if not isinstance(config, TransformerConfig):
        return 4 * LONG * n * d
    gates = 2 if config.feedforward in GATED else 1
    inside = LONG * 2 * n * d + how.width * gates * n * sizes.F.value
    layers = [kept_in_layer(sizes, how, number) for number in range(sizes.L.value)]
    if how.keeps_weights(sizes, sizes.T.value):
        # Feed-forward is done with by then; weights and scores have a gradient each.
        done = bytes_of([count for count in layers[-1] if count.part == "feed-forward"])
        square = n * sizes.H.value * sizes.T.value
        inside = max(inside, 2 * LONG * (n * d + square) - done)
    if plan.checkpointing:  # computed again; its input is kept in any case
        inside += max(map(bytes_of, layers)) - LONG * n * d
    return inside


def _beside_loss(plan: Plan) -> int:
    """What stands beside all that is kept while the loss and its gradient are computed."""
    sizes, how = plan.sizes, plan.how
    vocabulary, weight = sizes.V.value, sizes.V.value * sizes.d.value
    if not in_chunks(sizes, how):
        return 2 * LONG * sizes.tokens.value * vocabulary
    # Logits, short ones once more in float32, and their logarithmic probabilities.
    each = vocabulary * (how.width + LONG + (LONG if how.short else 0))
    rows, short = chunk_rows(sizes, how), weight * how.width if how.short else 0
    # The first chunk makes the gradient of the head, which counts as kept (short ones when most of
    # its logits are gone); a later chunk has its own beside it.
    first = rows * each + (short - LONG * weight if how.short else 0)
    later = min(rows, sizes.tokens.value - rows) * each + 2 * short + LONG * weight
    return max(first, later)


def _beside_update(plan: Plan) -> int:
    """What the optimizer needs while it moves the weights."""
    copies = LONG * plan.trained_weights  # before the step, to tell how far it moved them
    if plan.optimizer.kind != "muon":
        return copies
    return copies + _beside_iteration(plan)


def _beside_iteration(plan: Plan) -> int:
    """What Muon needs: an update of every matrix, and all matrices of one shape at once."""
    wanted = plan.optimizer.newton_schulz_precision
    on_cpu = plan.how.device == "cpu"
    fast = fast_dtype(torch.device("cpu")) if on_cpu else torch.bfloat16
    short = wanted == "bfloat16" or (wanted == "auto" and fast == torch.bfloat16)
    every, alike = matrix_count(plan.sizes), most_alike(plan.sizes)
    # Side by side, divided by their length, and in the numbers of the iteration.
    iterated = alike * (2 * LONG + (2 if short else LONG))
    left_over = (every - alike) * (2 if short else LONG)
    return LONG * every + iterated + left_over
