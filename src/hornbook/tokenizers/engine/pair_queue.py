"""Which pair is merged next: a heap of those that occur often, and a waiting room for the others.

Counts only fall. So a pair may stand in the heap with the count it had when it was put there,
and goes back with its real one when its turn comes. And no pair that is less than half as
frequent as the best one need be looked at before the best one has become as rare:

    admitted    pairs                                 in the heap
    8           th: 16, er: 9, qu: 5, zz: 1           th, er
    3           he: 6, qu: 5, zz: 1                   he, qu

The waiting room is all the pairs there are: whenever the heap is empty, each of them is asked
for its count. Most pairs are never merged and never see the heap, which so stays small enough
for the fastest memory, and has few to compare.
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined
from hornbook.tokenizers.engine.machine import Int, load_i64, store_i64
from hornbook.tokenizers.engine.training_state import (
    ADMITTED,
    NOTHING,
    PAIRS_USED,
    QUEUE,
    QUEUE_USED,
    ROW,
    WIDE,
    count_of,
    is_greater,
    left_of,
    right_of,
    tokens_of,
)
from hornbook.tokenizers.engine.workspace import field, set_field


@inlined
def comes_first(state: Int, number: Int, count: Int, other: Int, other_count: Int) -> bool:
    """Say which of two pairs is merged first: THE TIE-BREAK, as ``bpe_reference.candidate``.

    The more frequent one; among equals the one with the greatest left token, then with the
    greatest right token, byte by byte.
    """
    if count != other_count:
        return bool(count > other_count)
    pair, other_pair = tokens_of(state, number), tokens_of(state, other)
    if left_of(pair) != left_of(other_pair):
        return is_greater(state, left_of(pair), left_of(other_pair))
    return pair != other_pair and is_greater(state, right_of(pair), right_of(other_pair))


@inlined
def pop_best(state: Int, min_frequency: Int) -> Int:
    """Take the best pair off the heap; ``NOTHING`` if none is frequent enough any more."""
    while True:
        if field(state, QUEUE_USED) == 0 and not admit(state, min_frequency):
            return np.int64(NOTHING)
        best = waiting_pair(state, 0)
        count = count_of(state, best)
        if count == waiting_count(state, 0):
            drop_first(state)
            return best
        if count < field(state, ADMITTED):
            drop_first(state)
        else:
            sink(state, best, count)


@inlined
def admit(state: Int, min_frequency: Int) -> bool:
    """Fill the empty heap with the pairs that are at least half as frequent as the best one.

    Returns:
        whether there are any.
    """
    most = np.int64(0)
    for number in range(field(state, PAIRS_USED)):
        most = max(most, count_of(state, number))
    if most < min_frequency:
        return False
    admitted = max(most // 2, min_frequency)
    set_field(state, ADMITTED, admitted)
    for number in range(field(state, PAIRS_USED)):
        count = count_of(state, number)
        if count >= admitted:
            push(state, number, count)
    return True


@inlined
def push(state: Int, number: Int, count: Int) -> None:
    """Put a pair in the heap that is frequent enough to be there."""
    hole = field(state, QUEUE_USED)
    set_field(state, QUEUE_USED, hole + 1)
    while hole > 0:
        parent = (hole - 1) >> 1
        above, above_count = waiting_pair(state, parent), waiting_count(state, parent)
        if not comes_first(state, number, count, above, above_count):
            break
        set_waiting(state, hole, above, above_count)
        hole = parent
    set_waiting(state, hole, number, count)


@inlined
def drop_first(state: Int) -> None:
    """Take the first pair off the heap; the last one takes its place."""
    last = field(state, QUEUE_USED) - 1
    set_field(state, QUEUE_USED, last)
    if last > 0:
        sink(state, waiting_pair(state, last), waiting_count(state, last))


@inlined
def sink(state: Int, number: Int, count: Int) -> None:
    """Put a pair in place of the heap's first, and let it sink to where it belongs."""
    end = field(state, QUEUE_USED)
    hole, child = np.int64(0), np.int64(1)
    while child < end:
        below, below_count = waiting_pair(state, child), waiting_count(state, child)
        if child + 1 < end:
            beside, beside_count = waiting_pair(state, child + 1), waiting_count(state, child + 1)
            if comes_first(state, beside, beside_count, below, below_count):
                child, below, below_count = child + 1, beside, beside_count
        if not comes_first(state, below, below_count, number, count):
            break
        set_waiting(state, hole, below, below_count)
        hole, child = child, 2 * child + 1
    set_waiting(state, hole, number, count)


# The heap: rows of a pair's number and the count it had when it was put there.


@inlined
def waiting_pair(state: Int, place: Int) -> Int:
    """Return the pair at a place of the heap."""
    return load_i64(field(state, QUEUE) + ROW * place)


@inlined
def waiting_count(state: Int, place: Int) -> Int:
    """Return the count it had when it was put there."""
    return load_i64(field(state, QUEUE) + ROW * place + WIDE)


@inlined
def set_waiting(state: Int, place: Int, number: Int, count: Int) -> None:
    """Write a pair and its count at a place of the heap."""
    store_i64(field(state, QUEUE) + ROW * place, number)
    store_i64(field(state, QUEUE) + ROW * place + WIDE, count)
