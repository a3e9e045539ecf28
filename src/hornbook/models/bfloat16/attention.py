"""Causal attention of short rows, head by head: a node of the graph around ``attention_loops``.

A head of 64 tokens has scores, weights and gradients of 40 KB together, which never leave the
cache when one head is finished before the next is begun. One thread of a Zen 4, 12 rows of 64
tokens, 4 heads of 32, in microseconds:

                                                     forward   backward
    products of all heads at once (short_attention)      710      1,480
    head by head                                         334        508
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from hornbook.models.bfloat16.attention_loops import attend, attend_backwards, padded
from hornbook.models.bfloat16.choice import COLUMNS
from hornbook.models.bfloat16.memory import pairs_of, shorts_of

SHORT = torch.bfloat16


def fits(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether the loops can work on heads of these sizes."""
    sizes = query.shape[-1], value.shape[-1]
    return query.shape[2] == key.shape[2] and all(size % COLUMNS == 0 for size in sizes)


def attention_by_heads(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """What each query takes from the keys up to its own.

    Args:
        query: [batch, heads, time, size].
        key: [batch, kv_heads, time, size]; ``kv_heads`` divides ``heads``.
        value: [batch, kv_heads, time, value_size].

    Returns:
        [batch, heads, time, value_size] ``bfloat16``; in memory, time comes before heads.
    """
    return _AttentionByHeads.apply(query, key, value)  # pyright: ignore[reportReturnType]


class _AttentionByHeads(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        batch, heads, time, size = query.shape
        rows = padded(time)
        weights = torch.empty(batch, heads, rows, rows, dtype=SHORT)
        out = torch.empty(batch, time, heads, value.shape[-1], dtype=SHORT)
        ctx.scale = np.float32(1 / math.sqrt(size))
        parts = [part.to(SHORT) for part in (query, key, value)]
        ctx.save_for_backward(*parts, weights)
        ctx.types = query.dtype, key.dtype, value.dtype
        attend(
            _heads_of(parts[0]),
            _heads_of(parts[1]),
            _heads_of(parts[2]),
            ctx.scale,
            shorts_of(weights),
            pairs_of(weights),
            shorts_of(out),
        )
        return out.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        query, key, value, weights = ctx.saved_tensors
        found = [
            torch.empty_like(part.transpose(1, 2), memory_format=torch.contiguous_format)
            for part in (query, key, value)
        ]
        attend_backwards(
            _heads_of(query),
            _heads_of(key),
            _heads_of(value),
            _heads_of(gradients[0].to(SHORT)),
            ctx.scale,
            shorts_of(weights),
            pairs_of(weights),
            shorts_of(found[0]),
            shorts_of(found[1]),
            shorts_of(found[2]),
        )
        return tuple(
            part.transpose(1, 2).to(kind) for part, kind in zip(found, ctx.types, strict=True)
        )


def _heads_of(tensor: torch.Tensor) -> np.ndarray:
    """[batch, heads, time, size] as pairs, in an order of memory that is the same in all models.

    Numba compiles a loop anew for arrays whose dimensions lie in order. Those of joint queries,
    keys and values do not, and others are laid out as they do.
    """
    heads = tensor.shape[1]
    if heads > 1 and not tensor.is_contiguous():
        return pairs_of(tensor)
    wider = torch.empty(*tensor.shape[:3], tensor.shape[3] + 2, dtype=SHORT)
    return pairs_of(wider[..., : tensor.shape[3]].copy_(tensor))
