"""Packed rows on a CUDA device: blocks of the mask in which nobody may look are never computed.

FlexAttention (Dong et al., 2024, "Flex Attention: A Programming Model for Generating Optimized
Attention Kernels") cuts the mask into blocks of 128 × 128 and is told of each block whether it
is empty, full or mixed; only in mixed ones it asks who may see whom. That is known from the
segments at the borders of the blocks alone, since documents follow each other in a row:

    segments of 4 blocks    0 0 | 0 1 | 2 2 | 2 2        #  .  .  .      # mixed
                                                         #  #  .  .      @ full
                                                         .  .  #  .      . never computed
                                                         .  .  @  #

With a window, blocks that lie too far back fall away too. So no mask of [time, time] is ever
made, and scores that fall with distance or are capped are changed as they arise. The kernel is
compiled once for a shape of batch; what changes from batch to batch are numbers in tensors of a
fixed shape.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from hornbook.models.attention import Attend

BLOCK = 128
"""Tokens on each side of a block: FlexAttention's own default."""


def block_attention(
    segments: torch.Tensor,
    *,
    window: int = 0,
    slopes: torch.Tensor | None = None,
    cap: float = 0.0,
) -> Attend:
    """Attention within the documents of ``segments`` ([batch, time] ``int64``).

    Without dropout of attention weights, which FlexAttention does not know.

    Args:
        segments: the number of each token's document in its row.
        window: how many of the last tokens each one sees, itself counted in; 0 for all.
        slopes: [heads] ``float32``, by how much a score falls a token of distance (``alibi``).
        cap: what no score reaches (``soft_cap``); 0 for none.
    """
    block_mask = sawtooth_blocks(segments, window)
    score = _score(slopes, cap)

    def attend(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float
    ) -> torch.Tensor:
        assert not dropout, "attention_path chooses another way where weights are dropped"
        grouped = query.shape[1] != key.shape[1]
        return _kernel(query.device.type)(
            query, key, value, score_mod=score, block_mask=block_mask, enable_gqa=grouped
        )

    return attend


def sawtooth_blocks(segments: torch.Tensor, window: int = 0) -> BlockMask:
    """The mask of ``masks.sawtooth``, and of ``masks.band``, in blocks.

    Args:
        segments: [batch, time] ``int64``, the number of each token's document in its row.
        window: how many of the last tokens each one sees; 0 for all.

    >>> blocks = sawtooth_blocks(torch.tensor([[0] * 300 + [1] * 84]))
    >>> blocks.kv_num_blocks.tolist(), blocks.full_kv_num_blocks.tolist()
    ([[[1, 1, 3]]], [[[0, 1, 0]]])
    """
    documents = _numbered(segments)
    time = documents.shape[1]
    count = -(-time // BLOCK)
    edges = torch.arange(count, device=segments.device) * BLOCK
    first = documents[:, edges]
    last = documents[:, (edges + BLOCK - 1).clamp(max=time - 1)]
    before = torch.ones(count, count, dtype=torch.bool, device=segments.device).tril(-1)
    seen = before & (last[:, None, :] >= first[:, :, None])
    # A query block that lies in one document sees all of an earlier block of that document. The
    # last one is full only if it is whole, as FlexAttention counts it.
    whole = edges + BLOCK <= time
    full = seen & (first[:, None, :] == last[:, :, None]) & whole[:, None]
    if window:
        apart = edges[:, None] - edges[None, :]
        seen = seen & (apart - (BLOCK - 1) < window)
        full = full & (apart + (BLOCK - 1) < window)
    mixed = (seen & ~full) | torch.eye(count, dtype=torch.bool, device=segments.device)

    def may_see(
        batch: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor
    ) -> torch.Tensor:
        together = (query >= key) & (documents[batch, query] == documents[batch, key])
        return together & (query - key < window) if window else together

    return BlockMask.from_kv_blocks(
        *_in_order(mixed),
        *_in_order(full),
        BLOCK_SIZE=BLOCK,
        mask_mod=may_see,
        seq_lengths=(time, time),
    )


def _score(slopes: torch.Tensor | None, cap: float) -> Callable[..., torch.Tensor] | None:
    """What becomes of a score, where anything does; FlexAttention asks for each one."""
    if slopes is None and not cap:
        return None

    def changed(
        score: torch.Tensor,
        batch: torch.Tensor,
        head: torch.Tensor,
        query: torch.Tensor,
        key: torch.Tensor,
    ) -> torch.Tensor:
        if cap:
            score = cap * torch.tanh(score / cap)
        # A document stands in one stretch of its row, so places in the row tell distances in it.
        return score if slopes is None else score + slopes[head] * (key - query)

    return changed


def _numbered(segments: torch.Tensor) -> torch.Tensor:
    """[batch, time] the number of each token's document in its row, counted from 0: it only grows.

    >>> _numbered(torch.tensor([[-1, -1, 5, 5, 2, -1]])).tolist()
    [[0, 0, 1, 1, 2, 3]]
    """
    changes = torch.zeros_like(segments, dtype=torch.int32)
    changes[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return changes.cumsum(1, dtype=torch.int32)


def _in_order(blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[batch, blocks, blocks] bool to how many each row has, and which, those first."""
    counts = blocks.sum(-1, dtype=torch.int32)
    which = blocks.int().sort(dim=-1, descending=True, stable=True).indices.to(torch.int32)
    return counts[:, None], which[:, None].contiguous()


@cache
def _kernel(device: str) -> Callable[..., Any]:
    """FlexAttention compiled for a device; on a CPU it is only tested, and runs as it is."""
    if device == "cpu":
        return flex_attention
    return torch.compile(flex_attention, dynamic=False)
