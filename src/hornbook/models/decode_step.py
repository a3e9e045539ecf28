"""One new token a row, with as few calls as there can be: the transformer's step when it samples.

A small model spends most of such a step outside of arithmetic: each call of a module and each
operation costs a few microseconds, as much as the numbers in it. So what does not change from step
to step (which parts there are, which shapes, which rows of a table) is settled once, and what is
left is a line of operations on tensors. It is the computation of ``Block`` and ``Attention`` for
``time = 1``, tested against them; forms with more parts than that take their way. A single row on a
CPU has kernels of its own (``one_row_step``).

    one row, 4 layers of 128, GPT-2's form, a thread of a Zen 4      through the modules    360 µs
                                                                     this step              210 µs
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from hornbook.models.attention import Attention
from hornbook.models.base import LanguageModel, State
from hornbook.models.block import Block
from hornbook.models.dot_product import dot_product_attention
from hornbook.models.kv_cache import KVCache
from hornbook.models.linear import Linear
from hornbook.models.one_row_step import is_worth_it, one_row_step
from hornbook.models.rotary import rotate
from hornbook.models.transformer import Transformer
from hornbook.models.transformer_config import TransformerConfig
from hornbook.models.transformer_state import TransformerState

NextStep = Callable[[torch.Tensor, State], tuple[torch.Tensor, State]]
"""The newest token of each row, [batch, 1], and the state before it, to the logits of the next one,
[batch, vocab_size], and the state after it."""

Map = Callable[[torch.Tensor], torch.Tensor]
Turn = Callable[[torch.Tensor], torch.Tensor]
"""Turns [rows, heads, 1, head_size] queries and keys to their positions."""


def next_step(model: LanguageModel) -> NextStep:
    """What takes steps of one token with ``model``, as quickly as it can.

    For inference, with the weights and on the device of now: where they change, a new one must be
    asked for.
    """
    if isinstance(model, Transformer) and is_plain(model.config):
        return plain_step(model)
    return any_step(model)


def any_step(model: LanguageModel) -> NextStep:
    """The step as the model itself takes it."""

    def step(tokens: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        features, state = model.hidden(tokens, state)
        return model.head(features[:, -1]), state

    return step


def is_plain(config: TransformerConfig) -> bool:
    """Whether a transformer has no parts but those of ``plain_step``."""
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


def plain_step(model: Transformer) -> NextStep:
    """The step of a transformer that ``is_plain``."""
    blocks = [_block_step(block) for block in model.blocks if isinstance(block, Block)]
    table, factor = model.token_embedding.weight, model.embedding_factor
    places = model.waves
    if model.position_embedding is not None:
        places = model.position_embedding.weight
    first_norm = None if model.embedding_norm is None else _plain(model.embedding_norm)
    turn_to = _turner(model)
    last_norm, head = _plain(model.final_norm), model.output_head
    by_kernels = one_row_step(model) if is_worth_it(model) else None

    def step(tokens: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        memory: TransformerState = state
        cache = memory.cache
        assert isinstance(cache, KVCache)
        if by_kernels is not None and len(tokens) == 1:
            return by_kernels(int(tokens), cache), memory
        length, positions, mask = cache.length, None, None
        if not cache.even:
            missing = cache.missing()
            positions = length - missing
            mask = (model.places[: length + 1] >= missing[:, None])[:, None, None]
        x = F.embedding(tokens.flatten(), table)
        if factor != 1:
            x = x * factor
        if places is not None:
            x = x + (places[length] if positions is None else places[positions])
        if first_norm is not None:
            x = first_norm(x)
        turn = turn_to(length, positions)
        for block in blocks:
            x = block(x, turn, cache, mask)
        cache.advance(1)
        return head(last_norm(x)), memory

    return step


def _block_step(
    block: Block,
) -> Callable[[torch.Tensor, Turn | None, KVCache, torch.Tensor | None], torch.Tensor]:
    attention, part, layer = block.attention, block.feedforward, block.layer
    assert isinstance(attention, Attention)
    norms = [
        _plain(norm or nn.Identity()) for norm in (block.attention_norm, block.feedforward_norm)
    ]
    (first_norm, second_norm), heads, size = norms, attention.heads, attention.head_size
    every, turned = heads + 2 * attention.kv_heads, heads + attention.kv_heads
    parts, kept = (turned, attention.kv_heads), (heads, attention.kv_heads)
    query_norm, key_norm, scale = attention.query_norm, attention.key_norm, attention.scale
    grouped = heads != attention.kv_heads
    qkv, add_output = _product(attention.qkv), _sum(attention.output)
    up, add_down, bend, gated = _product(part.up), _sum(part.down), part.bend, part.gated

    def step(
        x: torch.Tensor, turn: Turn | None, cache: KVCache, mask: torch.Tensor | None
    ) -> torch.Tensor:
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
        key, value = cache.extend(layer, key, value)
        if mask is not None:
            mask = mask[..., -key.shape[2] :]
        if grouped:
            taken = dot_product_attention(query, key, value, mask=mask)
        else:
            taken = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = add_output(x, taken.reshape(rows, -1))
        y = up(second_norm(x))
        if gated:
            gate, y = y.chunk(2, dim=-1)
            return add_down(x, bend(gate) * y)
        return add_down(x, bend(y))

    return step


def _turner(model: Transformer) -> Callable[[int, torch.Tensor | None], Turn | None]:
    """For a place in the row, or for one of each row, what turns heads to it."""
    rotary = model.rotary
    if rotary is None:
        return lambda length, positions: None
    cosines, sines = rotary.cosines, rotary.sines
    if 2 * cosines.shape[-1] != model.config.head_size:

        def in_part(length: int, positions: torch.Tensor | None) -> Turn:
            places = None if positions is None else positions[:, None]
            rotation = rotary.rotation(1, length, places)
            return lambda heads: rotate(heads, *rotation)

        return in_part
    # The halves of a head against each other, in three operations instead of eight.
    half = cosines.shape[-1]
    own, other = torch.cat((cosines, cosines), -1), torch.cat((-sines, sines), -1)

    def whole(length: int, positions: torch.Tensor | None) -> Turn:
        if positions is None:
            first, second = own[length], other[length]
        else:
            first, second = own[positions][:, None, None], other[positions][:, None, None]
        return lambda heads: torch.addcmul(heads * first, heads.roll(half, -1), second)

    return whole


def _product(part: Linear) -> Map:
    """What ``part`` computes, without looking again how."""
    if part.product is not None:
        return part.product
    weight, bias = part.weight.t(), part.bias
    if bias is None:
        return lambda x: torch.mm(x, weight)
    return lambda x: torch.addmm(bias, x, weight)


def _sum(part: Linear) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The residual and what ``part`` computes of the second argument."""
    product, weight = _product(part), part.weight.t()
    if part.product is None and part.bias is None:
        return lambda x, y: torch.addmm(x, y, weight)
    return lambda x, y: product(y).add_(x)


def _plain(norm: nn.Module) -> Map:
    """What ``norm`` computes, without a module's call."""
    if isinstance(norm, nn.LayerNorm):
        shape, weight, bias, epsilon = norm.normalized_shape, norm.weight, norm.bias, norm.eps
        return lambda x: torch.layer_norm(x, shape, weight, bias, epsilon)
    return norm.forward
