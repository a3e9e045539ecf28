"""The transformer's state: what attention must keep of the tokens it has seen.

Memory is reserved once, a shelf a layer; each call writes its new tokens behind the old ones
and reads everything up to there. Nothing is copied:

    full       [ k0 k1 k2 k3 k4 .  .  . ]     room for the whole context

A layer that looks at a window of tokens only keeps these. Its shelf has room for two windows;
when it is full, what the next token may still see moves to the front, once a window:

    window 3   [ k0 k1 k2 k3 k4 k5 ]          full
               [ k4 k5 k6 .  .  .  ]          k4 and k5 moved, k6 written

Rows may have seen different numbers of tokens. Their newest ones stand below each other, so that
all rows write in one place; whoever attends must not look at what lies before a row's first token:

    3 tokens   [ .  .  k0 k1 k2 .  .  . ]
    5 tokens   [ k0 k1 k2 k3 k4 .  .  . ]

Rows join behind the others, and where one leaves, the last one takes its place. A row forgets its
oldest tokens by being told shorter.

Attention with heads of its own keeps a key and a value of each (``KVCache``); latent attention
keeps one short vector a token, from which all of them can be made (``LatentCache``).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Any, Self

import numpy as np
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
        self._vectors = reserved((batch_size, heads, room, width), device, dtype)
        self._array: Any = None
        self._rows = batch_size
        self._held = 0

    @property
    def nbytes(self) -> int:
        """Memory that is reserved [bytes]."""
        return self._vectors.nbytes

    @property
    def device(self) -> torch.device:
        """Where the memory lies."""
        return self._vectors.device

    def extend(self, new: torch.Tensor, length: int) -> torch.Tensor:
        """Write the vectors of new tokens and return what these tokens may see.

        Args:
            new: [batch, heads, time, width].
            length: tokens that the longest row has seen before them.

        Returns:
            [batch, heads, kept + time, width], the new ones last; without a window all ``length``
            that came before are kept, with one at most ``window - 1``.
        """
        time, room = new.shape[2], self._vectors.shape[2]
        kept, vectors = self._kept(length), self._vectors
        if self._rows < vectors.shape[0]:
            vectors = vectors[: self._rows]
        if self._held + time > room:
            seen = vectors[:, :, self._held - kept : self._held]
            if kept + time > room:
                return self._keep_the_last(torch.cat((seen, new.to(seen.dtype)), dim=2))
            self._move_to_front(kept)
        # A slice by brackets takes three times as long.
        vectors.narrow(2, self._held, time).copy_(new)
        self._held += time
        return vectors.narrow(2, self._held - time - kept, kept + time)

    def place_of_one(self, length: int) -> tuple[int, int]:
        """Where somebody else writes the vectors of one token more, and what this token may see.

        Args:
            length: tokens that the longest row has seen before it.

        Returns:
            the first place that the new token sees, and its own, the last one.
        """
        kept = self._kept(length)
        if self._held == self._vectors.shape[2]:
            self._move_to_front(kept)
        own = self._held
        self._held += 1
        return own - kept, own

    @property
    def vectors(self) -> torch.Tensor:
        """[reserved rows, heads, room, width]: the memory itself."""
        return self._vectors

    @property
    def array(self) -> Any:
        """[reserved rows, heads, room, width]: the same as an array, on a CPU, for kernels."""
        if self._array is None:
            self._array = self._vectors.numpy()
        return self._array

    def reserve_rows(self, rows: int) -> None:
        """Have memory for ``rows``, if there is less."""
        if rows > self._vectors.shape[0]:
            shape = rows, *self._vectors.shape[1:]
            grown = reserved(shape, self.device, self._vectors.dtype)
            grown[: self._rows, :, : self._held] = self._vectors[: self._rows, :, : self._held]
            self._vectors, self._array = grown, None

    def select(self, rows: torch.Tensor, length: int) -> Shelf:
        """A shelf of its own with the rows that ``rows`` [new batch] names, in that order."""
        selected = copy(self)
        shape = len(rows), *self._vectors.shape[1:]
        selected._vectors = reserved(shape, self.device, self._vectors.dtype)
        selected._array = None
        selected._rows, selected._held = len(rows), self._kept(length)
        # What nobody sees need not be copied.
        seen = self._vectors[:, :, self._held - selected._held : self._held]
        selected._vectors[:, :, : selected._held] = seen.index_select(0, rows)
        return selected

    def join(self, other: Shelf, length: int, other_length: int) -> None:
        """Take over the rows of a shelf of the same kind, behind those that are here.

        Args:
            other: the shelf.
            length: tokens that the longest row here has seen.
            other_length: the same of the other shelf.
        """
        mine, theirs = self._kept(length), other._kept(other_length)
        rows = self._rows + other._rows
        if rows > self._vectors.shape[0]:
            # Twice as many, so that joining one after the other does not copy each time.
            self.reserve_rows(max(rows, 2 * self._vectors.shape[0]))
        if self._held < theirs:
            own = self._vectors[: self._rows, :, self._held - mine : self._held]
            self._vectors[: self._rows, :, theirs - mine : theirs] = own.clone()
            self._held = theirs
        place = slice(self._held - theirs, self._held)
        seen = other._vectors[: other._rows, :, other._held - theirs : other._held]
        self._vectors[self._rows : rows, :, place] = seen
        self._rows = rows

    def drop(self, row: int, length: int) -> None:
        """Let a row leave; the last one takes its place."""
        self._rows -= 1
        if row < self._rows:
            place = slice(self._held - self._kept(length), self._held)
            self._vectors[row, :, place] = self._vectors[self._rows, :, place]

    def seen(self, row: int, length: int) -> torch.Tensor:
        """[heads, kept, width]: what the next token of ``row``, after ``length``, may see."""
        return self._vectors[row, :, self._held - self._kept(length) : self._held]

    def _kept(self, length: int) -> int:
        """How many of ``length`` tokens a next one may see."""
        return min(self._held, self._seen_before, length)

    def _move_to_front(self, kept: int) -> None:
        """Make room behind what a next token may see."""
        vectors = self._vectors[: self._rows]
        # A copy first: the two places may overlap.
        vectors[:, :, :kept] = vectors[:, :, self._held - kept : self._held].clone()
        self._held = kept

    def _keep_the_last(self, seen: torch.Tensor) -> torch.Tensor:
        """More tokens at once than there is room for: keep of them what a next one may see."""
        self._held = min(self._seen_before, seen.shape[2])
        self._vectors[: self._rows, :, : self._held] = seen[:, :, seen.shape[2] - self._held :]
        return seen


def reserved(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Zeros of ``shape``; on a CPU they take memory only where something is written.

    Sixteen rows of GPT-2's form reserve 1.2 GB, of which a short text touches a twentieth. To fill
    it with zeros took 0.6 s, as long as ten tokens; what the system gives is zero already.

    >>> reserved((2, 3), torch.device("cpu"), torch.bfloat16).sum()
    tensor(0., dtype=torch.bfloat16)
    """
    if device.type != "cpu":
        return torch.zeros(shape, device=device, dtype=dtype)
    memory = np.zeros(math.prod(shape) * dtype.itemsize, dtype=np.uint8)
    return torch.from_numpy(memory).view(dtype).view(shape)


class TokenCache(ABC):
    """What both caches have in common: how many tokens each row holds.

    Args:
        batch_size: rows.
        capacity: the most tokens there can be.

    Attributes:
        lengths: for each row, how many tokens it has seen and not forgotten.
        length: the largest of them.
    """

    def __init__(self, batch_size: int, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self.lengths = [0] * batch_size
        self._missing: torch.Tensor | None = None
        self._shelves: list[Shelf] = []

    @property
    def nbytes(self) -> int:
        """Memory that is reserved, over all layers and rows [bytes]."""
        return sum(shelf.nbytes for shelf in self._shelves)

    @property
    def even(self) -> bool:
        """Whether all rows hold equally many tokens."""
        return self._missing is None

    def missing(self) -> torch.Tensor:
        """[batch] ``int64``: how many tokens fewer than the longest row each one holds."""
        if self._missing is None:
            return torch.zeros(len(self.lengths), dtype=torch.int64, device=self.device)
        return self._missing

    @property
    def device(self) -> torch.device:
        """Where the memory lies."""
        return self._shelves[0].device

    def advance(self, tokens: int) -> None:
        """Count ``tokens`` of each row as seen, once every layer has written them."""
        self.length += tokens
        self.lengths = [length + tokens for length in self.lengths]

    def select(self, rows: torch.Tensor) -> Self:
        """A cache of its own with the rows that ``rows`` [new batch] names, in that order."""
        selected = copy(self)
        selected._shelves = [shelf.select(rows, self.length) for shelf in self._shelves]
        selected._count([self.lengths[row] for row in rows.tolist()])
        return selected

    def join(self, other: Self) -> None:
        """Take over the rows of another cache of the same model, behind those that are here."""
        for mine, theirs in zip(self._shelves, other._shelves, strict=True):
            mine.join(theirs, self.length, other.length)
        self._count(self.lengths + other.lengths)

    def drop(self, row: int) -> None:
        """Let a row leave; the last one takes its place."""
        for shelf in self._shelves:
            shelf.drop(row, self.length)
        lengths = self.lengths.copy()
        lengths[row] = lengths[-1]
        self._count(lengths[:-1])

    def forget(self, row: int, tokens: int) -> None:
        """Let a row see its oldest ``tokens`` no more."""
        lengths = self.lengths.copy()
        lengths[row] -= tokens
        self._count(lengths)

    @abstractmethod
    def keys(self, row: int) -> list[torch.Tensor]:
        """For each layer what is compared with a query, [heads, kept, width], to be changed."""

    def _count(self, lengths: list[int]) -> None:
        self.lengths, self.length = lengths, max(lengths, default=0)
        even = all(length == self.length for length in lengths)
        missing = None if even else [self.length - length for length in lengths]
        self._missing = None if missing is None else torch.tensor(missing, device=self.device)

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
        super().__init__(batch_size, capacity)
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
        shelves, length = self._shelves, self.length
        return (
            shelves[2 * layer].extend(keys, length),
            shelves[2 * layer + 1].extend(values, length),
        )

    def place_of_one(self, layer: int) -> tuple[int, int]:
        """Where somebody else writes the key and value of each row's next token, in ``layer``.

        Returns:
            the first place of the memory that the token sees, and its own place, the last one.
        """
        self._check_room(1)
        self._shelves[2 * layer + 1].place_of_one(self.length)
        return self._shelves[2 * layer].place_of_one(self.length)

    def arrays(self, layer: int) -> tuple[Any, Any]:
        """Keys and values as arrays [reserved rows, kv_heads, room, head_size], on a CPU."""
        return self._shelves[2 * layer].array, self._shelves[2 * layer + 1].array

    def memory(self) -> list[torch.Tensor]:
        """Keys and values of each layer, [reserved rows, kv_heads, room, head_size]."""
        return [shelf.vectors for shelf in self._shelves]

    def reserve_rows(self, rows: int) -> None:
        """Have memory for ``rows``, if there is less."""
        for shelf in self._shelves:
            shelf.reserve_rows(rows)

    def keys(self, row: int) -> list[torch.Tensor]:
        """For each layer the keys of ``row``, [kv_heads, kept, head_size], to be changed."""
        return [shelf.seen(row, self.lengths[row]) for shelf in self._shelves[::2]]


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
        super().__init__(batch_size, capacity)
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
        return self._shelves[layer].extend(vectors, self.length)

    def keys(self, row: int) -> list[torch.Tensor]:
        """For each layer the vectors of ``row``, [1, kept, width], to be changed."""
        return [shelf.seen(row, self.lengths[row]) for shelf in self._shelves]
