"""The class of each character, one at a time and 64 bytes at a time.

``character`` reads one character; ``add_beyond_ascii`` puts those that are not ASCII into
the masks of a window, each over all bytes it has. For the text ``né나 x`` (bytes 6e c3a9 eb8298
20 78):

    lower      ###....#
    letter     ...###..
    inner      ..#.##..     bytes that begin no character

A byte that is no part of a well-formed UTF-8 character is a character of its own, of the class
"other". So every sequence of bytes has classes, and text that is whole has those of Unicode.
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined
from hornbook.tokenizers.engine.machine import (
    Int,
    bytes_between,
    load_u8,
    load_u64,
    store_u64,
    trailing_zeros,
)
from hornbook.tokenizers.unicode_classes import (
    LETTER,
    LOWER,
    MARK,
    NUMBER,
    OTHER,
    SPACE,
    UPPER,
)

# Sets of classes, to ask about with ``in_set``.
LETTERS = (1 << UPPER) | (1 << LOWER) | (1 << LETTER)
NUMBERS = 1 << NUMBER
SPACES = 1 << SPACE
OTHERS = (1 << OTHER) | (1 << MARK)
CAPITALS = (1 << UPPER) | (1 << LETTER) | (1 << MARK)
SMALL = (1 << LOWER) | (1 << LETTER) | (1 << MARK)

IDEOGRAPHS = (0xE5, 0xE9)
"""All characters that begin with these bytes, U+5000 to U+9FFF, are letters without case."""
SYLLABLES = (0xEB, 0xEC)
"""So are all that begin with these, U+B000 to U+CFFF."""

SIZE = 8
"""``character`` packs a class and, from this bit on, a length."""


@inlined
def character(text: Int, place: Int, end: Int, classes: Int) -> Int:
    """Read one character: its class, and its length in bytes times ``1 << SIZE``.

    Args:
        text: address of the text.
        place: where the character begins, below ``end``.
        end: where the text ends.
        classes: address of ``unicode_classes.class_table``.
    """
    lead = np.int64(load_u8(text + place))
    if lead < 0x80:
        return (1 << SIZE) | np.int64(load_u8(classes + lead))
    alone = (1 << SIZE) | OTHER
    left = end - place
    if lead < 0xC2 or lead > 0xF4 or left < 2:
        return alone
    second = np.int64(load_u8(text + place + 1)) ^ 0x80
    if second > 0x3F:
        return alone
    if lead < 0xE0:
        return (2 << SIZE) | np.int64(load_u8(classes + ((lead & 0x1F) << 6 | second)))
    if left < 3:
        return alone
    third = np.int64(load_u8(text + place + 2)) ^ 0x80
    if third > 0x3F:
        return alone
    if lead < 0xF0:
        code = (lead & 0x0F) << 12 | second << 6 | third
        # Longer than needed, or half of a surrogate pair: no UTF-8.
        if code < 0x800 or 0xD800 <= code <= 0xDFFF:
            return alone
        return (3 << SIZE) | np.int64(load_u8(classes + code))
    if left < 4:
        return alone
    fourth = np.int64(load_u8(text + place + 3)) ^ 0x80
    code = (lead & 0x07) << 18 | second << 12 | third << 6 | fourth
    if fourth > 0x3F or code < 0x10000 or code > 0x10FFFF:
        return alone
    return (4 << SIZE) | np.int64(load_u8(classes + code))


@inlined
def in_set(found: Int, classes: Int) -> bool:
    """Whether what ``character`` returned is of one of these classes."""
    return (classes >> (found & 0xFF)) & 1 != 0


@inlined
def run_of(text: Int, place: Int, end: Int, classes: Int, wanted: Int) -> Int:
    """Return where a run of characters of the wanted classes ends that begins at ``place``."""
    while place < end:
        found = character(text, place, end, classes)
        if not in_set(found, wanted):
            break
        place += found >> SIZE
    return place


@inlined
def add_beyond_ascii(window: Int, high: np.uint64, classes: Int, masks: Int) -> np.uint64:
    """Write the mask of each class for what is not ASCII; return the bytes that begin nothing.

    Adding to a mask in memory is one step whatever the class. (With a variable for each class,
    chosen by ``if``, text in 46 languages was cut at 160 MB/s; with this, at 550.) What most
    Chinese and Korean characters are is known from their first byte, so they are added all at once.

    Args:
        window: address of 64 bytes, with four more behind them that may be read.
        high: the bytes above 127.
        classes: address of ``unicode_classes.class_table``.
        masks: address of uint64 [8], which takes the mask of each class.
    """
    one = np.uint64(1)
    for kind in range(8):
        store_u64(masks + 8 * kind, np.uint64(0))
    inner = np.uint64(0)
    lead = bytes_between(window, *IDEOGRAPHS) | bytes_between(window, *SYLLABLES)
    if lead:
        follow = bytes_between(window, 0x80, 0xBF)
        lead &= (follow >> one) & (follow >> np.uint64(2))
        inner = lead << one | lead << np.uint64(2)
        store_u64(masks + 8 * LETTER, lead | inner)
        high &= ~(lead | inner)
    while high:
        place = trailing_zeros(high)
        found = character(window, place, 1 << 20, classes)
        span = ((np.uint64(1) << np.uint64(found >> SIZE)) - np.uint64(1)) << np.uint64(place)
        high &= ~span
        inner |= span & (span << np.uint64(1))
        mask = masks + 8 * (found & 0xFF)
        store_u64(mask, load_u64(mask) | span)
    return inner


@inlined
def mask_of(masks: Int, kind: Int) -> np.uint64:
    """Return the mask of a class that ``add_beyond_ascii`` wrote."""
    return load_u64(masks + 8 * kind)
