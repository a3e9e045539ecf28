"""What all the patterns share: contractions, and how far a window can be trusted."""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined
from hornbook.tokenizers.engine.machine import (
    Int,
    load_u8,
)

DECIDED = 60
"""A cut up to here does not hang on what follows the window (a contraction has three bytes)."""

BLANK, NEWLINE, RETURN, QUOTE, SLASH = (np.int64(ord(sign)) for sign in " \n\r'/")


@inlined
def contraction(text: Int, place: Int, end: Int, any_case: bool) -> Int:
    """Return the length of a contraction such as ``'s`` or ``'ll`` at a place, or 0.

    In any case of letters the long s (U+017F) is an s too: so says Unicode's case folding.
    """
    if place + 1 >= end or load_u8(text + place) != QUOTE:
        return 0
    first = np.int64(load_u8(text + place + 1))
    second = np.int64(0)
    if place + 2 < end:
        second = np.int64(load_u8(text + place + 2))
    if any_case:
        if first == 0xC5 and second == 0xBF:
            return 3
        if first < 0x80 and second < 0x80:
            first, second = first | 0x20, second | 0x20
        elif first < 0x80:
            first, second = first | 0x20, np.int64(0)
    if first == ord("s") or first == ord("d") or first == ord("m") or first == ord("t"):
        return 2
    if first == ord("l") and second == ord("l"):
        return 3
    if (first == ord("v") or first == ord("r")) and second == ord("e"):
        return 3
    return 0
