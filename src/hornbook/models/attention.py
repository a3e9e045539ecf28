"""Self-attention: each token looks back at the tokens before it and takes what it needs.

Scaled dot-product attention with several heads (Vaswani et al., 2017), run by PyTorch's
fused kernel. With fewer heads for keys and values than for queries (``kv_heads``), groups of
query heads share one (Ainslie et al., 2023, "GQA"), and the cache shrinks by that factor.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from hornbook.models.kv_cache import KVCache
from hornbook.models.positions import rotate

Rotation = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines for the tokens at hand; see ``positions.rotate`` for the shapes."""


class Attention(nn.Module):
    """Causal self-attention: [batch, time, d_model] to the same shape.

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
        self.output = nn.Linear(d_model, d_model, bias=bias)
        self.output_dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: torch.Tensor,
        *,
        rotation: Rotation | None,
        mask: torch.Tensor | None,
        cache: KVCache | None,
        layer: int,
    ) -> torch.Tensor:
        """Attend.

        Args:
            x: [batch, time, d_model].
            rotation: turns queries and keys to their positions; ``None`` without rotary.
            mask: bool, True where a query (row) may see a key (column), broadcast to
                [batch, heads, time, keys]; ``None`` is plainly causal.
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
        attended = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=self.attention_dropout if self.training else 0.0,
            # The fused kernel aligns its own causal mask at the top left, which is right
            # only for queries that start with the keys; a lone new token sees everything.
            is_causal=mask is None and time > 1,
            enable_gqa=self.kv_heads != self.heads,
        )
        joined = attended.transpose(1, 2).reshape(batch, time, d_model)
        return self.output_dropout(self.output(joined))
