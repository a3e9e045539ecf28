"""GPT-4's pattern (cl100k): every cut of a usual window at once, of others step by step."""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined
from hornbook.tokenizers.engine.characters import (
    LETTERS,
    NUMBERS,
    OTHERS,
    SIZE,
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
    QUOTE,
    RETURN,
    contraction,
)
from hornbook.tokenizers.engine.machine import (
    WINDOW,
    Int,
    bytes_between,
    load_u8,
    store_i64,
    trailing_zeros,
)
from hornbook.tokenizers.engine.runs import (
    digit_starts,
    digits_end,
    digits_in,
    has,
    newline_run,
    next_sign,
    out_of_line,
    prefixes,
    run_in,
    space_or_lines_end,
    space_starts,
    spaces_in,
    write_starts,
)
from hornbook.tokenizers.unicode_classes import LETTER, LOWER, NUMBER, SPACE, UPPER


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
    """Write the ends of the pre-tokens within one window; return how many are certain.

    A word starts with its first letter, or with the sign before it; the rest as in ``runs``.
    """
    window, one = text + place, np.uint64(1)
    letters = bytes_between(window, 97, 122) | bytes_between(window, 65, 90)
    numbers = bytes_between(window, 48, 57)
    blanks = bytes_between(window, BLANK, BLANK)
    lines = bytes_between(window, NEWLINE, NEWLINE) | bytes_between(window, RETURN, RETURN)
    spaces = bytes_between(window, 9, 13) | blanks
    high = bytes_between(window, 128, 255)
    inner, far_numbers = np.uint64(0), np.uint64(0)
    if high:
        inner = add_beyond_ascii(window, high, classes, masks)
        letters |= mask_of(masks, UPPER) | mask_of(masks, LOWER) | mask_of(masks, LETTER)
        far_numbers = mask_of(masks, NUMBER)
        spaces |= mask_of(masks, SPACE)
    numbers |= far_numbers
    others = ~(letters | numbers | spaces)
    if out_of_line(spaces, lines, inner, far_numbers):
        return cl100k_steps(
            window, place, ends, letters, numbers, spaces, blanks, lines, others, inner
        )
    before = prefixes(spaces, blanks, lines, others, inner)
    signs = others & ~(others << one) & ~(blanks << one)
    starts = letters & ~(letters << one) & ~(before << one) | signs
    starts |= digit_starts(numbers) | space_starts(spaces, lines, others)
    quotes = bytes_between(window, QUOTE, QUOTE) & signs & (letters >> one)
    while quotes:
        quote = trailing_zeros(quotes)
        quotes &= quotes - one
        size = contraction(window, quote, WINDOW + 4, True)
        if size and quote <= DECIDED:
            starts |= one << np.uint64(quote + size)
    return write_starts(starts, spaces, place, ends)


@inlined
def cl100k_steps(
    window: Int,
    place: Int,
    ends: Int,
    letters: np.uint64,
    numbers: np.uint64,
    spaces: np.uint64,
    blanks: np.uint64,
    lines: np.uint64,
    others: np.uint64,
    inner: np.uint64,
) -> Int:
    """Go from pre-token to pre-token, asking the masks where a run ends."""
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
