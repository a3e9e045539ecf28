"""The input skip: every layer may take up the embedding again, as it was before the first one.

    x = residual × x + input × embedding          two learned numbers a layer, 1 and 0 at first

What a layer has overwritten is there for the next one all the same. (Kept from the speed runs of
Keller Jordan and others, 2024, "modded-nanogpt".)
"""

from __future__ import annotations

import torch
from torch import nn

from hornbook.models.hand_gradients import mixed
from hornbook.models.products import short_on_cpu


class InputSkip(nn.Module):
    """[batch, time, width] to the same shape.

    Attributes:
        weight: [2], the shares of the residual and of the embedding.

    >>> InputSkip()(torch.ones(1, 1, 3), torch.full((1, 1, 3), 9.0)).tolist()
    [[[1.0, 1.0, 1.0]]]
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 0.0]))

    def forward(self, x: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        """Mix the residual with the embedding; both are [batch, time, width]."""
        if short_on_cpu(x) and x.dtype == embedded.dtype == torch.float32:
            return mixed(self.weight, x, embedded)
        return self.weight[0] * x + self.weight[1] * embedded
