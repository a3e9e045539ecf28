"""Learning merges from counted pre-tokens: the phases of ``bpe_reference.learn_merges``, fast.

All different pre-tokens stand end to end in one array, with a gap between them, and stay where
they are. A token's id stands at its first byte, its beginning at its last byte; so both
neighbours of a token are found without links:

    cell      0  1  2  3  4        the pre-token "hugs", after h+ug has been merged
    ids     257 -1 -1 115 -1       -1: no token begins here; a gap after each pre-token
    begins    .  .  0   3 -1

A pair is born in the merge that makes the newer of its two tokens, and all its places are known
then, from left to right. So they are written down once, one after the other; later merges only
take some away, which is noticed when the pair's turn comes. A pair that is born less frequent
than ``min_frequency`` can never be merged, and is forgotten at once.

The queue is a heap of pairs by the counts they had when they were put there. Counts only fall, so
a pair that comes out with an outdated count goes back with its real one. ``comes_first`` holds
the tie-break.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import carray
from numpy.typing import NDArray

from hornbook.kernels import inlined, kernel
from hornbook.tokenizers.engine.machine import Int, address_of, pointer_to

NO_TOKEN = -1
NO_PAIR = np.int64(-1)
UNTOUCHED = np.int64(-2)

# The numbers of one training that change, in ``Training.sizes``.
MERGES, PAIRS_USED, PLACES_USED, HEAP_USED, BYTES_USED = range(5)


class Training(NamedTuple):
    """The state between two merges. Arrays have room to grow; ``sizes`` says what is in use."""

    ids: NDArray[np.int32]  # [cells] the id of the token that begins here
    begins: NDArray[np.int32]  # [cells] where the token begins that ends here
    word_of: NDArray[np.int32]  # [cells] the pre-token that the cell belongs to
    counts: NDArray[np.int64]  # [pre-tokens]
    merges: NDArray[np.int32]  # [merges, 2] what was learned
    token_begins: NDArray[np.int64]  # [tokens + 1] where a token's bytes begin
    token_bytes: NDArray[np.uint8]
    token_prefixes: NDArray[np.uint64]  # [tokens] the first 8 bytes, the first one highest
    pair_table: NDArray[np.int32]  # the hash table: the number of a pair, or -1
    pair_tokens: NDArray[np.int32]  # [pairs, 2]
    pair_counts: NDArray[np.int64]  # [pairs] how often it occurs
    pair_places: NDArray[np.int64]  # [pairs, 2] where its places begin and end, in ``places``
    places: NDArray[np.int32]  # where the left token of a pair begins, pair after pair
    heap: NDArray[np.int32]  # pairs, the best first
    heap_counts: NDArray[np.int64]  # the counts they had when they were put there
    born_counts: NDArray[np.int64]  # [2, tokens] how often (x, new) and (new, x) were just born
    born_places: NDArray[np.int32]  # [2, tokens] at how many places
    born_pairs: NDArray[np.int32]  # [2, tokens] their numbers as pairs
    touched: NDArray[np.int32]  # [2, tokens] which x there are
    sizes: NDArray[np.int64]


def addresses(training: Training) -> NDArray[np.int64]:
    """Return where each array stands, and how many entries or pairs of entries it has."""
    return np.array(
        [[address_of(array), array.size // array.ndim] for array in training], dtype=np.int64
    )


@inlined
def opened(block: NDArray[np.int64]) -> Training:
    """Return the arrays whose ``addresses`` are given.

    An array that comes as an argument is counted at each use, by two locked instructions; one
    that is made of an address is not. 32,000 merges took 1.3 s with the former and 0.9 with these.
    """
    return Training(
        carray(pointer_to(block[0, 0]), (block[0, 1],), np.int32),
        carray(pointer_to(block[1, 0]), (block[1, 1],), np.int32),
        carray(pointer_to(block[2, 0]), (block[2, 1],), np.int32),
        carray(pointer_to(block[3, 0]), (block[3, 1],), np.int64),
        carray(pointer_to(block[4, 0]), (block[4, 1], 2), np.int32),
        carray(pointer_to(block[5, 0]), (block[5, 1],), np.int64),
        carray(pointer_to(block[6, 0]), (block[6, 1],), np.uint8),
        carray(pointer_to(block[7, 0]), (block[7, 1],), np.uint64),
        carray(pointer_to(block[8, 0]), (block[8, 1],), np.int32),
        carray(pointer_to(block[9, 0]), (block[9, 1], 2), np.int32),
        carray(pointer_to(block[10, 0]), (block[10, 1],), np.int64),
        carray(pointer_to(block[11, 0]), (block[11, 1], 2), np.int64),
        carray(pointer_to(block[12, 0]), (block[12, 1],), np.int32),
        carray(pointer_to(block[13, 0]), (block[13, 1],), np.int32),
        carray(pointer_to(block[14, 0]), (block[14, 1],), np.int64),
        carray(pointer_to(block[15, 0]), (2, block[15, 1]), np.int64),
        carray(pointer_to(block[16, 0]), (2, block[16, 1]), np.int32),
        carray(pointer_to(block[17, 0]), (2, block[17, 1]), np.int32),
        carray(pointer_to(block[18, 0]), (2, block[18, 1]), np.int32),
        carray(pointer_to(block[19, 0]), (block[19, 1],), np.int64),
    )


@kernel
def lay_out(
    content: NDArray[np.uint8],
    ends: NDArray[np.int64],
    ids: NDArray[np.int32],
    begins: NDArray[np.int32],
    word_of: NDArray[np.int32],
) -> Int:
    """Phase 1: write every pre-token of two bytes or more into the cells; return how many."""
    cell, start = np.int64(0), np.int64(0)
    for word in range(len(ends)):
        end = ends[word]
        if end - start > 1:
            for place in range(start, end):
                ids[cell] = content[place]
                begins[cell] = cell
                word_of[cell] = word
                cell += 1
            ids[cell] = NO_TOKEN
            begins[cell] = NO_TOKEN
            word_of[cell] = word
            cell += 1
        start = end
    return cell


@kernel
def count_byte_pairs(
    block: NDArray[np.int64],
    cells: Int,
    pair_counts: NDArray[np.int64],
    pair_places: NDArray[np.int64],
) -> None:
    """Phase 2: count the pairs of bytes, and at how many places each stands [65536]."""
    training = opened(block)
    for cell in range(cells - 1):
        left, right = np.int64(training.ids[cell]), np.int64(training.ids[cell + 1])
        if left >= 0 and right >= 0:
            pair_counts[left << 8 | right] += training.counts[training.word_of[cell]]
            pair_places[left << 8 | right] += 1


@kernel
def add_byte_pairs(
    block: NDArray[np.int64],
    cells: Int,
    pair_counts: NDArray[np.int64],
    pair_places: NDArray[np.int64],
    min_frequency: Int,
) -> None:
    """Make pairs of the frequent ones, with their places, and fill the heap."""
    training = opened(block)
    numbers = np.full(1 << 16, NO_PAIR, dtype=np.int64)
    for pair in range(1 << 16):
        if pair_counts[pair] >= min_frequency:
            numbers[pair] = new_pair(
                training, pair >> 8, pair & 255, pair_counts[pair], pair_places[pair]
            )
    for cell in range(cells - 1):
        left, right = np.int64(training.ids[cell]), np.int64(training.ids[cell + 1])
        if left >= 0 and right >= 0:
            number = numbers[left << 8 | right]
            if number >= 0:
                add_place(training, number, cell)


@kernel
def learn(block: NDArray[np.int64], merge_count: Int, min_frequency: Int) -> bool:
    """Phases 3 and 4: merge the best pair, again and again, up to a number of merges in all.

    Returns:
        whether it is worth coming back: ``False`` where no pair is frequent enough any more.
        ``True`` too before ``merge_count`` merges where some array needs more room first.
    """
    training = opened(block)
    while training.sizes[MERGES] < merge_count:
        best = pop_best(training, min_frequency)
        if best < 0:
            return False
        if not has_room(training, best):
            push(training, best)
            return True
        merge(training, best, min_frequency)
    return True


@inlined
def has_room(training: Training, best: Int) -> bool:
    """Whether every array has room for whatever the merge of a pair may add."""
    sizes = training.sizes
    places = training.pair_places[best, 1] - training.pair_places[best, 0]
    born = 2 * min(places, sizes[MERGES] + 257)
    left, right = training.pair_tokens[best, 0], training.pair_tokens[best, 1]
    size = token_size(training, left) + token_size(training, right)
    return (
        sizes[PAIRS_USED] + born <= len(training.pair_counts)
        and sizes[PLACES_USED] + 2 * places <= len(training.places)
        and sizes[HEAP_USED] + born + 1 <= len(training.heap)
        and sizes[BYTES_USED] + size <= len(training.token_bytes)
    )


# Phase 3: one merge.


@inlined
def merge(training: Training, best: Int, min_frequency: Int) -> None:
    """Merge a pair wherever it still stands, and note the pairs that are born."""
    sizes = training.sizes
    left, right = np.int64(training.pair_tokens[best, 0]), np.int64(training.pair_tokens[best, 1])
    new_id = 256 + sizes[MERGES]
    training.merges[sizes[MERGES], 0] = left
    training.merges[sizes[MERGES], 1] = right
    sizes[MERGES] += 1
    add_token(training, new_id, left, right)
    first, end = training.pair_places[best, 0], training.pair_places[best, 1]
    merged = first  # the list of places is written over with those that were still there
    left_touched, right_touched = np.int64(0), np.int64(0)
    left_size, size = token_size(training, left), token_size(training, new_id)
    ids, begins = training.ids, training.begins
    born, born_places = training.born_counts, training.born_places
    for number in range(first, end):
        cell = np.int64(training.places[number])
        middle = cell + left_size
        if ids[cell] != left or ids[middle] != right:
            continue
        count = np.int64(training.counts[training.word_of[cell]])
        training.places[merged] = cell
        merged += 1
        before = np.int64(NO_TOKEN)
        if cell > 0:
            before = np.int64(begins[cell - 1])
        after = cell + size
        ids[cell] = new_id
        ids[middle] = NO_TOKEN
        begins[after - 1] = cell
        if before >= 0:
            token = np.int64(ids[before])
            if token == new_id:
                # The pair (new, left), counted a moment ago, is gone already.
                born[1, left] -= count
                born_places[1, left] -= 1
            else:
                take_away(training, token, left, count)
            left_touched = bear(training, 0, left_touched, token, count)
        token = np.int64(ids[after])
        if token >= 0:
            take_away(training, right, token, count)
            right_touched = bear(training, 1, right_touched, token, count)
    training.pair_counts[best] = 0
    note_born(training, 0, left_touched, new_id, min_frequency)
    note_born(training, 1, right_touched, new_id, min_frequency)
    for number in range(first, merged):
        cell = np.int64(training.places[number])
        if cell > 0 and begins[cell - 1] >= 0:
            before = np.int64(begins[cell - 1])
            pair = np.int64(training.born_pairs[0, ids[before]])
            if pair >= 0:
                add_place(training, pair, before)
        token = np.int64(ids[cell + size])
        if token >= 0 and training.born_pairs[1, token] >= 0:
            add_place(training, np.int64(training.born_pairs[1, token]), cell)
    forget_born(training, 0, left_touched)
    forget_born(training, 1, right_touched)


@inlined
def bear(training: Training, side: Int, touched: Int, token: Int, count: Int) -> Int:
    """Count one more place of (token, new) or (new, token); return how many tokens are touched."""
    if training.born_pairs[side, token] == UNTOUCHED:
        training.born_pairs[side, token] = NO_PAIR
        training.touched[side, touched] = token
        touched += 1
    training.born_counts[side, token] += count
    training.born_places[side, token] += 1
    return touched


@inlined
def note_born(training: Training, side: Int, touched: Int, new_id: Int, min_frequency: Int) -> None:
    """Make pairs of what was just born often enough: (x, new) on side 0, (new, x) on side 1."""
    for number in range(touched):
        token = np.int64(training.touched[side, number])
        count = training.born_counts[side, token]
        places = np.int64(training.born_places[side, token])
        if count >= min_frequency and places > 0:
            left, right = (token, new_id) if side == 0 else (new_id, token)
            training.born_pairs[side, token] = new_pair(training, left, right, count, places)


@inlined
def forget_born(training: Training, side: Int, touched: Int) -> None:
    """Clear what ``merge`` noted on one side."""
    for number in range(touched):
        token = training.touched[side, number]
        training.born_counts[side, token] = 0
        training.born_places[side, token] = 0
        training.born_pairs[side, token] = UNTOUCHED


@inlined
def add_token(training: Training, new_id: Int, left: Int, right: Int) -> None:
    """Write down the bytes of a token that two others make."""
    content, begins = training.token_bytes, training.token_begins
    end = begins[new_id]
    for token in (left, right):
        for place in range(begins[token], begins[token + 1]):
            content[end] = content[place]
            end += 1
    begins[new_id + 1] = end
    training.sizes[BYTES_USED] = end
    prefix = np.uint64(0)
    for place in range(8):
        prefix <<= np.uint64(8)
        if begins[new_id] + place < end:
            prefix |= np.uint64(content[begins[new_id] + place])
    training.token_prefixes[new_id] = prefix


@inlined
def token_size(training: Training, token: Int) -> Int:
    """Return how many bytes a token has."""
    return training.token_begins[token + 1] - training.token_begins[token]


# The pairs, and the places where they stand.


@inlined
def pair_slot(left: Int, right: Int, slots: Int) -> Int:
    """Return where the search for a pair begins in a table of 2^n slots.

    The highest bits of the product hang on both tokens; lower ones hardly on the left.
    """
    mixed = np.uint64(left << 32 | right) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64(mixed >> np.uint64(32)) & (slots - 1)


@inlined
def take_away(training: Training, left: Int, right: Int, count: Int) -> None:
    """Lower the count of a pair, if it is one that is still counted."""
    table = training.pair_table
    slot = pair_slot(left, right, len(table))
    while True:
        pair = np.int64(table[slot])
        if pair < 0:
            return
        if training.pair_tokens[pair, 0] == left and training.pair_tokens[pair, 1] == right:
            training.pair_counts[pair] -= count
            return
        slot = (slot + 1) & (len(table) - 1)


@inlined
def new_pair(training: Training, left: Int, right: Int, count: Int, places: Int) -> Int:
    """Add a pair with room for its places, put it on the heap, and return its number."""
    pair = training.sizes[PAIRS_USED]
    training.sizes[PAIRS_USED] += 1
    training.pair_tokens[pair, 0] = left
    training.pair_tokens[pair, 1] = right
    training.pair_counts[pair] = count
    training.pair_places[pair, 0] = training.sizes[PLACES_USED]
    training.pair_places[pair, 1] = training.sizes[PLACES_USED]
    training.sizes[PLACES_USED] += places
    enter(training.pair_table, left, right, pair)
    push(training, pair)
    return pair


@inlined
def enter(table: NDArray[np.int32], left: Int, right: Int, pair: Int) -> None:
    """Enter a pair that is new into the hash table."""
    slot = pair_slot(left, right, len(table))
    while table[slot] >= 0:
        slot = (slot + 1) & (len(table) - 1)
    table[slot] = pair


@kernel
def enter_all(table: NDArray[np.int32], pair_tokens: NDArray[np.int32], count: Int) -> None:
    """Enter the first ``count`` pairs into an empty table."""
    for pair in range(count):
        enter(table, np.int64(pair_tokens[pair, 0]), np.int64(pair_tokens[pair, 1]), pair)


@inlined
def add_place(training: Training, pair: Int, cell: Int) -> None:
    """Add a place behind those that a new pair has."""
    training.places[training.pair_places[pair, 1]] = cell
    training.pair_places[pair, 1] += 1


# The queue.


@inlined
def comes_first(training: Training, pair: Int, count: Int, other: Int, other_count: Int) -> bool:
    """Say which of two pairs is merged first: THE TIE-BREAK, as ``bpe_reference.candidate``.

    The more frequent one; among equals the one with the greatest left token, then with the
    greatest right token, byte by byte.
    """
    if count != other_count:
        return bool(count > other_count)
    for side in range(2):
        here, there = training.pair_tokens[pair, side], training.pair_tokens[other, side]
        if here != there:
            return is_greater(training, np.int64(here), np.int64(there))
    return False


@inlined
def is_greater(training: Training, here: Int, there: Int) -> bool:
    """Whether the bytes of one token come after those of another, which are different."""
    prefix, other = training.token_prefixes[here], training.token_prefixes[there]
    if prefix != other:
        return bool(prefix > other)
    begins, content = training.token_begins, training.token_bytes
    size, other_size = token_size(training, here), token_size(training, there)
    for place in range(8, min(size, other_size)):
        byte, other_byte = content[begins[here] + place], content[begins[there] + place]
        if byte != other_byte:
            return bool(byte > other_byte)
    return bool(size > other_size)


@inlined
def push(training: Training, pair: Int) -> None:
    """Put a pair on the heap with the count it has now."""
    heap, counts = training.heap, training.heap_counts
    hole, count = training.sizes[HEAP_USED], np.int64(training.pair_counts[pair])
    training.sizes[HEAP_USED] += 1
    while hole > 0:
        parent = (hole - 1) >> 1
        if not comes_first(training, pair, count, np.int64(heap[parent]), np.int64(counts[parent])):
            break
        heap[hole], counts[hole] = heap[parent], counts[parent]
        hole = parent
    heap[hole], counts[hole] = pair, count


@inlined
def pop_best(training: Training, min_frequency: Int) -> Int:
    """Take the best pair off the heap; ``NO_PAIR`` if none is frequent enough any more."""
    heap, counts = training.heap, training.heap_counts
    while training.sizes[HEAP_USED] > 0:
        best, waited = np.int64(heap[0]), np.int64(counts[0])
        count = np.int64(training.pair_counts[best])
        if count == waited:
            training.sizes[HEAP_USED] -= 1
            end = np.int64(training.sizes[HEAP_USED])
            sink(training, np.int64(heap[end]), np.int64(counts[end]), end)
            return best
        if count < min_frequency:
            training.sizes[HEAP_USED] -= 1
            end = np.int64(training.sizes[HEAP_USED])
            sink(training, np.int64(heap[end]), np.int64(counts[end]), end)
        else:
            sink(training, best, count, np.int64(training.sizes[HEAP_USED]))
    return NO_PAIR


@inlined
def sink(training: Training, pair: Int, count: Int, end: Int) -> None:
    """Put a pair in place of the heap's first, and let it sink to where it belongs."""
    heap, counts = training.heap, training.heap_counts
    hole = np.int64(0)
    while 2 * hole + 1 < end:
        child = 2 * hole + 1
        if child + 1 < end and comes_first(
            training,
            np.int64(heap[child + 1]),
            counts[child + 1],
            np.int64(heap[child]),
            counts[child],
        ):
            child += 1
        if not comes_first(training, np.int64(heap[child]), counts[child], pair, count):
            break
        heap[hole], counts[hole] = heap[child], counts[child]
        hole = child
    heap[hole], counts[hole] = pair, count
