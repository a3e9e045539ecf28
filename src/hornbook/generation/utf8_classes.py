"""A set of characters as the ways through their bytes in UTF-8.

A character has one to four bytes. The first says how many follow, and each that follows carries six
bits, as digits of a number to the base 64:

    é  U+00E9  =  3 × 64 + 41     ─►   [C3] [A9]   =   0xC0 + 3,  0x80 + 41

So a set of characters is a small tree: from the top one of some first bytes, from there one of some
second ones. Parts that are alike ("any byte that may follow, twice") are one node.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

Ranges = tuple[tuple[int, int], ...]
"""Numbers from one to another, both counted in, in ascending order."""

_SURROGATES = (0xD800, 0xDFFF)
"""Half characters of UTF-16; no text holds them."""

# Of characters with so many bytes: the last one, and what the first byte begins with.
_LENGTHS = ((1, 0x7F, 0x00), (2, 0x7FF, 0xC0), (3, 0xFFFF, 0xE0), (4, 0x10FFFF, 0xF0))


@dataclass(frozen=True, eq=False, slots=True)
class ByteNode:
    """A place inside a character.

    Attributes:
        edges: from one byte to another, both counted in, leads to a node; to ``None`` where the
            character is whole.
    """

    edges: tuple[tuple[int, int, ByteNode | None], ...]


@lru_cache(maxsize=1024)
def byte_node(ranges: Ranges) -> ByteNode:
    """Where the characters of a set begin.

    >>> [(hex(low), hex(high), node) for low, high, node in byte_node(((97, 122),)).edges]
    [('0x61', '0x7a', None)]
    >>> two = byte_node(((0xE9, 0xE9), (0x4000, 0x9FFF)))
    >>> [(hex(low), hex(high)) for low, high, _ in two.edges]
    [('0xc3', '0xc3'), ('0xe4', '0xe9')]
    """
    edges: list[tuple[int, int, ByteNode | None]] = []
    first = 0
    for length, last, lead in _LENGTHS:
        inside = [(max(low, first), min(high, last)) for low, high in ranges]
        part = tuple((low, high) for low, high in inside if low <= high)
        edges += _edges(part, length - 1, lead)
        first = last + 1
    return ByteNode(tuple(edges))


@lru_cache(maxsize=4096)
def _following(ranges: Ranges, digits: int) -> ByteNode:
    """The node before ``digits`` more bytes, which spell the numbers in ``ranges``."""
    return ByteNode(tuple(_edges(ranges, digits - 1, 0x80)))


def _edges(ranges: Ranges, digits: int, lead: int) -> Iterator[tuple[int, int, ByteNode | None]]:
    """Edges for numbers whose first digit stands in this byte, and ``digits`` in those behind."""
    unit = 64**digits
    below: dict[int, list[tuple[int, int]]] = {}
    for low, high in ranges:
        for digit in range(low // unit, high // unit + 1):
            start = digit * unit
            part = max(low - start, 0), min(high - start, unit - 1)
            below.setdefault(digit, []).append(part)
    open_edge: tuple[int, int, ByteNode | None] | None = None
    for digit, parts in below.items():
        node = _following(tuple(parts), digits) if digits else None
        byte = lead + digit
        if open_edge is not None and open_edge[1] == byte - 1 and open_edge[2] is node:
            open_edge = open_edge[0], byte, node
            continue
        if open_edge is not None:
            yield open_edge
        open_edge = byte, byte, node
    if open_edge is not None:
        yield open_edge


@lru_cache(maxsize=256)
def characters(expression: str, flags: int = 0) -> Ranges:
    """The characters that an expression for one of them matches, as Python's ``re`` sees it.

    >>> characters("[a-cx]"), characters("[^\\\\s\\\\S]")
    (((97, 99), (120, 120)), ())
    """
    low, high = _SURROGATES
    gap = high + 1 - low
    found: list[tuple[int, int]] = []
    # It looks at every character there is; so no table of ours can differ from it.
    for match in re.compile(f"(?:{expression})+", flags).finditer(_every_character()):
        start, stop = match.start(), match.end() - 1
        if start < low <= stop:
            found += [(start, low - 1), (high + 1, stop + gap)]
        else:
            shift = 0 if stop < low else gap
            found.append((start + shift, stop + shift))
    return tuple(found)


@cache
def _every_character() -> str:
    low, high = _SURROGATES
    numbers = np.r_[:low, high + 1 : 0x110000].astype("<u4")
    return numbers.tobytes().decode("utf-32-le")
