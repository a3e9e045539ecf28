"""The small parts of a block with gradients written out by hand, for training in bfloat16 on a CPU.

A product of matrices is so quick in bfloat16 that what stands between two of them takes as long: a
norm, a shift. PyTorch differentiates each as a chain of simple steps, and every step is a pass over
memory of its own. Written out there are fewer. One thread of a Zen 4, forward and backward, in
microseconds, for 2,048 tokens of width 128 (relu_squared: 512):

                                            by PyTorch   by hand
    rms_norm      x / √(mean x² + ε)               965       396
    shifted       x + weight × before              774       482
    relu_squared  max(x, 0)²                     1,682     1,007
    mixed         a x + b y                        579       414

Most compute in float32, into which PyTorch's kernels for simple steps would turn bfloat16 a few
numbers at a time. Elsewhere, and in float32, the plain forms stay what they are; tests hold these
to them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

Gradients = tuple[torch.Tensor | None, ...]


def rms_norm(x: torch.Tensor, gain: torch.Tensor | None, epsilon: float) -> torch.Tensor:
    """``torch.nn.functional.rms_norm`` over the last dimension; the result is ``float32``.

    >>> rms_norm(torch.tensor([[3.0, -1.0, 1.0, 1.0]]), None, 0.0)
    tensor([[ 1.7321, -0.5774,  0.5774,  0.5774]])
    """
    normed: Any = _RMSNorm.apply(x, epsilon)
    return normed if gain is None else normed * gain


def shifted(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Each token and a share of the one on its left in the row, in ``float32``.

    Args:
        x: [batch, time, width].
        weight: [width] the share of each channel.

    >>> shifted(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([0.5]))
    tensor([[[1.0000],
             [2.5000],
             [4.0000]]])
    """
    return _Shifted.apply(x, weight)  # pyright: ignore[reportReturnType]


def relu_squared(x: torch.Tensor) -> torch.Tensor:
    """``feedforward.relu2``, of the type of ``x``."""
    return _ReluSquared.apply(x)  # pyright: ignore[reportReturnType]


def mixed(shares: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """``shares[0] * x + shares[1] * y`` of two ``float32`` tensors of one shape."""
    return _Mixed.apply(shares, x, y)  # pyright: ignore[reportReturnType]


class _RMSNorm(torch.autograd.Function):
    """With y = x / r, its gradient is (dy - y mean(dy y)) / r."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, epsilon: float) -> torch.Tensor:
        ctx.kind, x = x.dtype, x.float()
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        factor = length.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        y = x * factor
        ctx.save_for_backward(y, factor)
        return y

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: torch.Tensor
    ) -> Gradients:
        y, factor = ctx.saved_tensors
        gradient = gradients[0].float()
        along = (gradient * y).mean(-1, keepdim=True)
        return torch.addcmul(gradient, y, along, value=-1).mul_(factor).to(ctx.kind), None


class _Shifted(torch.autograd.Function):
    """Each token's gradient goes to itself, and a share of it to its neighbour on the left."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        y = x.to(torch.float32, copy=True)
        y[:, 1:].addcmul_(x[:, :-1], weight)
        return y

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: torch.Tensor
    ) -> Gradients:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].float()
        for_x = gradient.clone()
        for_x[:, :-1].addcmul_(gradient[:, 1:], weight)
        for_weight = (gradient[:, 1:] * x[:, :-1]).sum((0, 1))
        return for_x.to(x.dtype), for_weight.to(weight.dtype)


class _ReluSquared(torch.autograd.Function):
    """The gradient of max(x, 0)² is 2 max(x, 0)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        positive = F.relu(x)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: torch.Tensor
    ) -> Gradients:
        (positive,) = ctx.saved_tensors
        return (gradients[0] * positive).mul_(2)


class _Mixed(torch.autograd.Function):
    """Each share's gradient is the product of what it was multiplied with and of dy, summed."""

    @staticmethod
    def forward(ctx: Any, shares: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(shares, x, y)
        return (x * shares[0]).addcmul_(y, shares[1])

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: torch.Tensor
    ) -> Gradients:
        shares, x, y = ctx.saved_tensors
        gradient = gradients[0]
        flat = gradient.reshape(-1)
        for_shares = torch.stack((torch.dot(flat, x.reshape(-1)), torch.dot(flat, y.reshape(-1))))
        return for_shares, gradient * shares[0], gradient * shares[1]
