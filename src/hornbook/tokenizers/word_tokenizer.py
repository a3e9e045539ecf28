"""One token for each word, and one for each run of what stands between words.

White space is a token like any other, so text comes back exactly; nothing is joined by guess.

>>> WordTokenizer.train(["to be or not to be"]).pieces("to be!")
[(262, b'to'), (260, b' '), (261, b'be'), (37, b'!')]
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal

from pydantic import Field

from hornbook.listener import SILENT, Listener
from hornbook.tokenizers.patterns import split_words
from hornbook.tokenizers.vocabulary import VocabularyConfig, VocabularyTokenizer


class WordTokenizerConfig(VocabularyConfig):
    """The settings of a ``WordTokenizer``."""

    kind: Literal["word"] = "word"
    """One token for each word: short rows, a large vocabulary, rare words spelled in bytes."""

    vocab_size: int = Field(default=16384, ge=0)
    """The most entries the vocabulary may have, special and byte tokens included; the most
    frequent are kept; 0 sets no limit [tokens]."""


class WordTokenizer(VocabularyTokenizer):
    """Each token is one run of letters, white space, digits or everything else.

    Letters keep their marks and an inner apostrophe: ``don't`` is one token. The split is
    ``patterns.split_words``.
    """

    kind: ClassVar[str] = "word"
    entry_name: ClassVar[str] = "word"

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        config: WordTokenizerConfig | None = None,
        *,
        listener: Listener = SILENT,
    ) -> WordTokenizer:
        """Take the vocabulary from the texts, read once; memory grows with different words.

        Raises:
            TokenizerError: the texts hold no word, or none often enough.
            ConfigError: the settings leave no room for a vocabulary.
        """
        return cls._learn(texts, config or WordTokenizerConfig(), listener)

    @staticmethod
    def _split(text: str) -> list[str]:
        return split_words(text)

    @staticmethod
    def _is_entry(text: str) -> bool:
        # Not that it splits into itself alone: a later Unicode makes letters of what was none
        # before, and a vocabulary of today must load then.
        return text != ""
