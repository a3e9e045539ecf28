"""The shuffled order of examples, computed instead of remembered.

Example number k of epoch e is ``permutation(k)``, where the permutation is a keyed Feistel
network over the smallest square power of two that holds the count, walked until it lands
inside (Black and Rogaway, 2002, "Ciphers with arbitrary finite domains"). Any example of
any epoch can be asked for at once, in any order, by any number of workers, so to resume is
to remember one number: how many examples were used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hornbook.randomness import stream_seed

_ROUNDS = 4
FEISTEL_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # splitmix64 (Steele et al., 2014)


@dataclass(frozen=True, slots=True)
class ExampleOrder:
    """An endless order of examples: every epoch holds each of ``count`` exactly once.

    >>> order = ExampleOrder(count=5, seed=1)
    >>> sorted(order.examples(0, 5).tolist()), sorted(order.examples(5, 5).tolist())
    ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4])
    """

    count: int
    seed: int

    def examples(self, first: int, number: int) -> NDArray[np.int64]:
        """The examples used at places ``first`` up to ``first + number`` of the whole run.

        Args:
            first: how many examples were used before, over all epochs.
            number: how many to give; they may reach over the end of an epoch.

        Returns:
            [number] ``int64``, each within 0 and ``count - 1``.
        """
        result = np.empty(number, dtype=np.int64)
        for epoch, place, part in self.epochs(first, number):
            places = np.arange(place, place + part.stop - part.start, dtype=np.int64)
            result[part] = permute(places, self.count, self.key(epoch))
        return result

    def key(self, epoch: int) -> int:
        """What picks the permutation of an epoch."""
        return stream_seed(self.seed, "data", epoch)

    def epochs(self, first: int, number: int) -> Iterator[tuple[int, int, slice]]:
        """Cut a stretch of the run where an epoch ends: epoch, place in it, part of the stretch.

        >>> list(ExampleOrder(count=5, seed=1).epochs(3, 4))
        [(0, 3, slice(0, 2, None)), (1, 0, slice(2, 4, None))]
        """
        done = 0
        while done < number:
            epoch, place = divmod(first + done, self.count)
            stop = min(number, done + self.count - place)
            yield epoch, place, slice(done, stop)
            done = stop


def permute(places: NDArray[np.int64], count: int, key: int) -> NDArray[np.int64]:
    """Send each place to its partner under the permutation of 0 … ``count - 1`` that ``key`` picks.

    Args:
        places: [n] ``int64``, each within 0 and ``count - 1``.
        count: size of the permuted range, at least 1.
        key: any 64-bit number.

    Returns:
        [n] ``int64``; over all places, every value occurs once.

    >>> sorted(permute(np.arange(10), 10, key=3).tolist()) == list(range(10))
    True
    """
    half_bits, round_keys = feistel_network(count, key)
    values = places.astype(np.uint64)
    # Walking on from a value outside the range keeps the map one-to-one; the range is at
    # least a quarter of the network's domain, so four steps are expected at the worst.
    outside = np.ones(len(values), dtype=bool)
    while outside.any():
        values[outside] = _feistel(values[outside], half_bits, round_keys)
        outside = values >= np.uint64(count)
    return values.astype(np.int64)


@lru_cache(maxsize=16)
def feistel_network(count: int, key: int) -> tuple[int, NDArray[np.uint64]]:
    """Bits in each half of the network over at least ``count`` numbers, and a key for each round.

    >>> feistel_network(1000, key=3)[0]
    5
    """
    half_bits = max(1, ((count - 1).bit_length() + 1) // 2)
    round_keys = [stream_seed(key, "round", number) for number in range(_ROUNDS)]
    return half_bits, np.array(round_keys, dtype=np.uint64)


def _feistel(
    values: NDArray[np.uint64], half_bits: int, round_keys: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    mask = np.uint64((1 << half_bits) - 1)
    shift = np.uint64(half_bits)
    left, right = values >> shift, values & mask
    for round_key in round_keys:
        left, right = right, left ^ (mixed_bits(right + round_key) & mask)
    return (left << shift) | right


def mixed_bits(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter numbers over 64 bits, one-to-one (the finisher of splitmix64).

    >>> mixed_bits(np.array([0, 1], dtype=np.uint64)).tolist()
    [0, 6238072747940578789]
    """
    for shift, multiplier in zip((30, 27), FEISTEL_MULTIPLIERS, strict=True):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(multiplier)
    return values ^ (values >> np.uint64(31))
