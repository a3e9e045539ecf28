"""Attention in bfloat16 on a CPU, written out as products: for training on short rows.

PyTorch's fused kernel works through a row in pieces, never has all weights in memory, and skips
what lies in the future; long rows need that. For short ones products of whole matrices are quicker,
above all backwards, where the fused kernel is slow in bfloat16:

    scores   = query keyᵀ × scale + mask     [batch × heads, time, time]
    weights  = softmax(scores)               exponentials and sums in float32
    attended = weights value

Query heads that share keys and values stand below each other, as more rows of the same product.
What may not be seen gets a score so low that its weight is zero exactly.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from hornbook.models.products import SHORT

UNSEEN = -1e30
"""The score of what may not be seen. Not -inf: a row that sees nothing would become NaN."""

# One thread of a Zen 4, 4 heads of 32, 4,096 tokens a batch, forward and backward [ms]:
#   tokens in a row             16    32    64   128   256   512  1,024
#   this one                   2.1   2.0   3.5   5.5   9.9    19     36
#   the fused one, float32     3.2   3.2   4.1   5.6   8.6    16     24
#   the fused one, bfloat16     18    12    11    13    12    19     22
#
# Tried and left out: Numba loops around VDPBF16PS that do the same head by head, and a feed-forward
# part as one node. Alone they took 0.4 of the time of these products; within a step of the preset
# nanogpt-cpu, whose 37 ms are 20 of oneDNN's products and 6 of attention, they won 2 to 10 %, for
# 1,300 lines and half a minute of compiling.
LONGEST_ROW = 128
"""Longer rows are left to the fused kernel in float32 [tokens]."""


def short_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """What each query takes, by products in bfloat16.

    Args:
        query: [batch, heads, time, head_size].
        key: [batch, kv_heads, keys, head_size]; ``kv_heads`` divides ``heads``.
        value: [batch, kv_heads, keys, value_size].
        mask: bool, True where a query (row) may see a key (column), or what is added to scores;
            can be broadcast to [batch, heads, time, keys]. ``None`` lets every query see all keys
            up to its own, of which there are as many as queries.

    Returns:
        [batch, heads, time, value_size] ``bfloat16``.
    """
    lowered = _causal(key.shape[2]) if mask is None else _added(mask)
    return _ShortAttention.apply(query, key, value, lowered)  # pyright: ignore[reportReturnType]


class _ShortAttention(torch.autograd.Function):
    """[batch, heads, time, head_size] queries, and keys and values of as many or fewer heads."""

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        batch, heads, time, head_size = query.shape
        kv_heads = key.shape[1]
        pairs, rows = batch * kv_heads, heads // kv_heads * time
        q = query.to(SHORT).reshape(pairs, rows, head_size)
        k, v = (part.to(SHORT).flatten(0, 1) for part in (key, value))
        if rows != time or mask.ndim > 2:
            mask = mask.expand(batch, heads, time, -1).reshape(pairs, rows, -1)
        scale = 1 / math.sqrt(head_size)
        weights = torch.baddbmm(mask, q, k.mT, alpha=scale).softmax(-1)
        ctx.save_for_backward(q, k, v, weights)
        ctx.scale = scale
        ctx.shapes = query.shape, key.shape, value.shape
        ctx.types = query.dtype, key.dtype, value.dtype
        return torch.bmm(weights, v).view(batch, heads, time, -1)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        gradient = gradients[0].to(SHORT).reshape(*q.shape[:2], -1)
        for_value = torch.bmm(weights.mT, gradient)
        for_weights = torch.bmm(gradient, v.mT)
        for_scores = torch._softmax_backward_data(for_weights, weights, -1, SHORT)
        for_scores *= ctx.scale
        found = torch.bmm(for_scores, k), torch.bmm(for_scores.mT, q), for_value
        shaped = (part.view(shape) for part, shape in zip(found, ctx.shapes, strict=True))
        return *(part.to(kind) for part, kind in zip(shaped, ctx.types, strict=True)), None


@cache
def _causal(time: int) -> torch.Tensor:
    """[time, time] what is added to the scores: nothing up to each query's own place."""
    return _added(torch.ones(time, time, dtype=torch.bool).tril())


def _added(mask: torch.Tensor) -> torch.Tensor:
    """A mask of either kind as what is added to scores, nowhere below ``UNSEEN``."""
    if mask.dtype == torch.bool:
        return torch.zeros(mask.shape, dtype=SHORT).masked_fill(~mask, UNSEEN)
    return mask.clamp(min=UNSEEN).to(SHORT)
