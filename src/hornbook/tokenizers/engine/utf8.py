"""A text as UTF-8, without the interpreter's lock.

    write_utf8("Où ?", to)      # 5: "O", two bytes for "ù", " ", "?"

Python keeps a text in rows of equal characters, of one, two or four bytes, whichever its greatest
character needs, and spells it in UTF-8 under its lock, so that threads wait for each other. One
curly quote makes a megabyte of English a text of two bytes a character, of which nearly all are
ASCII. So 32 characters are looked at together: if they are ASCII their lower bytes are the answer.

    characters      T h e ␣ e g g . ...         T h e ␣ ” e g g ...
    ASCII?          . . . . . . . . ...         . . . . # . . . ...
                    narrowed at once            one after the other

Its twin is ``str.encode``; a test holds the two equal. English with curly quotes: 9 GB/s, where
Python has 0.9; Chinese 2.1 and 1.7. Spelling a character without branches was no faster: scripts
come in runs, and branches are foreseen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from hornbook.kernels import inlined, kernel
from hornbook.tokenizers.engine.machine import (
    Int,
    intrinsic,
    load_u8,
    load_u16,
    load_u32,
    store_u32,
)

TOGETHER = 32
"""How many characters are looked at together."""

WIDEST = 4
"""The most bytes that a character has in UTF-8."""

SPARE = TOGETHER
"""How many bytes more than there are may be written over."""

LONE_SURROGATE = -1
"""What ``write_utf8`` returns for what is no Unicode text."""


@kernel
def write_utf8(text: str, to: Int) -> Int:
    """Write a text as UTF-8; return how many bytes, or ``LONE_SURROGATE``.

    Args:
        text: any ``str``.
        to: address of room for ``WIDEST`` bytes a character, and ``SPARE`` more.
    """
    place, width = characters_of(text), width_of(text)
    end = place + width * len(text)
    if width == 1:
        return spelled_8(place, end, to)
    if width == 2:
        return spelled_16(place, end, to)
    return spelled_32(place, end, to)


def _spelling(load: Any, bits: int) -> Any:
    narrowed, width = _narrowing(bits), bits // 8

    @inlined
    def spelled(start: Int, end: Int, to: Int) -> Int:
        place, out = start, to
        while place < end:
            count = min((end - place) // width, TOGETHER)
            if count == TOGETHER and narrowed(place, out):
                place += width * TOGETHER
                out += TOGETHER
                continue
            for _ in range(count):
                character = np.int64(load(place))
                if character >> 11 == 0xD800 >> 11:
                    return np.int64(LONE_SURROGATE)
                place += width
                out += spell(character, out)
        return out - to

    return spelled


@inlined
def spell(character: Int, to: Int) -> Int:
    """Write one character; return how many bytes it has. Four are written whatever it has."""
    last = 0x80 | character & 0x3F
    if character < 0x80:
        store_u32(to, np.uint32(character))
        return 1
    if character < 0x800:
        store_u32(to, np.uint32(0xC0 | character >> 6 | last << 8))
        return 2
    third = 0x80 | character >> 6 & 0x3F
    if character < 0x10000:
        store_u32(to, np.uint32(0xE0 | character >> 12 | third << 8 | last << 16))
        return 3
    second = 0x80 | character >> 12 & 0x3F
    store_u32(to, np.uint32(0xF0 | character >> 18 | second << 8 | third << 16 | last << 24))
    return 4


def _narrowing(bits: int) -> Any:
    """Write the lower bytes of 32 characters of so many bits; return whether all are ASCII."""

    @intrinsic
    def narrowed(typingctx: Any, place: Any, to: Any) -> Any:
        wide, narrow = (ir.VectorType(ir.IntType(size), TOGETHER) for size in (bits, 8))
        mask = ir.IntType(TOGETHER)

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            source, target = arguments
            row = builder.load(builder.inttoptr(source, wide.as_pointer()), align=1)
            low = builder.trunc(row, narrow) if bits > 8 else row
            builder.store(low, builder.inttoptr(target, narrow.as_pointer()), align=1)
            beyond = builder.icmp_unsigned(">", row, ir.Constant(wide, [0x7F] * TOGETHER))
            return builder.icmp_unsigned("==", builder.bitcast(beyond, mask), mask(0))

        return types.boolean(types.int64, types.int64), emit

    return narrowed


# One for each width in which Python keeps a text. Each spells the characters from ``start`` to
# ``end`` (addresses) in UTF-8, and returns how many bytes that is, or ``LONE_SURROGATE``.
spelled_8: Any = _spelling(load_u8, 8)
spelled_16: Any = _spelling(load_u16, 16)
spelled_32: Any = _spelling(load_u32, 32)


@intrinsic
def characters_of(typingctx: Any, text: Any) -> Any:
    """Return where the characters of a text stand."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ptrtoint(_parts(context, builder, arguments[0]).data, ir.IntType(64))

    return types.int64(types.unicode_type), emit


@intrinsic
def width_of(typingctx: Any, text: Any) -> Any:
    """Return how many bytes each character of a text takes: 1, 2 or 4."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(_parts(context, builder, arguments[0]).kind, ir.IntType(64))

    return types.int64(types.unicode_type), emit


def _parts(context: Any, builder: Any, text: Any) -> Any:
    return cgutils.create_struct_proxy(types.unicode_type)(context, builder, value=text)
