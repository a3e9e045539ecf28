"""Merging one pre-token, for when no cache knows it.

Three ways, all with the result of ``bpe_reference.encode_word``:

1. ``JOINTS`` say which two bytes stand side by side inside some token. No merge crosses a place
   where none has them, so a long pre-token is cut there first (``phrases.parts_ids``). In Chinese
   under GPT-2's vocabulary that leaves single characters.
2. ``merge_short``, up to 64 bytes: what each pair would become stands in one row of numbers, and
   one instruction finds the lowest of 16. Nothing moves; a mask of 64 bits says which bytes still
   begin a token. (Before, a loop found the lowest, and moved the rest up. Text in 46 languages,
   met for the first time, ran at 58 MB/s with it and at 69 with this, at 2.5 GHz.) What takes the
   time is memory: a table of pairs that was twice as large, and half as full, took a fifth more.
3. ``merge_long``: merges only make ids greater than the two they join, so the ids to be made can
   be gone through in ascending order. Every pair is born in the pass that makes its newer half,
   from left to right: the list of its places is then complete and sorted, and never changes
   again. Which ids wait is kept as bits, 64 of which are summed up in one more bit. (With a
   heap of ids instead, random digits took a third longer.)

What is longer than a row goes through in segments; see ``segments``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hornbook.kernels import inlined
from hornbook.tokenizers.engine.machine import (
    Int,
    leading_zeros,
    load_i32,
    load_i64,
    load_row_16,
    load_row_32,
    load_row_64,
    load_u8,
    load_u32,
    load_u64,
    lowest_in,
    store_i32,
    store_i64,
    store_u32,
    store_u64,
    trailing_zeros,
    with_number,
)
from hornbook.tokenizers.engine.pairs import NONE, merged_pair, set_bit
from hornbook.tokenizers.engine.workspace import (
    BYTE_IDS,
    BYTE_PAIRS,
    HEADS,
    LEFTS,
    LENGTHS,
    RIGHTS,
    SCRATCH,
    TAILS,
    WAITING,
    WAITING_WORDS,
    field,
)

SHORT = 64
"""Up to so many bytes ``merge_short`` merges."""

NOTHING = np.uint32(0xFFFFFFFF)
"""In a row of what pairs make: no pair begins here."""


@inlined
def merge_short(workspace: Int, text: Int, size: Int, out: Int) -> Int:
    """Merge 2 to ``SHORT`` bytes; write their ids as uint32 and return how many.

    What the token at a place makes with the next one stands in ``made``, times 64, plus the
    place: so the lowest number is the first of the pairs to be merged next.
    """
    byte_ids, byte_pairs = field(workspace, BYTE_IDS), field(workspace, BYTE_PAIRS)
    ids = field(workspace, SCRATCH)
    made = ids + 4 * SHORT
    byte = np.int64(load_u8(text))
    for place in range(size - 1):
        following = np.int64(load_u8(text + place + 1))
        store_i32(ids + 4 * place, load_i32(byte_ids + 4 * byte))
        pair = np.int64(load_i32(byte_pairs + 4 * (byte << 8 | following)))
        store_u32(made + 4 * place, np.uint32(pair << 6 | place))
        byte = following
    store_i32(ids + 4 * (size - 1), load_i32(byte_ids + 4 * byte))
    lanes = 16 if size <= 16 else 32 if size <= 32 else SHORT
    for place in range(size - 1, lanes):
        store_u32(made + 4 * place, NOTHING)
    if lanes == 16:
        begins = merge_row(workspace, size, ids, load_row_16(made))
    elif lanes == 32:
        begins = merge_row(workspace, size, ids, load_row_32(made))
    else:
        begins = merge_row(workspace, size, ids, load_row_64(made))
    count = np.int64(0)
    while begins:
        store_u32(out + 4 * count, load_u32(ids + 4 * trailing_zeros(begins)))
        begins &= begins - np.uint64(1)
        count += 1
    return count


@inlined
def merge_row(workspace: Int, size: Int, ids: Int, made: Any) -> np.uint64:
    """Merge the ids of ``size`` bytes, by a ``Row`` of what pairs make; return where ids begin."""
    one = np.uint64(1)
    begins = ~np.uint64(0) >> np.uint64(64 - size)
    while True:
        lowest = lowest_in(made)
        new_id, place = lowest >> 6, lowest & 63
        if new_id >= NONE:
            return begins
        after = begins & (~one << np.uint64(place))
        middle = trailing_zeros(after)
        begins &= ~(one << np.uint64(middle))
        store_i32(ids + 4 * place, np.int32(new_id))
        after &= after - one
        pair = NONE
        if after:
            right = np.int64(load_i32(ids + 4 * trailing_zeros(after)))
            pair = merged_pair(workspace, new_id, right)
        made = with_number(made, place, pair << 6 | place)
        made = with_number(made, middle, np.int64(NOTHING))
        before = begins & ((one << np.uint64(place)) - one)
        if before:
            place = np.int64(63) - leading_zeros(before)
            left = np.int64(load_i32(ids + 4 * place))
            pair = merged_pair(workspace, left, new_id)
            made = with_number(made, place, pair << 6 | place)


# The memory of ``merge_long``: how many nodes are in use, how many ids wait, the word of bits that
# the search has come to; then for each byte an id and a beginning, and for each node its place and
# the number of the next node. It is used by address: an array handed from function to function is
# counted each time, by locked instructions.
NODES, WAITERS, REACHED, FIRST = 0, 8, 16, 24


@inlined
def append_place(workspace: Int, memory: Int, nodes: Int, new_id: Int, place: Int) -> None:
    """Add a place to the list of those that would make ``new_id``, which waits from then on."""
    heads, tails = field(workspace, HEADS), field(workspace, TAILS)
    node = load_i64(memory + NODES)
    store_i64(memory + NODES, node + 1)
    store_i32(nodes + 8 * node, np.int32(place))
    store_i32(nodes + 8 * node + 4, np.int32(-1))
    if load_i32(heads + 4 * new_id) >= 0:
        last = np.int64(load_i32(tails + 4 * new_id))
        store_i32(nodes + 8 * last + 4, np.int32(node))
    else:
        store_i32(heads + 4 * new_id, np.int32(node))
        set_bit(field(workspace, WAITING), new_id)
        set_bit(field(workspace, WAITING_WORDS), new_id >> 6)
        store_i64(memory + WAITERS, load_i64(memory + WAITERS) + 1)
    store_i32(tails + 4 * new_id, np.int32(node))


@inlined
def pop_lowest(workspace: Int, memory: Int) -> Int:
    """Take the lowest of the ids that wait.

    What is added is always greater than what was taken, so the search never goes back.
    """
    words, ids = field(workspace, WAITING_WORDS), field(workspace, WAITING)
    at = load_i64(memory + REACHED)
    while load_u64(words + 8 * at) == np.uint64(0):
        at += 1
    store_i64(memory + REACHED, at)
    found = load_u64(words + 8 * at)
    number = at << 6 | trailing_zeros(found)
    word = load_u64(ids + 8 * number)
    left = word & (word - np.uint64(1))
    store_u64(ids + 8 * number, left)
    if left == np.uint64(0):
        store_u64(words + 8 * at, found & (found - np.uint64(1)))
    store_i64(memory + WAITERS, load_i64(memory + WAITERS) - 1)
    return number << 6 | trailing_zeros(word)


@inlined
def merge_long(workspace: Int, text: Int, size: Int, out: Int) -> Int:
    """Merge any number of bytes; write their ids as uint32 and return how many.

    A token's id stands at its first byte (elsewhere -1), its beginning at its last byte.
    """
    # Three nodes a byte: one for the pair that it begins, two for what a merge makes.
    room = np.empty(FIRST + (4 + 4 + 3 * 8) * size, dtype=np.uint8)
    memory = np.int64(room.ctypes.data)
    ids = memory + FIRST
    for place in range(0, FIRST, 8):
        store_i64(memory + place, 0)
    lay_out_bytes(workspace, text, size, memory)
    while load_i64(memory + WAITERS):
        merge_all(workspace, size, memory, pop_lowest(workspace, memory))
    count = np.int64(0)
    for place in range(size):
        token = load_i32(ids + 4 * place)
        if token >= 0:
            store_u32(out + 4 * count, np.uint32(token))
            count += 1
    room[0] = 0  # the last use: Numba frees an array after that
    return count


@inlined
def lay_out_bytes(workspace: Int, text: Int, size: Int, memory: Int) -> None:
    """Begin with the id of every byte, and the list of places of every pair of bytes."""
    ids = memory + FIRST
    begins, nodes = ids + 4 * size, ids + 8 * size
    byte_ids, byte_pairs = field(workspace, BYTE_IDS), field(workspace, BYTE_PAIRS)
    for place in range(size):
        byte = np.int64(load_u8(text + place))
        store_i32(ids + 4 * place, load_i32(byte_ids + 4 * byte))
        store_i32(begins + 4 * place, np.int32(place))
        if place + 1 < size:
            pair = byte << 8 | np.int64(load_u8(text + place + 1))
            made = np.int64(load_i32(byte_pairs + 4 * pair))
            if made != NONE:
                append_place(workspace, memory, nodes, made, place)


@inlined
def merge_all(workspace: Int, size: Int, memory: Int, new_id: Int) -> None:
    """Make one id of its two halves, at every place of its list where both still stand."""
    ids = memory + FIRST
    begins, nodes = ids + 4 * size, ids + 8 * size
    left = np.int64(load_i32(field(workspace, LEFTS) + 4 * new_id))
    right = np.int64(load_i32(field(workspace, RIGHTS) + 4 * new_id))
    lengths, heads = field(workspace, LENGTHS), field(workspace, HEADS)
    step = np.int64(load_i32(lengths + 4 * left))
    length = np.int64(load_i32(lengths + 4 * new_id))
    node = np.int64(load_i32(heads + 4 * new_id))
    store_i32(heads + 4 * new_id, np.int32(-1))
    while node >= 0:
        place = np.int64(load_i32(nodes + 8 * node))
        node = np.int64(load_i32(nodes + 8 * node + 4))
        middle, end = place + step, place + length
        if end > size or load_i32(ids + 4 * place) != left or load_i32(ids + 4 * middle) != right:
            continue
        store_i32(ids + 4 * place, np.int32(new_id))
        store_i32(ids + 4 * middle, np.int32(-1))
        store_i32(begins + 4 * (end - 1), np.int32(place))
        if place > 0:
            before = np.int64(load_i32(begins + 4 * (place - 1)))
            made = merged_pair(workspace, np.int64(load_i32(ids + 4 * before)), new_id)
            if made != NONE:
                append_place(workspace, memory, nodes, made, before)
        if end < size:
            made = merged_pair(workspace, new_id, np.int64(load_i32(ids + 4 * end)))
            if made != NONE:
                append_place(workspace, memory, nodes, made, place)


@inlined
def merge_any(workspace: Int, text: Int, size: Int, out: Int) -> Int:
    """Merge as many bytes as there are, in the way that suits them."""
    if size == 1:
        byte = np.int64(load_u8(text))
        store_u32(out, load_u32(field(workspace, BYTE_IDS) + 4 * byte))
        return np.int64(1)
    if size <= SHORT:
        return merge_short(workspace, text, size, out)
    return merge_long(workspace, text, size, out)
