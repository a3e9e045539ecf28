"""What a text may hold, as a walk over its bytes: from state to state, until there is no way on.

            "c"      "a"      "t"                    texts that may be written: cat, can
    0 ──────► 1 ─────► 2 ─────► 3  (complete)
                       └──────► 4  (complete)        any other byte leads nowhere
                         "n"

A walk over bytes does not care where tokens begin and end, so what it forbids cannot be said by
cutting it differently. From every state that a walk can be in, some way on leads to a complete
text; so whoever only takes steps that exist never runs into a wall.

States are found when they are first reached, and each state's 256 steps are kept in one table,
so that many walks can take a step at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NOWHERE = -1
"""The step that does not exist."""


class ByteAutomaton(ABC):
    """A set of texts. Every walk starts in state 0."""

    def __init__(self) -> None:
        self._steps = np.full((16, 256), NOWHERE, dtype=np.int32)
        self._found = np.zeros(16, dtype=np.bool_)

    @abstractmethod
    def complete(self, state: int) -> bool:
        """Whether a text that leads to ``state`` is whole and may end there."""

    @abstractmethod
    def _steps_from(self, state: int) -> NDArray[np.int32]:
        """Where each of the 256 bytes leads; asked once for each state."""

    def steps(self, states: NDArray[np.int32]) -> NDArray[np.int32]:
        """The table [states, 256] of steps, in which at least the rows of ``states`` are filled."""
        self._make_room(int(states.max(initial=0)) + 1)
        for state in np.unique(states[~self._found[states]]).tolist():
            self._fill(state)
        return self._steps

    def walk(self, content: bytes, state: int = 0) -> int:
        """The state after some bytes, or ``NOWHERE``."""
        for byte in content:
            self._make_room(state + 1)
            if not self._found[state]:
                self._fill(state)
            state = int(self._steps[state, byte])
            if state == NOWHERE:
                break
        return state

    def _make_room(self, states: int) -> None:
        missing = states - len(self._found)
        if missing > 0:
            more = max(missing, len(self._found))
            self._steps = np.pad(self._steps, ((0, more), (0, 0)), constant_values=NOWHERE)
            self._found = np.pad(self._found, (0, more))

    def _fill(self, state: int) -> None:
        self._steps[state] = self._steps_from(state)
        self._found[state] = True

    def holds(self, text: str) -> bool:
        """Whether ``text`` is one of the set."""
        state = self.walk(text.encode())
        return state != NOWHERE and self.complete(state)


class ByteTree:
    """Texts that share their beginnings, one node a byte; node 0 is where all begin.

    Attributes:
        children: for each node, the node that each byte leads to.
        ends: for each node, whether a text ends there.
        last: for each text, the node where it ends.
    """

    def __init__(self, texts: Sequence[bytes]) -> None:
        self.children: list[dict[int, int]] = [{}]
        self.ends = [False]
        self.last = [self._add(text) for text in texts]

    def _add(self, text: bytes) -> int:
        node = 0
        for byte in text:
            child = self.children[node].get(byte)
            if child is None:
                child = self.children[node][byte] = len(self.children)
                self.children.append({})
                self.ends.append(False)
            node = child
        self.ends[node] = True
        return node


class AllowedTexts(ByteAutomaton):
    """Exactly the texts of a list.

    >>> AllowedTexts(["cat", "can"]).holds("can"), AllowedTexts(["cat", "can"]).holds("ca")
    (True, False)
    """

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__()
        self._tree = ByteTree([text.encode() for text in texts])

    def complete(self, state: int) -> bool:
        return self._tree.ends[state]

    def _steps_from(self, state: int) -> NDArray[np.int32]:
        row = np.full(256, NOWHERE, dtype=np.int32)
        for byte, child in self._tree.children[state].items():
            row[byte] = child
        return row


class WithoutTexts(ByteAutomaton):
    """All texts in which none of a list stands (Aho and Corasick, 1975).

    A state is the longest end of the text so far that begins one of them. A byte that does not
    go on from there goes on from the next shorter such end.

    >>> WithoutTexts(["her", "is"]).holds("the hero"), WithoutTexts(["her", "is"]).holds("the hem")
    (False, True)
    """

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__()
        tree = ByteTree([text.encode() for text in texts])
        self._children, self._barred = tree.children, tree.ends
        self._shorter = [0] * len(tree.children)
        order = [0]
        # Shorter ends first, as those of the longer are found from them.
        for node in order:
            for byte, child in self._children[node].items():
                order.append(child)
                if node:
                    shorter = self._shorter[node]
                    while shorter and byte not in self._children[shorter]:
                        shorter = self._shorter[shorter]
                    self._shorter[child] = self._children[shorter].get(byte, 0)
                self._barred[child] |= self._barred[self._shorter[child]]

    def complete(self, state: int) -> bool:
        return True

    def _steps_from(self, state: int) -> NDArray[np.int32]:
        ends = [state]
        while ends[-1]:
            ends.append(self._shorter[ends[-1]])
        row = np.zeros(256, dtype=np.int32)
        for end in reversed(ends):  # the longest has the last word
            for byte, child in self._children[end].items():
                row[byte] = NOWHERE if self._barred[child] else child
        return row
