"""The smallest vocabulary that spells every text: one token for each byte of its UTF-8.

>>> ByteTokenizer().encode("Añ")
[65, 195, 177]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hornbook.errors import TokenizerError
from hornbook.listener import SILENT, Listener
from hornbook.settings import Settings
from hornbook.tokenizers.base import Tokenizer
from hornbook.tokenizers.special_tokens import END_OF_TEXT, check_special_tokens
from hornbook.tokenizers.text import content_of, corpus_texts
from hornbook.tokenizers.tokenizer_file import StoredFields

BYTES = tuple(bytes([byte]) for byte in range(256))
"""The 256 texts of one byte each, in their order."""


class ByteTokenizerConfig(Settings):
    """The settings of a ``ByteTokenizer``: it has nothing to set."""

    kind: Literal["byte"] = "byte"
    """One token for each byte: nothing to learn, long rows, every language alike."""


class ByteTokenizer(Tokenizer):
    """Ids 0 to 255 are the bytes; the special tokens follow.

    Args:
        special_tokens: their names; the first one is start, end and padding.

    Raises:
        TokenizerError: the special tokens cannot be told apart.
    """

    kind: ClassVar[str] = "byte"

    def __init__(self, special_tokens: Sequence[str] = (END_OF_TEXT,)) -> None:
        names = check_special_tokens(special_tokens)
        vars(self).update(
            special_tokens=MappingProxyType({name: 256 + i for i, name in enumerate(names)}),
            start_id=256,
            end_id=256,
            pad_id=256,
            unknown_id=None,
            _tokens=(*BYTES, *(name.encode("utf-8") for name in names)),
        )

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        config: ByteTokenizerConfig | None = None,
        *,
        listener: Listener = SILENT,
    ) -> ByteTokenizer:
        """Return the byte tokenizer, which has nothing to learn from the texts.

        Raises:
            TokenizerError: no text holds a single character, as in every other family.
        """
        next(corpus_texts(texts))
        return cls()

    def _encode_plain(self, text: str) -> list[int]:
        return list(text.encode("utf-8"))

    def _encode_any(self, text: str | bytes, threads: int = 1) -> NDArray[np.uint32]:
        return np.frombuffer(content_of(text), dtype=np.uint8).astype(np.uint32)

    def _safe_cut(self, content: bytes) -> int:
        return len(content)

    def to_json(self) -> dict[str, Any]:
        """Return the tokenizer as JSON values."""
        return {**self._header(), "special_tokens": list(self.special_tokens)}

    @classmethod
    def _from_fields(cls, fields: StoredFields) -> ByteTokenizer:
        special_tokens = fields.texts("special_tokens")
        try:
            return cls(special_tokens)
        except TokenizerError as error:
            raise fields.problem(str(error)) from None
