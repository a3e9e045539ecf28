"""ALiBi: the further back a token lies, the quieter it is (Press et al., 2022, "Train Short,
Test Long: Attention with Linear Biases Enables Input Length Extrapolation").

No positions are added and nothing is turned; each score loses ``slope`` times the distance
between query and key, and every head has a slope of its own:

    slope 1/2       0                    slope 1/4        0
                   -½   0                                -¼   0
                   -1  -½   0                            -½  -¼   0

Steep heads look at what is near, flat ones far back.
"""

from __future__ import annotations

import torch


def alibi_slopes(heads: int) -> torch.Tensor:
    """[heads] ``float32`` slopes, falling geometrically.

    For a power of two ``heads`` they are ``2 ** (-8 / heads)`` and its powers. For another number
    they are those of the next smaller power of two, then every other one of the next larger, as
    in the authors' code.

    >>> alibi_slopes(4).tolist()
    [0.25, 0.0625, 0.015625, 0.00390625]
    >>> alibi_slopes(3).tolist()
    [0.0625, 0.00390625, 0.25]
    """
    whole = 1 << (heads.bit_length() - 1)
    further = _powers(2 * whole)[0::2][: heads - whole]
    return torch.tensor(_powers(whole) + further, dtype=torch.float32)


def distance_bias(slopes: torch.Tensor, places: torch.Tensor, queries: int) -> torch.Tensor:
    """What each score loses to distance.

    Args:
        slopes: [heads].
        places: [keys] ``int64``, the place of each key in its row; only how far apart they lie
            counts.
        queries: how many of the last keys' tokens ask.

    Returns:
        [heads, queries, keys]; positive, and meaningless, for keys after a query.

    >>> distance_bias(torch.tensor([0.5]), torch.arange(3), 2).tolist()
    [[[-0.5, 0.0, 0.5], [-1.0, -0.5, 0.0]]]
    """
    asking = places[len(places) - queries :]
    return slopes[:, None, None] * (places[None, :] - asking[:, None])


def _powers(heads: int) -> list[float]:
    return [2 ** (-8 * (n + 1) / heads) for n in range(heads)]
