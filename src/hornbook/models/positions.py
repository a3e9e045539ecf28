"""How a transformer knows the order of its tokens.

learned      a second embedding is added to that of the tokens (Gehring et al., 2017; GPT-2)
sinusoidal   the same with waves instead of learned vectors (Vaswani et al., 2017)
rotary       queries and keys are turned; see ``rotary``
alibi        attention pays less heed the further back a token is (Press et al., 2022)
none         only from what the mask hides: the first token sees one, the second two (Kazemnejad
             et al., 2023, "The Impact of Positional Encoding on Length Generalization")
"""

from __future__ import annotations

from typing import Literal

import torch

PositionKind = Literal["learned", "sinusoidal", "rotary", "alibi", "none"]

WAVE_BASE = 10_000.0
"""How many times longer the longest wave is than the shortest."""


def sinusoidal_table(length: int, width: int) -> torch.Tensor:
    """Waves of growing length: numbers 2i and 2i + 1 of a position are its sine and cosine.

    Args:
        length: how many positions.
        width: size of a token's vector.

    Returns:
        [length, width] ``float32``.

    >>> sinusoidal_table(2, 4)
    tensor([[0.0000, 1.0000, 0.0000, 1.0000],
            [0.8415, 0.5403, 0.0100, 0.9999]])
    """
    pairs = torch.arange(0, width, 2, dtype=torch.float64)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), WAVE_BASE ** (-pairs / width))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width].float()
