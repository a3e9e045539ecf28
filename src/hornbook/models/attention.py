"""Self-attention: each token looks back at the tokens before it and takes what it needs.

Scaled dot-product attention with several heads (Vaswani et al., 2017), run by PyTorch's
fused kernel. With fewer heads for keys and values than for queries (``kv_heads``), groups of
query heads share one (Ainslie et al., 2023, "GQA"), and the cache shrinks by that factor.

Which token may see which is not decided here: that is the same in all layers, so ``attend``
comes from outside, made once a batch (``attention_paths``).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from hornbook.models.kv_cache import KVCache
from hornbook.models.positions import rotate

Rotation = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines for the tokens at hand; see ``positions.rotate`` for the shapes."""

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
"""Queries [batch, heads, time, head_size], keys and values [batch, kv_heads, keys, head_size] and
the share of attention weights to zero, to what each query takes, shaped as the queries."""


class Attention(nn.Module):
    """Self-attention: [batch, time, d_model] to the same shape.

    Args:
        d_model: width of a token's vector.
        heads: query heads; ``d_model / heads`` is the size of one.
        kv_heads: heads for keys and values, a divisor of ``heads``.
        bias: whether the matrices add a learned vector.
        dropout: share of outputs zeroed in training.
        attention_dropout: share of attention weights zeroed in training.
    """

    # Dropout of attention weights takes PyTorch's fused kernel out of play on a CPU: a step of
    # the preset small took 233 ms with it and 190 ms without, so it has a setting of its own.

    def __init__(
        self,
        d_model: int,
        heads: int,
        kv_heads: int,
        *,
        bias: bool,
        dropout: float,
        attention_dropout: float,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads = heads, kv_heads
        self.head_size = d_model // heads
        self.attention_dropout = attention_dropout
        # One joint matrix, in the order query, key, value: a single product is faster.
        self.qkv = nn.Linear(d_model, (heads + 2 * kv_heads) * self.head_size, bias=bias)
        key_rows = kv_heads * self.head_size
        self.joint_rows = {"qkv.weight": (d_model, key_rows, key_rows)}
        self.output = nn.Linear(d_model, d_model, bias=bias)
        self.output_dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: torch.Tensor,
        *,
        rotation: Rotation | None,
        attend: Attend,
        cache: KVCache | None,
        layer: int,
    ) -> torch.Tensor:
        """Attend.

        Args:
            x: [batch, time, d_model].
            rotation: turns queries and keys to their positions; ``None`` without rotary.
            attend: lets each query look at the keys that it may see.
            cache: earlier tokens' keys and values; this call's are written behind them.
            layer: this layer's place in the cache.

        Returns:
            [batch, time, d_model].
        """
        batch, time, d_model = x.shape
        sizes = [n * self.head_size for n in (self.heads, self.kv_heads, self.kv_heads)]
        query, key, value = (
            part.view(batch, time, -1, self.head_size).transpose(1, 2)
            for part in self.qkv(x).split(sizes, dim=-1)
        )
        if rotation is not None:
            query, key = rotate(query, *rotation), rotate(key, *rotation)
        if cache is not None:
            key, value = cache.extend(layer, key, value)
        attended = attend(query, key, value, self.attention_dropout if self.training else 0.0)
        joined = attended.transpose(1, 2).reshape(batch, time, d_model)
        return self.output_dropout(self.output(joined))
