"""Learning merges from counted pre-tokens: the phases of ``bpe_reference.learn_merges``, fast.

``training_state`` draws how tokens stand in the cells; ``pair_queue`` knows which pair comes next.

A pair is born in the merge that makes the newer of its two tokens, and all its places are known
then, from left to right. So they are written down once, one after the other; later merges only
take some away, which is noticed when the pair's turn comes. A pair that is born less frequent
than ``min_frequency`` can never be merged, and is forgotten at once.

One merge goes over its places three times; each time little memory is touched, and it is known
which beforehand:

    replace        write the new token where the pair still stands, and note its neighbours
    count_born     how often, and at how many places, stands each x left of it, each y right of it
    note_born      once for each x: (x, left) occurs less often, and (x, new) may be a pair
    hand_out       write down the places of those that became one

What it brought, 32,000 entries from 100 MB of English books, one core at 2.5 GHz: arrays in a
named tuple, and the take-away at each place instead of once for each neighbour, 0.42 s; the
latter and the waiting room of the queue, 0.26; raw addresses instead of the named tuple, whose
uses Numba counts, 0.09.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hornbook.kernels import inlined, kernel
from hornbook.tokenizers.engine.machine import (
    Int,
    load_i32,
    load_i64,
    prefetch,
    store_i32,
    store_i64,
)
from hornbook.tokenizers.engine.pair_queue import pop_best, push
from hornbook.tokenizers.engine.training_state import (
    ADMITTED,
    BORN,
    BYTE_ROOM,
    BYTES_USED,
    CELLS,
    COUNTS,
    MERGED,
    MERGES,
    NEIGHBOURS,
    NOTHING,
    PAIR_ROOM,
    PAIRS_USED,
    PLACE_ROOM,
    PLACES,
    PLACES_USED,
    ROW,
    TOUCHED,
    WIDE,
    add_token,
    count_of,
    end_of_places,
    enter,
    first_place,
    left_of,
    new_pair,
    pair_of,
    right_of,
    set_count,
    set_place,
    take_away,
    token_size,
    tokens_of,
)
from hornbook.tokenizers.engine.workspace import field, set_field

AHEAD = 16
"""How many places ahead the cells are asked for."""

LEFT, RIGHT = 0, 1
"""The two sides of a new token: columns of ``TOUCHED``, and of ``BORN`` two by two."""


@kernel
def lay_out(
    state: Int,
    content: NDArray[np.uint8],
    ends: NDArray[np.int64],
    pair_counts: NDArray[np.int64],
    pair_places: NDArray[np.int64],
) -> None:
    """Phase 2: write the pre-tokens into the cells, and count the pairs of bytes.

    Args:
        content: all different pre-tokens, end to end; those of one byte get no cells.
        ends: where each ends.
        pair_counts: takes how often each pair of bytes occurs; zeros [65536].
        pair_places: takes at how many places; zeros [65536].
    """
    cell, counts = field(state, CELLS), field(state, COUNTS)
    store_i32(cell, np.int32(NOTHING))
    start = np.int64(0)
    for word in range(len(ends)):
        end = ends[word]
        if end - start > 1:
            count = load_i64(counts + WIDE * word)
            before = np.int64(0)
            for place in range(start, end):
                byte = np.int64(content[place])
                cell += 4
                store_i32(cell, np.int32(byte))
                if place > start:
                    pair_counts[before << 8 | byte] += count
                    pair_places[before << 8 | byte] += 1
                before = byte
            cell += 4
            store_i32(cell, np.int32(NOTHING))
        start = end


@kernel
def add_byte_pairs(
    state: Int,
    content: NDArray[np.uint8],
    ends: NDArray[np.int64],
    pair_counts: NDArray[np.int64],
    pair_places: NDArray[np.int64],
    min_frequency: Int,
) -> None:
    """Make pairs of the frequent ones, with their places.

    Args:
        pair_counts, pair_places: as ``lay_out`` filled them; the latter is written over.
    """
    for pair in range(1 << 16):
        place = np.int64(NOTHING)
        if pair_counts[pair] >= min_frequency:
            tokens = pair_of(pair >> 8, pair & 255)
            number = new_pair(state, tokens, pair_counts[pair], pair_places[pair])
            place = first_place(state, number)
        pair_places[pair] = place
    cell, start, places = np.int64(1), np.int64(0), field(state, PLACES)
    for word in range(len(ends)):
        end = ends[word]
        if end - start > 1:
            for number in range(start, end - 1):
                pair = np.int64(content[number]) << 8 | np.int64(content[number + 1])
                place = pair_places[pair]
                if place >= 0:
                    set_place(places, place, cell, word)
                    pair_places[pair] = place + 1
                cell += 1
            cell += 2
        start = end


@kernel
def enter_all(state: Int) -> None:
    """Enter all pairs into an empty table."""
    for number in range(field(state, PAIRS_USED)):
        enter(state, number)


@kernel
def learn(state: Int, merge_count: Int, min_frequency: Int) -> Int:
    """Phases 3 and 4: merge the best pair, again and again, up to a number of merges in all.

    Returns:
        ``NOTHING``, or the number of a pair for whose merge some array needs more room first; it
        comes up again.
    """
    while field(state, MERGED) < merge_count:
        best = pop_best(state, min_frequency)
        if best < 0:
            break
        if not has_room(state, best):
            push(state, best, count_of(state, best))
            return best
        merge(state, best, min_frequency)
    return np.int64(NOTHING)


@inlined
def has_room(state: Int, best: Int) -> bool:
    """Whether every array has room for whatever the merge of a pair may add."""
    pair = tokens_of(state, best)
    places = end_of_places(state, best) - first_place(state, best)
    born = 2 * min(places, field(state, MERGED) + 257)
    size = token_size(state, left_of(pair)) + token_size(state, right_of(pair))
    return bool(
        field(state, PAIRS_USED) + born <= field(state, PAIR_ROOM)
        and field(state, PLACES_USED) + 2 * places <= field(state, PLACE_ROOM)
        and field(state, BYTES_USED) + size <= field(state, BYTE_ROOM)
    )


# Phase 3: one merge.


@inlined
def merge(state: Int, best: Int, min_frequency: Int) -> None:
    """Merge a pair wherever it still stands, and note the pairs that are born."""
    pair, merged = tokens_of(state, best), field(state, MERGED)
    left, right, new = left_of(pair), right_of(pair), 256 + merged
    row = field(state, MERGES) + WIDE * merged
    store_i32(row, np.int32(left))
    store_i32(row + 4, np.int32(right))
    set_field(state, MERGED, merged + 1)
    add_token(state, new, left, right)
    count = replace(state, best, left, right, new)
    lefts, rights = count_born(state, best, count)
    for number in range(lefts):
        token = touched(state, number, LEFT)
        if token != new:
            take_away(state, token, left, load_i64(born(state, token, LEFT)))
        note_born(state, pair_of(token, new), born(state, token, LEFT), min_frequency)
    for number in range(rights):
        token = touched(state, number, RIGHT)
        take_away(state, right, token, load_i64(born(state, token, RIGHT)))
        note_born(state, pair_of(new, token), born(state, token, RIGHT), min_frequency)
    set_count(state, best, 0)
    hand_out(state, best, count)
    for number in range(lefts):
        store_i64(born(state, touched(state, number, LEFT), LEFT) + WIDE, 0)
    for number in range(rights):
        store_i64(born(state, touched(state, number, RIGHT), RIGHT) + WIDE, 0)


@inlined
def replace(state: Int, best: Int, left: Int, right: Int, new: Int) -> Int:
    """Write a new token wherever its pair still stands; return at how many places.

    The pair's places are written over with those, and ``NEIGHBOURS`` takes a row of four for
    each: the token before the new one (-1: none), where it begins, the token behind, nothing.

        x left right y   ->   x new y
    """
    cells, counts, row = field(state, CELLS), field(state, COUNTS), field(state, NEIGHBOURS)
    left_size, size = 4 * token_size(state, left), token_size(state, new)
    place = field(state, PLACES) + WIDE * first_place(state, best)
    last = field(state, PLACES) + WIDE * end_of_places(state, best) - WIDE
    kept, count = place, np.int64(0)
    while place <= last:
        prefetch(cells + 4 * np.int64(load_i32(min(place + WIDE * AHEAD, last))))
        number, word = np.int64(load_i32(place)), np.int64(load_i32(place + 4))
        place += WIDE
        cell = cells + 4 * number
        if load_i32(cell) != left or load_i32(cell + left_size) != right:
            continue
        before, token = number - 1, np.int64(load_i32(cell - 4))
        if token < NOTHING:
            before = number + token
            token = np.int64(load_i32(cells + 4 * before))
        if token == new:
            # The one before was merged a moment ago, and noted that ``left`` stands behind it.
            store_i32(row - 8, np.int32(NOTHING))
            take_away(state, right, left, load_i64(counts + WIDE * word))
        store_i32(row, np.int32(token))
        store_i32(row + 4, np.int32(before))
        store_i32(row + 8, load_i32(cell + 4 * size))
        row += ROW
        store_i32(cell + left_size, np.int32(NOTHING))
        store_i32(cell + 4 * size - 4, np.int32(-size))
        store_i32(cell, np.int32(new))
        store_i32(kept, np.int32(number))
        store_i32(kept + 4, np.int32(word))
        kept += WIDE
        count += 1
    return count


@inlined
def count_born(state: Int, best: Int, count: Int) -> tuple[Int, Int]:
    """Count the neighbours that were noted; return how many different ones there are a side."""
    row, counts = field(state, NEIGHBOURS), field(state, COUNTS)
    word = field(state, PLACES) + WIDE * first_place(state, best) + 4
    lefts, rights = np.int64(0), np.int64(0)
    for _ in range(count):
        times = load_i64(counts + WIDE * np.int64(load_i32(word)))
        lefts = bear(state, np.int64(load_i32(row)), LEFT, times, lefts)
        rights = bear(state, np.int64(load_i32(row + 8)), RIGHT, times, rights)
        row += ROW
        word += WIDE
    return lefts, rights


@inlined
def bear(state: Int, token: Int, side: Int, times: Int, seen: Int) -> Int:
    """Count a token on one side of the new one; return how many different ones were seen."""
    if token < 0:
        return seen
    row = born(state, token, side)
    places = load_i64(row + WIDE)
    if places == 0:
        store_i64(row, 0)
        store_i32(field(state, TOUCHED) + WIDE * seen + 4 * side, np.int32(token))
        seen += 1
    store_i64(row, load_i64(row) + times)
    store_i64(row + WIDE, places + 1)
    return seen


@inlined
def born(state: Int, token: Int, side: Int) -> Int:
    """Return the address of how often, and at how many places, a token was counted on a side.

    In place of the latter comes, from ``note_born`` on, where the next place goes, or -1.
    """
    return field(state, BORN) + 2 * ROW * token + ROW * side


@inlined
def touched(state: Int, number: Int, side: Int) -> Int:
    """Return one of the tokens that were counted on a side."""
    return np.int64(load_i32(field(state, TOUCHED) + WIDE * number + 4 * side))


@inlined
def note_born(state: Int, pair: Int, row: Int, min_frequency: Int) -> None:
    """Make a pair of what was counted in a row of ``BORN``, if that is often enough."""
    times, place = load_i64(row), np.int64(NOTHING)
    if times >= min_frequency:
        number = new_pair(state, pair, times, load_i64(row + WIDE))
        place = first_place(state, number)
        if times >= field(state, ADMITTED):
            push(state, number, times)
    store_i64(row + WIDE, place)


@inlined
def hand_out(state: Int, best: Int, count: Int) -> None:
    """Write down the places of the pairs that were born, from left to right."""
    row, places = field(state, NEIGHBOURS), field(state, PLACES)
    place = places + WIDE * first_place(state, best)
    for _ in range(count):
        cell, word = np.int64(load_i32(place)), np.int64(load_i32(place + 4))
        give(state, np.int64(load_i32(row)), LEFT, np.int64(load_i32(row + 4)), word)
        give(state, np.int64(load_i32(row + 8)), RIGHT, cell, word)
        row += ROW
        place += WIDE


@inlined
def give(state: Int, token: Int, side: Int, cell: Int, word: Int) -> None:
    """Write down where the pair stands that a token and the new one became, if they did."""
    if token >= 0:
        row = born(state, token, side) + WIDE
        place = load_i64(row)
        if place >= 0:
            set_place(field(state, PLACES), place, cell, word)
            store_i64(row, place + 1)
