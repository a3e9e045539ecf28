"""With equal weights, GPT-2's and Llama's forms compute what transformers computes."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch

from hornbook.models import LanguageModel, TransformerConfig, build_model

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
transformers = pytest.importorskip("transformers")

VOCAB, CONTEXT, WIDTH, LAYERS, HEADS = 53, 20, 32, 2, 4
Tensors = dict[str, torch.Tensor]


def from_gpt2(theirs: Tensors) -> Tensors:
    """Weights or gradients of ``GPT2LMHeadModel`` under our names."""
    ours = {
        "token_embedding.weight": theirs["transformer.wte.weight"],
        "position_embedding.weight": theirs["transformer.wpe.weight"],
    }
    parts = {
        "attention_norm": "ln_1",
        "attention.qkv": "attn.c_attn",
        "attention.output": "attn.c_proj",
        "feedforward_norm": "ln_2",
        "feedforward.up": "mlp.c_fc",
        "feedforward.down": "mlp.c_proj",
    }
    for layer in range(LAYERS):
        for our, their in parts.items():
            weight = theirs[f"transformer.h.{layer}.{their}.weight"]
            # Their linear maps hold their matrix the other way round.
            ours[f"blocks.{layer}.{our}.weight"] = weight.T if weight.ndim == 2 else weight
            ours[f"blocks.{layer}.{our}.bias"] = theirs[f"transformer.h.{layer}.{their}.bias"]
    for end in ("weight", "bias"):
        ours[f"final_norm.{end}"] = theirs[f"transformer.ln_f.{end}"]
    return ours


def from_llama(theirs: Tensors) -> Tensors:
    """Weights or gradients of ``LlamaForCausalLM`` under our names."""
    ours = {
        "token_embedding.weight": theirs["model.embed_tokens.weight"],
        "final_norm.weight": theirs["model.norm.weight"],
    }
    if "lm_head.weight" in theirs:
        ours["output_head.weight"] = theirs["lm_head.weight"]
    parts = {
        "attention_norm": ["input_layernorm"],
        "attention.qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        "attention.output": ["self_attn.o_proj"],
        "feedforward_norm": ["post_attention_layernorm"],
        "feedforward.up": ["mlp.gate_proj", "mlp.up_proj"],
        "feedforward.down": ["mlp.down_proj"],
    }
    for layer in range(LAYERS):
        for our, names in parts.items():
            joined = [theirs[f"model.layers.{layer}.{name}.weight"] for name in names]
            ours[f"blocks.{layer}.{our}.weight"] = torch.cat(joined)
    return ours


def randomised(model: Any) -> Any:
    """Wider weights than a model begins with, and no gain that is just one."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2, generator=draw)
            if parameter.ndim == 1:
                parameter.add_(1)
    return model.eval()


def assert_equal_logits_and_gradients(
    model: LanguageModel, their_model: Any, mapped: Any, atol: float = 1e-5
) -> None:
    weights = mapped({name: p.detach() for name, p in their_model.named_parameters()})
    parameters = dict(model.named_parameters())
    assert set(weights) == set(parameters)
    with torch.no_grad():
        for name, weight in weights.items():
            parameters[name].copy_(weight)
    draw = torch.Generator().manual_seed(2)
    ids = torch.randint(0, VOCAB, (3, CONTEXT), generator=draw)
    logits, theirs = model.eval()(ids)[0], their_model(ids).logits
    torch.testing.assert_close(logits, theirs, atol=atol, rtol=0)
    for found in (logits, theirs):
        losses = torch.nn.functional.cross_entropy(found[:, :-1].transpose(1, 2), ids[:, 1:])
        losses.backward()
    expected = mapped({name: p.grad for name, p in their_model.named_parameters()})
    for name, parameter in parameters.items():
        torch.testing.assert_close(parameter.grad, expected[name], atol=atol, rtol=1e-4)


@pytest.mark.parametrize("activation", ["gelu_new", "gelu"])
def test_gpt2(activation: str) -> None:
    theirs = randomised(
        transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                vocab_size=VOCAB, n_positions=CONTEXT, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
                activation_function=activation, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
                bos_token_id=0, eos_token_id=0,
            )
        )
    )  # fmt: skip
    ours = build_model(
        TransformerConfig(
            layers=LAYERS, heads=HEADS, d_model=WIDTH, positions="learned", norm="layernorm",
            feedforward="gelu_tanh" if activation == "gelu_new" else "gelu", bias=True,
        ),
        vocab_size=VOCAB, context_length=CONTEXT, seed=1,
    )  # fmt: skip
    assert_equal_logits_and_gradients(ours, theirs, from_gpt2)


LLAMAS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"num_key_value_heads": HEADS}, {}),
    (
        {"num_key_value_heads": 2, "tie_word_embeddings": True, "rms_norm_eps": 1e-6},
        {"kv_heads": 2, "tied_head": True, "norm_epsilon": 1e-6},
    ),
    (
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0}},
        {"rotary_base": 500_000.0},
    ),
    (
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 3.0}},
        {"rotary_scaling": "linear", "rotary_scaling_factor": 3.0},
    ),
    (
        {
            "rope_parameters": {
                "rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0,
                "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 40,
            }
        },
        {
            "rotary_base": 100.0, "rotary_scaling": "llama3", "rotary_scaling_factor": 8.0,
            "rotary_trained_length": 40,
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("their_changes", "our_changes"), LLAMAS, ids=str)
def test_llama(their_changes: dict[str, Any], our_changes: dict[str, Any]) -> None:
    theirs = randomised(
        transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                **{
                    "vocab_size": VOCAB, "hidden_size": WIDTH, "intermediate_size": 48,
                    "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
                    "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5,
                    "pad_token_id": None, "tie_word_embeddings": False, **their_changes,
                }
            )
        )
    )  # fmt: skip
    settings = {
        "layers": LAYERS, "heads": HEADS, "d_model": WIDTH, "d_ff": 48, "tied_head": False,
        **our_changes,
    }  # fmt: skip
    ours = build_model(
        TransformerConfig.model_validate(settings),
        vocab_size=VOCAB,
        context_length=CONTEXT,
        seed=1,
    )
    assert_equal_logits_and_gradients(ours, theirs, from_llama)
