"""Documents as the bytes they are stored in, for whoever needs no text of them.

Python's strings take one, two or four bytes a character, and to make them takes longer than to
read the file. A separator can be found in UTF-8 all the same, and so can a line end at which a
long document may be cut. The rules are those of ``separation``.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator

from hornbook.corpora.separation import PART_LIMIT

PART = 1 << 20
"""A document that is longer comes in parts, where a line end lets it be cut [bytes]."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_QUIET = re.compile(rb"(?<=[!-~])\n(?=[A-Za-z])")
_SPACE = re.compile(rb"[ \t\n\r]")
_NEAR = 1 << 16


def separated_contents(
    chunks: Iterable[bytes], separator: bytes | None, part: int = PART, limit: int = PART_LIMIT
) -> Iterator[bytes]:
    """Yield the documents of one source, the long ones in parts.

    Documents of white space alone are left out. Parts end where every pre-tokenizing pattern
    cuts anyway, as ``separation.part_end`` explains. Only a document that is longer than
    ``limit`` and has no such place is cut elsewhere.

    Args:
        chunks: UTF-8, in any pieces.
        separator: what stands between two documents; without one, all is one document.
        part: how long a document must be to come in parts [bytes].
        limit: the longest that is held in memory [bytes].

    >>> list(separated_contents([b"one<|e", b"nd|>two", b"<|end|> "], b"<|end|>"))
    [b'one', b'two']
    """
    reach = len(separator) - 1 if separator else 0
    held, opened = b"", False
    for chunk in _without_mark(chunks):
        held += chunk
        if separator:
            *documents, held = held.split(separator)
            for document in documents:
                if document and (opened or not _is_blank(document)):
                    yield document
                opened = False
        while len(held) - reach > part:
            certain = len(held) - reach
            # Never beyond the limit, or the parts would depend on the chunks. One byte more is
            # shown as what follows the cut.
            end = _quiet_end(held, min(certain, limit + 1))
            if not end and certain > limit:
                end = _any_end(held, limit)
            if not end:
                break
            yield held[:end]
            held, opened = held[end:], True
    if held and (opened or not _is_blank(held)):
        yield held


def _without_mark(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield chunks without the byte order mark that the first bytes may be."""
    begun = b""
    rest = iter(chunks)
    for chunk in rest:
        begun += chunk
        if len(begun) >= len(BYTE_ORDER_MARK):
            break
    yield begun.removeprefix(BYTE_ORDER_MARK)
    yield from rest


def _is_blank(content: bytes) -> bool:
    """Whether a document is of white space alone, that of Unicode included."""
    beginning = content[:256].decode("utf-8", "ignore")
    return not beginning.strip() and content.decode("utf-8").isspace()


def _quiet_end(held: bytes, stop: int) -> int:
    """Return the last place before ``stop`` where every pattern cuts, or 0; see ``part_end``."""
    for start in (max(0, stop - _NEAR), 0):
        last = deque(_QUIET.finditer(held, start, stop), maxlen=1)
        if last:
            return last[0].end()
    return 0


def _any_end(held: bytes, limit: int) -> int:
    """Return the last white space before ``limit``, or the last end of a character."""
    last = deque(_SPACE.finditer(held, 0, limit), maxlen=1)
    if last:
        return last[0].end()
    while held[limit] & 0xC0 == 0x80:  # the middle of a character
        limit -= 1
    return limit
