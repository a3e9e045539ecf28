"""Norms: keep the size of a token's vector in check before each part of a block.

LayerNorm (Ba et al., 2016) takes off the mean and divides by the standard deviation;
RMSNorm (Zhang and Sennrich, 2019) only divides by the root of the mean square.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

NormKind = Literal["layernorm", "rmsnorm"]
EPSILON = 1e-5


def build_norm(kind: NormKind, width: int, *, bias: bool) -> nn.Module:
    """A norm over the last dimension: [..., width] to the same shape.

    Args:
        kind: which formula.
        width: size of the last dimension.
        bias: whether LayerNorm adds a learned vector; RMSNorm never does.
    """
    if kind == "layernorm":
        return nn.LayerNorm(width, eps=EPSILON, bias=bias)
    return nn.RMSNorm(width, eps=EPSILON)
