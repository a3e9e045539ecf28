"""The parts of a transformer's step of one token, without the calls of modules.

    tokens [rows] ─► embed ─► a block's step ─► … ─► finish ─► logits [rows, vocab_size]

What does not change from step to step (which parts there are, which shapes, which rows of a table)
is settled once, and what is left is a line of operations on tensors. It is the computation of
``Block`` and ``Attention`` for ``time = 1``, for the forms of ``is_plain``. Who keeps keys and
values, and how they are looked at, comes from outside: memory that grows (``decode_step``), or one
of fixed shapes (``fixed_step``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import nn

from hornbook.models.attention import Attention
from hornbook.models.block import Block
from hornbook.models.linear import Linear
from hornbook.models.rotary import rotate
from hornbook.models.transformer import Transformer
from hornbook.models.transformer_config import TransformerConfig

Map = Callable[[torch.Tensor], torch.Tensor]
Turn = Callable[[torch.Tensor], torch.Tensor]
"""Turns [rows, heads, 1, head_size] queries and keys to their positions."""

Look = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Queries [rows, heads, 1, head_size], keys and values [rows, kv_heads, seen, head_size], to what
each query takes."""


class Memory(Protocol):
    """What keeps keys and values."""

    def extend(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write those of the new tokens, and return all that these may see; see ``KVCache``."""
        ...


BlockStep = Callable[[torch.Tensor, Turn | None, Memory, Look], torch.Tensor]
"""[rows, d_model] of the residual through one layer."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a step is made of.

    Attributes:
        embed: [rows] ids, and the place of all or of each, to [rows, d_model].
        turn: for a place, or for one of each row, what turns heads to it.
        blocks: the layers.
        finish: [rows, d_model] to logits.
    """

    embed: Callable[[torch.Tensor, int | torch.Tensor], torch.Tensor]
    turn: Callable[[int | torch.Tensor], Turn | None]
    blocks: list[BlockStep]
    finish: Map


def is_plain(config: TransformerConfig) -> bool:
    """Whether a transformer has no parts but those that are known here."""
    c = config
    return not (
        c.attention != "multihead"
        or c.norm_position != "before"
        or c.positions == "alibi"
        or c.looks_back
        or c.value_embeddings
        or c.input_skip
        or c.attention_softcap
    )


def step_parts(model: Transformer, *, by_weights: bool = False) -> Parts:
    """The parts of a transformer that ``is_plain``.

    Args:
        model: the transformer.
        by_weights: take the weights themselves where a product of its own would give the same
            (``Linear.exact``), so that nothing is left but PyTorch's operations.
    """
    blocks = [_block_step(block, by_weights) for block in model.blocks if isinstance(block, Block)]
    last_norm, head = _norm(model.final_norm), _product(model.output_head, by_weights)
    softcap = model.output_head.softcap

    def finish(x: torch.Tensor) -> torch.Tensor:
        logits = head(last_norm(x))
        return softcap * torch.tanh(logits / softcap) if softcap else logits

    return Parts(_embedder(model), _turner(model), blocks, finish)


def _embedder(model: Transformer) -> Callable[[torch.Tensor, int | torch.Tensor], torch.Tensor]:
    table, factor, places = model.token_embedding.weight, model.embedding_factor, model.waves
    if model.position_embedding is not None:
        places = model.position_embedding.weight
    norm = None if model.embedding_norm is None else _norm(model.embedding_norm)

    def embed(tokens: torch.Tensor, place: int | torch.Tensor) -> torch.Tensor:
        x = F.embedding(tokens, table)
        if factor != 1:
            x = x * factor
        if places is not None:
            x = x + places[place]
        return x if norm is None else norm(x)

    return embed


def _block_step(block: Block, by_weights: bool) -> BlockStep:
    attention, part, layer = block.attention, block.feedforward, block.layer
    assert isinstance(attention, Attention)
    norms = [
        _norm(norm or nn.Identity()) for norm in (block.attention_norm, block.feedforward_norm)
    ]
    (first_norm, second_norm), heads, size = norms, attention.heads, attention.head_size
    every, turned = heads + 2 * attention.kv_heads, heads + attention.kv_heads
    parts, kept = (turned, attention.kv_heads), (heads, attention.kv_heads)
    query_norm, key_norm, scale = attention.query_norm, attention.key_norm, attention.scale
    qkv, add_output = _product(attention.qkv, by_weights), _sum(attention.output, by_weights)
    up, add_down = _product(part.up, by_weights), _sum(part.down, by_weights)
    bend, gated = part.bend, part.gated

    def step(x: torch.Tensor, turn: Turn | None, memory: Memory, look: Look) -> torch.Tensor:
        rows = x.shape[0]
        # With one token, heads need not change places with time.
        both, value = qkv(first_norm(x)).view(rows, every, 1, size).split_with_sizes(parts, 1)
        if query_norm is not None and key_norm is not None:
            query, key = both.split_with_sizes(kept, 1)
            both = torch.cat((query_norm(query), key_norm(key)), dim=1)
        if turn is not None:
            both = turn(both)
        query, key = both.split_with_sizes(kept, 1)
        if scale != 1:
            query = query * scale
        key, value = memory.extend(layer, key, value)
        x = add_output(x, look(query, key, value).reshape(rows, -1))
        y = up(second_norm(x))
        if gated:
            gate, y = y.chunk(2, dim=-1)
            return add_down(x, bend(gate) * y)
        return add_down(x, bend(y))

    return step


def _turner(model: Transformer) -> Callable[[int | torch.Tensor], Turn | None]:
    rotary = model.rotary
    if rotary is None:
        return lambda place: None
    cosines, sines = rotary.cosines, rotary.sines
    if 2 * cosines.shape[-1] != model.config.head_size:

        def in_part(place: int | torch.Tensor) -> Turn:
            rotation = (
                rotary.rotation(1, place)
                if isinstance(place, int)
                else rotary.rotation(1, positions=place[:, None])
            )
            return lambda heads: rotate(heads, *rotation)

        return in_part
    # The halves of a head against each other, in three operations instead of eight.
    half = cosines.shape[-1]
    own, other = torch.cat((cosines, cosines), -1), torch.cat((-sines, sines), -1)

    def whole(place: int | torch.Tensor) -> Turn:
        first, second = own[place], other[place]
        if not isinstance(place, int):
            first, second = first[:, None, None], second[:, None, None]
        return lambda heads: torch.addcmul(heads * first, heads.roll(half, -1), second)

    return whole


def _product(part: Linear, by_weights: bool) -> Map:
    """What ``part`` computes, without looking again how."""
    if part.product is not None and not (by_weights and part.exact):
        return part.product
    weight, bias = part.weight.t(), part.bias
    if bias is None:
        return lambda x: torch.mm(x, weight)
    return lambda x: torch.addmm(bias, x, weight)


def _sum(part: Linear, by_weights: bool) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The residual and what ``part`` computes of the second argument."""
    own = part.product is not None and not (by_weights and part.exact)
    product, weight = _product(part, by_weights), part.weight.t()
    if not own and part.bias is None:
        return lambda x, y: torch.addmm(x, y, weight)
    return lambda x, y: product(y).add_(x)


def _norm(norm: nn.Module) -> Map:
    """What ``norm`` computes, without a module's call."""
    if isinstance(norm, nn.LayerNorm):
        shape, weight, bias, epsilon = norm.normalized_shape, norm.weight, norm.bias, norm.eps
        return lambda x: torch.layer_norm(x, shape, weight, bias, epsilon)
    return norm.forward
