"""One token for each character of the corpus: the vocabulary of most first language models.

>>> CharTokenizer.train(["banana"]).pieces("nab")
[(261, b'n'), (260, b'a'), (262, b'b')]
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hornbook.listener import SILENT, Listener
from hornbook.tokenizers.vocabulary import FIRST_BYTE_ID, VocabularyConfig, VocabularyTokenizer

ABSENT = np.uint32(0xFFFFFFFF)
"""Stands in the table for a character outside the vocabulary."""


class CharTokenizerConfig(VocabularyConfig):
    """The settings of a ``CharTokenizer``."""

    kind: Literal["char"] = "char"
    """One token for each character: a small vocabulary that anyone can read, long rows."""


class CharTokenizer(VocabularyTokenizer):
    """Each token is one code point; nothing is composed or decomposed."""

    kind: ClassVar[str] = "char"
    entry_name: ClassVar[str] = "character"

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        config: CharTokenizerConfig | None = None,
        *,
        listener: Listener = SILENT,
    ) -> CharTokenizer:
        """Take the vocabulary from the texts, read once; memory grows with characters seen.

        Raises:
            TokenizerError: the texts hold no character, or none often enough.
            ConfigError: the settings leave no room for a vocabulary.
        """
        return cls._learn(texts, config or CharTokenizerConfig(), listener)

    @staticmethod
    def _split(text: str) -> str:
        return text

    @staticmethod
    def _is_entry(text: str) -> bool:
        return len(text) == 1

    def _encode_plain(self, text: str) -> list[int]:
        return self._encode_text(text).tolist()

    def _encode_text(self, text: str) -> NDArray[np.uint32]:
        code_points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        table = self._ids_by_code_point
        ids = table[np.minimum(code_points, len(table) - 1)]
        absent = ids == ABSENT
        if not absent.any():
            return ids
        spelled = code_points[absent]
        lengths = np.ones(len(ids), dtype=np.int64)
        # The length of a character in UTF-8 grows at these three code points.
        lengths[absent] += (spelled >= 0x80).astype(np.int64) + (spelled >= 0x800)
        lengths[absent] += spelled >= 0x10000
        ids = np.repeat(ids, lengths)
        spelling = spelled.tobytes().decode("utf-32-le").encode("utf-8")
        ids[ids == ABSENT] = FIRST_BYTE_ID + np.frombuffer(spelling, dtype=np.uint8).astype("u4")
        return ids

    @cached_property
    def _ids_by_code_point(self) -> NDArray[np.uint32]:
        """The id of each code point; the last entry serves all beyond the vocabulary's highest."""
        highest = max(map(ord, self.vocabulary))
        other = ABSENT if self.unknown == "bytes" else np.uint32(0)
        table = np.full(highest + 2, other, dtype=np.uint32)
        for character, token_id in self._ids.items():
            table[ord(character)] = token_id
        return table
