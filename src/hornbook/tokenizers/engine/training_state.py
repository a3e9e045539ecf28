"""What is known between two merges: the arrays that learning works in.

All different pre-tokens stand end to end in cells, with a gap before, between and behind them,
and stay where they are. A token's id stands at its first byte. At its last byte stands, if that
is another, how many bytes it has, negative; so both neighbours of a token are found without links:

    cell      0   1  2  3   4  5        the pre-token "hugs", after h+ug has been merged to 257
    content  -1 257 -1 -3 115 -1        -1: a gap, or a byte where no token begins

What is left of 115? The cell before it holds -3: a token that begins three cells back. And right
of 257? The token has three bytes, so whatever begins three cells on.

Two tokens that stand side by side are a pair. A pair that is counted has a number, and is found
by its tokens in a hash table of such numbers.

Kernels see a training as one array of int64 at an address, as they do a workspace. With arrays in
a named tuple, which Numba counts the uses of, learning took twice the time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hornbook.kernels import inlined
from hornbook.tokenizers.engine.machine import (
    Int,
    address_of,
    load_i32,
    load_i64,
    load_u8,
    load_u64,
    store_i32,
    store_i64,
    store_u8,
    store_u64,
)
from hornbook.tokenizers.engine.workspace import field, set_field

NOTHING = -1

(
    MERGED,  # how many merges there are
    PAIRS_USED,
    PLACES_USED,
    QUEUE_USED,
    BYTES_USED,
    ADMITTED,  # see ``pair_queue``
    PAIR_SLOTS,  # how large the hash table is, a power of two
    PAIR_ROOM,
    PLACE_ROOM,
    BYTE_ROOM,
    CELLS,  # from here on: where the arrays of ``Training`` stand, in their order
    COUNTS,
    MERGES,
    TOKEN_ENDS,
    TOKEN_BYTES,
    TOKEN_PREFIXES,
    PAIR_TABLE,
    PAIRS,
    PAIR_PLACES,
    PLACES,
    QUEUE,
    NEIGHBOURS,
    BORN,
    TOUCHED,
    FIELDS,
) = range(25)

WIDE, ROW = 8, 16
"""The bytes of an int64 or of two int32; and of two int64."""


class Training(NamedTuple):
    """The arrays of one training, which have room to grow, and what kernels know of them."""

    cells: NDArray[np.int32]  # [cells] see above
    counts: NDArray[np.int64]  # [pre-tokens]
    merges: NDArray[np.int32]  # [merges, 2] what was learned
    token_ends: NDArray[np.int64]  # [1 + tokens] where a token's bytes end; 0 before the first
    token_bytes: NDArray[np.uint8]
    token_prefixes: NDArray[np.uint64]  # [tokens] the first 8 bytes, the first one highest
    pair_table: NDArray[np.int32]  # [slots] the number of a pair, or -1
    pairs: NDArray[np.int64]  # [pairs, 2] left << 32 | right, and how often it occurs
    pair_places: NDArray[np.int64]  # [pairs, 2] where its places begin and end, in ``places``
    places: NDArray[np.int32]  # [places, 2] where the left token begins, in which pre-token
    queue: NDArray[np.int64]  # [pairs, 2] see ``pair_queue``
    neighbours: NDArray[np.int32]  # [places of one pair, 4] see ``learning``
    born: NDArray[np.int64]  # [tokens, 4] see ``learning``
    touched: NDArray[np.int32]  # [tokens, 2] see ``learning``
    fields: NDArray[np.int64]  # [FIELDS]


def connected(training: Training) -> Training:
    """Write down where the arrays stand and how large they are; return the same training."""
    fields = training.fields
    fields[CELLS:FIELDS] = [address_of(array) for array in training[:-1]]
    fields[PAIR_SLOTS] = len(training.pair_table)
    fields[PAIR_ROOM] = len(training.pairs)
    fields[PLACE_ROOM] = len(training.places)
    fields[BYTE_ROOM] = len(training.token_bytes)
    return training


# Tokens.


@inlined
def token_begin(state: Int, token: Int) -> Int:
    """Return where a token's bytes begin."""
    return load_i64(field(state, TOKEN_ENDS) + WIDE * token)


@inlined
def token_size(state: Int, token: Int) -> Int:
    """Return how many bytes a token has."""
    return token_begin(state, token + 1) - token_begin(state, token)


@inlined
def add_token(state: Int, new_id: Int, left: Int, right: Int) -> None:
    """Write down the bytes of a token that two others make."""
    content = field(state, TOKEN_BYTES)
    begin = token_begin(state, new_id)
    end = begin
    for token in (left, right):
        for place in range(token_begin(state, token), token_begin(state, token + 1)):
            store_u8(content + end, load_u8(content + place))
            end += 1
    store_i64(field(state, TOKEN_ENDS) + WIDE * (new_id + 1), end)
    set_field(state, BYTES_USED, end)
    prefix = np.uint64(0)
    for place in range(begin, begin + 8):
        prefix <<= np.uint64(8)
        if place < end:
            prefix |= np.uint64(load_u8(content + place))
    store_u64(field(state, TOKEN_PREFIXES) + WIDE * new_id, prefix)


@inlined
def is_greater(state: Int, here: Int, there: Int) -> bool:
    """Whether the bytes of one token come after those of another, which are different."""
    prefixes = field(state, TOKEN_PREFIXES)
    prefix, other = load_u64(prefixes + WIDE * here), load_u64(prefixes + WIDE * there)
    if prefix != other:
        return bool(prefix > other)
    content = field(state, TOKEN_BYTES) + token_begin(state, here)
    other_content = field(state, TOKEN_BYTES) + token_begin(state, there)
    size, other_size = token_size(state, here), token_size(state, there)
    for place in range(8, min(size, other_size)):
        byte, other_byte = load_u8(content + place), load_u8(other_content + place)
        if byte != other_byte:
            return bool(byte > other_byte)
    return bool(size > other_size)


# Pairs. One that becomes too rare stays, and is never asked for.


@inlined
def pair_of(left: Int, right: Int) -> Int:
    """Return two tokens as one number."""
    return np.int64(left << 32 | right)


@inlined
def left_of(pair: Int) -> Int:
    """Return the first of the two tokens that ``pair_of`` made one number of."""
    return np.int64(pair >> 32)


@inlined
def right_of(pair: Int) -> Int:
    """Return the second."""
    return np.int64(pair & 0xFFFFFFFF)


@inlined
def tokens_of(state: Int, number: Int) -> Int:
    """Return the tokens of a pair, as ``pair_of`` does."""
    return load_i64(field(state, PAIRS) + ROW * number)


@inlined
def count_of(state: Int, number: Int) -> Int:
    """Return how often a pair occurs."""
    return load_i64(field(state, PAIRS) + ROW * number + WIDE)


@inlined
def set_count(state: Int, number: Int, count: Int) -> None:
    """Write down how often a pair occurs."""
    store_i64(field(state, PAIRS) + ROW * number + WIDE, np.int64(count))


@inlined
def pair_slot(pair: Int, slots: Int) -> Int:
    """Return where the search for a pair begins in a table of 2^n slots.

    The highest bits of the product hang on both tokens; lower ones hardly on the left.
    """
    mixed = np.uint64(pair) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64(mixed >> np.uint64(32)) & (slots - 1)


@inlined
def take_away(state: Int, left: Int, right: Int, count: Int) -> None:
    """Lower the count of a pair, if it is one that is still counted."""
    pair, table, slots = pair_of(left, right), field(state, PAIR_TABLE), field(state, PAIR_SLOTS)
    slot = pair_slot(pair, slots)
    while True:
        number = np.int64(load_i32(table + 4 * slot))
        if number < 0:
            return
        if tokens_of(state, number) == pair:
            set_count(state, number, count_of(state, number) - count)
            return
        slot = (slot + 1) & (slots - 1)


@inlined
def enter(state: Int, number: Int) -> None:
    """Enter a pair that is new into the hash table."""
    table, slots = field(state, PAIR_TABLE), field(state, PAIR_SLOTS)
    slot = pair_slot(tokens_of(state, number), slots)
    while load_i32(table + 4 * slot) >= 0:
        slot = (slot + 1) & (slots - 1)
    store_i32(table + 4 * slot, np.int32(number))


@inlined
def new_pair(state: Int, pair: Int, count: Int, places: Int) -> Int:
    """Add a pair with room for its places, and return its number."""
    number, place = field(state, PAIRS_USED), field(state, PLACES_USED)
    set_field(state, PAIRS_USED, number + 1)
    set_field(state, PLACES_USED, place + places)
    store_i64(field(state, PAIRS) + ROW * number, pair)
    set_count(state, number, count)
    store_i64(field(state, PAIR_PLACES) + ROW * number, place)
    store_i64(field(state, PAIR_PLACES) + ROW * number + WIDE, place + places)
    enter(state, number)
    return number


@inlined
def first_place(state: Int, number: Int) -> Int:
    """Return where the places of a pair begin."""
    return load_i64(field(state, PAIR_PLACES) + ROW * number)


@inlined
def end_of_places(state: Int, number: Int) -> Int:
    """Return where they end."""
    return load_i64(field(state, PAIR_PLACES) + ROW * number + WIDE)


@inlined
def set_place(places: Int, place: Int, cell: Int, word: Int) -> None:
    """Write where a pair stands, and in which pre-token."""
    store_i32(places + WIDE * place, np.int32(cell))
    store_i32(places + WIDE * place + 4, np.int32(word))
