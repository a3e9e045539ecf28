"""The head: a score for every entry of the vocabulary.

    features [..., width] ── weight [vocab_size, width] ──► logits [..., vocab_size]

A soft-cap keeps scores within ±cap without cutting any off: ``cap × tanh(score / cap)`` (Gemma
Team, 2024, "Gemma 2"). Some devices multiply faster when the vocabulary is a multiple of 64 or
128; then training multiplies by a few rows of zeros more and drops their scores. The weight
itself keeps its shape, in memory and in files.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from hornbook.models.linear import Linear
from hornbook.models.products import product


class Head(Linear):
    """[..., width] to [..., vocab_size].

    Args:
        width: size of a feature vector.
        vocab_size: how many scores.
        multiple: in training, the product is made for so many rows or a multiple of them.
        softcap: the largest score; 0 sets no bound.

    >>> Head(4, 7, multiple=8, softcap=30.0)(torch.zeros(2, 4)).shape
    torch.Size([2, 7])
    """

    def __init__(
        self, width: int, vocab_size: int, *, multiple: int = 1, softcap: float = 0.0
    ) -> None:
        super().__init__(width, vocab_size)
        self.missing = -vocab_size % multiple
        self.softcap = softcap

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[..., width] to [..., vocab_size]."""
        # Sampled a token at a time, copying the weight would cost as much as the product.
        if self.missing and self.training:
            weight = F.pad(self.weight, (0, 0, 0, self.missing))
            logits = product(input, weight)[..., : self.out_features]
        else:
            logits = super().forward(input)
        return self.softcap * torch.tanh(logits / self.softcap) if self.softcap else logits
