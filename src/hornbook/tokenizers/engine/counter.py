"""A counter of pre-tokens: the tables that the counting kernels fill, and their growth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hornbook.tokenizers.engine import counting as fields
from hornbook.tokenizers.engine.counting import ENTRY, add_all, content_size, count, write_out
from hornbook.tokenizers.engine.cutting import PATTERNS
from hornbook.tokenizers.engine.machine import address_of, address_of_content
from hornbook.tokenizers.engine.words import byte_masks
from hornbook.tokenizers.unicode_classes import class_table

WORD_BITS, PHRASE_BITS, ARENA_BYTES = 15, 10, 1 << 16
"""How large a new counter is: 768 KiB, 24 KiB and 64 KiB."""


class Counter:
    """How often each pre-token occurred in the texts given to it. One thread at a time.

    Args:
        pattern: one of ``cutting.PATTERNS``.
        max_memory: how large the tables may become [bytes]; beyond it the rarest are dropped.
    """

    def __init__(self, pattern: str, max_memory: int | None = None) -> None:
        self._pattern = PATTERNS.index(pattern)
        self._max_memory = max_memory
        self.dropped = 0
        self._ends = np.empty(fields.ENDS_ROOM + 8, dtype=np.int64)
        self._keys = np.empty((fields.ENDS_ROOM, 3), dtype=np.uint64)
        self._masks = byte_masks()
        self._make(WORD_BITS, PHRASE_BITS, ARENA_BYTES)

    @property
    def memory(self) -> int:
        """How much memory the tables take [bytes]."""
        return len(self._words) + len(self._phrases) + len(self._arena)

    def add(self, contents: Sequence[bytes]) -> None:
        """Count the pre-tokens of texts, each of which ends what is counted as one."""
        joined = contents[0] if len(contents) == 1 else b"".join(contents)
        stops = np.cumsum([len(content) for content in contents], dtype=np.int64)
        text = address_of_content(joined)
        self._block[fields.PLACE] = self._block[fields.TEXT] = 0
        while not count(self._address, self._pattern, text, stops, len(joined)):
            self._grow(int(self._block[fields.NEEDED]))

    def merge(self, other: Counter) -> None:
        """Add what another counter counted."""
        used = other._block
        self._reserve(
            int(used[fields.WORDS_USED]),
            int(used[fields.PHRASES_USED]),
            int(used[fields.ARENA_USED]),
        )
        add_all(self._address, other._address, 1)
        self.dropped += other.dropped

    def counted(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """Return all pre-tokens end to end, where each ends, and how often it occurred.

        They come in no particular order.
        """
        distinct = int(self._block[fields.WORDS_USED] + self._block[fields.PHRASES_USED])
        content = np.empty(content_size(self._address), dtype=np.uint8)
        ends, counts = (np.empty(distinct, dtype=np.int64) for _ in range(2))
        write_out(self._address, content, ends, counts)
        return content, ends, counts

    def _make(self, word_bits: int, phrase_bits: int, arena: int) -> None:
        """Begin with empty tables."""
        self._words = np.zeros((ENTRY << word_bits) + 16, dtype=np.uint8)
        self._phrases = np.zeros(ENTRY << phrase_bits, dtype=np.uint8)
        self._arena = np.empty(arena + 16, dtype=np.uint8)
        self._block = np.zeros(fields.FIELDS, dtype=np.int64)
        self._address = address_of(self._block)
        for field, array in (
            (fields.CLASSES, class_table()),
            (fields.ENDS, self._ends),
            (fields.KEYS, self._keys),
            (fields.BYTE_MASKS, self._masks),
            (fields.WORDS, self._words),
            (fields.PHRASES, self._phrases),
            (fields.ARENA, self._arena),
        ):
            self._block[field] = address_of(array)
        self._block[fields.WORD_BITS] = word_bits
        self._block[fields.PHRASE_BITS] = phrase_bits
        self._block[fields.ARENA_SIZE] = arena

    def _grow(self, size: int) -> None:
        """Make room for the next pre-tokens of a text, which have ``size`` bytes together."""
        if self._max_memory is not None and 2 * self.memory > self._max_memory:
            self._drop_rarest()
        self._reserve(fields.ENDS_ROOM, size // 16 + 1, 2 * size + 64)

    def _reserve(self, words: int, phrases: int, arena: int) -> None:
        """Make room for so many more words, phrases and bytes of phrases."""
        block = self._block
        word_bits = _bits_for(int(block[fields.WORDS_USED]) + words, int(block[fields.WORD_BITS]))
        phrase_bits = _bits_for(
            int(block[fields.PHRASES_USED]) + phrases, int(block[fields.PHRASE_BITS])
        )
        size, needed = int(block[fields.ARENA_SIZE]), int(block[fields.ARENA_USED]) + arena
        if needed > size:
            size = max(needed, size * 3 // 2)
        self._rebuild(word_bits, phrase_bits, size, at_least=1)

    def _rebuild(self, word_bits: int, phrase_bits: int, arena: int, at_least: int) -> None:
        """Move what occurs often enough into new tables, and go on where counting stood."""
        old = self._block, self._words, self._phrases, self._arena
        self._make(word_bits, phrase_bits, arena)
        self.dropped += int(add_all(self._address, address_of(old[0]), at_least))
        self._block[[fields.PLACE, fields.TEXT]] = old[0][[fields.PLACE, fields.TEXT]]

    def _drop_rarest(self) -> None:
        """Forget what occurred least often, and at least half of all different pre-tokens."""
        counts = np.concatenate([_counts_in(self._words), _counts_in(self._phrases)])
        counts = counts[counts > 0]
        if not counts.size:  # one pre-token alone may need more than was allowed
            return
        median = int(np.median(counts))
        word_bits, phrase_bits, arena = self._block[
            [fields.WORD_BITS, fields.PHRASE_BITS, fields.ARENA_SIZE]
        ].tolist()
        self._rebuild(word_bits, phrase_bits, arena, at_least=median + 1)


def _counts_in(table: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the third number of every entry."""
    return table[: len(table) // ENTRY * ENTRY].view(np.int64)[2::3]


def _bits_for(entries: int, bits: int) -> int:
    """Return the bits of a table that so many entries fill to 3/4 at the most."""
    while 4 * entries > 3 << bits:
        bits += 1
    return bits
