"""What decoding rules must know of a vocabulary: its size, what ids stand for, which one ends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from hornbook.tokenizers import Tokenizer


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The ids that a model scores.

    Attributes:
        size: how many ids.
        tokens: the bytes of every id, in their order; a special token's are those of its name, and
            an id without bytes is unused. ``None`` where no tokenizer is at hand.
        end_id: the id that ends a document, or ``None``.
        special: ids that stand for no text.
    """

    size: int
    tokens: tuple[bytes, ...] | None = None
    end_id: int | None = None
    special: frozenset[int] = frozenset()

    @cached_property
    def unused(self) -> list[int]:
        """The ids that stand for nothing."""
        return [token for token, content in enumerate(self.tokens or ()) if not content]

    @cached_property
    def spells_everything(self) -> bool:
        """Whether every byte is a token of its own, so that any text can be written."""
        return len({content for content in self.tokens or () if len(content) == 1}) == 256


@lru_cache(maxsize=4)
def vocabulary_of(tokenizer: Tokenizer) -> Vocabulary:
    """The vocabulary of a tokenizer, made once.

    >>> from hornbook.tokenizers import ByteTokenizer
    >>> vocabulary_of(ByteTokenizer()).tokens[65], vocabulary_of(ByteTokenizer()).unused
    (b'A', [])
    """
    special = frozenset(tokenizer.special_tokens.values())
    used = tokenizer.byte_lengths() > 0
    tokens = tuple(
        tokenizer.token_bytes(token) if used[token] or token in special else b""
        for token in range(tokenizer.vocab_size)
    )
    return Vocabulary(tokenizer.vocab_size, tokens, tokenizer.end_id, special)
