"""Self-attention: each token looks back at the tokens before it and takes what it needs.

Scaled dot-product attention with several heads (Vaswani et al., 2017), run by PyTorch's
fused kernel. With fewer heads for keys and values than for queries (``kv_heads``), groups of
query heads share one (Ainslie et al., 2023, "GQA"), and the cache shrinks by that factor.

Which token may see which is not decided here: that is the same in many layers, so ``attend``
comes from outside, made once a batch (``sight``).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from hornbook.models.dot_product import dot_product_attention
from hornbook.models.kv_cache import KVCache, TokenCache
from hornbook.models.linear import Linear
from hornbook.models.norms import EPSILON, RMSNorm
from hornbook.models.rotary import Rotation, rotate

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
"""Queries [batch, heads, time, head_size], keys and values [batch, kv_heads, keys, head_size] and
the share of attention weights to zero, to what each query takes, shaped as the queries."""


def causal_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float
) -> torch.Tensor:
    """Every query sees all keys up to its own; see ``Attend``."""
    # The kernels align their own causal mask at the top left, which is right only for queries
    # that start with the keys; a lone new token sees everything.
    causal = query.shape[2] > 1
    return dot_product_attention(query, key, value, causal=causal, dropout=dropout)


class Attention(nn.Module):
    """Self-attention: [batch, time, d_model] to the same shape.

    Args:
        d_model: width of a token's vector.
        heads: query heads; ``d_model / heads`` is the size of one.
        kv_heads: heads for keys and values, a divisor of ``heads``.
        bias: whether the matrices add a learned vector.
        dropout: share of outputs zeroed in training.
        attention_dropout: share of attention weights zeroed in training.
        qk_norm: whether queries and keys get an RMSNorm, each head by itself and before they are
            rotated (Henry et al., 2020; Dehghani et al., 2023).
        norm_gain: whether these norms have learned gains.
        norm_epsilon: what they add to the mean square.
        scale: what scores are multiplied by, beside the usual 1 / sqrt(head size).

    Attributes:
        qkv: [d_model] to [(heads + 2 × kv_heads) × head_size]: queries, keys, values.
        output: [heads × head_size] to [d_model].

    >>> Attention(16, heads=4, kv_heads=2)(torch.randn(2, 5, 16)).shape
    torch.Size([2, 5, 16])
    """

    # Dropout of attention weights takes PyTorch's fused kernel out of play on a CPU: a step of
    # the preset small took 233 ms with it and 190 ms without, so it has a setting of its own.

    def __init__(
        self,
        d_model: int,
        heads: int,
        kv_heads: int,
        *,
        bias: bool = False,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        qk_norm: bool = False,
        norm_gain: bool = True,
        norm_epsilon: float = EPSILON,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.scale = heads, kv_heads, scale
        self.head_size = d_model // heads
        self.attention_dropout = attention_dropout
        # One joint matrix, in the order query, key, value: a single product is faster.
        self.qkv = Linear(d_model, (heads + 2 * kv_heads) * self.head_size, bias=bias)
        key_rows = kv_heads * self.head_size
        self.joint_rows = {"qkv.weight": (d_model, key_rows, key_rows)}
        self.query_norm = self.key_norm = None
        if qk_norm:
            self.query_norm, self.key_norm = (
                RMSNorm(self.head_size, epsilon=norm_epsilon, gain=norm_gain) for _ in range(2)
            )
        self.output = Linear(d_model, d_model, bias=bias)
        self.output_dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: torch.Tensor,
        *,
        rotation: Rotation | None = None,
        attend: Attend = causal_attention,
        cache: TokenCache | None = None,
        layer: int = 0,
        values: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend.

        Args:
            x: [batch, time, d_model].
            rotation: turns queries and keys to their positions; ``None`` without rotary.
            attend: lets each query look at the keys that it may see.
            cache: earlier tokens' keys and values; this call's are written behind them.
            layer: this layer's place in the cache.
            values: [batch, time, kv_heads × head_size] to add to what the tokens' values are.

        Returns:
            [batch, time, d_model].
        """
        batch, time, d_model = x.shape
        sizes = [n * self.head_size for n in (self.heads, self.kv_heads, self.kv_heads)]
        query, key, value = (
            part.view(batch, time, -1, self.head_size).transpose(1, 2)
            for part in self.qkv(x).split(sizes, dim=-1)
        )
        if values is not None:
            value = value + values.view(batch, time, -1, self.head_size).transpose(1, 2)
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        if self.scale != 1:
            query = query * self.scale
        if rotation is not None:
            query, key = rotate(query, *rotation), rotate(key, *rotation)
        if cache is not None:
            assert isinstance(cache, KVCache)
            key, value = cache.extend(layer, key, value)
        attended = attend(query, key, value, self.attention_dropout if self.training else 0.0)
        joined = attended.transpose(1, 2).reshape(batch, time, d_model)
        return self.output_dropout(self.output(joined))
