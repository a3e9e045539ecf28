"""GPT-2 and Llama as on paper, straight from their own tensors, one head at a time.

The slow, readable twins: nothing here is shared with ``models``, so that two logits which agree
were computed in two ways. They check every import and every export on one short text.

Everything is computed in float64, as [time, ...] without a batch; a tensor is read when it is
needed and dropped again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

ReadTensor = Callable[[str], torch.Tensor]
_ROOT_TWO_OVER_PI = math.sqrt(2 / math.pi)


def _gelu_by_tanh(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x * (1 + torch.tanh(_ROOT_TWO_OVER_PI * (x + 0.044715 * x**3)))


def _gelu(x: torch.Tensor) -> torch.Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def _silu(x: torch.Tensor) -> torch.Tensor:
    return x / (1 + torch.exp(-x))


BENDS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu_new": _gelu_by_tanh,
    "gelu_pytorch_tanh": _gelu_by_tanh,
    "gelu": _gelu,
    "silu": _silu,
    "swish": _silu,
    "relu2": lambda x: x.clamp(min=0) ** 2,
}
"""The bends by the names that ``config.json`` has for them."""


def plain_gpt2(values: Mapping[str, Any], tensor: ReadTensor, ids: torch.Tensor) -> torch.Tensor:
    """GPT-2: logits [time, vocab_size] for ids [time] (Radford et al., 2019)."""
    get: ReadTensor = lambda name: tensor(name).double()  # noqa: E731
    bend = BENDS[values.get("activation_function") or "gelu_new"]
    epsilon = values.get("layer_norm_epsilon") or 1e-5

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        scaled = centred / (centred.square().mean(dim=-1, keepdim=True) + epsilon).sqrt()
        return scaled * get(f"{name}.weight") + get(f"{name}.bias")

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ get(f"{name}.weight") + get(f"{name}.bias")

    table = tensor("wte.weight")
    x = table[ids].double() + tensor("wpe.weight")[: len(ids)].double()
    for layer in range(values["n_layer"]):
        h = f"h.{layer}"
        query, key, value = linear(norm(x, f"{h}.ln_1"), f"{h}.attn.c_attn").chunk(3, dim=-1)
        heads = [part.chunk(values["n_head"], dim=-1) for part in (query, key, value)]
        attended = [attend(*each) for each in zip(*heads, strict=True)]
        x = x + linear(torch.cat(attended, dim=-1), f"{h}.attn.c_proj")
        inner = bend(linear(norm(x, f"{h}.ln_2"), f"{h}.mlp.c_fc"))
        x = x + linear(inner, f"{h}.mlp.c_proj")
    head = table if values.get("tie_word_embeddings", True) else tensor("lm_head.weight")
    return norm(x, "ln_f").float() @ head.float().t()


def plain_llama(values: Mapping[str, Any], tensor: ReadTensor, ids: torch.Tensor) -> torch.Tensor:
    """Llama: logits [time, vocab_size] for ids [time] (Touvron et al., 2023)."""
    get: ReadTensor = lambda name: tensor(name).double()  # noqa: E731
    bend = BENDS[values.get("hidden_act") or "silu"]
    epsilon = values.get("rms_norm_eps") or 1e-6
    heads = values["num_attention_heads"]
    shared_by = heads // (values.get("num_key_value_heads") or heads)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        root = (x.square().mean(dim=-1, keepdim=True) + epsilon).sqrt()
        return x / root * get(f"{name}.weight")

    def linear(x: torch.Tensor, name: str, *, biased: bool) -> torch.Tensor:
        product = x @ get(f"{name}.weight").t()
        return product + get(f"{name}.bias") if biased else product

    attention_bias = bool(values.get("attention_bias"))
    mlp_bias = bool(values.get("mlp_bias"))
    table = tensor("embed_tokens.weight")
    x = table[ids].double()
    angles = rotary_angles(values, len(ids), values["hidden_size"] // heads)
    for layer in range(values["num_hidden_layers"]):
        h = f"layers.{layer}"
        normed = norm(x, f"{h}.input_layernorm")
        query, key, value = (
            linear(normed, f"{h}.self_attn.{name}_proj", biased=attention_bias) for name in "qkv"
        )
        size = query.shape[-1] // heads
        keys = [turn(part, angles) for part in key.split(size, dim=-1)]
        values_of = value.split(size, dim=-1)
        attended = [
            attend(turn(part, angles), keys[n // shared_by], values_of[n // shared_by])
            for n, part in enumerate(query.split(size, dim=-1))
        ]
        joined = torch.cat(attended, dim=-1)
        x = x + linear(joined, f"{h}.self_attn.o_proj", biased=attention_bias)
        normed = norm(x, f"{h}.post_attention_layernorm")
        gate = bend(linear(normed, f"{h}.mlp.gate_proj", biased=mlp_bias))
        inner = gate * linear(normed, f"{h}.mlp.up_proj", biased=mlp_bias)
        x = x + linear(inner, f"{h}.mlp.down_proj", biased=mlp_bias)
    head = table if values.get("tie_word_embeddings", False) else tensor("lm_head.weight")
    return norm(x, "norm").float() @ head.float().t()


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """One head of causal attention: all [time, size].

    >>> attend(torch.zeros(2, 1), torch.zeros(2, 1), torch.tensor([[2.0], [4.0]]))
    tensor([[2.],
            [3.]])
    """
    scores = query @ key.t() / math.sqrt(query.shape[-1])
    later = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(later, -math.inf).softmax(dim=-1) @ value


def rotary_angles(values: Mapping[str, Any], time: int, size: int) -> torch.Tensor:
    """By which angle each pair of a head is turned at each position: [time, size / 2].

    The frequencies may be scaled for texts longer than the model was first trained on:
    ``linear`` divides all of them (Chen et al., 2023, "Position Interpolation"), ``llama3`` only
    the slow ones (Grattafiori et al., 2024, "The Llama 3 Herd of Models").

    >>> rotary_angles({"rope_theta": 100.0}, time=2, size=4)
    tensor([[0.0000, 0.0000],
            [1.0000, 0.1000]], dtype=torch.float64)
    """
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    base = rope.get("rope_theta") or values.get("rope_theta") or 10_000.0
    kind = rope.get("rope_type") or rope.get("type") or "default"
    frequencies = []
    for pair in range(size // 2):
        frequency = base ** (-2 * pair / size)
        if kind == "linear":
            frequency /= rope["factor"]
        elif kind == "llama3":
            # How often the pair goes round within the length of the first training.
            rounds = rope["original_max_position_embeddings"] * frequency / (2 * math.pi)
            slow, quick = rope["low_freq_factor"], rope["high_freq_factor"]
            kept = min(max((rounds - slow) / (quick - slow), 0.0), 1.0)
            frequency *= kept + (1 - kept) / rope["factor"]
        frequencies.append(frequency)
    places = torch.arange(time, dtype=torch.float64)
    return torch.outer(places, torch.tensor(frequencies, dtype=torch.float64))


def turn(head: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Turn each pair (i, i + size / 2) of [time, size] as a complex number by its angle.

    >>> turn(torch.tensor([[1.0, 0.0]]), torch.tensor([[math.pi / 2]])).round()
    tensor([[-0., 1.]])
    """
    first, second = head.chunk(2, dim=-1)
    turned = torch.complex(first, second) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], dim=-1)
