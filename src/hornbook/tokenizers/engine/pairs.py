"""What two ids make, and which bytes never stand together: tables made once from the merges.

A pair is looked for in a bit filter first, for most pairs make nothing, and then in a hash table
of words that hold both ids and the id they make:

    0 0 left right made         1, 1, 20, 20 and 22 bits; all ones in an empty slot

A full table is a near one: half as full and twice as large, merging took a fifth longer.
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined, kernel
from hornbook.tokenizers.engine.machine import Int, load_u64, store_u64
from hornbook.tokenizers.engine.workspace import PAIR_FILTER, PAIR_SHIFT, PAIRS, field

NONE = np.int64(0x3FFFFF)
"""No token; greater than every id."""

FILTER_BITS = 20
"""The filter has 2^20 bits, which tell nearly all pairs that make nothing: 128 KiB, which stay in
the processor's cache."""

ID_BITS = 20
"""Ids have to fit in so many bits, for two ids and the id they make to fit in one word."""

EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


@kernel
def fill_pairs(workspace: Int, merges: np.ndarray, slots: Int) -> bool:
    """Fill the empty table of pairs from merges, int32 [merges, 2].

    Args:
        slots: how many the table has; a search never goes back to its beginning.

    Returns:
        whether there were enough for the longest search.
    """
    pairs, shift = field(workspace, PAIRS), field(workspace, PAIR_SHIFT)
    for number in range(len(merges)):
        pair = np.int64(merges[number, 0]) << ID_BITS | np.int64(merges[number, 1])
        slot = pair_slot(pair, shift)
        while slot < slots and load_u64(pairs + 8 * slot) != EMPTY:
            slot += 1
        if slot >= slots - 1:
            return False
        store_u64(pairs + 8 * slot, np.uint64(pair << 22 | (256 + number)))
        set_bit(field(workspace, PAIR_FILTER), pair_slot(pair, 64 - FILTER_BITS))
    return True


@kernel
def fill_joints(joints: np.ndarray, content: np.ndarray, ends: np.ndarray) -> None:
    """Mark which two bytes stand side by side in the tokens of ``content`` that end at ``ends``."""
    place = np.int64(0)
    for number in range(len(ends)):
        while place + 1 < ends[number]:
            joints[np.int64(content[place]) << 8 | np.int64(content[place + 1])] = 1
            place += 1
        place = ends[number]


@inlined
def pair_slot(pair: Int, shift: Int) -> Int:
    """Return where the search for a pair begins in the table of pairs."""
    return np.int64((np.uint64(pair) * _SPREAD) >> np.uint64(shift))


@inlined
def merged_pair(workspace: Int, left: Int, right: Int) -> Int:
    """Return the id that two ids make, or ``NONE``."""
    pair = left << ID_BITS | right
    bit = pair_slot(pair, 64 - FILTER_BITS)
    word = load_u64(field(workspace, PAIR_FILTER) + 8 * (bit >> 6))
    if (word >> np.uint64(bit & 63)) & np.uint64(1) == np.uint64(0):
        return NONE
    pairs = field(workspace, PAIRS)
    slot = pair_slot(pair, field(workspace, PAIR_SHIFT))
    while True:
        entry = np.int64(load_u64(pairs + 8 * slot))
        if entry >> 22 == pair:
            return entry & NONE
        if entry == -1:
            return NONE
        slot += 1


@inlined
def set_bit(bits: Int, number: Int) -> None:
    """Set one of many bits, 64 of which make a word."""
    word = bits + 8 * (number >> 6)
    store_u64(word, load_u64(word) | np.uint64(1) << np.uint64(number & 63))
