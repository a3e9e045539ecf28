"""A setting either stands in an architecture's way, or the logits there are those here."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from hornbook.interop import FORMS, Form
from hornbook.interop.agreement import compare
from hornbook.interop.exporting import their_tensors
from hornbook.interop.foreign_config import ForeignConfig
from hornbook.interop.form import ReadTensor
from hornbook.interop.layout import Layout
from hornbook.models import Transformer, TransformerConfig
from hornbook.tokenizers import ByteTokenizer

CONTEXT = 16
COMMON: dict[str, list[Any]] = {
    "layers": [1, 2],
    "heads": [2, 4],
    "d_model": [16, 24],
    "d_ff": [0, 20],
    "tied_head": [True, False],
    "bias": [True, False],
    "norm_gain": [True, False],
    "norm_epsilon": [1e-5, 1e-2],
    "vocab_multiple": [1, 64],
    "zero_init": [True, False],
    "position_count": [CONTEXT, 20],
}
NEEDED: dict[str, dict[str, list[Any]]] = {
    "gpt2": {
        "positions": ["learned"],
        "norm": ["layernorm"],
        "feedforward": ["gelu", "gelu_tanh", "silu", "relu2"],
    },
    "llama": {
        "positions": ["rotary"],
        "norm": ["rmsnorm"],
        "feedforward": ["swiglu", "geglu"],
        "kv_heads": [0, 1, 2],
        "rotary_base": [1e4, 50.0],
        "rotary_fraction": [0.0, 1.0],
    },
}
SCALINGS: list[dict[str, Any]] = [
    {},
    {"rotary_scaling": "linear", "rotary_scaling_factor": 3.0},
    {"rotary_scaling": "ntk", "rotary_scaling_factor": 4.0},
    {"rotary_scaling": "llama3", "rotary_scaling_factor": 2.0, "rotary_trained_length": 6},
]


def drawn(choices: dict[str, list[Any]], draw: random.Random, **more: Any) -> TransformerConfig:
    config = TransformerConfig(**{key: draw.choice(of) for key, of in choices.items()}, **more)
    assert not list(config.conflicts())
    return config


def model_of(config: TransformerConfig, seed: int) -> Transformer:
    """A model in which every weight counts."""
    generator = torch.Generator().manual_seed(seed)
    model = Transformer(config, vocab_size=257, context_length=CONTEXT)
    model.initialise(generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_what_has_a_place_computes_the_same_there(form: Form) -> None:
    draw = random.Random(form.name)
    for seed in range(25):
        scaling = draw.choice(SCALINGS) if form.name == "llama" else {}
        config = drawn(COMMON | NEEDED[form.name], draw, **scaling)
        assert not list(form.in_the_way(config)), config
        layout, values = form.layout(config, 257), form.write(config, 257)
        model = model_of(config, seed)
        found = compare(form, values, reading(layout, model), model, ByteTokenizer())
        assert found.difference < 2e-5, config
        # Read back, the same file describes a model of the same shape.
        back = form.read(ForeignConfig(values))
        assert back is not None
        assert form.layout(back.config, 257).entries[-1].shapes == layout.entries[-1].shapes


def reading(layout: Layout, model: Transformer) -> ReadTensor:
    tensors = their_tensors(layout, model)
    return lambda name: tensors[layout.full_name(name)]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_other_setting_stands_in_the_way(form: Form) -> None:
    usual = drawn(NEEDED[form.name] | {"heads": [2], "d_model": [16]}, random.Random(1))
    others: dict[str, Any] = {
        "positions": "none", "norm": "none", "norm_position": "both", "embedding_scale": True,
        "embedding_norm": True, "token_shift": True, "bigram_features": True,
        "value_embeddings": True, "input_skip": True, "output_softcap": 30.0,
        "attention": "mla", "window": 8, "qk_norm": True, "attention_scale": 2.0,
        "attention_softcap": 20.0,
    }  # fmt: skip
    if form.name == "llama":
        others["rotary_fraction"] = 0.5
    for name, value in others.items():
        [line] = form.in_the_way(usual.model_copy(update={name: value}))
        assert line.startswith(f"model.{name}={value} ")
