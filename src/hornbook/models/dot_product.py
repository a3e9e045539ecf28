"""Scaled dot-product attention, by the kernel that is quickest for it.

    query keyᵀ / √head_size ─► mask ─► softmax ─► × value

PyTorch's fused kernel does it everywhere; but on a CPU it is slow in bfloat16, backwards above all.
There, short rows have a kernel of our own (``short_attention``), and longer ones are left to the
fused kernel in float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from hornbook.models.products import short_on_cpu
from hornbook.models.short_attention import LONGEST_ROW, short_attention


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
    if query.shape[2] == 1 and query.shape[1] != key.shape[1] and not causal:
        return _together(query, key, value, mask, dropout)
    if not short_on_cpu(query):
        return _fused(query, key, value, mask, causal, dropout)
    longest = max(query.shape[2], key.shape[2])
    if longest <= LONGEST_ROW and (causal or mask is not None) and not dropout:
        return short_attention(query, key, value, mask)
    with torch.autocast("cpu", enabled=False):
        if mask is not None and mask.dtype != torch.bool:
            mask = mask.float()
        return _fused(query.float(), key.float(), value.float(), mask, causal, dropout)


# One thread of a Zen 4, one query behind 1,000 tokens, each head by itself and together [ms]:
#   16 rows, 12 heads, one key of 288 (latent attention)   18.1   8.9
#    1 row                                                 0.98   0.27
#   16 rows, 12 heads, one key of 64 (multi-query)          3.3   2.3
#    1 row, 12 heads, two keys of 64                       0.23   0.11
def _together(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout: float,
) -> torch.Tensor:
    """For one new token: heads that share keys ask one after the other, as if they were tokens."""
    batch, heads, _, head_size = query.shape
    shared = key.shape[1], heads // key.shape[1]
    if mask is not None and mask.ndim > 2 and mask.shape[-3] == heads:
        mask = mask.squeeze(-2).unflatten(-2, shared)
    asked = query.reshape(batch, *shared, head_size)
    taken = dot_product_attention(asked, key, value, mask=mask, dropout=dropout)
    return taken.reshape(batch, heads, 1, -1)


def _fused(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    causal: bool,
    dropout: float,
) -> torch.Tensor:
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=causal,
        enable_gqa=query.shape[1] != key.shape[1],
    )
