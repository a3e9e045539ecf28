"""Rows of a state, taken in any order and more than once, go on as each would have alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hornbook.models import (
    BigramConfig,
    BigramCountsConfig,
    GRUConfig,
    LSTMConfig,
    ModelConfig,
    RNNConfig,
    TransformerConfig,
    build_model,
)

SMALL: dict[str, Any] = {"layers": 2, "d_model": 16, "heads": 2}
MODELS: list[ModelConfig] = [
    BigramConfig(),
    BigramCountsConfig(),
    RNNConfig(d_model=8),
    GRUConfig(d_model=8),
    LSTMConfig(d_model=8),
    TransformerConfig(**SMALL),
    TransformerConfig(**SMALL, positions="alibi", kv_heads=1),
    TransformerConfig(**SMALL, attention="mla", kv_latent=8),
    TransformerConfig(**SMALL, window=5),
    TransformerConfig(**SMALL, token_shift=True, bigram_features=True),
]


@pytest.mark.parametrize("config", MODELS, ids=repr)
def test_rows_of_a_state_go_on_as_they_would_have(config: ModelConfig) -> None:
    model = build_model(config, vocab_size=12, context_length=24, seed=2).eval()
    draw = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 12, (3, 20), generator=draw)
    rows = torch.tensor([2, 0, 2, 1])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.3)
        expected, _ = model(tokens)
        _, state = model(tokens[:, :11], model.init_state(3))
        selected = model.select_state(state, rows)
        # What the selected rows read must not reach the state that they were taken from.
        for place in range(11, 20):
            logits, selected = model(tokens[rows, place : place + 1], selected)
            torch.testing.assert_close(logits[:, 0], expected[rows, place])
        logits, _ = model(tokens[:, 11:], state)
    torch.testing.assert_close(logits, expected[:, 11:])
