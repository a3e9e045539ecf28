"""Counting pre-tokens: the cuts of ``cutting``, and a hash table that only grows.

An entry takes 24 bytes. Up to 15 bytes of a pre-token stand in it, with the length in the last:

    8 bytes    the first 8 bytes of the pre-token, padded with zeros
    8 bytes    up to 7 more, and the length
    8 bytes    how often it occurs, 0 in an empty entry

Longer ones stand in a second table by a hash of 64 bits, with their bytes in an arena:

    8 bytes    the hash
    8 bytes    where the record begins in the arena: its length in 8 bytes, then its bytes
    8 bytes    how often it occurs

What it brought, on 100 MB of English books, one core at 2.5 GHz: looking up word after word,
0.19 s; making the keys of some hundred words first, and asking for their entries, 0.14.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hornbook.kernels import inlined, kernel
from hornbook.tokenizers.engine.cutting import cut
from hornbook.tokenizers.engine.machine import (
    Int,
    load_i64,
    load_u8,
    load_u64,
    prefetch,
    store_i64,
    store_u8,
    store_u64,
)
from hornbook.tokenizers.engine.phrases import phrase_hash
from hornbook.tokenizers.engine.words import SPREAD, WORD, last_bytes, mixed
from hornbook.tokenizers.engine.workspace import field, set_field

ENTRY = 24
"""How many bytes an entry takes."""

KEY = 24
"""How many bytes the key of a word takes: those of an entry, and the entry's address."""

ENDS_ROOM = 768
"""How many pre-tokens are cut at a time at the most."""

WIDE = 8
"""The bytes of an int64."""

(
    CLASSES,  # uint8 [1114112]: the class of each code point
    ENDS,  # int64 [ENDS_ROOM + 8]: the ends of pre-tokens that were just cut, and room for masks
    KEYS,  # uint64 [ENDS_ROOM, 3]: what words are looked for by, and where
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
) = range(17)


@kernel
def count(
    counter: Int, pattern: Int, content: Int, stops: NDArray[np.int64], readable: Int
) -> bool:
    """Count the pre-tokens of texts that stand end to end, from ``PLACE`` in ``TEXT`` on.

    Args:
        counter: address of the fields named above.
        pattern: the number of the pattern; see ``cutting.PATTERNS``.
        content: address of the texts.
        stops: where each text ends.
        readable: how many bytes may be read from ``content`` on.

    Returns:
        whether all were counted; if not, a table or the arena needs more room first.
    """
    ends, keys = field(counter, ENDS), field(counter, KEYS)
    classes = field(counter, CLASSES)
    place = field(counter, PLACE)
    for text in range(field(counter, TEXT), len(stops)):
        stop = np.int64(stops[text])
        while place < stop:
            found = cut(pattern, content, place, stop, classes, ends, ENDS_ROOM)
            # The worst that can come: all of them new, and all of their bytes too.
            size = load_i64(ends + WIDE * (found - 1)) - place
            if not has_room(counter, found, size):
                set_field(counter, PLACE, place)
                set_field(counter, TEXT, text)
                set_field(counter, NEEDED, size)
                return False
            make_keys(counter, content, place, readable, found)
            for key in range(keys, keys + KEY * found, KEY):
                low, high, entry = load_u64(key), load_u64(key + 8), load_i64(key + 16)
                if high == 0:
                    add_phrase(counter, content + np.int64(low), entry, 1)
                # The first look of ``add_word``, here once more: it nearly always suffices.
                elif load_u64(entry) == low and load_u64(entry + 8) == high:
                    store_i64(entry + 16, load_i64(entry + 16) + 1)
                else:
                    add_word(counter, entry, low, high, 1)
            place += size
    return True


@inlined
def has_room(counter: Int, words: Int, size: Int) -> bool:
    """Whether so many more pre-tokens of so many bytes find room; tables stay 3/4 full."""
    return bool(
        4 * (field(counter, WORDS_USED) + words) <= 3 << field(counter, WORD_BITS)
        and 4 * (field(counter, PHRASES_USED) + (size >> 4) + 1) <= 3 << field(counter, PHRASE_BITS)
        and field(counter, ARENA_USED) + 2 * size + 64 <= field(counter, ARENA_SIZE)
    )


@inlined
def make_keys(counter: Int, content: Int, place: Int, readable: Int, found: Int) -> None:
    """Write the key of each pre-token that was cut, and ask for the entry where it may stand.

    A key is the first 16 bytes of an entry, and the entry's address. A longer pre-token has
    where it stands in the text, 0, and its length.
    """
    ends, masks, key = field(counter, ENDS), field(counter, BYTE_MASKS), field(counter, KEYS)
    words, shift = field(counter, WORDS), np.uint64(64 - field(counter, WORD_BITS))
    for number in range(found):
        end = load_i64(ends + WIDE * number)
        size = end - place
        if size <= WORD:
            if place + 16 <= readable:
                mask = masks + 16 * size
                low = load_u64(content + place) & load_u64(mask)
                high = load_u64(content + place + 8) & load_u64(mask + 8)
                high |= np.uint64(size) << np.uint64(56)
            else:
                low, high = last_bytes(content + place, size)
            entry = words + ENTRY * np.int64(mixed(low, high) >> shift)
            prefetch(entry)
            store_u64(key, low)
            store_u64(key + 8, high)
            store_i64(key + 16, entry)
        else:
            store_i64(key, place)
            store_u64(key + 8, np.uint64(0))
            store_i64(key + 16, size)
        key += KEY
        place = end


@inlined
def word_entry(counter: Int, low: np.uint64, high: np.uint64) -> Int:
    """Return the address of the entry where the search for a word begins."""
    shift = np.uint64(64 - field(counter, WORD_BITS))
    return field(counter, WORDS) + ENTRY * np.int64(mixed(low, high) >> shift)


@inlined
def add_word(counter: Int, entry: Int, low: np.uint64, high: np.uint64, times: Int) -> None:
    """Count a pre-token of up to 15 bytes that may stand from an entry on."""
    last = field(counter, WORDS) + (ENTRY << field(counter, WORD_BITS))
    while load_u64(entry) != low or load_u64(entry + 8) != high:
        if load_i64(entry + 16) == 0:
            store_u64(entry, low)
            store_u64(entry + 8, high)
            set_field(counter, WORDS_USED, field(counter, WORDS_USED) + 1)
            break
        entry += ENTRY
        if entry == last:
            entry = field(counter, WORDS)
    store_i64(entry + 16, load_i64(entry + 16) + times)


@inlined
def add_phrase(counter: Int, text: Int, size: Int, times: Int) -> None:
    """Count a pre-token of 16 bytes or more."""
    hashed = phrase_hash(text, size)
    bits = field(counter, PHRASE_BITS)
    entry = field(counter, PHRASES) + ENTRY * np.int64((hashed * SPREAD) >> np.uint64(64 - bits))
    last = field(counter, PHRASES) + (ENTRY << bits)
    while True:
        if load_i64(entry + 16) == 0:
            record = field(counter, ARENA) + field(counter, ARENA_USED)
            store_i64(record, size)
            for place in range(size):
                store_u8(record + 8 + place, load_u8(text + place))
            store_u64(entry, hashed)
            store_i64(entry + 8, field(counter, ARENA_USED))
            set_field(counter, ARENA_USED, field(counter, ARENA_USED) + 8 + (size + 7) // 8 * 8)
            set_field(counter, PHRASES_USED, field(counter, PHRASES_USED) + 1)
            break
        if load_u64(entry) == hashed and is_phrase(
            field(counter, ARENA) + load_i64(entry + 8), text, size
        ):
            break
        entry += ENTRY
        if entry == last:
            entry = field(counter, PHRASES)
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
def add_all(counter: Int, other: Int, at_least: Int) -> Int:
    """Add what another counter has counted, if it has room; return the occurrences left out.

    Args:
        at_least: what occurs less often is left out.
    """
    dropped = np.int64(0)
    for slot in range(np.int64(1) << field(other, WORD_BITS)):
        entry = field(other, WORDS) + ENTRY * slot
        times = load_i64(entry + 16)
        if times >= at_least:
            low, high = load_u64(entry), load_u64(entry + 8)
            add_word(counter, word_entry(counter, low, high), low, high, times)
        else:
            dropped += times
    for slot in range(np.int64(1) << field(other, PHRASE_BITS)):
        entry = field(other, PHRASES) + ENTRY * slot
        times = load_i64(entry + 16)
        if times >= at_least:
            record = field(other, ARENA) + load_i64(entry + 8)
            add_phrase(counter, record + 8, load_i64(record), times)
        else:
            dropped += times
    return dropped


@kernel
def content_size(counter: Int) -> Int:
    """Return how many bytes all different pre-tokens have together."""
    size = np.int64(0)
    for slot in range(np.int64(1) << field(counter, WORD_BITS)):
        entry = field(counter, WORDS) + ENTRY * slot
        if load_i64(entry + 16):
            size += np.int64(load_u64(entry + 8) >> np.uint64(56))
    for slot in range(np.int64(1) << field(counter, PHRASE_BITS)):
        entry = field(counter, PHRASES) + ENTRY * slot
        if load_i64(entry + 16):
            size += load_i64(field(counter, ARENA) + load_i64(entry + 8))
    return size


@kernel
def write_out(
    counter: Int,
    content: NDArray[np.uint8],
    ends: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Write all different pre-tokens end to end, where each ends, and how often it occurs."""
    place, number = np.int64(0), np.int64(0)
    for slot in range(np.int64(1) << field(counter, WORD_BITS)):
        entry = field(counter, WORDS) + ENTRY * slot
        if load_i64(entry + 16):
            for byte in range(np.int64(load_u64(entry + 8) >> np.uint64(56))):
                content[place] = load_u8(entry + byte)
                place += 1
            ends[number], counts[number] = place, load_i64(entry + 16)
            number += 1
    for slot in range(np.int64(1) << field(counter, PHRASE_BITS)):
        entry = field(counter, PHRASES) + ENTRY * slot
        if load_i64(entry + 16):
            record = field(counter, ARENA) + load_i64(entry + 8)
            for byte in range(load_i64(record)):
                content[place] = load_u8(record + 8 + byte)
                place += 1
            ends[number], counts[number] = place, load_i64(entry + 16)
            number += 1
