"""What stands in memory all the time while a model trains: weights, tables, gradients, state.

weights      4 bytes each          float32, whatever products are computed in
tables       masks, angles, waves  made once; the mask alone takes T × T bytes
gradients    4 bytes each          from the backward pass to the end of the step
optimizer    AdamW 8 a weight, Muon 4 a weight of a matrix and 8 of the rest, SGD 4
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hornbook.inspection.accounting.execution import LONG
from hornbook.inspection.accounting.parameters import Count, parameters
from hornbook.inspection.accounting.quantity import NOTHING, Quantity, quantity, symbol, total
from hornbook.inspection.accounting.sizes import GATES, Sizes
from hornbook.models import RecurrentConfig, TransformerConfig
from hornbook.models.feedforward import GATED
from hornbook.optimization import OptimizerConfig

INDEX = 8
"""Bytes of a whole number (``int64``)."""

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Of a number, by the types in which weights are kept or handed on."""


def weight_count(sizes: Sizes) -> int:
    """How many numbers the model learns."""
    return total(count.amount for count in parameters(sizes))


def matrix_count(sizes: Sizes) -> int:
    """How many of them are in matrices that Muon makes orthogonal: no tables, gains or head."""
    return total(
        count.amount
        for count in parameters(sizes)
        if count.part in ("attention", "feed-forward", "recurrent") and count.what != "biases"
    )


def most_alike(sizes: Sizes) -> int:
    """Numbers in the matrices of that shape, or its transpose, of which there are most."""
    c, s = sizes.config, sizes
    d, found = s.d.value, Counter[tuple[int, int]]()

    def add(rows: int, columns: int, times: int = 1) -> None:
        shape = min(rows, columns), max(rows, columns)
        found[shape] += times * rows * columns * s.L.value

    if isinstance(c, RecurrentConfig):
        add(d, d, 2 * GATES[c.kind])
    elif isinstance(c, TransformerConfig):
        add(d, s.F.value, 3 if c.feedforward in GATED else 2)
        add(d, d, 2 if c.attention == "multihead" or not c.q_latent else 1)
        add(d, (s.K * s.h).value, 2)
        add(d, s.c.value, 3 if s.c.value else 0)
        add(d, s.q.value, 2)
    return max(found.values(), default=0)


def tables(sizes: Sizes) -> list[Count]:
    """What is computed once and is not learned, in bytes.

    >>> sizes = Sizes.of(TransformerConfig(), vocab_size=512, context_length=16)
    >>> [(table.what, table.amount.formula) for table in tables(sizes)]
    [('mask', 'T × T'), ('places', '2 × T × 8'), ('angles', 'P × h × 4')]
    """
    config, s = sizes.config, sizes
    if not isinstance(config, TransformerConfig):
        return []
    found = [Count("other", "mask", s.T * s.T)]
    if any(config.windows):
        found.append(Count("other", "mask of the window", s.T * s.T))
    found.append(Count("other", "places", 2 * s.T * INDEX))
    if config.positions == "alibi":
        found.append(Count("other", "slopes", s.H * LONG))
    if config.positions == "sinusoidal":
        found.append(Count("other", "waves", s.P * s.d * LONG))
    if config.positions == "rotary":
        turned = s.h if config.rotated == config.head_size else quantity(config.rotated)
        found.append(Count("other", "angles", s.P * turned * LONG))
    return found


def counting(sizes: Sizes) -> list[Count]:
    """What it takes to count pairs of tokens and to turn counts into probabilities, in bytes."""
    pairs = sizes.V * sizes.V
    return [
        Count("head", "logarithms of probabilities", pairs * LONG),
        Count("head", "counts", pairs * INDEX),
        Count("head", "while they are divided", 3 * pairs * 8),
    ]


def optimizer_state(sizes: Sizes, optimizer: OptimizerConfig, trained: int) -> list[Count]:
    """What an optimizer remembers, in bytes.

    Args:
        sizes: of the model.
        optimizer: its settings.
        trained: weights that are not frozen.
    """
    every = symbol("parameters", trained)
    matrices = symbol("matrices", min(matrix_count(sizes), trained))
    return list(_state(optimizer, every, matrices))


def _state(optimizer: OptimizerConfig, every: Quantity, matrices: Quantity) -> Iterator[Count]:
    if optimizer.kind == "sgd":
        kept = every * LONG if optimizer.momentum else NOTHING
        yield Count("other", "momentum", kept)
    elif optimizer.kind == "adamw":
        yield Count("other", "mean of gradients", every * LONG)
        yield Count("other", "mean of squares", every * LONG)
    else:
        yield Count("other", "momentum of matrices", matrices * LONG)
        rest = every - matrices
        yield Count("other", "means of the rest", rest * (2 * LONG))
