"""Tables of vectors: one for each token, and one for each pair of neighbours.

    tokens       7   2   7   4
    embedding    the rows 7, 2, 7, 4 of [vocab_size, width]
    pairs        (·,7) (7,2) (2,7) (7,4)
    bigram       a row for each pair, of [buckets + 1, width]; row 0 is for (·, x)

A transformer must find out by attention which token stands before each one; a table of pairs
tells it at the price of a look-up. There are vocab_size² pairs. Where that is more than the
buckets, pairs share rows, chosen by a hash (Weinberger et al., 2009, "Feature Hashing for Large
Scale Multitask Learning"); the table begins at zero, so a pair that never occurs adds nothing.
"""

from __future__ import annotations

import torch
from torch import nn

FEWEST_BUCKETS = 1 << 14
"""Pairs that even a small vocabulary gets rows for, if it has that many."""

BUCKETS_PER_TOKEN = 5
"""Rows for each entry of a vocabulary whose pairs are too many."""

# Odd numbers below 2³² without pattern in their bits; ids stay below 2²⁴, so nothing overflows.
_FIRST_FACTOR, _SECOND_FACTOR = 0x9E3779B1, 0x85EBCA77


class Embedding(nn.Embedding):
    """[...] ``int64`` numbers to their vectors, [..., width].

    Args:
        count: how many vectors.
        width: size of one.

    Attributes:
        weight: [count, width].

    >>> Embedding(10, 4)(torch.tensor([[1, 2, 1]])).shape
    torch.Size([1, 3, 4])
    """

    def __init__(self, count: int, width: int) -> None:
        super().__init__(count, width)


class BigramEmbedding(Embedding):
    """A vector for each token and the token before it.

    Args:
        vocab_size: how many ids.
        width: size of a vector.
        buckets: rows for pairs; 0 means one for every pair, if these are few, and else
            ``BUCKETS_PER_TOKEN`` for each id.
    """

    def __init__(self, vocab_size: int, width: int, *, buckets: int = 0) -> None:
        self.buckets = buckets or default_buckets(vocab_size)
        self.vocab_size = vocab_size
        super().__init__(self.buckets + 1, width)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, tokens: torch.Tensor, previous: torch.Tensor
    ) -> torch.Tensor:
        """[batch, time] ids, and those before them (negative where none is), to vectors."""
        return super().forward(pair_rows(tokens, previous, self.vocab_size, self.buckets))


def default_buckets(vocab_size: int) -> int:
    """The usual number of rows for pairs.

    >>> default_buckets(65), default_buckets(2048), default_buckets(50_257)
    (4225, 16384, 251285)
    """
    return min(vocab_size**2, max(FEWEST_BUCKETS, BUCKETS_PER_TOKEN * vocab_size))


def pair_rows(
    tokens: torch.Tensor, previous: torch.Tensor, vocab_size: int, buckets: int
) -> torch.Tensor:
    """The row of each pair: 0 where there is no token before, else 1 to ``buckets``.

    Args:
        tokens: [...] ``int64`` ids.
        previous: the same shape, the ids before them; negative where there is none.
        vocab_size: how many ids there are; with room for all their pairs, no two share a row.
        buckets: rows to choose from.

    >>> tokens, previous = torch.tensor([3, 0, 9]), torch.tensor([-1, 3, 0])
    >>> pair_rows(tokens, previous, vocab_size=10, buckets=100).tolist()
    [0, 31, 10]
    """
    if vocab_size**2 <= buckets:
        pairs = previous * vocab_size + tokens
    else:
        pairs = ((previous * _FIRST_FACTOR) ^ (tokens * _SECOND_FACTOR)) % buckets
    return torch.where(previous < 0, 0, pairs + 1)
