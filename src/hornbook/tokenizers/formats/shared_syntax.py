r"""Regular expressions that Python's ``regex`` module and Oniguruma read alike.

Hugging Face's tokenizers cut with Oniguruma in its Ruby syntax. Much is written the same in both
and means something else: ``\w`` knows other letters, ``x{1,3}+`` is possessive in one and repeats
in the other, ``$`` ends a text or a line, ``(?i:ss)`` matches ``ß`` or does not, ``[a&&b]`` is an
intersection or three characters. So a pattern crosses over only if it is made of this:

    letters and other plain characters, \. and other escaped signs, \r \n \t, the dot
    \s \S \d \D, \p{L} and the other general categories, \P{L}
    [...] and [^...] of these, with ranges of plain characters
    (...)  (?:...)  (?=...)  (?!...)  x|y
    ? * + {n} {n,} {n,m}, and the possessive and lazy ?+ *+ ++ ?? *? +?
    (?i:...) of the English contractions in published patterns, which tests compare

It may match no empty text, because the two go on differently after such a match. Each engine has
a Unicode version of its own: characters that only the newer one knows may be cut differently.

Sources: Oniguruma, ``doc/RE`` and ``doc/SYNTAX.md``; the documentation of ``regex``.
"""

from __future__ import annotations

import re
from typing import NoReturn

from hornbook.errors import TokenizerError

CONTRACTIONS = ("'s|'t|'re|'ve|'m|'ll|'d", "[sdmt]|ll|ve|re")
"""What may stand inside ``(?i:...)``: none of it folds to a character of more than one letter."""

_PROPERTY = re.compile(r"[pP]\{(?:L[ultmo]?|M[nce]?|N[dlo]?|P[cdseifo]?|S[mcko]?|Z[slp]?)\}")
_INTERVAL = re.compile(r"\{(\d{1,4})(?:(,)(\d{1,4})?)?\}")
_ESCAPED = frozenset("\\^$.|?*+()[]{}-&~#/'\" !%,:;<=>@_`")
_GROUPS = ("(?:", "(?=", "(?!")


def check_shared(pattern: str) -> None:
    r"""Refuse a pattern that one of the two engines may read otherwise.

    >>> check_shared(r" ?\p{L}+|\s+(?!\S)|\s+")
    >>> check_shared(r"\w+")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    hornbook.errors.TokenizerError: character 0 of the pattern, ...

    Raises:
        TokenizerError: names the first place and why it may be read otherwise.
    """
    reader = _Reader(pattern)
    if reader.alternatives():
        reader.refuse(0, "the pattern can match an empty text, after which engines differ")
    if reader.place < len(pattern):
        reader.refuse(reader.place, "a bracket that nothing opened")


class _Reader:
    """Reads a pattern once from left to right; methods return whether a part can be empty."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.place = 0

    def refuse(self, place: int, reason: str) -> NoReturn:
        shown = self.pattern[place : place + 12]
        raise TokenizerError(f"character {place} of the pattern, {shown!r}: {reason}")

    def alternatives(self) -> bool:
        empty = self._sequence()
        while self._take("|"):
            empty = self._sequence() or empty
        return empty

    def _sequence(self) -> bool:
        all_empty = True
        while self.place < len(self.pattern) and self.pattern[self.place] not in "|)":
            start = self.place
            empty = self._atom()
            all_empty = self._repeated(start, empty) and all_empty
        return all_empty

    def _atom(self) -> bool:
        start, sign = self.place, self.pattern[self.place]
        if sign == "(":
            return self._group()
        if sign == "[":
            self._character_class()
        elif sign == "\\":
            self._escape()
        elif sign in "^$":
            self.refuse(start, "ends a line in one engine and the text in the other")
        elif sign in "?*+{}]":
            self.refuse(start, "repeats nothing, or is a plain sign that needs a backslash")
        else:
            self.place += 1
        return False

    def _group(self) -> bool:
        start = self.place
        if self._take("(?i:"):
            for known in CONTRACTIONS:
                if self._take(f"{known})"):
                    return False
            self.refuse(start, "ignoring case is compared for the English contractions only")
        opening = next((group for group in _GROUPS if self._take(group)), None)
        if opening is None:
            self.place += 1
            if self.pattern.startswith(("?", "*"), self.place):
                self.refuse(start, "a kind of group that is not among those known to be alike")
        empty = self.alternatives()
        if not self._take(")"):
            self.refuse(start, "a group that nothing closes")
        return empty or opening in ("(?=", "(?!")

    def _repeated(self, start: int, empty: bool) -> bool:
        """Read what repeats the part that began at ``start``."""
        place = self.place
        if self._take("{"):
            self.place = place
            interval = _INTERVAL.match(self.pattern, place)
            if interval is None:
                self.refuse(place, "no {n}, {n,} or {n,m} of small numbers")
            least, most = int(interval[1]), interval[3]
            if most is not None and int(most) < least:
                self.refuse(place, "the second number is below the first")
            self.place = interval.end()
            may_be_none = least == 0
        elif self.pattern.startswith(("?", "*", "+"), place):
            may_be_none = self.pattern[place] != "+"
            self.place += 1
            _ = self._take("+") or self._take("?")
        else:
            return empty
        if empty:
            self.refuse(start, "repeats what can match an empty text")
        if self.pattern.startswith(("?", "*", "+", "{"), self.place):
            self.refuse(place, "repeated twice, which one engine reads as possessive or lazy")
        return may_be_none

    def _character_class(self) -> None:
        start = self.place
        self.place += 1
        self._take("^")
        first = self.place
        while not self.pattern.startswith("]", self.place):
            if self.place >= len(self.pattern):
                self.refuse(start, "a class that nothing closes")
            if self.pattern[self.place] == "\\":
                self._escape()
                continue
            self._plain_in_class()
            if self.pattern.startswith("-", self.place):
                self.place += 1
                self._plain_in_class()
        if self.place == first:
            self.refuse(start, "an empty class")
        self.place += 1

    def _plain_in_class(self) -> None:
        if self.pattern[self.place : self.place + 1] in ("", *"[]^&|~-\\"):
            self.refuse(self.place, "a sign that has a meaning of its own in classes of one engine")
        self.place += 1

    def _escape(self) -> None:
        start = self.place
        self.place += 1
        sign = self.pattern[self.place : self.place + 1]
        if sign in ("p", "P"):
            found = _PROPERTY.match(self.pattern, self.place)
            if found is None:
                self.refuse(start, "only general categories such as \\p{L} are known to be alike")
            self.place = found.end()
        elif sign in tuple("sSdDrnt") or sign in _ESCAPED:
            self.place += 1
        else:
            self.refuse(start, "an escape that is not among those known to be alike")

    def _take(self, text: str) -> bool:
        if self.pattern.startswith(text, self.place):
            self.place += len(text)
            return True
        return False
