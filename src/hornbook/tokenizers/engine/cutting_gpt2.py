"""GPT-2's pattern: every cut of a window at once; see ``cutting`` for the drawing."""

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
    QUOTE,
    contraction,
)
from hornbook.tokenizers.engine.machine import (
    WINDOW,
    Int,
    bytes_between,
    leading_zeros,
    load_u8,
    trailing_zeros,
)
from hornbook.tokenizers.engine.runs import write_ends
from hornbook.tokenizers.unicode_classes import (
    LETTER,
    LOWER,
    NUMBER,
    SPACE,
    UPPER,
)


@inlined
def gpt2_end(text: Int, place: Int, end: Int, classes: Int) -> Int:
    """Return where the pre-token ends that begins at ``place``, under GPT-2's pattern."""
    size = contraction(text, place, end, False)
    if size:
        return place + size
    found = character(text, place, end, classes)
    begin = place
    if load_u8(text + place) == BLANK and place + 1 < end:
        after = character(text, place + 1, end, classes)
        if not in_set(after, SPACES):
            begin, found = place + 1, after
    if in_set(found, LETTERS):
        return run_of(text, begin, end, classes, LETTERS)
    if in_set(found, NUMBERS):
        return run_of(text, begin, end, classes, NUMBERS)
    if in_set(found, OTHERS):
        return run_of(text, begin, end, classes, OTHERS)
    return space_end(text, place, end, classes)


@inlined
def space_end(text: Int, place: Int, end: Int, classes: Int) -> Int:
    r"""Return what ``\s+(?!\S)|\s`` takes: a run of spaces but its last, if more text follows."""
    last, stop = place, place
    while stop < end:
        found = character(text, stop, end, classes)
        if not in_set(found, SPACES):
            break
        last = stop
        stop += found >> SIZE
    return stop if stop == end or last == place else last


@inlined
def gpt2_window(text: Int, place: Int, classes: Int, masks: Int, ends: Int) -> Int:
    """Write the ends of the pre-tokens within one window; return how many are certain."""
    window = text + place
    one = np.uint64(1)
    letters = bytes_between(window, 97, 122) | bytes_between(window, 65, 90)
    numbers = bytes_between(window, 48, 57)
    blanks = bytes_between(window, 32, 32)
    spaces = bytes_between(window, 9, 13) | blanks
    high = bytes_between(window, 128, 255)
    inner_spaces = np.uint64(0)
    if high:
        inner = add_beyond_ascii(window, high, classes, masks)
        letters |= mask_of(masks, UPPER) | mask_of(masks, LOWER) | mask_of(masks, LETTER)
        numbers |= mask_of(masks, NUMBER)
        spaces |= mask_of(masks, SPACE)
        inner_spaces = mask_of(masks, SPACE) & inner
    others = ~(letters | numbers | spaces)
    same = letters & (letters << one) | numbers & (numbers << one) | others & (others << one)
    starts = ~spaces & ~same & ~(blanks << one)
    starts |= spaces & ~((spaces << one) & (spaces >> one))
    if inner_spaces:
        # A space of several bytes starts a pre-token with its first, not with its last.
        wrong = starts & inner_spaces
        starts &= ~wrong
        while wrong:
            inside = trailing_zeros(wrong)
            wrong &= wrong - one
            lead = ~inner_spaces & ((one << np.uint64(inside)) - one)
            starts |= one << np.uint64(63 - leading_zeros(lead))
    quotes = bytes_between(window, QUOTE, QUOTE) & (starts | one)
    while quotes:
        quote = trailing_zeros(quotes)
        quotes &= quotes - one
        size = contraction(window, quote, WINDOW + 4, False)
        if size and quote <= DECIDED:
            starts &= ~((one << np.uint64(quote + 1)) | (one << np.uint64(quote + 2)))
            starts |= one << np.uint64(quote + size)
    starts &= (one << np.uint64(DECIDED + 1)) - np.uint64(2)
    return write_ends(starts, place, ends)
