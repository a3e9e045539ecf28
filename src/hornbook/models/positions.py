"""How a transformer knows the order of its tokens: learned vectors, or rotated queries and keys.

Learned positions (Gehring et al., 2017; GPT-2) are a second embedding, added to the tokens'.
Rotary positions (Su et al., 2021, "RoFormer") turn each pair of numbers in a query and a
key by an angle proportional to the position, so that their product depends only on how far
apart the two tokens are.
"""

from __future__ import annotations

import torch


def rotary_table(length: int, head_size: int, base: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of every angle, made once.

    Pair i of a head turns by ``position * base ** (-2 i / head_size)`` radians.

    Args:
        length: how many positions.
        head_size: numbers in one head, even.
        base: how slowly the last pair turns (10,000 in the paper).

    Returns:
        two tensors [length, head_size / 2] ``float32``.

    >>> cosines, sines = rotary_table(length=2, head_size=2, base=10_000.0)
    >>> cosines[1], sines[1]
    (tensor([0.5403]), tensor([0.8415]))
    """
    pairs = torch.arange(0, head_size, 2, dtype=torch.float64)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), base ** (-pairs / head_size))
    return angles.cos().float(), angles.sin().float()


def rotate(heads: torch.Tensor, cosines: torch.Tensor, sines: torch.Tensor) -> torch.Tensor:
    """Turn each pair (i, i + head_size / 2) of every head by its angle.

    Args:
        heads: [batch, heads, time, head_size] queries or keys.
        cosines: [time, head_size / 2] or [batch, 1, time, head_size / 2].
        sines: the same shape.

    Returns:
        the shape of ``heads``; lengths of the pairs do not change.

    >>> quarter = torch.tensor([[0.0]]), torch.tensor([[1.0]])
    >>> rotate(torch.tensor([[[[1.0, 0.0]]]]), *quarter)
    tensor([[[[0., 1.]]]])
    """
    first, second = heads.chunk(2, dim=-1)
    return torch.cat((first * cosines - second * sines, first * sines + second * cosines), dim=-1)
