"""A model that is made undrawn and then read is the one that was saved."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hornbook.models import (
    Bigram,
    BigramConfig,
    LanguageModel,
    LSTMConfig,
    TransformerConfig,
    build_model,
)
from hornbook.models.undrawn import undrawn

CONFIGS: list[Any] = [
    TransformerConfig(d_model=16, heads=2, layers=2),
    TransformerConfig(
        d_model=16, heads=2, layers=2, positions="learned", norm="layernorm", bias=True,
        feedforward="gelu", tied_head=False,
    ),
    TransformerConfig(
        d_model=16, heads=2, layers=2, token_shift=True, bigram_features=True, input_skip=True,
        value_embeddings=True,
    ),
    LSTMConfig(d_model=8, layers=2),
    BigramConfig(),
]  # fmt: skip


def build(config: Any, seed: int) -> LanguageModel:
    return build_model(config, vocab_size=30, context_length=8, seed=seed)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.kind)
def test_read_afterwards_it_is_the_same(config: Any) -> None:
    saved = build(config, 4).eval()
    before = torch.get_rng_state()
    with undrawn():
        model = build(config, 5).eval()
    assert torch.equal(torch.get_rng_state(), before)
    model.load_state_dict(saved.state_dict())
    tokens = torch.arange(14).reshape(2, 7)
    assert torch.equal(model(tokens)[0], saved(tokens)[0])


def test_outside_of_the_block_weights_are_drawn() -> None:
    with undrawn():
        pass
    assert torch.equal(build(BigramConfig(), 1).state_dict()["table.weight"],
                       build(BigramConfig(), 1).state_dict()["table.weight"])  # fmt: skip
    assert isinstance(build(BigramConfig(), 1), Bigram)
