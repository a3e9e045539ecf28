"""Merging one pre-token, for when no cache knows it.

Three ways, all with the result of ``bpe_reference.encode_word``:

1. ``joints`` says which two bytes never stand side by side inside any token. No merge crosses
   such a place, so a long pre-token is cut there first. In Chinese under GPT-2's vocabulary that
   leaves single characters.
2. ``merge_short``, up to 48 bytes: what each pair would become stands beside it; the lowest is
   taken, the rest moves up. Quadratic, and the fastest there is for so few.
3. ``merge_long``: merges only make ids greater than the two they join, so the ids to be made can
   be gone through in ascending order. Every pair is born in the pass that makes its newer half,
   from left to right: the list of its places is then complete and sorted, and never changes
   again. Ten megabytes of one letter take a fraction of a second. (Tried before: a heap of all
   places, four times slower.)
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined, kernel
from hornbook.tokenizers.engine.machine import (
    load_i32,
    load_u8,
    load_u32,
    load_u64,
    store_i32,
    store_u32,
    store_u64,
)
from hornbook.tokenizers.engine.workspace import (
    BYTE_IDS,
    BYTE_PAIRS,
    HEADS,
    HEAP,
    LEFTS,
    LENGTHS,
    PAIR_SHIFT,
    PAIRS,
    RIGHTS,
    SCRATCH,
    TAILS,
    field,
)

SHORT = 48
"""Up to so many bytes ``merge_short`` merges."""

NONE = np.int64(0x3FFFFF)
"""No token; greater than every id."""

ID_BITS = 20
"""Ids have to fit in so many bits, for two ids and the id they make to fit in one word."""

EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


@kernel
def fill_pairs(workspace: int, merges: np.ndarray, slots: int, first_id: int) -> int:
    """Fill the empty table of pairs from merges, int32 [merges, 2].

    Args:
        slots: how many the table has; a search never goes back to its beginning.
        first_id: the id that the first merge makes.

    Returns:
        the greatest slot in use, or -1 if the table is too small for its longest search.
    """
    pairs, shift = field(workspace, PAIRS), field(workspace, PAIR_SHIFT)
    greatest = np.int64(0)
    for number in range(len(merges)):
        pair = np.int64(merges[number, 0]) << ID_BITS | np.int64(merges[number, 1])
        slot = pair_slot(pair, shift)
        while slot < slots and load_u64(pairs + 8 * slot) != EMPTY:
            slot += 1
        if slot >= slots - 1:
            return np.int64(-1)
        store_u64(pairs + 8 * slot, np.uint64(pair << 22 | (first_id + number)))
        greatest = max(greatest, slot)
    return greatest


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
def pair_slot(pair: int, shift: int) -> int:
    """Return where the search for a pair begins in the table of pairs."""
    return np.int64((np.uint64(pair) * _SPREAD) >> np.uint64(shift))


@inlined
def merged_pair(workspace: int, left: int, right: int) -> int:
    """Return the id that two ids make, or ``NONE``."""
    pairs = field(workspace, PAIRS)
    pair = left << ID_BITS | right
    slot = pair_slot(pair, field(workspace, PAIR_SHIFT))
    while True:
        entry = np.int64(load_u64(pairs + 8 * slot))
        if entry >> 22 == pair:
            return entry & NONE
        if entry == -1:
            return NONE
        slot += 1


@inlined
def merge_short(workspace: int, text: int, size: int, out: int) -> int:
    """Merge 2 to ``SHORT`` bytes; write their ids as uint32 and return how many."""
    byte_ids = field(workspace, BYTE_IDS)
    byte_pairs = field(workspace, BYTE_PAIRS)
    ids = field(workspace, SCRATCH)
    made = ids + 4 * SHORT
    byte = np.int64(load_u8(text))
    for place in range(size - 1):
        following = np.int64(load_u8(text + place + 1))
        store_i32(ids + 4 * place, load_i32(byte_ids + 4 * byte))
        store_i32(made + 4 * place, load_i32(byte_pairs + 4 * (byte << 8 | following)))
        byte = following
    store_i32(ids + 4 * (size - 1), load_i32(byte_ids + 4 * byte))
    left = size
    while left > 1:
        best, at = NONE, np.int64(0)
        for place in range(left - 1):
            candidate = np.int64(load_i32(made + 4 * place))
            if candidate < best:
                best, at = candidate, place
        if best == NONE:
            break
        store_i32(ids + 4 * at, np.int32(best))
        left -= 1
        for place in range(at + 1, left):
            store_i32(ids + 4 * place, load_i32(ids + 4 * (place + 1)))
        for place in range(at, left - 1):
            store_i32(made + 4 * place, load_i32(made + 4 * (place + 1)))
        if at > 0:
            before = np.int64(load_i32(ids + 4 * (at - 1)))
            store_i32(made + 4 * (at - 1), np.int32(merged_pair(workspace, before, best)))
        if at < left - 1:
            after = np.int64(load_i32(ids + 4 * (at + 1)))
            store_i32(made + 4 * at, np.int32(merged_pair(workspace, best, after)))
    for place in range(left):
        store_u32(out + 4 * place, load_u32(ids + 4 * place))
    return left


@inlined
def append_place(
    workspace: int, following: np.ndarray, waiting: int, new_id: int, place: int
) -> int:
    """Add a place to the list of those that would make ``new_id``; return how many ids wait.

    The first place of an id puts the id on the heap of those that wait.
    """
    heads, tails = field(workspace, HEADS), field(workspace, TAILS)
    following[place] = -1
    if load_i32(heads + 4 * new_id) >= 0:
        following[load_i32(tails + 4 * new_id)] = place
        store_i32(tails + 4 * new_id, np.int32(place))
        return waiting
    store_i32(heads + 4 * new_id, np.int32(place))
    store_i32(tails + 4 * new_id, np.int32(place))
    heap, hole = field(workspace, HEAP), waiting
    while hole > 0:
        parent = (hole - 1) >> 1
        above = np.int64(load_i32(heap + 4 * parent))
        if above <= new_id:
            break
        store_i32(heap + 4 * hole, np.int32(above))
        hole = parent
    store_i32(heap + 4 * hole, np.int32(new_id))
    return waiting + 1


@inlined
def pop_lowest(workspace: int, waiting: int) -> int:
    """Take the lowest id off the heap, which has ``waiting`` of them, and return it."""
    heap = field(workspace, HEAP)
    lowest = np.int64(load_i32(heap))
    last = np.int64(load_i32(heap + 4 * (waiting - 1)))
    end, hole = waiting - 1, np.int64(0)
    while 2 * hole + 1 < end:
        child = 2 * hole + 1
        if child + 1 < end and load_i32(heap + 4 * (child + 1)) < load_i32(heap + 4 * child):
            child += 1
        under = np.int64(load_i32(heap + 4 * child))
        if under >= last:
            break
        store_i32(heap + 4 * hole, np.int32(under))
        hole = child
    store_i32(heap + 4 * hole, np.int32(last))
    return lowest


@inlined
def merge_long(workspace: int, text: int, size: int, out: int) -> int:
    """Merge any number of bytes; write their ids as uint32 and return how many.

    A token's id stands at its first byte (elsewhere -1), its beginning at its last byte.
    """
    ids = np.empty(size, dtype=np.int32)
    begins = np.empty(size, dtype=np.int32)
    following = np.empty(size, dtype=np.int32)
    byte_ids, byte_pairs = field(workspace, BYTE_IDS), field(workspace, BYTE_PAIRS)
    lefts, rights = field(workspace, LEFTS), field(workspace, RIGHTS)
    lengths, heads = field(workspace, LENGTHS), field(workspace, HEADS)
    waiting = np.int64(0)
    for place in range(size):
        byte = np.int64(load_u8(text + place))
        ids[place] = load_i32(byte_ids + 4 * byte)
        begins[place] = place
        if place + 1 < size:
            pair = byte << 8 | np.int64(load_u8(text + place + 1))
            made = np.int64(load_i32(byte_pairs + 4 * pair))
            if made != NONE:
                waiting = append_place(workspace, following, waiting, made, place)
    while waiting:
        new_id = pop_lowest(workspace, waiting)
        waiting -= 1
        left, right = load_i32(lefts + 4 * new_id), load_i32(rights + 4 * new_id)
        step = np.int64(load_i32(lengths + 4 * np.int64(left)))
        length = np.int64(load_i32(lengths + 4 * new_id))
        place = np.int64(load_i32(heads + 4 * new_id))
        store_i32(heads + 4 * new_id, np.int32(-1))
        while place >= 0:
            then = np.int64(following[place])
            middle, end = place + step, place + length
            if ids[place] == left and end <= size and ids[middle] == right:
                ids[place] = new_id
                ids[middle] = -1
                begins[end - 1] = place
                if place > 0:
                    before = np.int64(begins[place - 1])
                    made = merged_pair(workspace, np.int64(ids[before]), new_id)
                    if made != NONE:
                        waiting = append_place(workspace, following, waiting, made, before)
                if end < size:
                    made = merged_pair(workspace, new_id, np.int64(ids[end]))
                    if made != NONE:
                        waiting = append_place(workspace, following, waiting, made, place)
            place = then
    count = np.int64(0)
    for place in range(size):
        if ids[place] >= 0:
            store_u32(out + 4 * count, np.uint32(ids[place]))
            count += 1
    return count
