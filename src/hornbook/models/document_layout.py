"""A document at a time: packed rows laid out anew, so that no mask is needed.

Attention within documents is plain causal attention over a batch of documents. So the tokens of
all rows are laid out once a batch as rectangles of documents of nearly the same length, longest
first, and the whole transformer runs on these; only its result is put back into rows:

    rows of 9               rectangles
    a a a a b b c c c       2 × 4   a a a a
    d d d e e e e · ·               e e e e
                            2 × 3   c c c
                                    d d d
                            1 × 2   b b

A document that is a little shorter than its rectangle repeats its last token; the copies
come after it, so none of its tokens sees them. Padding of the rows is left out altogether.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from hornbook.models.attention import Attend
from hornbook.targets import PADDING_SEGMENT

SHORTEST_SHARE = 0.85
"""How much of its rectangle's length the shortest document in it fills."""


@dataclass(frozen=True, slots=True)
class DocumentLayout:
    """Where each token of a batch stands while the model runs.

    Attributes:
        rectangles: (documents, length) of each, in the order of the slots.
        sources: [slots] ``int64``, the place in the flattened rows that each slot's token is from.
        places: [tokens] ``int64``, the place in the flattened rows of each token but padding.
        slots: [tokens] ``int64``, where that token stands.
        shape: batch and time of the rows.
    """

    rectangles: tuple[tuple[int, int], ...]
    sources: torch.Tensor
    places: torch.Tensor
    slots: torch.Tensor
    shape: tuple[int, int]

    @property
    def filled(self) -> float:
        """Slots for each place of the rows: below 1 where padding is left out."""
        return len(self.sources) / (self.shape[0] * self.shape[1])

    @classmethod
    def of(cls, segments: torch.Tensor) -> DocumentLayout:
        """Lay out the documents of ``segments`` ([batch, time] ``int64``, on the CPU).

        >>> layout = DocumentLayout.of(torch.tensor([[0, 0, 1, 1, 1], [0, 0, 0, -1, -1]]))
        >>> layout.rectangles, layout.sources.tolist()
        (((2, 3), (1, 2)), [2, 3, 4, 5, 6, 7, 0, 1])
        """
        numbers = segments.numpy()
        begins = np.ones(numbers.shape, dtype=bool)
        begins[:, 1:] = numbers[:, 1:] != numbers[:, :-1]
        starts = np.flatnonzero(begins)
        lengths = np.diff(starts, append=numbers.size)
        real = numbers.ravel()[starts] != PADDING_SEGMENT
        longest_first = np.argsort(-lengths[real], kind="stable")
        starts, lengths = starts[real][longest_first], lengths[real][longest_first]
        rectangles = _rectangles(lengths)
        widths = np.repeat(
            np.array([width for _, width in rectangles], dtype=np.int64),
            np.array([count for count, _ in rectangles], dtype=np.int64),
        )
        edges = np.cumsum(widths) - widths
        within = np.arange(widths.sum()) - np.repeat(edges, widths)
        sources = np.repeat(starts, widths) + np.minimum(within, np.repeat(lengths - 1, widths))
        slots = np.flatnonzero(within < np.repeat(lengths, widths))
        return cls(
            rectangles,
            torch.from_numpy(sources),
            torch.from_numpy(sources[slots]),
            torch.from_numpy(slots),
            (numbers.shape[0], numbers.shape[1]),
        )

    def lay_out(self, rows: torch.Tensor) -> torch.Tensor:
        """[batch, time] to [1, slots]."""
        return rows.flatten()[self.sources][None]

    def put_back(self, features: torch.Tensor) -> torch.Tensor:
        """[1, slots, width] to [batch, time, width], with zeros where the rows have padding."""
        batch, time = self.shape
        rows = features.new_zeros(batch * time, features.shape[-1])
        found = features[0].index_select(0, self.slots)
        return rows.index_copy(0, self.places, found).view(batch, time, -1)

    @property
    def longest(self) -> int:
        """Tokens in the longest document, 0 when there is none."""
        return self.rectangles[0][1] if self.rectangles else 0

    def within_documents(self, attend: Attend) -> Attend:
        """Attention within each document, by a way that is right for rows of one document."""

        def attend_apart(
            query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float
        ) -> torch.Tensor:
            sizes = [documents * length for documents, length in self.rectangles]
            # ``split``, since the gradient of a slice is as large as the whole.
            parts = (heads[0].transpose(0, 1).split(sizes) for heads in (query, key, value))
            attended = []
            for rectangle, *heads in zip(self.rectangles, *parts, strict=True):
                laid_out = [head.unflatten(0, rectangle).transpose(1, 2) for head in heads]
                part = attend(laid_out[0], laid_out[1], laid_out[2], dropout)
                attended.append(part.transpose(1, 2).flatten(0, 1))
            return torch.cat(attended).transpose(0, 1)[None]

        return attend_apart


def _rectangles(lengths: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Group lengths ([documents], longest first) into (documents, length of the longest)."""
    found, first = [], 0
    while first < len(lengths):
        longest = int(lengths[first])
        shortest = math.ceil(longest * SHORTEST_SHARE)
        stop = int(np.searchsorted(-lengths, -shortest, side="right"))
        found.append((stop - first, longest))
        first = stop
    return tuple(found)
