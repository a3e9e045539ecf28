"""Vectors for runs of tokens: what a few neighbours say together, looked up and not computed.

    tokens       t  h  e  _  c  a
    runs of 3    ·  ·  the he_ e_c _ca       a row of a table for each, chosen by a hash
    runs of 4    ·  ·  ·  the_ he_c e_ca     a row of a second table

Each token adds the vectors of the runs that end with it to its embedding. There are more runs
than rows, so some share one (Weinberger et al., 2009, "Feature Hashing for Large Scale Multitask
Learning"); the tables begin at zero, so a run that never occurs adds nothing of its own. Row 0 is
for runs that begin before their document.

What comes next is told by the last few tokens more than by anything else. A look-up learns it in
the first hundred steps; layers need thousands for the same (Huang et al., 2025, "Over-Tokenized
Transformer: Vocabulary is Generally Worth Scaling").
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hornbook.models.embeddings import Embedding

SHORTEST_RUN = 3
"""Pairs have a table of their own, in which none needs to share a row (``BigramEmbedding``)."""

LONGEST_RUN = 8
"""Longer runs seldom come twice."""

DEFAULT_BUCKETS = 1 << 13
"""Rows of each table, unless they are given."""

# A number below the prime times another one stays below 2⁶².
_PRIME, _FACTOR = (1 << 31) - 1, 0x5851F42D


class RunEmbedding(Embedding):
    """A vector for each token and the ``length - 1`` tokens before it.

    Args:
        length: tokens in a run.
        width: size of a vector.
        buckets: rows for runs.

    >>> table = RunEmbedding(3, width=4, buckets=100)
    >>> tokens, before = torch.tensor([[7, 2]]), [torch.tensor([[4, 7]]), torch.tensor([[-1, 4]])]
    >>> table(tokens, before).shape
    torch.Size([1, 2, 4])
    """

    def __init__(self, length: int, width: int, *, buckets: int) -> None:
        super().__init__(buckets + 1, width)
        self.length, self.buckets = length, buckets

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, tokens: torch.Tensor, before: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """[batch, time] ids, and those one, two, … places before them, to vectors."""
        return super().forward(run_rows([tokens, *before[: self.length - 1]], self.buckets))


def run_rows(tokens: Sequence[torch.Tensor], buckets: int) -> torch.Tensor:
    """The row of each run: 0 where it is not whole, else 1 to ``buckets``.

    Args:
        tokens: each [...] ``int64``: the last ids of the runs, those before them, and so on;
            negative where there is none.
        buckets: rows to choose from.

    >>> last, first = torch.tensor([3, 0, 3]), torch.tensor([-1, 3, 0])
    >>> run_rows([last, first], buckets=1000).tolist()
    [0, 506, 825]
    """
    key = torch.zeros_like(tokens[0])
    for ids in tokens:
        key = ((key ^ ids) * _FACTOR) % _PRIME
    # A document begins where the farthest token is missing, if any is.
    return torch.where(tokens[-1] < 0, 0, key % buckets + 1)
