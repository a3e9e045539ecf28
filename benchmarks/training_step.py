"""One training step in GPT-2's form: hornbook beside transformers, same weights, same batch.

    pip install -e '.[bench]'
    python benchmarks/training_step.py --threads 1

Prints the median time of a whole step (forward, backward, clipping, AdamW) of both and the
ratio, from one run in which they take turns. Losses are asserted equal before timing.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from transformers import GPT2Config, GPT2LMHeadModel  # pyright: ignore[reportMissingImports]

from hornbook.data import Batch
from hornbook.models import Transformer, TransformerConfig, build_model
from hornbook.optimization import OptimizerConfig, build_optimizer
from hornbook.runs.config import RunConfig
from hornbook.training.equipment import choose_equipment, make_step
from hornbook.training.step import read

VOCAB = 2048


def build_ours(layers: int, heads: int, width: int, context: int) -> Transformer:
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
    model = build_model(config, vocab_size=VOCAB, context_length=context, seed=1)
    assert isinstance(model, Transformer)
    return model.train()


def build_theirs(ours: Transformer, layers: int, heads: int, width: int) -> GPT2LMHeadModel:
    """The same network out of transformers, with our weights in it."""
    config = GPT2Config(
        vocab_size=VOCAB,
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)

    ours = build_ours(given.layers, given.heads, given.width, given.context)
    theirs = build_theirs(ours, given.layers, given.heads, given.width)
    ids = torch.randint(0, VOCAB, (given.batch, given.context + 1))
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    batch = Batch(inputs, targets, targets.numel())
    plain = RunConfig()
    optimizer = build_optimizer(ours, OptimizerConfig(), 1e-3)
    take_step = make_step(plain, choose_equipment(plain), ours, optimizer)
    their_optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-3, fused=True)

    def our_step() -> float:
        return read([take_step([batch], learning_rate=1e-3, dropout_seed=1)])[0].loss

    def their_step() -> float:
        logits = theirs(inputs, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        their_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        their_optimizer.step()
        return loss.item()

    first = our_step(), their_step()
    assert abs(first[0] - first[1]) < 1e-4, f"the losses differ: {first}"
    times: dict[Callable[[], float], list[float]] = {our_step: [], their_step: []}
    for _ in range(given.rounds):
        for step, measured in times.items():
            began = time.perf_counter()
            step()
            measured.append(time.perf_counter() - began)
    mine, peer = (statistics.median(measured) for measured in times.values())
    tokens = given.batch * given.context
    print(f"{tokens} tokens a step, {given.threads} thread(s), losses equal: {first[0]:.6f}")
    print(f"hornbook      {1000 * mine:8.1f} ms {tokens / mine:10,.0f} tokens/s")
    print(f"transformers  {1000 * peer:8.1f} ms {tokens / peer:10,.0f} tokens/s")
    print(f"ratio         {peer / mine:8.2f} ×")


if __name__ == "__main__":
    main()
