"""Where runs end: of white space, line ends and digits, as both of the newer patterns have them.

First the readable form, a character at a time; then the same asked of the masks of a window;
last the formulas that find every start of a window at once.
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined
from hornbook.tokenizers.engine.characters import (
    NUMBERS,
    SIZE,
    SPACES,
    character,
    in_set,
)
from hornbook.tokenizers.engine.contractions import (
    DECIDED,
    NEWLINE,
    RETURN,
    SLASH,
)
from hornbook.tokenizers.engine.machine import (
    WINDOW,
    Int,
    count_bits,
    leading_zeros,
    load_u8,
    store_i64,
    trailing_zeros,
)

USUAL = 20
"""A window has seldom more pre-tokens."""


@inlined
def newline_run(text: Int, place: Int, end: Int, slashes: bool) -> Int:
    """Return where a run of line ends (and slashes, if they count) ends."""
    while place < end:
        byte = load_u8(text + place)
        if byte != NEWLINE and byte != RETURN and not (slashes and byte == SLASH):
            break
        place += 1
    return place


@inlined
def space_or_lines_end(text: Int, place: Int, end: Int, classes: Int) -> Int:
    r"""Return what ``\s*[\r\n]|\s+(?!\S)|\s`` takes: up to the last line end in a run of spaces."""
    stop, lines, last = place, np.int64(0), place
    while stop < end:
        found = character(text, stop, end, classes)
        if not in_set(found, SPACES):
            break
        byte = load_u8(text + stop)
        last = stop
        stop += found >> SIZE
        if byte == NEWLINE or byte == RETURN:  # noqa: SIM109 - a tuple costs Numba time
            lines = stop
    if lines:
        return lines
    return stop if stop == end or last == place else last


@inlined
def digits_end(text: Int, place: Int, end: Int, classes: Int) -> Int:
    r"""Return where ``\p{N}{1,3}`` ends that begins at a place."""
    for _ in range(3):
        if place < end:
            found = character(text, place, end, classes)
            if in_set(found, NUMBERS):
                place += found >> SIZE
    return place


@inlined
def run_in(mask: np.uint64, place: Int) -> Int:
    """Return the place after a run of ones that begins at a place, at most 64."""
    return place + trailing_zeros(~(mask >> np.uint64(place)))


@inlined
def has(mask: np.uint64, place: Int) -> bool:
    """Whether a mask has its bit at a place below 64."""
    return (mask >> np.uint64(place)) & np.uint64(1) != np.uint64(0)


@inlined
def next_sign(inner: np.uint64, place: Int) -> Int:
    """Return where the character after the one at a place begins."""
    return run_in(inner, place + 1)


@inlined
def last_in(mask: np.uint64, start: Int, stop: Int) -> Int:
    """Return the place of the last bit from ``start`` up to ``stop``, or -1."""
    below = mask & ((np.uint64(1) << np.uint64(stop)) - np.uint64(1))
    below = (below >> np.uint64(start)) << np.uint64(start)
    return np.int64(63) - leading_zeros(below)


@inlined
def spaces_in(spaces: np.uint64, lines: np.uint64, inner: np.uint64, place: Int) -> Int:
    """Return where white space at a place is cut, as ``space_or_lines_end``; 64 if unknown."""
    stop = run_in(spaces, place)
    if stop > DECIDED:
        return np.int64(WINDOW)
    line = last_in(lines, place, stop)
    if line >= 0:
        return line + 1
    last = last_in(~inner, place, stop)
    return stop if last == place else last


@inlined
def digits_in(numbers: np.uint64, inner: np.uint64, place: Int) -> Int:
    r"""Return where ``\p{N}{1,3}`` ends that begins at a place; 64 if unknown."""
    for _ in range(3):
        if place < DECIDED and has(numbers, place):
            place = next_sign(inner, place)
        elif place >= DECIDED:
            return np.int64(WINDOW)
    return place


# All starts of a window at once. One mask bit for each byte; see ``cutting`` for a drawing.


@inlined
def out_of_line(
    spaces: np.uint64, lines: np.uint64, inner: np.uint64, far_numbers: np.uint64
) -> bool:
    """Whether a window needs going through step by step.

    That is where white space or digits have several bytes, and where a line of nothing but blanks
    stands in the middle of white space: there the formulas would cut at every line end.
    """
    plain = spaces & ~lines
    # The sum carries a bit from behind each line end through the blanks, to what follows them.
    beyond = plain + ((lines << np.uint64(1)) & plain)
    return (beyond & lines) | (spaces & inner) | far_numbers != np.uint64(0)


@inlined
def prefixes(
    spaces: np.uint64, blanks: np.uint64, lines: np.uint64, others: np.uint64, inner: np.uint64
) -> np.uint64:
    """Return what a word takes as its first sign: a blank, or another sign that stands alone.

    A sign with another before it belongs to that one, and so does one behind the blank " ".
    """
    one = np.uint64(1)
    first = others & ~(others << one) & ~(blanks << one)
    # All bytes of a sign that has several: the sum clears those behind its first.
    whole = first | inner & ~(inner + ((first << one) & inner))
    return (spaces & ~lines) | whole


@inlined
def digit_starts(numbers: np.uint64) -> np.uint64:
    r"""Return where ``\p{N}{1,3}`` starts: every third digit of a run."""
    one = np.uint64(1)
    starts = numbers & ~(numbers << one)
    three = numbers & (numbers << one)
    three &= three << np.uint64(2)
    further = (starts << np.uint64(3)) & three
    while further:
        starts |= further
        further = (further << np.uint64(3)) & three
    return starts


@inlined
def space_starts(spaces: np.uint64, lines: np.uint64, others: np.uint64) -> np.uint64:
    """Return where white space starts a pre-token.

    A run starts one; so does what follows its last line end, and so does its last blank. Line
    ends right behind other signs belong to these.
    """
    one = np.uint64(1)
    plain = spaces & ~lines
    swallowed = lines & ~(lines + ((others << one) & lines))
    starts = spaces & ~(spaces << one) & ~swallowed
    return starts | (lines << one) & plain | plain & ~(spaces >> one)


@inlined
def write_starts(starts: np.uint64, spaces: np.uint64, place: Int, ends: Int) -> Int:
    """Write where pre-tokens end, which is where the next one starts; return how many are certain.

    White space that reaches the end of the window may go on behind it: only where it begins is
    certain.
    """
    last = min(np.int64(DECIDED), np.int64(WINDOW) - leading_zeros(~spaces))
    return write_ends(starts & ((np.uint64(1) << np.uint64(last + 1)) - np.uint64(2)), place, ends)


@inlined
def write_ends(found: np.uint64, place: Int, ends: Int) -> Int:
    """Write where the bits of a mask stand; return how many there are."""
    count = count_bits(found)
    # Always at least so many: leaving a loop after a number nobody can foresee costs more.
    for number in range(USUAL):
        store_i64(ends + 8 * number, place + trailing_zeros(found))
        found &= found - np.uint64(1)
    for number in range(USUAL, count):
        store_i64(ends + 8 * number, place + trailing_zeros(found))
        found &= found - np.uint64(1)
    return count
