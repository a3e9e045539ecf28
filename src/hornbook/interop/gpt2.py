"""GPT-2 as it was published: learned positions, LayerNorm, GELU by tanh, biases, a tied head.

    wte.weight [vocab_size, d]     h.N.ln_1.weight, .bias [d]     h.N.attn.c_attn.weight [d, 3 d]
    wpe.weight [positions, d]      h.N.ln_2.weight, .bias [d]     h.N.attn.c_proj.weight [d, d]
    ln_f.weight, .bias [d]         h.N.mlp.c_fc.weight [d, 4 d]   h.N.mlp.c_proj.weight [4 d, d]

``c_attn`` is one joint matrix, in the order query, key, value; all matrices of the blocks stand
the other way round than in a linear layer of PyTorch. The four published sizes are told apart by
their width, so that weights without a ``config.json`` can be read as well.

Source: Radford et al., 2019, and the files that ``transformers`` writes.
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
from hornbook.interop.plain import plain_gpt2
from hornbook.interop.tensor_files import StoredTensor
from hornbook.models import TransformerConfig

PUBLISHED_HEADS = {768: 12, 1024: 16, 1280: 20, 1600: 25}
"""Heads of the four published sizes, by width."""

ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "silu": "silu",
    "swish": "silu",
    "relu2": "relu2",
}
"""What ``transformers`` calls a bend, and what it is called here."""


class GPT2Form(Form):
    """``GPT2LMHeadModel``."""

    name = "gpt2"
    architecture = "GPT2LMHeadModel"
    takes = SIZES | UNSEEN
    needs: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "positions": ("learned",),
        "norm": ("layernorm",),
        "feedforward": tuple(dict.fromkeys(ACTIVATIONS.values())),
    }

    def in_the_way(self, config: TransformerConfig) -> Iterator[str]:
        """As for every form; keys and values have as many heads as queries."""
        yield from super().in_the_way(config)
        if config.kv_head_count != config.heads:
            yield f"model.kv_heads={config.kv_heads} (it takes 0, as many as heads)"

    def read(self, values: ForeignConfig) -> ForeignModel | None:
        """See ``Form.read``."""
        if not self.is_described_by(values):
            return None
        values.must_be("scale_attn_weights", True, "attention would not be scaled")
        values.must_be(
            "scale_attn_by_inverse_layer_idx", False, "attention would be scaled by the layer"
        )
        values.must_be("add_cross_attention", False, "it would attend to a second text")
        values.must_be("quantization_config", None, "its weights are not plain numbers")
        width, positions = values.whole("n_embd"), values.whole("n_positions", 1024)
        return settings_of(
            values,
            values.whole("vocab_size", 50257),
            layers=values.whole("n_layer"),
            heads=values.whole("n_head"),
            d_model=width,
            d_ff=values.whole("n_inner", 4 * width),
            positions="learned",
            position_count=positions,
            norm="layernorm",
            norm_epsilon=values.number("layer_norm_epsilon", 1e-5, below=1),
            feedforward=values.choice("activation_function", ACTIVATIONS, "gelu_new"),
            tied_head=values.truth("tie_word_embeddings", True),
            bias=True,
            dropout=values.number("resid_pdrop", 0.1, below=1),
            attention_dropout=values.number("attn_pdrop", 0.1, below=1),
        )

    def write(self, config: TransformerConfig, vocab_size: int) -> dict[str, Any]:
        """See ``Form.write``."""
        names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
        return {
            "architectures": [self.architecture],
            "model_type": "gpt2",
            "vocab_size": vocab_size,
            "n_positions": config.position_count,
            "n_embd": config.d_model,
            "n_layer": config.layers,
            "n_head": config.heads,
            "n_inner": config.inner_width,
            "activation_function": names[config.feedforward],
            "layer_norm_epsilon": config.norm_epsilon,
            "resid_pdrop": config.dropout,
            "embd_pdrop": config.dropout,
            "attn_pdrop": config.attention_dropout,
            "initializer_range": 0.02,
            "tie_word_embeddings": config.tied_head,
            "use_cache": True,
        }

    def layout(self, config: TransformerConfig, vocab_size: int) -> Layout:
        """See ``Form.layout``."""
        width = config.d_model
        entries = [
            Entry("token_embedding.weight", ("wte.weight",), ((vocab_size, width),)),
            Entry("position_embedding.weight", ("wpe.weight",), ((config.position_count, width),)),
        ]
        for layer in range(config.layers):
            entries += _block(config, f"blocks.{layer}", f"h.{layer}")
        entries += _norm(config, "final_norm", "ln_f")
        if not config.tied_head:
            entries.append(Entry("output_head.weight", ("lm_head.weight",), ((vocab_size, width),)))
        return Layout(
            tuple(entries),
            prefix="transformer.",
            unprefixed=frozenset({"lm_head.weight"}),
            ignored=re.compile(r"h\.\d+\.attn\.(bias|masked_bias)"),
            copies={"lm_head.weight": "wte.weight"} if config.tied_head else {},
        )

    def plain(
        self, values: Mapping[str, Any], tensor: ReadTensor, ids: torch.Tensor
    ) -> torch.Tensor:
        """See ``Form.plain``."""
        return plain_gpt2(values, tensor, ids)


GPT2 = GPT2Form()


def published_config(tensors: Mapping[str, StoredTensor]) -> dict[str, Any] | None:
    """The ``config.json`` of one of the four published sizes, from its tensors alone.

    Returns:
        ``None`` where it is none of them, so that its heads cannot be known.
    """
    short = {name.removeprefix("transformer."): stored for name, stored in tensors.items()}
    layers = {int(found[1]) for name in short if (found := re.match(r"h\.(\d+)\.", name))}
    if not ({"wte.weight", "wpe.weight"} <= short.keys() and layers):
        return None
    vocab_size, width = short["wte.weight"].shape
    if width not in PUBLISHED_HEADS:
        return None
    return {
        "model_type": "gpt2",
        "vocab_size": vocab_size,
        "n_positions": short["wpe.weight"].shape[0],
        "n_embd": width,
        "n_layer": max(layers) + 1,
        "n_head": PUBLISHED_HEADS[width],
    }


def _block(config: TransformerConfig, ours: str, theirs: str) -> Iterator[Entry]:
    width, inner = config.d_model, config.inner_width
    yield from _norm(config, f"{ours}.attention_norm", f"{theirs}.ln_1")
    yield from _linear(config, f"{ours}.attention.qkv", f"{theirs}.attn.c_attn", width, 3 * width)
    yield from _linear(config, f"{ours}.attention.output", f"{theirs}.attn.c_proj", width, width)
    yield from _norm(config, f"{ours}.feedforward_norm", f"{theirs}.ln_2")
    yield from _linear(config, f"{ours}.feedforward.up", f"{theirs}.mlp.c_fc", width, inner)
    yield from _linear(config, f"{ours}.feedforward.down", f"{theirs}.mlp.c_proj", inner, width)


def _linear(
    config: TransformerConfig, ours: str, theirs: str, inputs: int, outputs: int
) -> Iterator[Entry]:
    yield Entry(f"{ours}.weight", (f"{theirs}.weight",), ((inputs, outputs),), turned=True)
    bias = f"{ours}.bias" if config.bias else None
    yield Entry(bias, (f"{theirs}.bias",), ((outputs,),))


def _norm(config: TransformerConfig, ours: str, theirs: str) -> Iterator[Entry]:
    gain = f"{ours}.weight" if config.norm_gain else None
    bias = f"{ours}.bias" if config.norm_gain and config.bias else None
    yield Entry(gain, (f"{theirs}.weight",), ((config.d_model,),), constant=1.0)
    yield Entry(bias, (f"{theirs}.bias",), ((config.d_model,),))
