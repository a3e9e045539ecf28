"""The patterns of GPT-4 (cl100k) and GPT-4o (o200k): from pre-token to pre-token.

What a sign means hangs on where the pre-token began, so each step asks the masks of the window
where a run ends, and the window ends where the next answer is not certain.
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined
from hornbook.tokenizers.engine.characters import (
    CAPITALS,
    LETTERS,
    NUMBERS,
    OTHERS,
    SIZE,
    SMALL,
    SPACES,
    add_beyond_ascii,
    character,
    in_set,
    mask_of,
    run_of,
)
from hornbook.tokenizers.engine.contractions import (
    BLANK,
    DECIDED,
    NEWLINE,
    RETURN,
    SLASH,
    contraction,
)
from hornbook.tokenizers.engine.machine import (
    WINDOW,
    Int,
    bytes_between,
    leading_zeros,
    load_u8,
    store_i64,
    trailing_zeros,
)
from hornbook.tokenizers.unicode_classes import (
    LETTER,
    LOWER,
    MARK,
    NUMBER,
    SPACE,
    UPPER,
)

# What both share.


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
    r"""Return where ``\p{N}{1,3}`` ends that begins at a place."""
    for _ in range(3):
        if place < DECIDED and has(numbers, place):
            place = next_sign(inner, place)
        elif place >= DECIDED:
            return np.int64(WINDOW)
    return place


@inlined
def digits_end(text: Int, place: Int, end: Int, classes: Int) -> Int:
    r"""Return where ``\p{N}{1,3}`` ends that begins at a place."""
    for _ in range(3):
        if place < end:
            found = character(text, place, end, classes)
            if in_set(found, NUMBERS):
                place += found >> SIZE
    return place


# GPT-4 (cl100k).


@inlined
def cl100k_end(text: Int, place: Int, end: Int, classes: Int) -> Int:
    """Return where the pre-token ends that begins at ``place``, under GPT-4's pattern."""
    size = contraction(text, place, end, True)
    if size:
        return place + size
    found = character(text, place, end, classes)
    if in_set(found, LETTERS):
        return run_of(text, place, end, classes, LETTERS)
    if in_set(found, NUMBERS):
        return digits_end(text, place, end, classes)
    byte = load_u8(text + place)
    after = place + (found >> SIZE)
    following = np.int64(SPACE)
    if after < end:
        following = character(text, after, end, classes)
    if in_set(following, LETTERS) and byte != NEWLINE and byte != RETURN:
        return run_of(text, after, end, classes, LETTERS)
    if in_set(found, OTHERS) or (byte == BLANK and in_set(following, OTHERS)):
        return newline_run(text, run_of(text, after, end, classes, OTHERS), end, False)
    stop = run_of(text, place, end, classes, SPACES)
    return stop if stop == end else space_or_lines_end(text, place, end, classes)


@inlined
def cl100k_window(text: Int, place: Int, classes: Int, masks: Int, ends: Int) -> Int:
    """Write the ends of the pre-tokens within one window; return how many are certain."""
    window = text + place
    letters = bytes_between(window, 97, 122) | bytes_between(window, 65, 90)
    numbers = bytes_between(window, 48, 57)
    blanks = bytes_between(window, BLANK, BLANK)
    lines = bytes_between(window, NEWLINE, NEWLINE) | bytes_between(window, RETURN, RETURN)
    spaces = bytes_between(window, 9, 13) | blanks
    high = bytes_between(window, 128, 255)
    inner = np.uint64(0)
    if high:
        inner = add_beyond_ascii(window, high, classes, masks)
        letters |= mask_of(masks, UPPER) | mask_of(masks, LOWER) | mask_of(masks, LETTER)
        numbers |= mask_of(masks, NUMBER)
        spaces |= mask_of(masks, SPACE)
    others = ~(letters | numbers | spaces)
    count, at = 0, np.int64(0)
    while True:
        if has(letters, at):
            stop = run_in(letters, at)
        elif has(numbers, at):
            stop = digits_in(numbers, inner, at)
        else:
            after = next_sign(inner, at)
            size = contraction(window, at, WINDOW + 4, True)
            if size:
                stop = at + size
            elif after > DECIDED:
                break
            elif has(letters, after) and not has(lines, at):
                stop = run_in(letters, after)
            elif has(others, at) or (has(blanks, at) and has(others, after)):
                stop = run_in(others, after)
                if stop <= DECIDED:
                    stop = run_in(lines, stop)
            else:
                stop = spaces_in(spaces, lines, inner, at)
        if stop > DECIDED:
            break
        store_i64(ends + 8 * count, place + stop)
        count += 1
        at = stop
    return count


# GPT-4o (o200k).


@inlined
def o200k_word_end(text: Int, place: Int, end: Int, classes: Int) -> Int:
    """Return where a word ends that begins at a place, or ``place`` where there is none.

    A word is capitals, then small letters, of which at least one; letters without case and
    marks count as both. If nothing small follows the capitals, the last of them that is both
    is taken for small. So ``HTTPServer`` is one word, and ``serverHTTP`` two.
    """
    small = place
    both = np.int64(-1)
    while small < end:
        found = character(text, small, end, classes)
        if not in_set(found, CAPITALS):
            break
        small += found >> SIZE
        if in_set(found, SMALL):
            both = small
    stop = run_of(text, small, end, classes, SMALL)
    if stop > small:
        return stop
    return both if both >= 0 else place


@inlined
def o200k_end(text: Int, place: Int, end: Int, classes: Int) -> Int:
    """Return where the pre-token ends that begins at ``place``, under GPT-4o's pattern."""
    found = character(text, place, end, classes)
    byte = load_u8(text + place)
    after = place + (found >> SIZE)
    stop = place
    prefix = not in_set(found, LETTERS | NUMBERS) and byte != NEWLINE and byte != RETURN
    # A word with a sign before it, else without; then the same in capitals alone.
    if prefix and after < end:
        stop = o200k_word_end(text, after, end, classes)
        if stop == after:
            stop = place
    if stop == place:
        stop = o200k_word_end(text, place, end, classes)
    if stop == place and prefix:
        stop = run_of(text, after, end, classes, CAPITALS)
        if stop == after:
            stop = place
    if stop == place:
        stop = run_of(text, place, end, classes, CAPITALS)
    if stop > place:
        return stop + contraction(text, stop, end, True)
    if in_set(found, NUMBERS):
        return digits_end(text, place, end, classes)
    other = in_set(found, OTHERS)
    if byte == BLANK and after < end:
        other = in_set(character(text, after, end, classes), OTHERS)
    if other:
        return newline_run(text, run_of(text, after, end, classes, OTHERS), end, True)
    return space_or_lines_end(text, place, end, classes)


@inlined
def word_in(capitals: np.uint64, small: np.uint64, place: Int) -> Int:
    """Return where a word ends in the masks, as ``o200k_word_end``; 64 if unknown."""
    turn = run_in(capitals, place)
    if turn > DECIDED:
        return np.int64(WINDOW)
    stop = run_in(small, turn)
    if stop > turn:
        return stop
    both = last_in(capitals & small, place, turn)
    return both + 1 if both >= 0 else place


@inlined
def o200k_window(text: Int, place: Int, classes: Int, masks: Int, ends: Int) -> Int:
    """Write the ends of the pre-tokens within one window; return how many are certain."""
    window = text + place
    small = bytes_between(window, 97, 122)
    capitals = bytes_between(window, 65, 90)
    numbers = bytes_between(window, 48, 57)
    blanks = bytes_between(window, BLANK, BLANK)
    lines = bytes_between(window, NEWLINE, NEWLINE) | bytes_between(window, RETURN, RETURN)
    slashes = bytes_between(window, SLASH, SLASH)
    spaces = bytes_between(window, 9, 13) | blanks
    high = bytes_between(window, 128, 255)
    letters = small | capitals
    marks, inner = np.uint64(0), np.uint64(0)
    if high:
        inner = add_beyond_ascii(window, high, classes, masks)
        marks = mask_of(masks, MARK)
        both = mask_of(masks, LETTER) | marks
        letters |= mask_of(masks, UPPER) | mask_of(masks, LOWER) | mask_of(masks, LETTER)
        small |= mask_of(masks, LOWER) | both
        capitals |= mask_of(masks, UPPER) | both
        numbers |= mask_of(masks, NUMBER)
        spaces |= mask_of(masks, SPACE)
    others = ~(letters | numbers | spaces)
    words = letters | marks
    count, at = 0, np.int64(0)
    while True:
        after = next_sign(inner, at)
        if after > DECIDED:
            break
        stop, begin = at, at
        if not has(letters | numbers | lines, at):
            begin = after
        if has(words, begin):
            stop = word_in(capitals, small, begin)
            if stop == begin and begin > at and has(words, at):
                stop, begin = word_in(capitals, small, at), at
            if stop == begin:
                stop = run_in(capitals, begin)
        elif has(words, at):
            stop = word_in(capitals, small, at)
        if stop > at:
            if stop <= DECIDED:
                stop += contraction(window, stop, WINDOW + 4, True)
        elif has(numbers, at):
            stop = digits_in(numbers, inner, at)
        elif has(others, at) or (has(blanks, at) and has(others, after)):
            stop = run_in(others, after)
            if stop <= DECIDED:
                stop = run_in(lines | slashes, stop)
        else:
            stop = spaces_in(spaces, lines, inner, at)
        if stop > DECIDED:
            break
        store_i64(ends + 8 * count, place + stop)
        count += 1
        at = stop
    return count
