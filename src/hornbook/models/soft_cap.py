"""Attention with soft-capped scores (Gemma Team, 2024, "Gemma 2", section 2).

A score s becomes ``cap * tanh(s / cap)``: small ones stay, none leaves (-cap, cap), so that no
token takes all of the attention because of one large product.

    cap 50      s    1     10    50    500
                     1.0   9.9   38.1  50.0

PyTorch's fused kernels do not know this, so the softmax is written out here, with a matrix of
scores for each head. On CUDA, FlexAttention does without it (``block_attention``).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def capped_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    *,
    cap: float,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Scaled dot-product attention whose scores are capped before the mask.

    Args:
        query: [batch, heads, time, head_size].
        key: [batch, kv_heads, keys, head_size].
        value: [batch, kv_heads, keys, head_size].
        mask: bool, True where a query may see a key, or numbers to add to the capped scores; can
            be broadcast to [batch, heads, time, keys]. ``None`` lets all see all.
        cap: what no score reaches; 0 for none.
        dropout: share of attention weights to zero.

    Returns:
        [batch, heads, time, head_size].
    """
    batch, heads, time, head_size = query.shape
    kv_heads, keys = key.shape[1:3]
    # Heads that share keys ask one after the other, so that keys need not be repeated.
    together = batch, kv_heads, heads // kv_heads * time
    asked = query.reshape(*together, head_size) * (1 / math.sqrt(head_size))
    # Scores and softmax in float32, as the fused kernels do.
    scores = (asked @ key.transpose(-2, -1)).float().view(batch, heads, time, keys)
    if cap:
        scores = cap * torch.tanh(scores / cap)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, float("-inf"))
    elif mask is not None:
        scores = scores + mask
    weights = F.dropout(scores.softmax(dim=-1), dropout, training=dropout > 0)
    taken = weights.to(value.dtype).view(*together, keys) @ value
    return taken.view(batch, heads, time, value.shape[-1])
