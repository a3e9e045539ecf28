"""The step of one token for a single row, by kernels: a call for each half of a layer.

    token ─► row of the table ─► attention_row ─► feedforward_row ─► … ─► head_row ─► logits
             numpy               ╰───────────── one_row_block ──────────────────╯

Between the kernels nothing is left to do but to tell them where in the cache the token's keys and
values go. It is for transformers that ``decode_step.is_plain``, in float32 and on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from hornbook.models.attention import Attention
from hornbook.models.block import Block
from hornbook.models.feedforward import GATED
from hornbook.models.kv_cache import KVCache
from hornbook.models.linear import Linear
from hornbook.models.one_row import Floats, shared_array
from hornbook.models.one_row_block import (
    BEND_KINDS,
    NORM_KINDS,
    AttentionParts,
    FeedForwardParts,
    Map,
    Norm,
    attention_row,
    feedforward_row,
    head_row,
    norm_row,
)
from hornbook.models.transformer import Transformer

RowStep = Callable[[int, KVCache], torch.Tensor]
"""The row's newest token and the cache before it, to the logits of the next one, [1, vocab_size].
The cache counts it in."""

FEW_WEIGHTS = 1 << 18
"""A layer with fewer weights is read sooner than PyTorch has called its operations, even where it
has several threads to share the reading [numbers]."""


def is_worth_it(model: Transformer) -> bool:
    """Whether kernels on one thread are the quickest for a single row."""
    few = sum(weight.numel() for weight in model.blocks[0].parameters()) < FEW_WEIGHTS
    return few or torch.get_num_threads() == 1


def one_row_step(model: Transformer) -> RowStep | None:
    """The step of a plain transformer; ``None`` where its weights are not float32 on a CPU."""
    weights = list(model.parameters())
    if any(part.dtype != torch.float32 or part.device.type != "cpu" for part in weights):
        return None
    if not all(part.exact for part in model.modules() if isinstance(part, Linear)):
        return None
    width, softcap = model.config.d_model, model.output_head.softcap
    layers = [_parts(block) for block in model.blocks if isinstance(block, Block)]
    table, factor = _array(model.token_embedding.weight), np.float32(model.embedding_factor)
    places = None if model.waves is None else _array(model.waves)
    if model.position_embedding is not None:
        places = _array(model.position_embedding.weight)
    nothing = np.zeros((model.capacity, 0), np.float32)
    cosines, sines = nothing, nothing
    if model.rotary is not None:
        cosines, sines = _array(model.rotary.cosines), _array(model.rotary.sines)
    first_norm = None if model.embedding_norm is None else _norm(model.embedding_norm, width)
    last_norm, head = _norm(model.final_norm, width), _map(model.output_head)

    def step(token: int, cache: KVCache) -> torch.Tensor:
        length = cache.length
        x = table[token] * factor
        if places is not None:
            x += places[length]
        if first_norm is not None:
            norm_row(x, first_norm, x)
        turn = cosines[length], sines[length]
        for layer, (attention, feedforward) in enumerate(layers):
            own = cache.place_of_one(layer)
            attention_row(x, attention, *turn, *cache.arrays(layer), *own)
            feedforward_row(x, feedforward)
        cache.advance(1)
        logits = torch.from_numpy(head_row(x, last_norm, head))
        return softcap * torch.tanh(logits / softcap) if softcap else logits

    return step


def _parts(block: Block) -> tuple[AttentionParts, FeedForwardParts]:
    attention, part = block.attention, block.feedforward
    assert isinstance(attention, Attention)
    size, width = attention.head_size, attention.output.out_features
    return (
        (
            _norm(block.attention_norm, width),
            _map(attention.qkv),
            _norm(attention.query_norm, size),
            _norm(attention.key_norm, size),
            attention.scale / math.sqrt(size),
            _map(attention.output),
        ),
        (
            _norm(block.feedforward_norm, width),
            _map(part.up),
            BEND_KINDS[part.kind],
            part.kind in GATED,
            _map(part.down),
        ),
    )


def _map(part: Linear) -> Map:
    return _array(part.weight), _learned(part.bias, part.out_features, 0.0)


def _norm(norm: nn.Module | None, width: int) -> Norm:
    kind, epsilon, gain, shift = "none", 0.0, None, None
    if isinstance(norm, nn.LayerNorm):
        kind, epsilon, gain, shift = "layernorm", norm.eps, norm.weight, norm.bias
    elif isinstance(norm, nn.RMSNorm):
        assert norm.eps is not None
        kind, epsilon, gain = "rmsnorm", norm.eps, norm.weight
    return NORM_KINDS[kind], epsilon, _learned(gain, width, 1.0), _learned(shift, width, 0.0)


def _learned(tensor: torch.Tensor | None, width: int, otherwise: float) -> Floats:
    return np.full(width, otherwise, np.float32) if tensor is None else _array(tensor)


def _array(tensor: torch.Tensor) -> Any:
    return shared_array(tensor.detach().contiguous())
