"""The cache of words: pre-tokens of up to 15 bytes. An entry is half a cache line:

    8 bytes     the first 8 bytes of the word, padded with zeros
    7 bytes     the other bytes
    1 byte      how many bytes the word has (low half), how many ids (high half)
    16 bytes    up to eight ids in 16 bits, or four in 32 where the vocabulary is larger than
                65,536; or the place of more in the arena (count 15)

so a hit is two comparisons, and as many ids are stored as there is room for: the next word
overwrites what was too much. A word may stand in either half of one cache line, and what was
asked for last stands in the first half. Nothing depends on what a cache holds but time.

What it brought, on English books under GPT-2's vocabulary, one core at 2.5 GHz: looking up word
after word, 260 MB/s; making the keys of some hundred words first, and asking for their cache
lines, 360. Later, elsewhere: 690 so, and 745 with the keys of eight words made at once where the
processor can (``eight_words``). A small table of frequent words in front was a loss (220 where this
had 300): leaving the usual way costs the processor more than a slow answer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hornbook.kernels import inlined
from hornbook.tokenizers.engine.arena import new_record, store_ids, stored_ids
from hornbook.tokenizers.engine.eight_words import EIGHT, GATHERS, make_eight_keys
from hornbook.tokenizers.engine.ideographs import ends_in_ideograph, merge_ideographs
from hornbook.tokenizers.engine.machine import (
    Int,
    load_i64,
    load_u8,
    load_u32,
    load_u64,
    prefetch,
    store_i64,
    store_u16,
    store_u64,
    widen_8,
)
from hornbook.tokenizers.engine.merging import merge_any
from hornbook.tokenizers.engine.workspace import (
    BYTE_MASKS,
    ENDS,
    ENDS_ROOM,
    KEYS,
    NARROW,
    WORD_SHIFT,
    WORDS,
    field,
)

WORD = 15
"""The longest pre-token that the cache of words holds [bytes]."""
LINE = 64
"""How many bytes a cache line has: two entries."""
KEYS_APART = 8 * (ENDS_ROOM + 8)
"""How far from the first halves of keys their second halves are, and from these the addresses."""
ELSEWHERE = 15
"""In place of a count of ids: they stand in the arena."""
ELSEWHERE_FROM = np.uint64(ELSEWHERE << 60)
"""The second half of such an entry's key is not below this one."""

SPREAD = np.uint64(0x9E3779B97F4A7C15)
SPREAD_MORE = np.uint64(0xC2B2AE3D27D4EB4F)
"""Odd numbers without a pattern; multiplied by them, bits spread upwards."""


def byte_masks() -> NDArray[np.uint64]:
    """Return, for 0 to 15 bytes, the mask of the first so many of 16: uint64 [16, 2].

    >>> [hex(half) for half in byte_masks()[9].tolist()]
    ['0xffffffffffffffff', '0xff']
    """
    masks = [(1 << 8 * size) - 1 for size in range(16)]
    halves = [[mask & 0xFFFFFFFFFFFFFFFF, mask >> 64] for mask in masks]
    return np.array(halves, dtype=np.uint64)


@inlined
def make_keys(workspace: Int, text: Int, place: Int, end: Int, count: Int) -> None:
    """Write the key of each pre-token, and ask for the cache line where it may stand.

    A key is the 16 bytes of an entry, and the address of its cache line. A pre-token that is too
    long has a key that no word has, and the address of the whole cache, where nothing ever stands.
    """
    ends, masks = field(workspace, ENDS), field(workspace, BYTE_MASKS)
    words, shift = field(workspace, WORDS), np.uint64(field(workspace, WORD_SHIFT))
    keys, first = field(workspace, KEYS), np.int64(0)
    if GATHERS:
        while first + EIGHT <= count and load_i64(ends + 8 * (first + EIGHT - 1)) + 16 <= end:
            place = make_eight_keys(
                text,
                place,
                ends + 8 * first,
                words,
                shift,
                SPREAD,
                SPREAD_MORE,
                keys + 8 * first,
                np.int64(KEYS_APART),
            )
            first += EIGHT
    for number in range(first, count):
        key, stop = keys + 8 * number, load_i64(ends + 8 * number)
        size = stop - place
        if size <= WORD:
            if place + 16 <= end:
                low = load_u64(text + place) & load_u64(masks + 16 * size)
                high = load_u64(text + place + 8) & load_u64(masks + 16 * size + 8)
                high |= np.uint64(size) << np.uint64(56)
            else:
                low, high = last_bytes(text + place, size)
            entry = words + LINE * (np.int64(mixed(low, high) >> shift) + 1)
            prefetch(entry)
            store_key(key, low, high, entry)
        else:
            store_key(key, np.uint64(0), np.uint64(0xFFFF), words)
        place = stop


@inlined
def store_key(key: Int, low: np.uint64, high: np.uint64, entry: Int) -> None:
    """Write a key where its first half belongs."""
    store_u64(key, low)
    store_u64(key + KEYS_APART, high)
    store_i64(key + 2 * KEYS_APART, entry)


@inlined
def last_bytes(text: Int, size: Int) -> tuple[np.uint64, np.uint64]:
    """Return a word behind which no 16 bytes may be read, as the first half of its entry."""
    low, high = np.uint64(0), np.uint64(size) << np.uint64(56)
    for place in range(size):
        byte = np.uint64(load_u8(text + place)) << np.uint64(8 * (place & 7))
        if place < 8:
            low |= byte
        else:
            high |= byte
    return low, high


@inlined
def mixed(low: np.uint64, high: np.uint64) -> np.uint64:
    """Return a hash of a word, good in its highest bits."""
    return low * SPREAD + high * SPREAD_MORE


@inlined
def is_word(found: np.uint64, high: np.uint64) -> bool:
    """Whether the second half of an entry's key is this word's; the count of ids is left out."""
    return (found ^ high) << np.uint64(4) == np.uint64(0)


@inlined
def word_ids(workspace: Int, text: Int, size: Int, key: Int, out: Int) -> Int:
    """Write the ids of a word of 1 to ``WORD`` bytes, whose key was made; return how many."""
    low, high = load_u64(key), load_u64(key + KEYS_APART)
    entry = load_i64(key + 2 * KEYS_APART)
    found = load_u64(entry + 8)
    if load_u64(entry) == low and is_word(found, high):
        return entry_ids(workspace, entry, out)
    if found != np.uint64(0):
        swap_halves(entry)
        found = load_u64(entry + 8)
        if load_u64(entry) == low and is_word(found, high):
            return entry_ids(workspace, entry, out)
    if ends_in_ideograph(text, size):
        count = merge_ideographs(workspace, text, size, out)
    else:
        count = merge_any(workspace, text, size, out)
    remember_word(workspace, entry, low, high, out, count)
    return count


@inlined
def entry_ids(workspace: Int, entry: Int, out: Int) -> Int:
    """Write the ids of an entry; return how many."""
    found = load_u64(entry + 8)
    if found >= ELSEWHERE_FROM:
        return stored_ids(workspace, load_i64(entry + 16), out)
    if field(workspace, NARROW):
        widen_8(entry + 16, out)
    else:
        store_u64(out, load_u64(entry + 16))
        store_u64(out + 8, load_u64(entry + 24))
    return np.int64(found >> np.uint64(60))


@inlined
def swap_halves(line: Int) -> None:
    """Exchange the two entries of a cache line."""
    for place in range(0, LINE // 2, 8):
        first = load_u64(line + place)
        store_u64(line + place, load_u64(line + LINE // 2 + place))
        store_u64(line + LINE // 2 + place, first)


@inlined
def remember_word(
    workspace: Int, entry: Int, low: np.uint64, high: np.uint64, ids: Int, count: Int
) -> None:
    """Write a word and its ids into an entry."""
    if field(workspace, NARROW) and count <= 8:
        for number in range(count):
            store_u16(entry + 16 + 2 * number, np.uint16(load_u32(ids + 4 * number)))
    elif count <= 4:
        store_u64(entry + 16, load_u64(ids))
        store_u64(entry + 24, load_u64(ids + 8))
    else:
        record = new_record(workspace, 8 + 4 * count)
        if record < 0:
            store_u64(entry + 8, np.uint64(0))
            return
        store_ids(workspace, record, ids, count)
        store_u64(entry + 16, np.uint64(record))
        count = ELSEWHERE
    store_u64(entry, low)
    store_u64(entry + 8, high | np.uint64(count) << np.uint64(60))


@inlined
def part_ids(workspace: Int, text: Int, size: Int, readable: Int, out: Int) -> Int:
    """Write the ids of a part of up to ``WORD`` bytes; return how many."""
    masks, key = field(workspace, BYTE_MASKS), field(workspace, KEYS) + 8 * ENDS_ROOM
    if readable >= 16:
        low = load_u64(text) & load_u64(masks + 16 * size)
        high = load_u64(text + 8) & load_u64(masks + 16 * size + 8)
        high |= np.uint64(size) << np.uint64(56)
    else:
        low, high = last_bytes(text, size)
    slot = np.int64(mixed(low, high) >> np.uint64(field(workspace, WORD_SHIFT)))
    store_key(key, low, high, field(workspace, WORDS) + LINE * (slot + 1))
    return word_ids(workspace, text, size, key, out)
