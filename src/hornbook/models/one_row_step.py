"""The step of one token for a single row, by kernels: a call for each half of a layer.

    token ─► row of the table ─► attention_row ─► feedforward_row ─► … ─► head_row ─► logits
             numpy               ╰───────────── one_row_block ──────────────────╯

Between the kernels nothing is left to do but to tell them where in the cache the token's keys and
values go.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from hornbook.models.kernel_parts import KernelParts
from hornbook.models.kv_cache import KVCache
from hornbook.models.one_row_block import attention_row, feedforward_row, head_row, norm_row

RowStep = Callable[[int, KVCache], torch.Tensor]
"""The row's newest token and the cache before it, to the logits of the next one, [1, vocab_size].
The cache counts it in."""


def one_row_step(parts: KernelParts) -> RowStep:
    """The step of a transformer with these parts."""
    table, factor, places, first_norm = parts.table, parts.factor, parts.places, parts.first_norm
    layers, cosines, sines = parts.layers, parts.cosines, parts.sines

    def step(token: int, cache: KVCache) -> torch.Tensor:
        length = cache.length
        x = table[token] * factor
        if places is not None:
            x += places[length]
        if first_norm is not None:
            norm_row(x, first_norm, x)
        turn = cosines[length], sines[length]
        for layer, (attention, feedforward) in enumerate(layers):
            own = cache.place_of_one(layer)
            attention_row(x, attention, *turn, *cache.arrays(layer), *own)
            feedforward_row(x, feedforward)
        cache.advance(1)
        return parts.capped(head_row(x, parts.last_norm, parts.head))

    return step
