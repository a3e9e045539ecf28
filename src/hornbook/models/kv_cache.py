"""The transformer's state: what attention must keep of the tokens it has seen.

Memory is reserved once, a shelf a layer; each call writes its new tokens behind the old ones
and reads everything up to there. Nothing is copied:

    full       [ k0 k1 k2 k3 k4 .  .  . ]     room for the whole context

A layer that looks at a window of tokens only keeps these. Its shelf has room for two windows;
when it is full, what the next token may still see moves to the front, once a window:

    window 3   [ k0 k1 k2 k3 k4 k5 ]          full
               [ k4 k5 k6 .  .  .  ]          k4 and k5 moved, k6 written

Attention with heads of its own keeps a key and a value of each (``KVCache``); latent attention
keeps one short vector a token, from which all of them can be made (``LatentCache``).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Self

import torch


class Shelf:
    """Vectors of one layer, in the order of their tokens: those that a new token may see.

    Args:
        batch_size: rows.
        heads: vectors a token.
        capacity: the most tokens there can be.
        width: numbers in a vector.
        window: how many of the last tokens are seen, the newest counted in; 0 means all.
    """

    def __init__(
        self,
        batch_size: int,
        heads: int,
        capacity: int,
        width: int,
        *,
        window: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        room = min(capacity, 2 * window) if window else capacity
        self._seen_before = window - 1 if window else capacity
        self._vectors = torch.zeros(batch_size, heads, room, width, device=device, dtype=dtype)
        self._held = 0

    @property
    def nbytes(self) -> int:
        """Memory that is reserved [bytes]."""
        return self._vectors.nbytes

    def extend(self, new: torch.Tensor) -> torch.Tensor:
        """Write the vectors of new tokens and return what these tokens may see.

        Args:
            new: [batch, heads, time, width].

        Returns:
            [batch, heads, kept + time, width], the new ones last; without a window all that
            came before are kept, with one at most ``window - 1``.
        """
        time, room = new.shape[2], self._vectors.shape[2]
        kept = min(self._held, self._seen_before)
        if self._held + time > room:
            seen = self._vectors[:, :, self._held - kept : self._held]
            if kept + time > room:
                return self._keep_the_last(torch.cat((seen, new.to(seen.dtype)), dim=2))
            # A copy first: the two places may overlap.
            self._vectors[:, :, :kept] = seen.clone()
            self._held = kept
        stop = self._held + time
        self._vectors[:, :, self._held : stop] = new
        self._held = stop
        return self._vectors[:, :, stop - time - kept : stop]

    def select(self, rows: torch.Tensor) -> Shelf:
        """A shelf of its own with the rows that ``rows`` [new batch] names, in that order."""
        selected = copy(self)
        shape = len(rows), *self._vectors.shape[1:]
        selected._vectors = self._vectors.new_zeros(shape)
        # What is not written yet need not be copied.
        held = self._vectors[:, :, : self._held]
        selected._vectors[:, :, : self._held] = held.index_select(0, rows)
        return selected

    def _keep_the_last(self, seen: torch.Tensor) -> torch.Tensor:
        """More tokens at once than there is room for: keep of them what a next one may see."""
        self._held = min(self._seen_before, seen.shape[2])
        self._vectors[:, :, : self._held] = seen[:, :, seen.shape[2] - self._held :]
        return seen


class TokenCache:
    """What both caches have in common: how many tokens they hold.

    Attributes:
        length: tokens seen so far, the same in every row.
        capacity: the most there can be.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self._shelves: list[Shelf] = []

    @property
    def nbytes(self) -> int:
        """Memory that is reserved, over all layers and rows [bytes]."""
        return sum(shelf.nbytes for shelf in self._shelves)

    def advance(self, tokens: int) -> None:
        """Count ``tokens`` as seen, once every layer has written them."""
        self.length += tokens

    def select(self, rows: torch.Tensor) -> Self:
        """A cache of its own with the rows that ``rows`` [new batch] names, in that order."""
        selected = copy(self)
        selected._shelves = [shelf.select(rows) for shelf in self._shelves]
        return selected

    def _check_room(self, tokens: int) -> None:
        stop = self.length + tokens
        assert stop <= self.capacity, f"{stop} tokens do not fit into a cache of {self.capacity}"


class KVCache(TokenCache):
    """Keys and values of every layer, for ``batch_size`` rows of up to ``capacity`` tokens.

    Args:
        windows: for each layer, how many of the last tokens it sees; 0 means all.
    """

    def __init__(
        self,
        *,
        batch_size: int,
        kv_heads: int,
        capacity: int,
        head_size: int,
        device: torch.device,
        dtype: torch.dtype,
        windows: Sequence[int],
    ) -> None:
        super().__init__(capacity)
        sizes = batch_size, kv_heads, capacity, head_size
        # Keys of layer n at 2 n, values behind them.
        for window in windows:
            for _ in ("keys", "values"):
                self._shelves.append(Shelf(*sizes, window=window, device=device, dtype=dtype))

    def extend(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write a layer's new keys and values, and return those that its new tokens may see.

        Args:
            layer: which layer.
            keys: [batch, kv_heads, time, head_size] of the new tokens.
            values: the same shape.

        Returns:
            keys and values [batch, kv_heads, seen + time, head_size], the new ones last.
        """
        self._check_room(keys.shape[2])
        return self._shelves[2 * layer].extend(keys), self._shelves[2 * layer + 1].extend(values)


class LatentCache(TokenCache):
    """For each token and layer one vector: the rotary key that all heads share, then the latent.

    Args:
        width: numbers in the two together.
        windows: as for ``KVCache``.
    """

    def __init__(
        self,
        *,
        batch_size: int,
        capacity: int,
        width: int,
        device: torch.device,
        dtype: torch.dtype,
        windows: Sequence[int],
    ) -> None:
        super().__init__(capacity)
        self._shelves = [
            Shelf(batch_size, 1, capacity, width, window=window, device=device, dtype=dtype)
            for window in windows
        ]

    def extend(self, layer: int, vectors: torch.Tensor) -> torch.Tensor:
        """Write a layer's new vectors, and return those that its new tokens may see.

        Args:
            layer: which layer.
            vectors: [batch, 1, time, width] of the new tokens.

        Returns:
            [batch, 1, seen + time, width], the new ones last.
        """
        self._check_room(vectors.shape[2])
        return self._shelves[layer].extend(vectors)
