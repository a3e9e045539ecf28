"""GPT-2's form twice: as a model of hornbook and as one of transformers, with the same weights."""

from __future__ import annotations

from transformers import GPT2Config, GPT2LMHeadModel  # pyright: ignore[reportMissingImports]

from hornbook.models import Transformer, TransformerConfig, build_model


def build_ours(layers: int, heads: int, width: int, *, context: int, vocab: int) -> Transformer:
    config = TransformerConfig(
        layers=layers,
        heads=heads,
        d_model=width,
        positions="learned",
        norm="layernorm",
        feedforward="gelu",
        tied_head=True,
        bias=True,
    )
    model = build_model(config, vocab_size=vocab, context_length=context, seed=1)
    assert isinstance(model, Transformer)
    return model.train()


def build_theirs(ours: Transformer, layers: int, heads: int, width: int) -> GPT2LMHeadModel:
    """The same network out of transformers, with our weights in it."""
    config = GPT2Config(
        vocab_size=ours.vocab_size,
        n_positions=ours.capacity,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        activation_function="gelu",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    model = GPT2LMHeadModel(config).train()
    names = {
        "attention_norm": "ln_1",
        "attention.qkv": "attn.c_attn",
        "attention.output": "attn.c_proj",
        "feedforward_norm": "ln_2",
        "feedforward.up": "mlp.c_fc",
        "feedforward.down": "mlp.c_proj",
    }
    state = {
        "transformer.wte.weight": ours.token_embedding.weight,
        "transformer.wpe.weight": ours.get_parameter("position_embedding.weight"),
        "transformer.ln_f.weight": ours.get_parameter("final_norm.weight"),
        "transformer.ln_f.bias": ours.get_parameter("final_norm.bias"),
        "lm_head.weight": ours.token_embedding.weight,
    }
    for layer in range(layers):
        for mine, peer in names.items():
            for kind in ("weight", "bias"):
                tensor = ours.get_parameter(f"blocks.{layer}.{mine}.{kind}")
                # Its Conv1D holds matrices the other way round.
                turned = tensor.t() if tensor.ndim == 2 else tensor
                state[f"transformer.h.{layer}.{peer}.{kind}"] = turned
    model.load_state_dict({name: tensor.detach().clone() for name, tensor in state.items()})
    return model
