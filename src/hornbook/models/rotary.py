"""Rotary positions: queries and keys are turned by an angle proportional to their place.

Each pair of numbers in a head turns at its own speed, so the product of a query and a key
depends only on how far apart their tokens are (Su et al., 2021, "RoFormer"):

    head      [ a0 a1 a2 a3 | b0 b1 b2 b3 ]       pair i is (a_i, b_i)
    angle     position × base^(-i / 4)            the first pair is quick, the last one slow
    turned    a' = a cos - b sin,  b' = a sin + b cos

Only a share of the head may be turned; the rest then knows nothing of positions (Black et al.,
2022, "GPT-NeoX-20B"):

    head      [ a0 a1 | b0 b1 | c0 c1 c2 c3 ]     half of it: the c stay as they are

A model that was trained on short texts reads longer ones when the angles are made smaller:

    linear    all by the same factor (Chen et al., 2023, "Extending Context Window of Large
              Language Models via Positional Interpolation")
    ntk       the slow pairs by the factor, the quick ones hardly, by a larger base ("NTK-aware
              scaled RoPE", bloc97, 2023)
    llama3    pairs that turn often within the trained length not at all, those that turn less
              than once by the factor, and what lies between in parts (Grattafiori et al., 2024,
              "The Llama 3 Herd of Models"; the formula is that of the published models)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from hornbook.models.products import short_on_cpu

Rotation = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines for the tokens at hand; see ``rotate`` for the shapes."""

RotaryScalingKind = Literal["none", "linear", "ntk", "llama3"]


@dataclass(frozen=True, slots=True)
class RotaryScaling:
    """How angles are made smaller, for texts longer than those of the training.

    Attributes:
        kind: the formula; see the module's text.
        factor: how many times longer.
        trained_length: tokens of a training text; only ``llama3`` reads it.
        low_frequency: pairs that turn less often than this within it slow down by the factor.
        high_frequency: pairs that turn more often than this do not slow down.
    """

    kind: RotaryScalingKind = "none"
    factor: float = 1.0
    trained_length: int = 0
    low_frequency: float = 1.0
    high_frequency: float = 4.0


UNSCALED = RotaryScaling()


def rotary_frequencies(
    rotated: int, base: float, scaling: RotaryScaling = UNSCALED
) -> torch.Tensor:
    """How far each pair turns from one position to the next.

    Args:
        rotated: numbers of the head that are turned, even.
        base: how slowly the last pair turns (10,000 in the paper).
        scaling: how angles are made smaller.

    Returns:
        [rotated / 2] ``float64``, in radians.

    >>> rotary_frequencies(4, 10_000.0)
    tensor([1.0000, 0.0100], dtype=torch.float64)
    >>> rotary_frequencies(4, 10_000.0, RotaryScaling("ntk", 4.0))
    tensor([1.0000, 0.0025], dtype=torch.float64)
    """
    if scaling.kind == "ntk" and rotated > 2:
        base = base * scaling.factor ** (rotated / (rotated - 2))
    pairs = torch.arange(0, rotated, 2, dtype=torch.float64)
    frequencies = base ** (-pairs / rotated)
    if scaling.kind == "linear":
        return frequencies / scaling.factor
    if scaling.kind == "llama3":
        turns = scaling.trained_length * frequencies / (2 * math.pi)
        low, high = scaling.low_frequency, scaling.high_frequency
        kept = ((turns - low) / (high - low)).clamp(0, 1)
        return kept * frequencies + (1 - kept) * frequencies / scaling.factor
    return frequencies


def rotary_table(
    length: int, rotated: int, base: float, scaling: RotaryScaling = UNSCALED
) -> Rotation:
    """Cosines and sines of every angle, made once.

    Args:
        length: how many positions.
        rotated: numbers of the head that are turned, even.
        base: how slowly the last pair turns.
        scaling: how angles are made smaller.

    Returns:
        two tensors [length, rotated / 2] ``float32``.

    >>> cosines, sines = rotary_table(length=2, rotated=2, base=10_000.0)
    >>> cosines[1], sines[1]
    (tensor([0.5403]), tensor([0.8415]))
    """
    places = torch.arange(length, dtype=torch.float64)
    angles = torch.outer(places, rotary_frequencies(rotated, base, scaling))
    return angles.cos().float(), angles.sin().float()


def rotate(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """Turn each pair of every head by its angle; numbers beyond the pairs stay.

    Args:
        heads: [batch, heads, time, head_size] queries or keys.
        cosines: [time, pairs] or [batch, 1, time, pairs], with at most head_size / 2 pairs.
        sines: the same shape.

    Returns:
        the shape of ``heads``; lengths of the pairs do not change.

    >>> quarter = torch.tensor([[0.0]]), torch.tensor([[1.0]])
    >>> rotate(torch.tensor([[[[1.0, 0.0]]]]), *quarter)
    tensor([[[[0., 1.]]]])
    >>> rotate(torch.tensor([[[[1.0, 0.0, 5.0]]]]), *quarter)
    tensor([[[[0., 1., 5.]]]])
    """
    pairs, head_size = cosines.shape[-1], heads.shape[-1]
    if short_on_cpu(heads):
        heads = heads.float()  # all at once: the products below would do it a few at a time
    if 2 * pairs == head_size:
        first, second = heads.chunk(2, dim=-1)
        rest = ()
    else:
        first, second, *rest = heads.split([pairs, pairs, head_size - 2 * pairs], dim=-1)
    turned = first * cosines - second * sines, first * sines + second * cosines
    return torch.cat((*turned, *rest), dim=-1)


class Rotary(nn.Module):
    """Turns heads to their positions; the tables are made once, and nothing is learned.

    Args:
        head_size: numbers in one head.
        count: how many positions there are.
        base: how slowly the last pair turns.
        fraction: the share of the head that is turned.
        scaling: how angles are made smaller.

    >>> rotary = Rotary(head_size=4, count=16)
    >>> heads = torch.randn(2, 3, 5, 4)                 # [batch, heads, time, head_size]
    >>> rotary(heads).shape
    torch.Size([2, 3, 5, 4])
    >>> torch.equal(rotary(heads)[:, :, 0], heads[:, :, 0])    # position 0 is not turned
    True
    """

    cosines: torch.Tensor
    sines: torch.Tensor

    def __init__(
        self,
        head_size: int,
        count: int,
        *,
        base: float = 10_000.0,
        fraction: float = 1.0,
        scaling: RotaryScaling = UNSCALED,
    ) -> None:
        super().__init__()
        cosines, sines = rotary_table(count, rotated_size(head_size, fraction), base, scaling)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)

    def rotation(self, time: int, seen: int = 0, positions: torch.Tensor | None = None) -> Rotation:
        """Cosines and sines for ``time`` tokens, made once a call for all layers.

        Args:
            time: how many tokens.
            seen: how many came before them; only read without ``positions``.
            positions: [batch, time] ``int64`` place of each token.
        """
        if positions is None:
            return self.cosines[seen : seen + time], self.sines[seen : seen + time]
        return self.cosines[positions].unsqueeze(1), self.sines[positions].unsqueeze(1)

    def forward(self, heads: torch.Tensor, positions: torch.Tensor | None = None) -> torch.Tensor:
        """[batch, heads, time, head_size] to the same shape; ``positions`` as in ``rotation``."""
        return rotate(heads, *self.rotation(heads.shape[2], positions=positions))


def rotated_size(head_size: int, fraction: float) -> int:
    """How many numbers of a head are turned: the nearest even number, rounded down.

    >>> rotated_size(32, 1.0), rotated_size(32, 0.5), rotated_size(32, 0.2)
    (32, 16, 6)
    """
    return int(head_size * fraction) // 2 * 2
