"""Products of matrices in bfloat16 on a CPU: short numbers in, sums in float32.

Since 2020 processors can multiply pairs of bfloat16 numbers and add them up in float32 at once
(AVX-512 BF16, AMX), two to eight times as many in a cycle as float32 numbers. A linear map has
three products, and all of them can be had so:

    forward     y  = x  weightᵀ        x and weight are rounded to bfloat16
    backward    dx = dy weight         the rounded weight is at hand already
                dw = dyᵀ x             and so is the rounded x

Under ``torch.autocast`` PyTorch does the same in several nodes of its graph, each with its own
bookkeeping. Here it is one node, which keeps what it has rounded. What it computes is the same, to
the bit forwards. Nothing here asks for a certain processor: others are right as well, but slow, so
``training.precision=auto`` takes bfloat16 only where ``processor`` knows that it is fast.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

SHORT = torch.bfloat16


def short_on_cpu(x: torch.Tensor) -> bool:
    """Whether products with ``x`` are wanted in bfloat16, and ``x`` lies on a CPU.

    >>> with torch.autocast("cpu", dtype=torch.bfloat16):
    ...     short_on_cpu(torch.zeros(1))
    True
    >>> short_on_cpu(torch.zeros(1))
    False
    """
    return (
        torch.is_autocast_enabled("cpu")
        and x.device.type == "cpu"
        and torch.get_autocast_dtype("cpu") is SHORT
    )


def product(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """``x weightᵀ + bias``, in the precision that is in use.

    Args:
        x: [..., inputs].
        weight: [outputs, inputs].
        bias: [outputs], or ``None``.

    Returns:
        [..., outputs]: in float32, or in the short type under ``torch.autocast``.

    >>> product(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[11.,  2.]])
    """
    if short_on_cpu(x):
        return _ShortProduct.apply(x, weight, bias)  # pyright: ignore[reportReturnType]
    return F.linear(x, weight, bias)


class _ShortProduct(torch.autograd.Function):
    """``F.linear`` with all three products in bfloat16."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        short_x, short_weight = x.to(SHORT), weight.to(SHORT)
        ctx.save_for_backward(short_x, short_weight)
        ctx.types = x.dtype, weight.dtype, None if bias is None else bias.dtype
        return F.linear(short_x, short_weight, None if bias is None else bias.to(SHORT))

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        short_x, short_weight = ctx.saved_tensors
        gradient = gradients[0].to(SHORT)
        rows = gradient.reshape(-1, gradient.shape[-1])
        for_x, for_weight, for_bias = None, None, None
        wanted, types = ctx.needs_input_grad, ctx.types
        if wanted[0]:
            for_x = (gradient @ short_weight).to(types[0])
        if wanted[1]:
            for_weight = (rows.t() @ short_x.reshape(len(rows), -1)).to(types[1])
        if wanted[2] and types[2] is not None:
            for_bias = rows.sum(0, dtype=torch.float32).to(types[2])
        return for_x, for_weight, for_bias
