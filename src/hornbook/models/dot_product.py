"""Scaled dot-product attention, by the kernel that is quickest for it.

    query keyᵀ / √head_size ─► mask ─► softmax ─► × value

PyTorch's fused kernel does it everywhere. On a CPU in bfloat16 there is one of our own for rows
that are not long (``short_attention``).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from hornbook.models.short_attention import short_attention, takes_products


def dot_product_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    mask: torch.Tensor | None = None,
    causal: bool = False,
    dropout: float = 0.0,
) -> torch.Tensor:
    """What each query takes.

    Args:
        query: [batch, heads, time, head_size].
        key: [batch, kv_heads, keys, head_size]; groups of heads share one.
        value: [batch, kv_heads, keys, value_size].
        mask: bool, True where a query (row) may see a key (column), or what is added to scores;
            can be broadcast to [batch, heads, time, keys].
        causal: instead of a mask, every query sees all keys up to its own; as many as queries.
        dropout: share of attention weights to zero.

    Returns:
        [batch, heads, time, value_size].
    """
    if (causal or mask is not None) and not dropout and takes_products(query, key):
        return short_attention(query, key, value, mask)
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=causal,
        enable_gqa=query.shape[1] != key.shape[1],
    )
