"""The texts of a regular expression as a walk over bytes (Glushkov, 1961).

Every character of the expression is a place. A walk stands between two places, and what matters is
only which places may come next; as it may be in several at once, a state is a set of them:

    place        0   1   2         after 0 comes 1 or 2;  after 1 comes 1 or 2;  2 is a last one
    expression   a   b*  c
    states       {0} ─a─► {1, 2} ─b─► {1, 2} ─c─► { } complete

A character of several bytes adds the places inside it (``utf8_classes``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hornbook.errors import GenerationError
from hornbook.generation.byte_automaton import NOWHERE, ByteAutomaton
from hornbook.generation.pattern_syntax import Either, OneOf, Part, Repeat, Sequence, parse_pattern
from hornbook.generation.utf8_classes import ByteNode, byte_node

MOST_PLACES = 5_000
"""Characters of an expression, with each repetition written out."""
MOST_STATES = 50_000
"""Sets of places that one walk may meet; each takes a kilobyte."""

_Spot: TypeAlias = tuple[int, ByteNode]
"""A place, and where inside its character."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of an expression: whether it may be empty, and its first and last places."""

    may_be_empty: bool
    first: frozenset[int]
    last: frozenset[int]


_EMPTY = _Piece(True, frozenset(), frozenset())


class _Places:
    """All places of an expression, and which may follow which."""

    def __init__(self, expression: Part) -> None:
        self.characters: list[ByteNode] = []
        self.follow: list[set[int]] = []
        whole = self._piece(expression)
        self.may_be_empty, self.last = whole.may_be_empty, whole.last
        leading = self._that_lead_on()
        self.first = whole.first & leading
        for following in self.follow:
            following &= leading

    def _piece(self, part: Part) -> _Piece:
        if isinstance(part, OneOf):
            return self._place(part)
        if isinstance(part, Sequence):
            made = _EMPTY
            for inner in part.parts:
                made = self._joined(made, self._piece(inner))
            return made
        if isinstance(part, Either):
            pieces = [self._piece(inner) for inner in part.parts]
            return _Piece(
                any(piece.may_be_empty for piece in pieces),
                frozenset().union(*(piece.first for piece in pieces)),
                frozenset().union(*(piece.last for piece in pieces)),
            )
        return self._repeated(part)

    def _place(self, part: OneOf) -> _Piece:
        place = len(self.characters)
        if place >= MOST_PLACES:
            raise ValueError(
                f"has more than {MOST_PLACES:,} characters, with every repetition written out"
            )
        self.characters.append(byte_node(part.ranges))
        self.follow.append(set())
        return _Piece(False, frozenset((place,)), frozenset((place,)))

    def _joined(self, before: _Piece, after: _Piece) -> _Piece:
        for place in before.last:
            self.follow[place] |= after.first
        return _Piece(
            before.may_be_empty and after.may_be_empty,
            before.first | after.first if before.may_be_empty else before.first,
            before.last | after.last if after.may_be_empty else after.last,
        )

    def _repeated(self, part: Repeat) -> _Piece:
        """x{2,4} is x x (x (x)?)?, and x{2,} is x x+; the inner ones are made first."""
        tail, before = _EMPTY, part.least
        if part.most is None:
            tail = self._piece(part.part)
            self._joined(tail, tail)
            tail = _Piece(part.least == 0 or tail.may_be_empty, tail.first, tail.last)
            before -= 1
        for _ in range((part.most or part.least) - part.least):
            tail = self._joined(self._piece(part.part), tail)
            tail = _Piece(True, tail.first, tail.last)
        for _ in range(before):
            tail = self._joined(self._piece(part.part), tail)
        return tail

    def _that_lead_on(self) -> set[int]:
        """The places from which a last one can be reached through characters that exist."""
        before: list[list[int]] = [[] for _ in self.follow]
        for place, following in enumerate(self.follow):
            for after in following:
                before[after].append(place)
        found = {place for place in self.last if self.characters[place].edges}
        waiting = list(found)
        while waiting:
            for place in before[waiting.pop()]:
                if place not in found and self.characters[place].edges:
                    found.add(place)
                    waiting.append(place)
        return found


class PatternTexts(ByteAutomaton):
    """Exactly the texts that a regular expression matches from beginning to end.

    Raises:
        ValueError: the expression is none, promises too much, or matches no text at all.

    >>> numbers = PatternTexts(r"[1-9]\\d{0,2}|null|é+")
    >>> [numbers.holds(text) for text in ("7", "420", "007", "null", "éé", "")]
    [True, True, False, True, True, False]
    """

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self.pattern = pattern
        self._places = places = _Places(parse_pattern(pattern))
        if not places.first and not places.may_be_empty:
            raise ValueError("matches no text at all")
        self._after: dict[int, frozenset[_Spot]] = {}
        self._numbers: dict[tuple[frozenset[_Spot], bool], int] = {}
        self._states: list[tuple[frozenset[_Spot], bool]] = []
        self._number(self._spots(places.first), places.may_be_empty)

    def complete(self, state: int) -> bool:
        return self._states[state][1]

    def _steps_from(self, state: int) -> NDArray[np.int32]:
        # For each byte the edges that it takes; bytes that take the same ones lead to one state.
        taken: list[list[tuple[int, ByteNode | None]]] = [[] for _ in range(256)]
        for place, node in self._states[state][0]:
            for low, high, inside in node.edges:
                for byte in range(low, high + 1):
                    taken[byte].append((place, inside))
        row = np.full(256, NOWHERE, dtype=np.int32)
        known: dict[tuple[tuple[int, ByteNode | None], ...], int] = {}
        for byte, edges in enumerate(taken):
            if edges:
                key = tuple(edges)
                if key not in known:
                    known[key] = self._reached(edges)
                row[byte] = known[key]
        return row

    def _reached(self, edges: list[tuple[int, ByteNode | None]]) -> int:
        spots: set[_Spot] = set()
        complete = False
        for place, inside in edges:
            if inside is not None:
                spots.add((place, inside))
                continue
            if place not in self._after:
                self._after[place] = self._spots(self._places.follow[place])
            spots |= self._after[place]
            complete |= place in self._places.last
        return self._number(frozenset(spots), complete)

    def _spots(self, places: set[int] | frozenset[int]) -> frozenset[_Spot]:
        return frozenset((place, self._places.characters[place]) for place in places)

    def _number(self, spots: frozenset[_Spot], complete: bool) -> int:
        key = spots, complete
        if key not in self._numbers:
            if len(self._states) >= MOST_STATES:
                raise GenerationError(
                    f"the pattern {self.pattern!r} leads to more than {MOST_STATES:,} states; "
                    "a simpler one says less about what may stand far apart"
                )
            self._numbers[key] = len(self._states)
            self._states.append(key)
        return self._numbers[key]


@lru_cache(maxsize=32)
def pattern_texts(pattern: str) -> PatternTexts:
    """The automaton of a pattern; what it has found out is kept for the next text."""
    return PatternTexts(pattern)
