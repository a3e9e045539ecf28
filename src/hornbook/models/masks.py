"""Which token may see which: the ones before it in its own document, and itself.

segments   0 0 0 1 1 2 2 2 2        #  .  .  .  .  .  .  .  .
                                    #  #  .  .  .  .  .  .  .
three documents in one row          #  #  #  .  .  .  .  .  .
make a sawtooth                     .  .  .  #  .  .  .  .  .
                                    .  .  .  #  #  .  .  .  .
(a line is a query,                 .  .  .  .  .  #  .  .  .
 a column a key)                    .  .  .  .  .  #  #  .  .
                                    .  .  .  .  .  #  #  #  .
                                    .  .  .  .  .  #  #  #  #
"""

from __future__ import annotations

import torch


def sawtooth(segments: torch.Tensor) -> torch.Tensor:
    """What each token of a packed row may see.

    Args:
        segments: [..., time] ``int64``, the number of each token's document. Padding counts as a
            document of its own, so no other token sees it.

    Returns:
        [..., time, time] bool, True where a query (row) may see a key (column).

    >>> sawtooth(torch.tensor([4, 4, 7])).int().tolist()
    [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    """
    return (segments[..., :, None] == segments[..., None, :]).tril()
