"""Llama as it was published: rotary positions, RMSNorm, SwiGLU, grouped keys and values.

    embed_tokens.weight [vocab_size, d]              layers.N.mlp.gate_proj.weight [d_ff, d]
    layers.N.input_layernorm.weight [d]              layers.N.mlp.up_proj.weight   [d_ff, d]
    layers.N.self_attn.q_proj.weight [n × size, d]   layers.N.mlp.down_proj.weight [d, d_ff]
    layers.N.self_attn.k_proj, v_proj [kv × size, d] norm.weight [d]
    layers.N.self_attn.o_proj.weight [d, n × size]   lm_head.weight [vocab_size, d], unless tied
    layers.N.post_attention_layernorm.weight [d]

Queries, keys and values are three matrices there and one here; so are gate and up, which are two
there. Rotary pairs are (i, i + size / 2) in both.

Source: Touvron et al., 2023; Grattafiori et al., 2024; the files that ``transformers`` writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch

from hornbook.interop.foreign_config import ForeignConfig
from hornbook.interop.form import (
    SIZES,
    UNSEEN,
    ForeignModel,
    Form,
    ReadTensor,
    settings_of,
)
from hornbook.interop.layout import Entry, Layout
from hornbook.interop.plain import plain_llama
from hornbook.models import TransformerConfig

ACTIVATIONS = {"silu": "swiglu", "swish": "swiglu", "gelu": "geglu"}
"""What bends the gate, and what the whole feed-forward part is called here."""

_SCALINGS = {"default": "none", "none": "none", "linear": "linear", "llama3": "llama3"}


class LlamaForm(Form):
    """``LlamaForCausalLM``."""

    name = "llama"
    architecture = "LlamaForCausalLM"
    takes = (
        SIZES
        | UNSEEN
        | {"rotary_base", "rotary_scaling", "rotary_scaling_factor", "rotary_trained_length"}
        | {"rotary_low_frequency", "rotary_high_frequency"}
    )
    needs: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "positions": ("rotary",),
        "rotary_fraction": (0.0, 1.0),  # both are all of it
        "norm": ("rmsnorm",),
        "feedforward": tuple(dict.fromkeys(ACTIVATIONS.values())),
    }

    def read(self, values: ForeignConfig) -> ForeignModel | None:
        """See ``Form.read``."""
        if not self.is_described_by(values):
            return None
        values.must_be("quantization_config", None, "its weights are not plain numbers")
        width, heads = values.whole("hidden_size"), values.whole("num_attention_heads")
        if not values.incomplete and width % heads == 0:
            values.must_be(
                "head_dim", width // heads, "heads of another size than hidden_size / heads"
            )
        bias = values.truth("attention_bias", False)
        values.must_be("mlp_bias", bias, f"they go together, and attention_bias is {bias}")
        return settings_of(
            values,
            values.whole("vocab_size", 32000),
            layers=values.whole("num_hidden_layers"),
            heads=heads,
            kv_heads=values.whole("num_key_value_heads", heads),
            d_model=width,
            d_ff=values.whole("intermediate_size"),
            positions="rotary",
            position_count=values.whole("max_position_embeddings", 2048),
            norm="rmsnorm",
            norm_epsilon=values.number("rms_norm_eps", 1e-6, below=1),
            feedforward=values.choice("hidden_act", ACTIVATIONS, "silu"),
            tied_head=values.truth("tie_word_embeddings", False),
            bias=bias,
            attention_dropout=values.number("attention_dropout", 0.0, below=1),
            **_rotary_settings(values),
        )

    def write(self, config: TransformerConfig, vocab_size: int) -> dict[str, Any]:
        """See ``Form.write``."""
        names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
        return {
            "architectures": [self.architecture],
            "model_type": "llama",
            "vocab_size": vocab_size,
            "hidden_size": config.d_model,
            "intermediate_size": config.inner_width,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.heads,
            "num_key_value_heads": config.kv_head_count,
            "head_dim": config.head_size,
            "hidden_act": names[config.feedforward],
            "max_position_embeddings": config.position_count,
            "rms_norm_eps": config.norm_epsilon,
            **_rotary_keys(config),
            "attention_bias": config.bias,
            "mlp_bias": config.bias,
            "attention_dropout": config.attention_dropout,
            "initializer_range": 0.02,
            "tie_word_embeddings": config.tied_head,
            "use_cache": True,
        }

    def layout(self, config: TransformerConfig, vocab_size: int) -> Layout:
        """See ``Form.layout``."""
        table = (vocab_size, config.d_model)
        entries = [Entry("token_embedding.weight", ("embed_tokens.weight",), (table,))]
        for layer in range(config.layers):
            entries += _block(config, f"blocks.{layer}", f"layers.{layer}")
        entries.append(_norm(config, "final_norm", "norm"))
        if not config.tied_head:
            entries.append(Entry("output_head.weight", ("lm_head.weight",), (table,)))
        return Layout(
            tuple(entries),
            prefix="model.",
            unprefixed=frozenset({"lm_head.weight"}),
            ignored=re.compile(r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq"),
            copies={"lm_head.weight": "embed_tokens.weight"} if config.tied_head else {},
        )

    def plain(
        self, values: Mapping[str, Any], tensor: ReadTensor, ids: torch.Tensor
    ) -> torch.Tensor:
        """See ``Form.plain``."""
        return plain_llama(values, tensor, ids)


LLAMA = LlamaForm()


def _rotary_settings(values: ForeignConfig) -> dict[str, Any]:
    """The rotary settings; older files spread them over two keys, newer ones have one."""
    rope = values.values.get("rope_parameters") or values.values.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        values.problems.append(f"{values.source}: rope_scaling is {rope!r:.60}, not an object")
        return {}
    base = rope.get("rope_theta") or values.values.get("rope_theta")
    kind = rope.get("rope_type") or rope.get("type")
    trained = rope.get("original_max_position_embeddings")
    inner = ForeignConfig({**rope, "rope_theta": base, "rope_type": kind}, values.source)
    inner.must_be("partial_rotary_factor", 1.0, "only a part of each head would be turned")
    settings: dict[str, Any] = {
        "rotary_base": inner.number("rope_theta", 10_000.0, least=1.0, below=1e12),
        "rotary_scaling": inner.choice("rope_type", _SCALINGS, "default"),
    }
    factor = inner.number("factor", 1.0, least=1.0)
    if settings["rotary_scaling"] == "none" or factor == 1:
        settings["rotary_scaling"] = "none"
    else:
        settings["rotary_scaling_factor"] = factor
    if settings["rotary_scaling"] == "llama3":
        longest = values.values.get("max_position_embeddings")
        settings |= {
            "rotary_trained_length": inner.whole(
                "original_max_position_embeddings", longest if trained is None else trained
            ),
            "rotary_low_frequency": inner.number("low_freq_factor", 1.0),
            "rotary_high_frequency": inner.number("high_freq_factor", 4.0),
        }
    values.problems += inner.problems
    return settings


def _rotary_keys(config: TransformerConfig) -> dict[str, Any]:
    base, rotated = config.rotary_base, config.head_size
    if config.rotary_scaling == "ntk" and rotated > 2:
        # It only changes the base, so a larger base says the same.
        base *= config.rotary_scaling_factor ** (rotated / (rotated - 2))
    scaling: dict[str, Any] | None = None
    if config.rotary_scaling in ("linear", "llama3"):
        scaling = {"rope_type": config.rotary_scaling, "factor": config.rotary_scaling_factor}
    if scaling is not None and config.rotary_scaling == "llama3":
        scaling |= {
            "original_max_position_embeddings": config.rotary_trained_length,
            "low_freq_factor": config.rotary_low_frequency,
            "high_freq_factor": config.rotary_high_frequency,
        }
    return {"rope_theta": base, "rope_scaling": scaling}


def _block(config: TransformerConfig, ours: str, theirs: str) -> Iterator[Entry]:
    width, inner = config.d_model, config.inner_width
    size = config.head_size
    rows = tuple(n * size for n in (config.heads, config.kv_head_count, config.kv_head_count))
    attention, mlp = f"{theirs}.self_attn", f"{theirs}.mlp"
    joint = tuple(f"{attention}.{name}_proj" for name in "qkv")
    yield _norm(config, f"{ours}.attention_norm", f"{theirs}.input_layernorm")
    yield from _linear(config, f"{ours}.attention.qkv", joint, rows, width)
    yield from _linear(
        config, f"{ours}.attention.output", (f"{attention}.o_proj",), (width,), width
    )
    yield _norm(config, f"{ours}.feedforward_norm", f"{theirs}.post_attention_layernorm")
    gate_and_up = (f"{mlp}.gate_proj", f"{mlp}.up_proj")
    yield from _linear(config, f"{ours}.feedforward.up", gate_and_up, (inner, inner), width)
    yield from _linear(config, f"{ours}.feedforward.down", (f"{mlp}.down_proj",), (width,), inner)


def _linear(
    config: TransformerConfig,
    ours: str,
    theirs: tuple[str, ...],
    outputs: tuple[int, ...],
    inputs: int,
) -> Iterator[Entry]:
    matrices = tuple(f"{name}.weight" for name in theirs)
    yield Entry(f"{ours}.weight", matrices, tuple((rows, inputs) for rows in outputs))
    if config.bias:
        vectors = tuple(f"{name}.bias" for name in theirs)
        yield Entry(f"{ours}.bias", vectors, tuple((rows,) for rows in outputs))


def _norm(config: TransformerConfig, ours: str, theirs: str) -> Entry:
    gain = f"{ours}.weight" if config.norm_gain else None
    return Entry(gain, (f"{theirs}.weight",), ((config.d_model,),), constant=1.0)
