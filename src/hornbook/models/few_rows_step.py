"""The step of one token for a few rows, by kernels: ``one_row_step`` for rows that lie across.

    tokens ─► rows of the table ─► attention_rows ─► feedforward_rows ─► … ─► head_rows ─► logits
              numpy                ╰───────────── few_rows_block ───────────────────╯

Rows may have seen different numbers of tokens: each has its own place, and looks back as far as its
own first token.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from hornbook.models.few_rows import lanes_of
from hornbook.models.few_rows_block import attention_rows, feedforward_rows, head_rows, normed
from hornbook.models.kernel_parts import KernelParts
from hornbook.models.kv_cache import KVCache

RowsStep = Callable[[torch.Tensor, KVCache], torch.Tensor]
"""The newest token of each row, [rows], and the cache before them, to the logits of the next ones,
[rows, vocab_size]. The cache counts them in."""

MOST_ROWS = 64
"""The most rows for which kernels on one thread are quicker than PyTorch."""


def few_rows_step(parts: KernelParts) -> RowsStep:
    """The step of a transformer with these parts."""
    table, factor, places, first_norm = parts.table, parts.factor, parts.places, parts.first_norm
    layers, cosines, sines = parts.layers, parts.cosines, parts.sines

    def step(tokens: torch.Tensor, cache: KVCache) -> torch.Tensor:
        lengths = np.array(cache.lengths)
        rows, x = len(lengths), table[tokens.numpy()] * factor
        if places is not None:
            x += places[lengths]
        x = lanes_of(x)
        if first_norm is not None:
            x = normed(x, first_norm)
        turn = lanes_of(cosines[lengths]), lanes_of(sines[lengths])
        for layer, (attention, feedforward) in enumerate(layers):
            first, own = cache.place_of_one(layer)
            firsts = np.maximum(first, own - lengths)
            attention_rows(x, attention, *turn, *cache.arrays(layer), firsts, own)
            feedforward_rows(x, rows, feedforward)
        cache.advance(1)
        return parts.capped(head_rows(x, rows, parts.last_norm, parts.head))

    return step
