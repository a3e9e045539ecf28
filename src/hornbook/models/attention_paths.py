"""Ways to let each token see the tokens before it in its own document, and which to take.

All give the same result, within rounding; they differ in what they compute for nothing.

    causal      nothing but the order and the distance count: one document a row
    masked      a dense mask of [time, time], made once a batch: works everywhere, and every
                other way is measured against it
    documents   on a CPU, for long or padded rows: documents beside each other instead of
                behind each other, and no mask (``document_layout``)
    blocks      on CUDA, for long rows: a mask in blocks, most of which are skipped
                (``block_attention``)
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

import torch

from hornbook.models.attention import Attend
from hornbook.models.dot_product import dot_product_attention
from hornbook.models.soft_cap import capped_attention

AttentionPath = Literal["causal", "masked", "documents", "blocks"]
"""The ways; see the module's text."""

# One CPU thread, 4 layers of 128, forward and backward, dense mask against documents:
#   full rows of 64, 128, 256, 512, 1,024 tokens: 0.9, 0.95, 1.15, 1.3, 1.8 times as quick
#   rows of 64 and 128 tokens half of which is padding: 2.0 and 1.5 times as quick
#   the same 16 wide, with 1 layer: 1.0 and 1.1; of 16 tokens: 0.7
SHORTEST_DOCUMENT_ROW = 256
"""Full rows below it are quicker with a dense mask on a CPU [tokens]."""

SHORTEST_PADDED_ROW = 32
"""Rows below it are quicker with a dense mask on a CPU, even with padding [tokens]."""

MOSTLY_FILLED = 0.9
"""Rows with at least this share of tokens are not shortened enough by leaving padding out."""

SHORTEST_BLOCKED_ROW = 1024
"""Rows below it are as quick with a dense mask on a CUDA device [tokens]."""

SHORTEST_CAPPED_ROW = 256
"""Rows below it are as quick with a matrix of capped scores on a CUDA device [tokens]."""

BLOCKED_HEAD_SIZES = (16, 32, 64, 128, 256)
"""The sizes of a head that FlexAttention's kernels are made for."""


def attention_path(
    *,
    device: str,
    segmented: bool,
    time: int,
    head_size: int,
    filled: float = 1.0,
    attention_dropout: float = 0.0,
    can_compile: bool = True,
    cached: bool = False,
    window: int = 0,
    biased: bool = False,
    capped: bool = False,
) -> AttentionPath:
    """Choose the way for a batch.

    Args:
        device: the type of the device: cpu, cuda, mps.
        segmented: whether a row may hold several documents, or padding.
        time: tokens in a row.
        head_size: numbers in one head.
        filled: tokens to compute without padding, for each place of the rows; only read on a CPU.
        attention_dropout: share of attention weights that is zeroed, 0 where nothing is.
        can_compile: whether kernels can be made for a CUDA device.
        cached: whether the tokens come behind others of a cache, and are few or of any number.
        window: how many of the last tokens some layers see, 0 where all see all.
        biased: whether scores fall with distance (ALiBi).
        capped: whether scores are capped.

    >>> attention_path(device="cpu", segmented=True, time=512, head_size=32)
    'documents'
    >>> attention_path(device="cuda", segmented=True, time=2048, head_size=64)
    'blocks'
    >>> attention_path(device="cuda", segmented=True, time=512, head_size=64)
    'masked'
    >>> attention_path(device="cuda", segmented=False, time=2048, head_size=64, window=512)
    'blocks'
    """
    if cached:
        return "causal"
    if device == "cpu" and segmented:
        padded = time >= SHORTEST_PADDED_ROW and 0 < filled < MOSTLY_FILLED
        long = time >= SHORTEST_DOCUMENT_ROW and filled > 0
        return "documents" if padded or long else "masked"
    blocked = can_compile and head_size in BLOCKED_HEAD_SIZES and not attention_dropout
    shortest = SHORTEST_CAPPED_ROW if capped else SHORTEST_BLOCKED_ROW
    # Plain rows in order need no mask, and the fused kernel is the quickest there is for them.
    needs_more = segmented or 0 < window < time or biased or capped
    if device == "cuda" and blocked and needs_more and time >= shortest:
        return "blocks"
    return "masked" if segmented else "causal"


def can_compile() -> bool:
    """Whether PyTorch can make kernels for a CUDA device: it needs Triton."""
    return find_spec("triton") is not None


def masked_attention(mask: torch.Tensor | None, cap: float = 0.0) -> Attend:
    """Attention under a mask.

    Args:
        mask: bool, True where a query (row) may see a key (column), or what is added to scores;
            can be broadcast to [batch, heads, time, keys]. Where there are fewer queries or
            keys than rows or columns, it is for the last ones. ``None`` lets all see all.
        cap: what no score reaches (``soft_cap``); 0 for none.
    """

    def attend(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float
    ) -> torch.Tensor:
        seen = None if mask is None else mask[..., -query.shape[2] :, -key.shape[2] :]
        if cap:
            return capped_attention(query, key, value, seen, cap=cap, dropout=dropout)
        if seen is not None and seen.dtype != torch.bool:
            seen = seen.to(query.dtype)
        return dot_product_attention(query, key, value, mask=seen, dropout=dropout)

    return attend
