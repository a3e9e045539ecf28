"""Rules on the text that is written, which hold whatever tokens it is made of.

    pattern    the text matches a regular expression from beginning to end
    allowed    the text is one of a list
    banned     none of a list stands in the text
    stop       none of the stop texts is complete before ``min_tokens``

Only the text that the model adds counts, as for stop texts; the prompt does not. Where ``pattern``
or ``allowed`` ask for a whole text, the end token is possible where it is whole and nowhere else.

Each row walks over the bytes of its tokens (``byte_automaton``). These rules must know which token
came, so a step waits for the device; without them it does not.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from hornbook.errors import Problem
from hornbook.generation.byte_automaton import NOWHERE, AllowedTexts, ByteAutomaton, WithoutTexts
from hornbook.generation.byte_pattern import pattern_texts
from hornbook.generation.row_rules import RowRule
from hornbook.generation.rules import IMPOSSIBLE
from hornbook.generation.sampling_config import SamplingConfig
from hornbook.generation.token_masks import TokenMasks, token_masks
from hornbook.generation.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class _Walk:
    """Where one row is: the state after its text, and how many tokens that text has."""

    masks: TokenMasks
    state: int = 0
    written: int = 0

    @property
    def is_whole(self) -> bool:
        return self.state != NOWHERE and self.masks.automaton.complete(self.state)


class TextRule(RowRule):
    """One rule on texts for all rows.

    Attributes:
        whole: whether the text must be whole in the end, and not only never wrong.
    """

    may_exhaust = True
    whole: ClassVar[bool] = True

    def __init__(
        self, vocabulary: Vocabulary, device: torch.device, configs: Sequence[SamplingConfig]
    ) -> None:
        super().__init__(vocabulary, device, configs)
        self._walks: list[_Walk | None] = [None] * len(self.configs)
        self._open = ~self._zeros(len(self.configs), torch.bool)

    @staticmethod
    @abstractmethod
    def automaton(config: SamplingConfig) -> ByteAutomaton:
        """The texts that the settings let through."""

    @classmethod
    def misfits(cls, config: SamplingConfig, vocabulary: Vocabulary) -> Iterator[Problem]:
        """Yield why no text can begin under these settings, if none can."""
        if vocabulary.tokens is None:
            yield Problem(cls.name, "needs a tokenizer, which says what ids stand for")
            return
        masks = cls._masks(config, vocabulary)
        has_end = vocabulary.end_id is not None and config.stop_at_end
        may_end = has_end and (not cls.whole or masks.automaton.complete(0))
        if not may_end and not masks.mask(0).any():
            yield Problem(
                cls.name, "leaves no token to begin with: the vocabulary cannot spell what it needs"
            )

    @classmethod
    def _masks(cls, config: SamplingConfig, vocabulary: Vocabulary) -> TokenMasks:
        return token_masks(cls.automaton(config), vocabulary, whole=cls.whole)

    def join(self, config: SamplingConfig, prompt: Sequence[int]) -> None:
        super().join(config, prompt)
        asked = self.asked_for(config)
        self._walks.append(_Walk(self._masks(config, self.vocabulary)) if asked else None)
        self._open = torch.cat((self._open, ~self._zeros(1, torch.bool)))
        self._open_up(len(self._walks) - 1)

    def select(self, rows: Sequence[int]) -> None:
        super().select(rows)
        self._walks = [self._walks[row] for row in rows]
        self._open = self._open[self._indices(rows)]

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        return torch.where(self._open, logits, IMPOSSIBLE)

    def accept(self, ids: torch.Tensor) -> None:
        tokens = self.vocabulary.tokens
        if tokens is None:
            return
        for row, token in enumerate(ids.tolist()):
            walk = self._walks[row]
            if walk is None:
                continue
            state = walk.state
            if state != NOWHERE:
                state = walk.masks.automaton.walk(tokens[token], state)
            self._walks[row] = replace(walk, state=state, written=walk.written + 1)
            self._open_up(row)

    def is_complete(self, row: int) -> bool:
        """Whether the text of a row is whole, and nothing can follow."""
        walk = self._walks[row]
        return (
            walk is not None
            and self.whole
            and walk.is_whole
            and not walk.masks.mask(walk.state).any()
            and walk.written >= self.configs[row].min_tokens
        )

    def _open_up(self, row: int) -> None:
        """Write down which tokens may come next in a row."""
        walk, end = self._walks[row], self.vocabulary.end_id
        if walk is None:
            return
        found = self._possible(walk, self.configs[row])
        if end is not None and self.configs[row].stop_at_end:
            found = found.copy()
            found[end] = walk.is_whole or not self.whole
        self._open[row] = torch.from_numpy(found)

    def _possible(self, walk: _Walk, config: SamplingConfig) -> NDArray[np.bool_]:
        if walk.state == NOWHERE:
            return np.zeros(self.vocabulary.size, dtype=np.bool_)
        return walk.masks.mask(walk.state)


class Pattern(TextRule):
    """The text matches a regular expression."""

    name = "pattern"

    @staticmethod
    def asked_for(config: SamplingConfig) -> bool:
        return bool(config.pattern)

    @staticmethod
    def automaton(config: SamplingConfig) -> ByteAutomaton:
        return pattern_texts(config.pattern)


class Allowed(TextRule):
    """The text is one of a list."""

    name = "allowed"

    @staticmethod
    def asked_for(config: SamplingConfig) -> bool:
        return bool(config.allowed)

    @staticmethod
    def automaton(config: SamplingConfig) -> ByteAutomaton:
        # Without those that are banned: a text must not begin that cannot be ended.
        without = _without_texts(config.banned)
        return _allowed_texts(tuple(filter(without.holds, config.allowed)))


class Banned(TextRule):
    """None of a list stands in the text."""

    name = "banned"
    whole = False

    @staticmethod
    def asked_for(config: SamplingConfig) -> bool:
        return bool(config.banned)

    @staticmethod
    def automaton(config: SamplingConfig) -> ByteAutomaton:
        return _without_texts(config.banned)


class NoEarlyStop(TextRule):
    """No stop text is complete before the least length."""

    name = "min_tokens"
    whole = False

    @staticmethod
    def asked_for(config: SamplingConfig) -> bool:
        return config.min_tokens > 0 and bool(config.stop)

    @staticmethod
    def automaton(config: SamplingConfig) -> ByteAutomaton:
        return _without_texts(config.stop)

    def _possible(self, walk: _Walk, config: SamplingConfig) -> NDArray[np.bool_]:
        if walk.written >= config.min_tokens:
            return np.ones(self.vocabulary.size, dtype=np.bool_)
        return super()._possible(walk, config)


@lru_cache(maxsize=16)
def _allowed_texts(texts: tuple[str, ...]) -> AllowedTexts:
    return AllowedTexts(texts)


@lru_cache(maxsize=16)
def _without_texts(texts: tuple[str, ...]) -> WithoutTexts:
    return WithoutTexts(texts)
