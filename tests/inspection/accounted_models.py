"""Every kind of model, and every choice of the transformer, mostly switched by itself."""

from __future__ import annotations

from typing import Any

from hornbook.models import (
    BigramConfig,
    BigramCountsConfig,
    GRUConfig,
    LSTMConfig,
    RNNConfig,
    TransformerConfig,
)

SIZES: dict[str, Any] = {"layers": 3, "heads": 4, "d_model": 64}

CHOICES: tuple[dict[str, Any], ...] = (
    {},
    {"kv_heads": 2},
    {"kv_heads": 1},
    {"positions": "learned"},
    {"positions": "learned", "position_count": 200},
    {"positions": "sinusoidal"},
    {"positions": "alibi"},
    {"positions": "none"},
    {"rotary_fraction": 0.5},
    {"norm": "layernorm", "bias": True},
    {"norm": "none"},
    {"norm_position": "after"},
    {"norm_position": "both"},
    {"norm_gain": False},
    {"qk_norm": True},
    {"qk_norm": True, "positions": "none"},
    {"attention": "mla"},
    {"attention": "mla", "q_latent": 16, "qk_norm": True, "bias": True},
    {"attention": "mla", "positions": "none"},
    {"window": 8},
    {"window": 8, "window_layers": "alternate", "kv_heads": 2},
    {"window": 8, "positions": "alibi"},
    {"feedforward": "gelu"},
    {"feedforward": "relu2", "d_ff": 100},
    {"feedforward": "geglu"},
    {"tied_head": False},
    {"embedding_norm": True, "embedding_scale": True},
    {"token_shift": True},
    {"bigram_features": True},
    {"ngram_features": 4, "ngram_buckets": 100},
    {"value_embeddings": True},
    {"value_embeddings": True, "positions": "none"},
    {"input_skip": True},
    {"output_softcap": 5.0},
    {"vocab_multiple": 64},
    {"bias": True},
    {"dropout": 0.1},
    {"attention_dropout": 0.1},
    {"attention_dropout": 0.1, "kv_heads": 2},
    {"attention_softcap": 5.0},
    {"attention_scale": 2.0, "positions": "none"},
)

TRANSFORMERS = [TransformerConfig(**SIZES, **choice) for choice in CHOICES]
RECURRENT = [
    RNNConfig(layers=3, d_model=64),
    GRUConfig(layers=2, d_model=64, dropout=0.1, tied_head=False),
    LSTMConfig(layers=3, d_model=64, dropout=0.1),
]
TABLES = [BigramConfig(), BigramCountsConfig()]
MODELS = [*TRANSFORMERS, *RECURRENT, *TABLES]


def named(config: Any) -> str:
    """What differs from the defaults."""
    changes = config.model_dump(exclude_defaults=True, exclude=set(SIZES))
    return " ".join([config.kind, *(f"{name}={value}" for name, value in changes.items())])
