"""The part of a block that works on each token alone: widen, bend, narrow.

Two matrices, ``down(bend(up(x)))``:

    gelu        x Φ(x), with the normal distribution's Φ (Hendrycks and Gimpel, 2016)
    gelu_tanh   the same by a formula with tanh: what GPT-2's published weights were trained with
    silu        x σ(x)
    relu2       max(x, 0)² (So et al., 2021, "Primer")

Three matrices, ``down(bend(gate(x)) × up(x))`` (Shazeer, 2020, "GLU Variants Improve
Transformer"):

    geglu       bent by gelu
    swiglu      bent by silu (Llama)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from hornbook.models.hand_gradients import relu_squared
from hornbook.models.linear import Linear
from hornbook.models.products import short_on_cpu

FeedForwardKind = Literal["gelu", "gelu_tanh", "silu", "relu2", "geglu", "swiglu"]
GATED: frozenset[FeedForwardKind] = frozenset({"geglu", "swiglu"})


def relu2(x: torch.Tensor) -> torch.Tensor:
    """The square of what is above zero.

    >>> relu2(torch.tensor([-2.0, 0.5, 3.0]))
    tensor([0.0000, 0.2500, 9.0000])
    """
    return relu_squared(x) if short_on_cpu(x) else F.relu(x).square()


def _gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    return F.gelu(x, approximate="tanh")


BENDS: dict[FeedForwardKind, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": F.silu,
    "relu2": relu2,
    "geglu": F.gelu,
    "swiglu": F.silu,
}


def default_d_ff(kind: FeedForwardKind, d_model: int) -> int:
    """The usual inner width: four times the model's, or what has as many parameters with a gate.

    Gated kinds have three matrices for the others' two, so two thirds of the width take as many
    parameters; the result is rounded up to a multiple of 8.

    >>> default_d_ff("gelu", 768), default_d_ff("swiglu", 768)
    (3072, 2048)
    """
    if kind not in GATED:
        return 4 * d_model
    return -(-d_model // 3) * 8


class FeedForward(nn.Module):
    """[batch, time, d_model] to the same shape, each token on its own.

    Args:
        kind: which formula.
        d_model: width of a token's vector.
        d_ff: inner width.
        bias: whether the matrices add a learned vector.
        dropout: share of outputs zeroed in training.
    """

    def __init__(
        self,
        kind: FeedForwardKind,
        d_model: int,
        d_ff: int,
        *,
        bias: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.kind, self.gated = kind, kind in GATED
        self.bend = BENDS[kind]
        # One matrix for gate and up: a single product is faster than two.
        self.up = Linear(d_model, 2 * d_ff if self.gated else d_ff, bias=bias)
        self.joint_rows = {"up.weight": (d_ff, d_ff)} if self.gated else {}
        self.down = Linear(d_ff, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, time, d_model] to [batch, time, d_model]."""
        if self.gated:
            gate, up = self.up(x).chunk(2, dim=-1)
            inner = self.bend(gate) * up
        else:
            inner = self.bend(self.up(x))
        return self.dropout(self.down(inner))


class SwiGLU(FeedForward):
    """[..., d_model] to the same shape: ``down(silu(gate(x)) × up(x))``.

    Args:
        d_model: width of a token's vector.
        d_ff: inner width.
        bias: whether the matrices add a learned vector.
        dropout: share of outputs zeroed in training.

    Attributes:
        up: [d_model] to [2 × d_ff]: the gate, then what it lets through.
        down: [d_ff] to [d_model].

    >>> SwiGLU(8, 24)(torch.zeros(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self, d_model: int, d_ff: int, *, bias: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__("swiglu", d_model, d_ff, bias=bias, dropout=dropout)
