"""A linear map: every output is a weighted sum of the inputs.

    x      [..., inputs]
    weight [outputs, inputs]      y = x weightᵀ + bias
    y      [..., outputs]

Nearly all of a transformer's weights and of its time are in these.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from hornbook.models.products import product


class Linear(nn.Linear):
    """[..., inputs] to [..., outputs].

    Args:
        inputs: size of the last dimension before.
        outputs: size of the last dimension after.
        bias: whether a learned vector is added.

    Attributes:
        weight: [outputs, inputs].
        bias: [outputs], or ``None``.
        product: what computes instead of ``weight`` and ``bias``, or ``None``.
        exact: whether the result is that of ``weight`` and ``bias``, whatever computes.

    >>> Linear(3, 5)(torch.zeros(2, 7, 3)).shape
    torch.Size([2, 7, 5])
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = False) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.product: Callable[[torch.Tensor], torch.Tensor] | None = None
        self.exact = True

    def use(self, product: Callable[[torch.Tensor], torch.Tensor], *, exact: bool) -> None:
        """Compute by ``product`` from now on, without ``weight`` and ``bias`` (``quantised``).

        Args:
            product: [..., inputs] to [..., outputs].
            exact: whether it rounds no more than float32 does.
        """
        self.product, self.exact = product, exact

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[..., inputs] to [..., outputs]."""
        if self.product is not None:
            return self.product(input)
        return product(input, self.weight, self.bias)
