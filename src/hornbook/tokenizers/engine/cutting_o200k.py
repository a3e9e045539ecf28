"""GPT-4o's pattern (o200k): every cut of a usual window at once, of others step by step."""

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
    SLASH,
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
    last_in,
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
from hornbook.tokenizers.unicode_classes import LETTER, LOWER, MARK, NUMBER, SPACE, UPPER


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
    """Write the ends of the pre-tokens within one window; return how many are certain.

    As GPT-4's, but a word also starts with a capital behind a small letter, and takes a
    contraction behind it along.
    """
    window, one = text + place, np.uint64(1)
    small = bytes_between(window, 97, 122)
    capitals = bytes_between(window, 65, 90)
    numbers = bytes_between(window, 48, 57)
    blanks = bytes_between(window, BLANK, BLANK)
    lines = bytes_between(window, NEWLINE, NEWLINE) | bytes_between(window, RETURN, RETURN)
    slashes = bytes_between(window, SLASH, SLASH)
    spaces = bytes_between(window, 9, 13) | blanks
    high = bytes_between(window, 128, 255)
    both, marks, inner, far_numbers = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    if high:
        inner = add_beyond_ascii(window, high, classes, masks)
        marks = mask_of(masks, MARK)
        both = mask_of(masks, LETTER)
        small |= mask_of(masks, LOWER)
        capitals |= mask_of(masks, UPPER)
        far_numbers = mask_of(masks, NUMBER)
        spaces |= mask_of(masks, SPACE)
    letters = small | capitals | both
    numbers |= far_numbers
    others = ~(letters | numbers | spaces)
    # A capital behind a letter without case: whether a word ends there hangs on what came before.
    unclear = marks | capitals & (both << one) | slashes & (lines << one)
    if unclear or out_of_line(spaces, lines, inner, far_numbers):
        return o200k_steps(
            window,
            place,
            ends,
            capitals | both | marks,
            small | both | marks,
            letters,
            numbers,
            spaces,
            blanks,
            lines,
            slashes,
            others,
            inner,
        )
    before = prefixes(spaces, blanks, lines, others, inner)
    starts = letters & ~(letters << one) & ~(before << one) | capitals & (small << one)
    starts |= others & ~(others << one) & ~(blanks << one)
    starts |= digit_starts(numbers) | space_starts(spaces, lines, others)
    quotes = bytes_between(window, QUOTE, QUOTE) & (letters << one) & (letters >> one)
    taken = np.int64(0)
    while quotes:
        quote = trailing_zeros(quotes)
        quotes &= quotes - one
        size = contraction(window, quote, WINDOW + 4, True)
        # Behind a contraction stands no second one: its letters are no word.
        if size and taken < quote <= DECIDED:
            taken = quote + size
            starts &= ~(((one << np.uint64(size)) - one) << np.uint64(quote))
            starts |= one << np.uint64(taken)
    return write_starts(starts, spaces, place, ends)


@inlined
def o200k_steps(
    window: Int,
    place: Int,
    ends: Int,
    capitals: np.uint64,
    small: np.uint64,
    letters: np.uint64,
    numbers: np.uint64,
    spaces: np.uint64,
    blanks: np.uint64,
    lines: np.uint64,
    slashes: np.uint64,
    others: np.uint64,
    inner: np.uint64,
) -> Int:
    """Go from pre-token to pre-token, asking the masks where a run ends.

    Marks and letters without case count as both capital and small.
    """
    words = capitals | small
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
