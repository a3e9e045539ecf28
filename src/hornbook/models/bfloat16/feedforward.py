"""A block's feed-forward as one node of the graph, around ``feedforward_loops``.

x ──┬──────────────────────────────── + ──► out
    └─ norm ─ up ─ GELU ─ down ───────┘
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from hornbook.models.bfloat16.feedforward_loops import feed_forward, feed_forward_backwards
from hornbook.models.bfloat16.memory import pairs_of, shorts_of


def feed_forward_of(
    x: torch.Tensor, gain: torch.Tensor, epsilon: float, up: torch.Tensor, down: torch.Tensor
) -> torch.Tensor:
    """``x + gelu(layer_norm(x) upᵀ) downᵀ`` with products in bfloat16.

    Args:
        x: [..., width] ``float32``.
        gain: [width] of the norm.
        epsilon: of the norm.
        up: [inner, width] ``float32``.
        down: [width, inner] ``float32``.

    Returns:
        [..., width] ``float32``.
    """
    return _FeedForward.apply(x, gain, epsilon, up, down)  # pyright: ignore[reportReturnType]


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        gain: torch.Tensor,
        epsilon: float,
        up: torch.Tensor,
        down: torch.Tensor,
    ) -> torch.Tensor:
        x, up, down = x.contiguous(), up.contiguous(), down.contiguous()
        rows, (inner, width) = x.numel() // x.shape[-1], up.shape
        facts = torch.empty(rows, 2)
        normed = torch.empty(rows, width, dtype=torch.bfloat16)
        bent, slopes = (torch.empty(rows, inner, dtype=torch.bfloat16) for _ in range(2))
        out = torch.empty_like(x)
        feed_forward(
            x.view(rows, width).numpy(),
            gain.numpy(),
            np.float32(epsilon),
            up.numpy(),
            down.numpy(),
            facts.numpy(),
            shorts_of(normed),
            pairs_of(normed),
            shorts_of(bent),
            pairs_of(bent),
            shorts_of(slopes),
            out.view(rows, width).numpy(),
        )
        ctx.save_for_backward(x, gain, up, down, facts, normed, bent, slopes)
        return out

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        x, gain, up, down, facts, normed, bent, slopes = ctx.saved_tensors
        flat = len(normed), x.shape[-1]
        for_x = torch.empty_like(x)
        for_gain, for_up, for_down = (torch.zeros_like(weight) for weight in (gain, up, down))
        feed_forward_backwards(
            gradients[0].contiguous().view(flat).numpy(),
            x.view(flat).numpy(),
            gain.numpy(),
            up.numpy(),
            down.numpy(),
            facts.numpy(),
            pairs_of(normed),
            pairs_of(bent),
            shorts_of(slopes),
            for_x.view(flat).numpy(),
            for_gain.numpy(),
            for_up.numpy(),
            for_down.numpy(),
        )
        wanted = ctx.needs_input_grad
        found = for_x, for_gain, None, for_up, for_down
        return tuple(part if need else None for part, need in zip(found, wanted, strict=True))
