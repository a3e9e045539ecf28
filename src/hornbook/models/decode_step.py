"""One new token a row, with as few calls as there can be: the transformer's step when it samples.

A small model spends most of such a step outside of arithmetic: each call of a module and each
operation costs a few microseconds, as much as the numbers in it. So a step is a line of operations
that are settled beforehand (``decode_parts``), tested against the model; forms with more parts than
that take their way. A single row on a CPU has kernels of its own (``one_row_step``), and a
``CompiledStep`` may take the place of all.

    one row, 4 layers of 128, GPT-2's form, a thread of a Zen 4      through the modules    360 µs
                                                                     this step              210 µs
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from hornbook.models.base import LanguageModel, State
from hornbook.models.decode_parts import is_plain, step_parts
from hornbook.models.dot_product import dot_product_attention
from hornbook.models.few_rows_step import MOST_ROWS, few_rows_step
from hornbook.models.kernel_parts import kernel_parts, kernels_are_quicker
from hornbook.models.kv_cache import KVCache
from hornbook.models.one_row_step import one_row_step
from hornbook.models.transformer import Transformer
from hornbook.models.transformer_state import TransformerState

NextStep = Callable[[torch.Tensor, State], tuple[torch.Tensor, State]]
"""The newest token of each row, [batch, 1], and the state before it, to the logits of the next one,
[batch, vocab_size], and the state after it."""


def next_step(model: LanguageModel) -> NextStep:
    """What takes steps of one token with ``model``, as quickly as it can.

    For inference, with the weights and on the device of now: where they change, a new one must be
    asked for.
    """
    if model.own_step is not None:
        return model.own_step
    if isinstance(model, Transformer) and is_plain(model.config):
        return plain_step(model)
    return any_step(model)


def any_step(model: LanguageModel) -> NextStep:
    """The step as the model itself takes it."""

    def step(tokens: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        features, state = model.hidden(tokens, state)
        return model.head(features[:, -1]), state

    return step


def plain_step(model: Transformer) -> NextStep:
    """The step of a transformer that ``is_plain``."""
    parts, grouped = step_parts(model), model.config.kv_head_count != model.config.heads
    in_kernels = kernel_parts(model) if kernels_are_quicker(model) else None
    one = several = None
    if in_kernels is not None:
        one, several = one_row_step(in_kernels), few_rows_step(in_kernels)

    def step(tokens: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        memory: TransformerState = state
        cache = memory.cache
        assert isinstance(cache, KVCache)
        if one is not None and len(tokens) == 1:
            return one(int(tokens), cache), memory
        if several is not None and len(tokens) <= MOST_ROWS:
            return several(tokens.flatten(), cache), memory
        place, mask = cache.length, None
        if not cache.even:
            missing = cache.missing()
            mask = (model.places[: place + 1] >= missing[:, None])[:, None, None]
            place = place - missing

        def look(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            seen = None if mask is None else mask[..., -key.shape[2] :]
            if grouped:
                return dot_product_attention(query, key, value, mask=seen)
            return F.scaled_dot_product_attention(query, key, value, attn_mask=seen)

        x = parts.embed(tokens.flatten(), place)
        turn = parts.turn(place)
        for block in parts.blocks:
            x = block(x, turn, cache, look)
        cache.advance(1)
        return parts.finish(x), memory

    return step
