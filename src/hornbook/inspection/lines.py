"""Text of any script, made fit to be shown and fitted into a box of equal cells.

A model in training writes anything: half words, control characters, scripts that are twice
as wide. Here each character counts as 0, 1 or 2 cells of a fixed-width font, rather too wide
than too narrow, so that what fits here fits on every screen.
"""

from __future__ import annotations

import re
import unicodedata

_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
"""What neither XML nor a screen should get: controls (those that turn the direction of what
follows among them), halves of a pair, numbers that are no character."""


def clean(text: str) -> str:
    """The text with one kind of line end, spaces for tabs, and ``�`` for what has no look.

    >>> clean("a\\r\\nb\\x00")
    'a\\nb�'
    """
    return _UNSHOWABLE.sub("\ufffd", _LINE_ENDS.sub("\n", text)).expandtabs(4)


def cells(text: str) -> int:
    """How many cells of a fixed-width font the text takes at most.

    >>> cells("ab"), cells("詩"), cells("e\\u0301")
    (2, 2, 1)
    """
    return sum(map(_cells_of, text))


def shortened(text: str, width: int) -> str:
    """The text on one line of at most ``width`` cells; ``…`` stands where something is missing.

    >>> shortened("to be or not", 9)
    'to be or…'
    """
    text = " ".join(text.split())
    return text if cells(text) <= width else _prefix(text, width - 1).rstrip() + "…"


def wrapped(text: str, width: int, limit: int) -> list[str]:
    """Lines of at most ``width`` cells, broken at spaces where there are any.

    Args:
        text: cleaned text.
        width: the most cells of a line, at least 2.
        limit: the most lines; a last line that is not the end ends in ``…``.

    >>> wrapped("to be or not to be", 8, 2)
    ['to be or', 'not to…']
    """
    lines: list[str] = []
    for line in re.sub(r"\n\s*\n", "\n\n", text.strip("\n")).split("\n"):
        rest = line.rstrip()[: 8 * width * limit]
        while cells(rest) > width and len(lines) <= limit:
            piece = _prefix(rest, width)
            indent = len(rest) - len(rest.lstrip())
            if rest[len(piece)] != " " and " " in piece[indent:]:
                piece = piece[: piece.rindex(" ")]
            lines.append(piece.rstrip())
            rest = rest[len(piece) :].lstrip()
        lines.append(rest)
        if len(lines) > limit:
            last = lines[limit - 1]
            while cells(last) > width - 1:
                last = last.rpartition(" ")[0] if " " in last.strip() else last[:-1]
            return [*lines[: limit - 1], last + "…"]
    return lines


def _prefix(text: str, width: int) -> str:
    """The longest beginning of at most ``width`` cells."""
    used = 0
    for index, character in enumerate(text):
        used += _cells_of(character)
        if used > width:
            return text[:index]
    return text


def _cells_of(character: str) -> int:
    code = ord(character)
    if 0x20 <= code < 0x300:
        return 1
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    # Scripts for which few fixed-width fonts exist are drawn in others, with wider letters.
    plain = code < 0x900 or 0x1E00 <= code < 0x2C00
    return 1 if plain and unicodedata.east_asian_width(character) not in "WF" else 2
