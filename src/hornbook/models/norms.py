"""Norms: keep the size of a token's vector in check.

LayerNorm (Ba et al., 2016) takes off the mean and divides by the standard deviation; RMSNorm
(Zhang and Sennrich, 2019) only divides by the root of the mean square. Both then multiply by
learned gains, which can be left out: the linear map that follows can do the same.

    x        3  -1   1   1
    rmsnorm  √3 -.6 .6  .6       (the root of the mean square is √3)

Where a norm stands, with f as attention or feed-forward:

    before   x + f(norm(x))           and one norm more before the head (GPT-2)
    after    norm(x + f(x))           Vaswani et al., 2017
    both     x + norm(f(norm(x)))     and one more before the head: the sandwich of Ding et al.,
                                      2021, "CogView"
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from hornbook.models.hand_gradients import rms_norm
from hornbook.models.products import short_on_cpu

NormKind = Literal["layernorm", "rmsnorm", "none"]
NormPosition = Literal["before", "after", "both"]
EPSILON = 1e-5


class RMSNorm(nn.RMSNorm):
    """[..., width] to the same shape: divided by the root of the mean square.

    Args:
        width: size of the last dimension.
        epsilon: added to the mean square, against division by zero.
        gain: whether each channel is multiplied by a learned number.

    >>> RMSNorm(4, gain=False)(torch.tensor([3.0, -1.0, 1.0, 1.0]))
    tensor([ 1.7320, -0.5773,  0.5773,  0.5773])
    """

    def __init__(self, width: int, *, epsilon: float = EPSILON, gain: bool = True) -> None:
        super().__init__(width, eps=epsilon, elementwise_affine=gain)
        self.epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., width] to the same shape."""
        weight = self.weight
        if short_on_cpu(x):
            return rms_norm(x, weight, self.epsilon)
        # The fused kernel wants one type; under autocast a product's result has another.
        if weight is not None and x.dtype != weight.dtype:
            x = x.to(weight.dtype)
        return F.rms_norm(x, self.normalized_shape, weight, self.eps)


def build_norm(
    kind: NormKind, width: int, *, bias: bool, gain: bool = True, epsilon: float = EPSILON
) -> nn.Module:
    """A norm over the last dimension: [..., width] to the same shape.

    Args:
        kind: which formula; ``none`` changes nothing.
        width: size of the last dimension.
        bias: whether LayerNorm adds a learned vector; RMSNorm never does.
        gain: whether the norm has anything to learn at all.
        epsilon: added to the mean square.
    """
    if kind == "none":
        return nn.Identity()
    if kind == "layernorm":
        return nn.LayerNorm(width, eps=epsilon, elementwise_affine=gain, bias=bias)
    return RMSNorm(width, epsilon=epsilon, gain=gain)
