"""Which tokens may come next, for every state of a walk over bytes.

All tokens of a vocabulary share one tree, laid out level by level, so that one step of all walks at
once is one look-up in a table:

    tokens a, ab, ac, b        level 1   a → state 4    b → nowhere
                               level 2   ab → state 7   ac → nowhere

What is found for a state is kept; each state of the walk is worked through once.

From every state some bytes lead to a whole text. A vocabulary without a token for each byte may
have no tokens for them; then tokens that lead to such a state are not let through either.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from hornbook.generation.byte_automaton import NOWHERE, ByteAutomaton
from hornbook.generation.vocabulary import Vocabulary

MOST_KEPT = 256
"""Masks of one text rule that are kept; each takes a byte a token."""

MOST_LOOKED_AT = 1_000
"""States that are looked through for a way to a whole text."""


class TokenTree:
    """The bytes of all tokens, one node a byte, level by level.

    Attributes:
        levels: for each level the nodes' parents, in the level above, and bytes.
        places: for every id its node, counted through all levels; 0 for an id without bytes.

    >>> tree = TokenTree((b"ab", b"b", b"a", b"ac"))
    >>> [bytes(contents) for _, contents in tree.levels], tree.places.tolist()
    ([b'ab', b'bc'], [3, 2, 1, 4])
    """

    def __init__(self, tokens: tuple[bytes, ...]) -> None:
        order = sorted(range(len(tokens)), key=tokens.__getitem__)
        lengths = np.array([len(tokens[token]) for token in order], dtype=np.int64)
        starts = lengths.cumsum() - lengths
        contents = np.frombuffer(b"".join(tokens[token] for token in order), dtype=np.uint8)
        # In this order tokens that share a beginning stand together. So a token has a node of its
        # own from where it differs from the one before.
        shares = np.arange(len(order)) > 0
        nodes = np.zeros(len(order), dtype=np.int64)
        self.levels: list[tuple[NDArray[np.int64], NDArray[np.uint8]]] = []
        self.places = np.zeros(len(order), dtype=np.int64)
        depth, count = 0, 1
        while len(longer := np.flatnonzero(lengths > depth)):
            byte = contents[starts[longer] + depth]
            other = np.where(lengths[longer - 1] > depth, starts[longer - 1] + depth, 0)
            shares[longer] &= (lengths[longer - 1] > depth) & (contents[other] == byte)
            new = ~shares[longer]
            self.levels.append((nodes[longer][new], byte[new]))
            nodes[longer] = new.cumsum() - 1
            depth += 1
            whole = longer[lengths[longer] == depth]
            self.places[np.array(order)[whole]] = count + nodes[whole]
            count += int(new.sum())


class TokenMasks:
    """The tokens that an automaton lets through, state by state.

    Args:
        automaton: which texts there are.
        vocabulary: the tokens.
        whole: whether a text must be whole in the end. Then special tokens are not let through;
            otherwise they come as the text of their names.
    """

    def __init__(self, automaton: ByteAutomaton, vocabulary: Vocabulary, *, whole: bool) -> None:
        self.automaton = automaton
        self._may_end_nowhere = whole and not vocabulary.spells_everything
        self._tree = token_tree(vocabulary)
        self._is_text = np.array([bool(token) for token in vocabulary.tokens or ()])
        if whole:
            self._is_text[list(vocabulary.special)] = False
        self._kept: OrderedDict[int, NDArray[np.bool_]] = OrderedDict()

    def mask(self, state: int) -> NDArray[np.bool_]:
        """Bool [vocab_size]: the tokens whose bytes all lead on from ``state``."""
        if state in self._kept:
            self._kept.move_to_end(state)
            return self._kept[state]
        reached = self._reached(state)
        found = reached != NOWHERE
        if self._may_end_nowhere and self._finishing is not None:
            found &= np.isin(reached, self._finishing)
        self._kept[state] = found
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return found

    def _reached(self, state: int) -> NDArray[np.int32]:
        """[vocab_size], the state behind each token, or ``NOWHERE``."""
        walks = np.array([state], dtype=np.int32)
        reached = [np.array([NOWHERE], dtype=np.int32)]  # no text leads nowhere
        for parents, contents in self._tree.levels:
            before = walks[parents]
            walks = np.full(len(parents), NOWHERE, dtype=np.int32)
            alive = np.flatnonzero(before != NOWHERE)
            from_states = before[alive]
            walks[alive] = self.automaton.steps(from_states)[from_states, contents[alive]]
            reached.append(walks)
        behind = np.concatenate(reached)[self._tree.places]
        return np.where(self._is_text, behind, np.int32(NOWHERE))

    @cached_property
    def _finishing(self) -> list[int] | None:
        """The states from which tokens lead to a whole text; ``None`` where they are too many."""
        before: dict[int, list[int]] = {0: []}
        waiting = [0]
        while waiting:
            state = waiting.pop()
            for after in np.unique(self._reached(state)).tolist():
                if after == NOWHERE:
                    continue
                if after not in before:
                    before[after] = []
                    waiting.append(after)
                before[after].append(state)
            if len(before) > MOST_LOOKED_AT:
                return None
        waiting = [state for state in before if self.automaton.complete(state)]
        found = set(waiting)
        while waiting:
            new = {state for state in before[waiting.pop()] if state not in found}
            found |= new
            waiting += new
        return sorted(found)


@lru_cache(maxsize=16)
def token_masks(automaton: ByteAutomaton, vocabulary: Vocabulary, *, whole: bool) -> TokenMasks:
    """The masks of an automaton; what was found for one text serves the next."""
    return TokenMasks(automaton, vocabulary, whole=whole)


@lru_cache(maxsize=4)
def token_tree(vocabulary: Vocabulary) -> TokenTree:
    """The tree of a vocabulary, made once."""
    return TokenTree(vocabulary.tokens or ())
