"""The count of FLOPs against PyTorch's own counter, which watches what is really multiplied."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hornbook.models import (
    BigramConfig,
    GRUConfig,
    LSTMConfig,
    RNNConfig,
    TransformerConfig,
    build_model,
)
from hornbook.models.flops import forward_products, training_flops_per_token
from hornbook.runs.resolution import preset_names, resolve

pytestmark = pytest.mark.filterwarnings("ignore:TF32 acceleration")


def counted_by_torch(model: torch.nn.Module, time: int) -> int:
    # What runs in one opaque kernel is not seen by the counter.
    with (
        sdpa_kernel(SDPBackend.MATH),
        torch.backends.mkldnn.flags(enabled=False, allow_tf32=False),
        FlopCounterMode(display=False) as counter,
    ):
        model(torch.zeros(1, time, dtype=torch.long))
    return counter.get_total_flops()


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_counted_as_torch_counts_it(name: str) -> None:
    config = resolve(preset=name)
    small: dict[str, Any] = {}
    if config.model.kind == "transformer" and config.model.d_model > 256:  # the form, not the size
        small = {"layers": 2, "d_model": 16 * config.model.heads}
    settings = config.model.model_copy(update=small)
    model = build_model(settings, vocab_size=300, context_length=48, seed=1).eval()
    found = sum(flops for _, flops in forward_products(model, 48))
    assert found == counted_by_torch(model, 48) > 0
    assert training_flops_per_token(model, 48) == 3 * found / 48


@pytest.mark.parametrize(
    "settings",
    [
        TransformerConfig(layers=2, heads=4, kv_heads=1, d_model=32, feedforward="gelu"),
        TransformerConfig(layers=3, heads=2, d_model=32, tied_head=False, bias=True, d_ff=40),
        TransformerConfig(
            layers=2, heads=2, d_model=32, token_shift=True, bigram_features=True, input_skip=True
        ),
        TransformerConfig(layers=2, heads=2, d_model=32, attention="mla"),
        TransformerConfig(layers=2, heads=4, d_model=32, attention="mla", q_latent=8, bias=True),
        RNNConfig(layers=1, d_model=16),
        GRUConfig(layers=3, d_model=16),
        LSTMConfig(layers=2, d_model=16, tied_head=False),
        BigramConfig(),
    ],
    ids=lambda settings: settings.kind,
)
def test_every_kind_is_counted_as_torch_counts_it(settings: Any) -> None:
    model = build_model(settings, vocab_size=64, context_length=16, seed=1).eval()
    found = sum(flops for _, flops in forward_products(model, 16))
    assert found == counted_by_torch(model, 16)
