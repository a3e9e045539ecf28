"""Counting pre-tokens: the cuts of ``cutting``, and a hash table that only grows.

An entry takes 24 bytes. Up to 15 bytes of a pre-token stand in it, with the length in the last:

    8 bytes    the first 8 bytes of the pre-token, padded with zeros
    8 bytes    up to 7 more, and the length
    8 bytes    how often it occurs, 0 in an empty entry

Longer ones stand in a second table by a hash of 64 bits, with their bytes in an arena:

    8 bytes    the hash
    8 bytes    where the record begins in the arena: its length in 8 bytes, then its bytes
    8 bytes    how often it occurs
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hornbook.kernels import inlined, kernel
from hornbook.tokenizers.engine.cutting import cut
from hornbook.tokenizers.engine.encoding import WORD, last_bytes, mixed, phrase_hash
from hornbook.tokenizers.engine.machine import (
    Int,
    load_i64,
    load_u8,
    load_u64,
    store_i64,
    store_u8,
    store_u64,
)

ENTRY = 24
"""How many bytes an entry takes."""

ENDS_ROOM = 1024

_SPREAD = np.uint64(0x9E3779B97F4A7C15)

(
    CLASSES,  # uint8 [1114112]: the class of each code point
    ENDS,  # int64 [ENDS_ROOM + 8]: the ends of pre-tokens that were just cut, and room for masks
    BYTE_MASKS,  # uint64 [16, 2]: the first so many bytes of a word of 16
    WORDS,  # the table of short pre-tokens
    WORD_BITS,  # it has 2^bits entries
    WORDS_USED,
    PHRASES,  # the table of longer ones
    PHRASE_BITS,
    PHRASES_USED,
    ARENA,  # their bytes
    ARENA_SIZE,
    ARENA_USED,
    PLACE,  # how far into the text the last call came
    TEXT,  # which text that was
    NEEDED,  # for how many bytes there was no room
    FIELDS,
) = range(16)


@kernel
def count(
    counter: NDArray[np.int64], pattern: Int, content: Int, stops: NDArray[np.int64], readable: Int
) -> bool:
    """Count the pre-tokens of texts that stand end to end, from ``PLACE`` in ``TEXT`` on.

    Args:
        counter: the fields named above.
        pattern: the number of the pattern; see ``cutting.PATTERNS``.
        content: address of the texts.
        stops: where each text ends.
        readable: how many bytes may be read from ``content`` on.

    Returns:
        whether all were counted; if not, a table or the arena needs more room first.
    """
    ends, masks = counter[ENDS], counter[BYTE_MASKS]
    place = counter[PLACE]
    while counter[TEXT] < len(stops):
        stop = np.int64(stops[counter[TEXT]])
        while place < stop:
            found = cut(pattern, content, place, stop, counter[CLASSES], ends, ENDS_ROOM)
            # The worst that can come: all of them new, and all of their bytes too.
            size = load_i64(ends + 8 * (found - 1)) - place
            if not has_room(counter, found, size):
                counter[PLACE], counter[NEEDED] = place, size
                return False
            for number in range(found):
                end = load_i64(ends + 8 * number)
                size = end - place
                if size <= WORD and place + 16 <= readable:
                    mask = masks + 16 * size
                    low = load_u64(content + place) & load_u64(mask)
                    high = load_u64(content + place + 8) & load_u64(mask + 8)
                    add_word(counter, low, high | np.uint64(size) << np.uint64(56), 1)
                elif size <= WORD:
                    low, high = last_bytes(content + place, size)
                    add_word(counter, low, high, 1)
                else:
                    add_phrase(counter, content + place, size, 1)
                place = end
        counter[TEXT] += 1
    counter[PLACE] = place
    return True


@inlined
def has_room(counter: NDArray[np.int64], words: Int, size: Int) -> bool:
    """Whether so many more pre-tokens of so many bytes find room; tables stay 3/4 full."""
    return (
        4 * (counter[WORDS_USED] + words) <= 3 << counter[WORD_BITS]
        and 4 * (counter[PHRASES_USED] + (size >> 4) + 1) <= 3 << counter[PHRASE_BITS]
        and counter[ARENA_USED] + 2 * size + 64 <= counter[ARENA_SIZE]
    )


@inlined
def add_word(counter: NDArray[np.int64], low: np.uint64, high: np.uint64, times: Int) -> None:
    """Count a pre-token of up to 15 bytes."""
    bits = counter[WORD_BITS]
    slot = np.int64(mixed(low, high) >> np.uint64(64 - bits))
    entry = counter[WORDS] + ENTRY * slot
    last = counter[WORDS] + (ENTRY << bits)
    while True:
        seen = load_i64(entry + 16)
        if seen == 0:
            store_u64(entry, low)
            store_u64(entry + 8, high)
            counter[WORDS_USED] += 1
            break
        if load_u64(entry) == low and load_u64(entry + 8) == high:
            break
        entry += ENTRY
        if entry == last:
            entry = counter[WORDS]
    store_i64(entry + 16, load_i64(entry + 16) + times)


@inlined
def add_phrase(counter: NDArray[np.int64], text: Int, size: Int, times: Int) -> None:
    """Count a pre-token of 16 bytes or more."""
    hashed = phrase_hash(text, size)
    bits = counter[PHRASE_BITS]
    entry = counter[PHRASES] + ENTRY * np.int64((hashed * _SPREAD) >> np.uint64(64 - bits))
    last = counter[PHRASES] + (ENTRY << bits)
    while True:
        if load_i64(entry + 16) == 0:
            record = counter[ARENA] + counter[ARENA_USED]
            store_i64(record, size)
            for place in range(size):
                store_u8(record + 8 + place, load_u8(text + place))
            store_u64(entry, hashed)
            store_i64(entry + 8, counter[ARENA_USED])
            counter[ARENA_USED] += 8 + (size + 7) // 8 * 8
            counter[PHRASES_USED] += 1
            break
        if load_u64(entry) == hashed and is_phrase(
            counter[ARENA] + load_i64(entry + 8), text, size
        ):
            break
        entry += ENTRY
        if entry == last:
            entry = counter[PHRASES]
    store_i64(entry + 16, load_i64(entry + 16) + times)


@inlined
def is_phrase(record: Int, text: Int, size: Int) -> bool:
    """Whether a record of the arena holds these bytes."""
    if load_i64(record) != size:
        return False
    for place in range(0, size - 7, 8):
        if load_u64(record + 8 + place) != load_u64(text + place):
            return False
    return load_u64(record + size) == load_u64(text + size - 8)


@kernel
def add_all(counter: NDArray[np.int64], other: NDArray[np.int64], at_least: Int) -> Int:
    """Add what another counter has counted, if it has room; return the occurrences left out.

    Args:
        at_least: what occurs less often is left out.
    """
    dropped = np.int64(0)
    for slot in range(np.int64(1) << other[WORD_BITS]):
        entry = other[WORDS] + ENTRY * slot
        times = load_i64(entry + 16)
        if times >= at_least:
            add_word(counter, load_u64(entry), load_u64(entry + 8), times)
        else:
            dropped += times
    for slot in range(np.int64(1) << other[PHRASE_BITS]):
        entry = other[PHRASES] + ENTRY * slot
        times = load_i64(entry + 16)
        if times >= at_least:
            record = other[ARENA] + load_i64(entry + 8)
            add_phrase(counter, record + 8, load_i64(record), times)
        else:
            dropped += times
    return dropped


@kernel
def content_size(counter: NDArray[np.int64]) -> Int:
    """Return how many bytes all different pre-tokens have together."""
    size = np.int64(0)
    for slot in range(np.int64(1) << counter[WORD_BITS]):
        entry = counter[WORDS] + ENTRY * slot
        if load_i64(entry + 16):
            size += np.int64(load_u64(entry + 8) >> np.uint64(56))
    for slot in range(np.int64(1) << counter[PHRASE_BITS]):
        entry = counter[PHRASES] + ENTRY * slot
        if load_i64(entry + 16):
            size += load_i64(counter[ARENA] + load_i64(entry + 8))
    return size


@kernel
def write_out(
    counter: NDArray[np.int64],
    content: NDArray[np.uint8],
    ends: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Write all different pre-tokens end to end, where each ends, and how often it occurs."""
    place, number = np.int64(0), np.int64(0)
    for slot in range(np.int64(1) << counter[WORD_BITS]):
        entry = counter[WORDS] + ENTRY * slot
        if load_i64(entry + 16):
            for byte in range(np.int64(load_u64(entry + 8) >> np.uint64(56))):
                content[place] = load_u8(entry + byte)
                place += 1
            ends[number], counts[number] = place, load_i64(entry + 16)
            number += 1
    for slot in range(np.int64(1) << counter[PHRASE_BITS]):
        entry = counter[PHRASES] + ENTRY * slot
        if load_i64(entry + 16):
            record = counter[ARENA] + load_i64(entry + 8)
            for byte in range(load_i64(record)):
                content[place] = load_u8(record + 8 + byte)
                place += 1
            ends[number], counts[number] = place, load_i64(entry + 16)
            number += 1
