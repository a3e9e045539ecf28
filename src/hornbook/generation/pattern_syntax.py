"""A regular expression as a tree: the part of Python's language that says which texts are meant.

    (yes|no)!{1,3}      Sequence( Either( Sequence(y e s), Sequence(n o) ), Repeat(!, 1, 3) )

Understood: characters, ``.``, classes ``[a-z]`` and their escapes ``\\d \\w \\s``, ``|``, groups of
all three forms, ``* + ? {m,n}`` (lazy or not, the texts are the same), ``^`` and ``$`` around the
whole, and the flags ``(?ais)`` at the beginning. A text must match from its first character to its
last. What looks around, refers back or gives nothing back is refused, with its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from hornbook.generation.utf8_classes import Ranges, characters

Part: TypeAlias = "OneOf | Sequence | Either | Repeat"


@dataclass(frozen=True, slots=True)
class OneOf:
    """One character of a set."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Sequence:
    """Parts one after the other; none of them is the empty text."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of several parts."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part from ``least`` to ``most`` times; ``None`` is without end."""

    part: Part
    least: int
    most: int | None


_FLAGS = re.compile(r"\(\?([aisu]+)\)")
_GROUP = re.compile(r"\((?:\?:|\?P<\w+>|(?!\?))")
_COMMENT = re.compile(r"\(\?#[^)]*\)")
_COUNT = re.compile(r"([*+?])|\{(?:(\d+)|(\d*),(\d*))\}")
_ESCAPE = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}|0[0-7]{0,2}|[0-3][0-7]{2}|.)",
    re.DOTALL,
)
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)
_REFUSED = {
    "(?=": "which looks ahead",
    "(?!": "which looks ahead",
    "(?<=": "which looks back",
    "(?<!": "which looks back",
    "(?P=": "which refers back to a group",
    "(?(": "which depends on a group",
    "(?>": "which gives nothing back",
}


def parse_pattern(pattern: str) -> Part:
    """Read a regular expression.

    Raises:
        ValueError: it is none, or more than can be promised; says what and where.

    >>> parse_pattern("a?")
    Repeat(part=OneOf(ranges=((97, 97),)), least=0, most=1)
    """
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is no regular expression: {error}") from None
    reader = _Reader(pattern)
    try:
        return reader.whole()
    except RecursionError:
        raise ValueError("has groups within groups deeper than can be read") from None


class _Reader:
    """Reads a pattern that ``re`` understands, from left to right."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.place = 0
        self.flags = 0

    def whole(self) -> Part:
        flags = _FLAGS.match(self.pattern)
        if flags:
            self.place = flags.end()
            for letter in flags[1]:
                self.flags |= re.RegexFlag[letter.upper()]
        return self.either(outermost=True)

    def either(self, *, outermost: bool = False) -> Part:
        parts = [self.sequence(outermost=outermost)]
        while self.next_is("|"):
            self.place += 1
            parts.append(self.sequence(outermost=outermost))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def sequence(self, *, outermost: bool) -> Part:
        parts: list[Part] = []
        if outermost:
            self.skip("^", "\\A")
        while self.place < len(self.pattern) and not self.next_is("|", ")"):
            comment = _COMMENT.match(self.pattern, self.place)
            if comment:
                self.place = comment.end()
                continue
            before = self.place
            if outermost and self.skip("$", "\\Z"):
                if self.place == len(self.pattern) or self.next_is("|"):
                    break
                self.place = before
            parts.append(self.counted(self.single()))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def counted(self, part: Part) -> Part:
        count = _COUNT.match(self.pattern, self.place)
        if not count:
            return part
        self.place = count.end()
        sign, exactly, least, most = count.groups()
        if sign:
            low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        elif exactly is not None:
            low = high = int(exactly)
        else:
            low, high = int(least or 0), int(most) if most else None
        if self.next_is("+"):
            raise self.refusal("a repetition that gives nothing back")
        self.skip("?")  # lazy: the same texts, found in another order
        return Repeat(part, low, high)

    def single(self) -> Part:
        """One character, class, escape or group."""
        if self.next_is("("):
            return self.group()
        if self.next_is("^", "$", "\\b", "\\B", "\\A", "\\Z"):
            raise self.refusal("a condition on the place")
        if self.next_is("*", "+", "?"):
            raise self.refusal("a repetition of nothing")
        for form in (_ESCAPE, _CLASS):
            found = form.match(self.pattern, self.place)
            if found:
                if re.fullmatch(r"\\[1-9]", found[0]):
                    raise self.refusal("which refers back to a group")
                self.place = found.end()
                return self.one_of(found[0])
        self.place += 1
        return self.one_of(self.pattern[self.place - 1])

    def group(self) -> Part:
        opening = _GROUP.match(self.pattern, self.place)
        if not opening:
            for sign, reason in _REFUSED.items():
                if self.next_is(sign):
                    raise self.refusal(reason)
            raise self.refusal("a group of this form")
        start, self.place = self.place, opening.end()
        inside = self.either()
        assert self.next_is(")"), f"re has compiled it, and the group at {start} does not close"
        self.place += 1
        return inside

    def one_of(self, expression: str) -> Part:
        """The characters that an expression for one of them stands for."""
        sign = expression.removeprefix("\\")
        escaped = sign != expression
        stands_for_itself = len(sign) == 1 and (sign not in "." if not escaped else _is_sign(sign))
        if not stands_for_itself:
            return OneOf(characters(expression, self.flags))
        if self.flags & re.IGNORECASE:
            return OneOf(characters(re.escape(sign), self.flags))
        return OneOf(((ord(sign), ord(sign)),))

    def next_is(self, *signs: str) -> bool:
        return self.pattern.startswith(signs, self.place)

    def skip(self, *signs: str) -> bool:
        for sign in signs:
            if self.next_is(sign):
                self.place += len(sign)
                return True
        return False

    def refusal(self, reason: str) -> ValueError:
        return ValueError(
            f"cannot be followed at place {self.place} ({self.pattern[self.place :][:8]!r}), "
            f"{reason}; docs/generation.md says what is understood"
        )


def _is_sign(character: str) -> bool:
    """Whether a character behind a backslash stands for itself."""
    return not (character.isascii() and character.isalnum())
