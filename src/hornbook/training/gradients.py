"""The length of the gradient: of the whole, of each tensor, of each layer; and how it is cut.

The norms of the tensors are needed for the norm of the whole; so which layer a gradient comes from,
and which tensor was the first to be infinite, is known after every step and costs nothing.

    blocks.0.attention.qkv.weight   3 ─┐
    blocks.0.feedforward.up.weight  4 ─┴─ blocks.0    5 ─┐
    output_head.weight             12 ─── output_head 12 ┴─ 13
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch


@torch.no_grad()
def gradient_norms(gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """The Euclidean length of each tensor: [tensors] ``float32``."""
    if not gradients:
        return torch.zeros(0)
    return torch.stack(torch._foreach_norm(list(gradients)))


@torch.no_grad()
def scale_gradients(gradients: Sequence[torch.Tensor], factor: torch.Tensor) -> None:
    """Multiply all tensors by one number ([] ``float32``), in place."""
    if gradients:
        torch._foreach_mul_(list(gradients), factor)


def layer_of(name: str) -> str:
    """The layer that a parameter belongs to: its name up to the first number.

    >>> layer_of("blocks.3.attention.qkv.weight"), layer_of("output_head.weight")
    ('blocks.3', 'output_head')
    """
    words = name.split(".")
    for place, word in enumerate(words):
        if word.isdecimal():
            return ".".join(words[: place + 1])
    return words[0]


def norms_by_layer(names: Sequence[str], norms: Sequence[float]) -> dict[str, float | None]:
    """The length of each layer's gradient; ``None`` where it is not finite.

    >>> norms_by_layer(["blocks.0.a.weight", "blocks.0.b.weight", "head.weight"], [3.0, 4.0, 1.0])
    {'blocks.0': 5.0, 'head': 1.0}
    """
    squares: dict[str, float] = {}
    for name, norm in zip(names, norms, strict=True):
        layer = layer_of(name)
        squares[layer] = squares.get(layer, 0.0) + norm**2
    return {
        layer: math.sqrt(total) if math.isfinite(total) else None
        for layer, total in squares.items()
    }


def first_not_finite(names: Sequence[str], norms: Sequence[float]) -> str:
    """The first tensor with a number in it that is not finite.

    >>> first_not_finite(["a", "b"], [1.0, math.inf]), first_not_finite(["a"], [1.0])
    ('b', 'all tensors together')
    """
    for name, norm in zip(names, norms, strict=True):
        if not math.isfinite(norm):
            return name
    return "all tensors together"  # each is finite, but their sum of squares overflows
