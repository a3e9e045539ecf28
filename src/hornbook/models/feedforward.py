"""The part of a block that works on each token alone: widen, bend, narrow.

``gelu`` is GPT-2's form, with two matrices: ``down(gelu(up(x)))`` (Hendrycks and Gimpel,
2016). ``swiglu`` gates instead (Shazeer, 2020, "GLU Variants Improve Transformer"), with
three: ``down(silu(gate(x)) * up(x))``.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

FeedForwardKind = Literal["gelu", "swiglu"]


def default_d_ff(kind: FeedForwardKind, d_model: int) -> int:
    """The usual inner width: four times the model's, or what costs as much with a gate.

    SwiGLU has three matrices for GELU's two, so two thirds of the width take as many
    parameters; the result is rounded up to a multiple of 8.

    >>> default_d_ff("gelu", 768), default_d_ff("swiglu", 768)
    (3072, 2048)
    """
    if kind == "gelu":
        return 4 * d_model
    return -(-d_model // 3) * 8


class FeedForward(nn.Module):
    """[batch, time, d_model] to the same shape, each token on its own.

    Args:
        kind: ``gelu`` or ``swiglu``.
        d_model: width of a token's vector.
        d_ff: inner width.
        bias: whether the matrices add a learned vector.
        dropout: share of outputs zeroed in training.
    """

    def __init__(
        self, kind: FeedForwardKind, d_model: int, d_ff: int, *, bias: bool, dropout: float
    ) -> None:
        super().__init__()
        self.gated = kind == "swiglu"
        # One matrix for gate and up: a single product is faster than two.
        self.up = nn.Linear(d_model, 2 * d_ff if self.gated else d_ff, bias=bias)
        self.joint_rows = {"up.weight": (d_ff, d_ff)} if self.gated else {}
        self.down = nn.Linear(d_ff, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, time, d_model] to [batch, time, d_model]."""
        if self.gated:
            gate, up = self.up(x).chunk(2, dim=-1)
            inner = F.silu(gate) * up
        else:
            inner = F.gelu(self.up(x))
        return self.dropout(self.down(inner))
