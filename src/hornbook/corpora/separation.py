"""Text to documents: by file, by line, by blank line or by a separator text.

One loop serves all four. A ``Rule`` says how to cut a stretch of text at its separators;
the loop keeps what lies after the last one until more text comes. A document longer than
``PART_LIMIT`` is delivered in parts, so that memory does not grow with it. The result
depends on the text alone, never on how it was cut into chunks.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

SeparateBy = Literal["file", "line", "blank_line", "separator"]

DocumentRule = SeparateBy | Literal["verse"]
"""What makes a document: text between two separators, or the verse on a line."""

PART_LIMIT = 4 * 1024 * 1024
"""The longest text that is delivered in one piece [characters]."""

Piece = tuple[int, str, bool]
"""A document's number in its source (from 1), its text or a part of it, and whether it ends."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one kind of separator is found.

    Attributes:
        cut: splits a text at its separators; the last piece is what follows the last one.
        reach: how many characters at the end of a text may still become a separator.
        begin: drops what is no text at the beginning of a document.
        end: drops what is no text at the end of the source.
        counts_empty: whether nothing between two separators is an empty document.
    """

    cut: Callable[[str], list[str]]
    reach: int = 0
    begin: Callable[[str], str] | None = None
    end: Callable[[str], str] | None = None
    counts_empty: bool = True


def rule_for(separate_by: SeparateBy, separator: str) -> Rule:
    """Return the rule for a setting; ``separator`` matters to ``"separator"`` alone."""
    if separate_by == "file":
        return Rule(cut=lambda text: [text])
    if separate_by == "line":
        return Rule(cut=lambda text: text.replace("\r\n", "\n").split("\n"), reach=1)
    if separate_by == "separator":
        return Rule(cut=lambda text: text.split(separator), reach=len(separator) - 1)
    return _BLANK_LINES


# A blank line holds at most 255 spaces and tabs: with a bound, a separator cannot grow past
# every buffer.
_BLANK_RUN = re.compile(r"\n(?:[ \t]{0,255}\r?\n)+")
_BLANK_START = re.compile(r"(?:[ \t]{0,255}\r?\n)+")
_BLANK_END = re.compile(r"\r?\n[ \t]{0,255}\Z")


def _cut_at_blank_lines(text: str) -> list[str]:
    pieces = _BLANK_RUN.split(text)
    return [piece.removesuffix("\r") for piece in pieces[:-1]] + pieces[-1:]


_BLANK_LINES = Rule(
    cut=_cut_at_blank_lines,
    reach=260,
    begin=lambda text: _BLANK_START.sub("", text, count=1) if _BLANK_START.match(text) else text,
    end=lambda text: _BLANK_END.sub("", text),
    counts_empty=False,
)


class Separation:
    """The documents of one source, in order; iterate over it once.

    Documents of white space alone are left out, unless they are longer than ``limit``.

    >>> list(Separation(["one\\n\\ntw", "o\\n"], rule_for("line", "")))
    [(1, 'one', True), (3, 'two', True)]

    Attributes:
        empty: how many documents were left out so far.
    """

    def __init__(self, chunks: Iterable[str], rule: Rule, limit: int = PART_LIMIT) -> None:
        self._chunks = chunks
        self._rule = rule
        self._limit = limit
        self.empty = 0

    def __iter__(self) -> Iterator[Piece]:
        rule, limit = self._rule, self._limit
        number, rest, opened = 1, "", False
        for chunk in self._chunks:
            pieces = rule.cut(rest + chunk)
            rest = pieces.pop()
            for text in pieces:
                if rule.begin is not None and not opened:
                    text = rule.begin(text)
                if opened or len(text) > limit:
                    yield from self._last_parts(number, text)
                    opened = False
                elif text and not text.isspace():
                    yield number, text, True
                elif rule.counts_empty:
                    self.empty += 1
                else:
                    continue
                number += 1
            if rule.begin is not None and not opened:
                rest = rule.begin(rest)
            while len(rest) - rule.reach > limit:
                end = part_end(rest, limit)
                yield number, rest[:end], False
                rest, opened = rest[end:], True
        yield from self._finish(number, rest, opened)

    def _finish(self, number: int, rest: str, opened: bool) -> Iterator[Piece]:
        """Deliver what follows the last separator."""
        if self._rule.end is not None:
            rest = self._rule.end(rest)
        if opened or len(rest) > self._limit:
            yield from self._last_parts(number, rest)
        elif rest and not rest.isspace():
            yield number, rest, True
        elif self._rule.counts_empty and (rest or number == 1):
            self.empty += 1

    def _last_parts(self, number: int, text: str) -> Iterator[Piece]:
        for part, complete in parts(text, self._limit):
            yield number, part, complete


def parts(text: str, limit: int = PART_LIMIT) -> Iterator[tuple[str, bool]]:
    """Cut a whole text into parts of at most ``limit`` characters; the last is complete.

    >>> list(parts("one two three", 8))
    [('one two ', False), ('three', True)]
    """
    while len(text) > limit:
        end = part_end(text, limit)
        yield text[:end], False
        text = text[end:]
    yield text, True


# It begins with a literal, for which the engine leaps through the text.
_QUIET = re.compile(r"\n(?<=[!-~]\n)(?=[A-Za-z])")
_SPACE = re.compile(r"\s")
_NEAR = 64 * 1024


def part_end(text: str, limit: int) -> int:
    """Return where the first part of a text that is longer than ``limit`` ends.

    The best place is a line end between a printable ASCII character and an ASCII letter:
    every pre-tokenizing pattern cuts there anyway, so the parts give the tokens of the
    whole. Without one it is the last white space, without that the limit itself.

    >>> part_end("first.\\nsecond third", 12)
    7
    >>> part_end("first second third", 12)
    6
    """
    for pattern in (_QUIET, _SPACE):
        for start in (max(0, limit - _NEAR), 0):
            # One character beyond the limit is shown to the pattern as what follows the cut.
            shown = limit + 1 if pattern is _QUIET else limit
            last = deque(pattern.finditer(text, start, shown), maxlen=1)
            if last:
                return last[0].end()
    return limit
