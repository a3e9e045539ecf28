"""What the kernels of ``one_row_block`` and ``few_rows_block`` need of a transformer, as arrays.

The arrays are the memory of the model's own tensors. It is for transformers that
``decode_parts.is_plain``, in float32 and on a CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from hornbook.models.attention import Attention
from hornbook.models.block import Block
from hornbook.models.feedforward import GATED
from hornbook.models.linear import Linear
from hornbook.models.one_row import Floats, shared_array
from hornbook.models.one_row_block import (
    BEND_KINDS,
    NORM_KINDS,
    AttentionParts,
    FeedForwardParts,
    Map,
    Norm,
)
from hornbook.models.transformer import Transformer

FEW_WEIGHTS = 1 << 18
"""A layer with fewer weights is read sooner than PyTorch has called its operations, even where it
has several threads to share the reading [numbers]."""


@dataclass(frozen=True, slots=True)
class KernelParts:
    """A plain transformer's weights and tables.

    Attributes:
        table: [vocab_size, d_model], a row for each token.
        factor: what these are multiplied by.
        places: [capacity, d_model], what is added for each place, or ``None``.
        first_norm: of the embedding, or ``None``.
        layers: the two halves of each.
        cosines: [capacity, pairs] that turn queries and keys; no pairs without rotary.
        sines: [capacity, pairs].
        last_norm: before the head.
        head: to a score for each token.
        softcap: the bound of the scores; 0 where there is none.
    """

    table: Floats
    factor: np.float32
    places: Floats | None
    first_norm: Norm | None
    layers: list[tuple[AttentionParts, FeedForwardParts]]
    cosines: Floats
    sines: Floats
    last_norm: Norm
    head: Map
    softcap: float

    def capped(self, scores: Floats) -> torch.Tensor:
        """Logits of the head's scores [rows, vocab_size]."""
        logits = torch.from_numpy(scores)
        return self.softcap * torch.tanh(logits / self.softcap) if self.softcap else logits


def kernels_are_quicker(model: Transformer) -> bool:
    """Whether kernels on one thread are quicker than PyTorch for a few rows."""
    few = sum(weight.numel() for weight in model.blocks[0].parameters()) < FEW_WEIGHTS
    return few or torch.get_num_threads() == 1


def kernel_parts(model: Transformer) -> KernelParts | None:
    """The parts of a plain transformer; ``None`` where its weights are not float32 on a CPU."""
    weights = list(model.parameters())
    if any(part.dtype != torch.float32 or part.device.type != "cpu" for part in weights):
        return None
    if not all(part.exact for part in model.modules() if isinstance(part, Linear)):
        return None
    width, places = model.config.d_model, None if model.waves is None else _array(model.waves)
    if model.position_embedding is not None:
        places = _array(model.position_embedding.weight)
    cosines = sines = np.zeros((model.capacity, 0), np.float32)
    if model.rotary is not None:
        cosines, sines = _array(model.rotary.cosines), _array(model.rotary.sines)
    return KernelParts(
        table=_array(model.token_embedding.weight),
        factor=np.float32(model.embedding_factor),
        places=places,
        first_norm=None if model.embedding_norm is None else _norm(model.embedding_norm, width),
        layers=[_halves(block) for block in model.blocks if isinstance(block, Block)],
        cosines=cosines,
        sines=sines,
        last_norm=_norm(model.final_norm, width),
        head=_map(model.output_head),
        softcap=model.output_head.softcap,
    )


def _halves(block: Block) -> tuple[AttentionParts, FeedForwardParts]:
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
