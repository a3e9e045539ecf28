"""The token before: each token may look at its neighbour on the left without attention.

    document      0  0  0  1  1
    x             a  b  c  d  e
    the one before  ·  a  b  ·  d        · is zero: a document's first token has none

With the token shift, every channel adds as much of its own value one token earlier as it has
learned to: ``x + weight × before``. It costs next to nothing and saves the first layer the work
of finding its neighbour (Peng et al., 2023, "RWKV: Reinventing RNNs for the Transformer Era",
mixes the two in shares; as a linear map follows, adding says as much).

Sampled a token at a time, the one before is no longer at hand. So the transformer's state
remembers, for every place where the shift stands, the last vector that passed (``LastSeen``).
"""

from __future__ import annotations

from copy import copy

import torch
import torch.nn.functional as F
from torch import nn

from hornbook.models.hand_gradients import shifted
from hornbook.models.products import short_on_cpu

NOBODY = -1
"""The id before a document's first token."""


class LastSeen:
    """The last tokens of every row and the last vectors: what the next token will have before it.

    Args:
        batch_size: rows.
        places: how many streams of vectors are remembered.
        width: size of a vector.
        count: how many tokens are remembered.

    Attributes:
        tokens: [batch, count] ``int64``, ``NOBODY`` at first.
        vectors: for each place [batch, 1, width], zero at first.
    """

    def __init__(
        self,
        batch_size: int,
        places: int,
        width: int,
        device: torch.device,
        dtype: torch.dtype,
        *,
        count: int = 1,
    ) -> None:
        self.tokens = torch.full((batch_size, count), NOBODY, device=device)
        shape = (batch_size, 1, width)
        self.vectors = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(places)]

    def select(self, rows: torch.Tensor) -> LastSeen:
        """What the rows that ``rows`` [new batch] names have before them, in that order."""
        selected = copy(self)
        selected.tokens = self.tokens.index_select(0, rows)
        selected.vectors = [part.index_select(0, rows) for part in self.vectors]
        return selected

    def join(self, other: LastSeen) -> None:
        """Take over the rows of another one, behind those that are here."""
        self.tokens = torch.cat((self.tokens, other.tokens))
        pairs = zip(self.vectors, other.vectors, strict=True)
        self.vectors = [torch.cat(pair) for pair in pairs]

    def drop(self, row: int) -> None:
        """Let a row leave; the last one takes its place."""
        for part in (self.tokens, *self.vectors):
            part[row] = part[-1]
        self.tokens = self.tokens[:-1]
        self.vectors = [part[:-1] for part in self.vectors]


class TokenBefore:
    """Finds what stood before each token of a call, in its own document.

    Args:
        starts: [batch, time] bool, where a document begins; ``None`` only at a row's begin.
        last: what the calls before left behind; what this one leaves is written into it.
    """

    def __init__(self, starts: torch.Tensor | None = None, last: LastSeen | None = None) -> None:
        self.starts, self.last = starts, last

    @property
    def in_row(self) -> bool:
        """Whether it is always the one on the left in the row."""
        return self.starts is None and self.last is None

    def tokens(self, tokens: torch.Tensor, count: int = 1) -> list[torch.Tensor]:
        """[batch, time] ids to those 1, 2, … ``count`` places before them, each [batch, time].

        ``NOBODY`` stands where that place lies before the document. Asked once a call.

        >>> starts = torch.tensor([[True, False, False, True]])
        >>> TokenBefore(starts).tokens(torch.tensor([[4, 5, 6, 7]]), 2)
        [tensor([[-1,  4,  5, -1]]), tensor([[-1, -1,  4, -1]])]
        """
        if self.last is not None:
            kept, time = self.last.tokens, tokens.shape[1]
            known = torch.cat([kept, tokens], dim=1)
            last = kept.shape[1]
            found = [known[:, last - back : last - back + time] for back in range(1, count + 1)]
            kept.copy_(known[:, -last:])
            return found
        found, before = [], tokens
        for _ in range(count):
            before = F.pad(before[:, :-1], (1, 0), value=NOBODY)
            if self.starts is not None:
                before = before.masked_fill(self.starts, NOBODY)
            found.append(before)
        return found

    def vector(self, x: torch.Tensor, place: int) -> torch.Tensor:
        """[batch, time, width] to what stood before, zero where a document begins.

        Args:
            x: one vector for each token.
            place: which of the streams of vectors this is; only read with a state.
        """
        if self.last is not None:
            kept = self.last.vectors[place]
            before = torch.cat([kept.to(x.dtype), x[:, :-1]], dim=1)
            kept.copy_(x[:, -1:])
            return before
        before = F.pad(x[:, :-1], (0, 0, 1, 0))
        return before if self.starts is None else before.masked_fill(self.starts[..., None], 0)


class TokenShift(nn.Module):
    """Adds to each token a learned share of the one before: [batch, time, width], the same shape.

    Args:
        width: channels; each learns its own share, which is zero at first.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor, before: TokenBefore, place: int = 0) -> torch.Tensor:
        """The arguments are those of ``TokenBefore.vector``."""
        if before.in_row and short_on_cpu(x):
            return shifted(x, self.weight)
        return torch.addcmul(x, self.weight, before.vector(x, place))


def document_starts(segments: torch.Tensor) -> torch.Tensor:
    """Where documents begin: [batch, time] ``int64`` numbers to bool of the same shape.

    >>> document_starts(torch.tensor([[-1, -1, 4, 4, 5]])).int().tolist()
    [[1, 0, 1, 0, 1]]
    """
    starts = torch.ones_like(segments, dtype=torch.bool)
    starts[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return starts
