"""What a transformer remembers of the tokens it has seen, from one call to the next.

Attention needs the keys and values of all of them (``kv_cache``); whatever reads the token
before needs the last one (``previous_token``).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hornbook.models.kv_cache import TokenCache
from hornbook.models.previous_token import LastSeen


@dataclass(frozen=True, slots=True)
class TransformerState:
    """The state of a ``Transformer``; both parts change in place.

    Attributes:
        cache: keys and values, or the latents that they are made from.
        last: the last token and its vectors; ``None`` where nothing reads the token before.
    """

    cache: TokenCache
    last: LastSeen | None = None

    @property
    def length(self) -> int:
        """How many tokens the longest row holds."""
        return self.cache.length

    @property
    def nbytes(self) -> int:
        """Memory that is reserved for keys and values [bytes]."""
        return self.cache.nbytes

    def select(self, rows: torch.Tensor) -> TransformerState:
        """A state of its own with the rows that ``rows`` [new batch] names, in that order."""
        last = None if self.last is None else self.last.select(rows)
        return TransformerState(self.cache.select(rows), last)

    def join(self, other: TransformerState) -> None:
        """Take over the rows of another state of the same model, behind those that are here."""
        self.cache.join(other.cache)
        if self.last is not None and other.last is not None:
            self.last.join(other.last)

    def drop(self, row: int) -> None:
        """Let a row leave; the last one takes its place."""
        self.cache.drop(row)
        if self.last is not None:
            self.last.drop(row)
