"""A window at a time: rows much longer than the window of a layer, without the whole square.

The row is cut into pieces of a window each. A piece sees itself and the piece before, and nothing
else, so every piece needs a square of two windows only, and the same one:

    window 3      #                         the first piece by itself
                  # #
                  # # #
                    # # #                   the others  . # # #
                      # # #                 by pairs    . . # # #
                        # # #                           . . . # # #
                          # # #
                            # # #
                              # # #

The cost grows with the length of the row times the window, not with its square; also with ALiBi,
since only distances count.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from hornbook.models.attention import Attend

# One CPU thread, 4 heads of 32, 4,096 tokens, forward and backward, against a mask of the row [ms]:
#   tokens, window    64, 16   128, 32   256, 32   256, 128   512, 64   1,024, 64   1,024, 512
#   mask                12.8      19.6      32.2       32.1      64.9       132.5        137.5
#   pairs               16.1      18.8      19.3       30.2      23.5        32.2        105.6
SHORTEST_PAIRED_ROW = 128
"""Rows below it are quicker under a mask [tokens]."""


def longest_square(window: int) -> int:
    """The longest row that is quicker under a mask of its own; longer ones go by pairs [tokens]."""
    return max(2 * window, SHORTEST_PAIRED_ROW)


def attention_in_window(window: int, first: Attend, by_mask: Attend) -> Attend:
    """Attention in rows of one document, whole ones, by pairs where that is quicker.

    Args:
        window: how many of the last tokens each one sees, itself counted in.
        first: for rows of at most a window.
        by_mask: for ``longest_square`` tokens or fewer, and for fewer queries than keys.
    """
    by_pairs = attention_by_pairs(window, first, by_mask)

    def attend(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float
    ) -> torch.Tensor:
        time = query.shape[2]
        if time <= window:
            return first(query, key, value, dropout)
        chosen = by_pairs if time >= longest_square(window) else by_mask
        return chosen(query, key, value, dropout)

    return attend


def attention_by_pairs(window: int, first: Attend, pair: Attend) -> Attend:
    """Attention in rows of one document, whole ones, where each token sees ``window`` tokens.

    Args:
        window: how many of the last tokens each one sees, itself counted in.
        first: for rows of at most a window, and a row's first piece.
        pair: for ``window`` queries and ``2 × window`` keys, those of the queries last.
    """

    def attend(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float
    ) -> torch.Tensor:
        time = query.shape[2]
        begin = first(query[:, :, :window], key[:, :, :window], value[:, :, :window], dropout)
        if time <= window:
            return begin
        # What fills the last piece stands behind all real tokens, so none of these sees it.
        missing = -time % window
        if missing:
            query, key, value = (F.pad(part, (0, 0, 0, missing)) for part in (query, key, value))
        asked, keys, values = (_pieces(part, window) for part in (query, key, value))
        taken = pair(
            asked[:, 1:].flatten(0, 1),
            torch.cat((keys[:, :-1], keys[:, 1:]), dim=3).flatten(0, 1),
            torch.cat((values[:, :-1], values[:, 1:]), dim=3).flatten(0, 1),
            dropout,
        )
        rest = taken.unflatten(0, (len(query), -1)).transpose(1, 2).flatten(2, 3)
        return torch.cat((begin, rest[:, :, : time - window]), dim=2)

    return attend


def _pieces(heads: torch.Tensor, window: int) -> torch.Tensor:
    """[batch, heads, pieces × window, size] to [batch, pieces, heads, window, size]."""
    return heads.unflatten(2, (-1, window)).transpose(1, 2)
