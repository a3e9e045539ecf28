"""What the character and the word tokenizer share: a list of texts, the most frequent first.

    id     0    1    2     3    4 ... 259        260, 261, ...
    token  <?>  <s>  </s>  <>   the 256 bytes    the vocabulary, by falling frequency

Text outside the vocabulary is spelled in the byte tokens; with ``unknown="token"`` there are no
byte tokens, the vocabulary starts at id 4, and such text becomes ``<?>``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field

from hornbook.errors import ConfigError, Problem, TokenizerError
from hornbook.listener import Listener
from hornbook.settings import Settings
from hornbook.tokenizers.base import Tokenizer
from hornbook.tokenizers.byte_tokenizer import BYTES
from hornbook.tokenizers.text import check_text, corpus_texts
from hornbook.tokenizers.tokenizer_file import StoredFields

Unknown: TypeAlias = Literal["bytes", "token"]
VocabularyFrom: TypeAlias = Literal["corpus", "training"]

UNKNOWN, START, END, PAD = "<?>", "<s>", "</s>", "<>"
SPECIAL_TOKENS = (UNKNOWN, START, END, PAD)
FIRST_BYTE_ID = len(SPECIAL_TOKENS)


class VocabularyConfig(Settings):
    """The settings of a tokenizer that keeps the most frequent texts of a corpus."""

    vocab_size: int = Field(default=0, ge=0)
    """The most entries the vocabulary may have, special and byte tokens included; the most
    frequent are kept; 0 sets no limit [tokens]."""

    min_frequency: int = Field(default=1, ge=1)
    """How often a text must occur to enter the vocabulary [occurrences]."""

    unknown: Unknown = "bytes"
    """What becomes of text outside the vocabulary: "bytes" spells it out, so that every text
    comes back exactly; "token" writes <?> and loses it."""

    vocabulary_from: VocabularyFrom = "training"
    """Which part of the corpus the vocabulary is taken from: "training" leaves the text held
    out for evaluation unseen; "corpus" takes all of it."""

    def conflicts(self) -> Iterator[Problem]:
        """Yield a problem if the vocabulary has no room for a single entry of its own."""
        reserved = reserved_ids(self.unknown)
        if 0 < self.vocab_size <= reserved:
            yield Problem(
                "vocab_size",
                f'at least {reserved + 1} with unknown="{self.unknown}" ({reserved} are special '
                "and byte tokens), or 0 for no limit",
                str(self.vocab_size),
            )


def reserved_ids(unknown: Unknown) -> int:
    """Return how many ids stand before the vocabulary.

    >>> reserved_ids("bytes"), reserved_ids("token")
    (260, 4)
    """
    return FIRST_BYTE_ID + (256 if unknown == "bytes" else 0)


def most_frequent(counts: Counter[str], limit: int | None, min_frequency: int) -> list[str]:
    """Return the texts that occur at least ``min_frequency`` times, the most frequent first.

    Equally frequent texts stand in the order of their code points; ``limit`` cuts the end off.

    >>> most_frequent(Counter("banana"), limit=2, min_frequency=1)
    ['a', 'n']
    """
    frequent = [text for text, count in counts.items() if count >= min_frequency]
    return sorted(frequent, key=lambda text: (-counts[text], text))[:limit]


class VocabularyTokenizer(Tokenizer):
    """A tokenizer whose tokens are the listed texts.

    Args:
        vocabulary: the texts in the order of their ids.
        unknown: what becomes of other text: spelled in ``"bytes"``, or the ``"token"`` ``<?>``.

    Raises:
        TokenizerError: the vocabulary is empty, holds a text twice, or one that is no entry of
            this family.
    """

    entry_name: ClassVar[str]
    """What one entry is called in messages, in the singular."""

    vocabulary: tuple[str, ...]
    unknown: Unknown
    _ids: dict[str, int]

    def __init__(self, vocabulary: Sequence[str], unknown: Unknown = "bytes") -> None:
        if unknown not in ("bytes", "token"):
            raise TokenizerError(f'unknown: "bytes" or "token", not {unknown!r}')
        if not vocabulary:
            raise TokenizerError(f"vocabulary is empty; it needs at least one {self.entry_name}")
        first = reserved_ids(unknown)
        ids: dict[str, int] = {}
        for number, entry in enumerate(vocabulary):
            check_text(entry, f"vocabulary[{number}]")
            if not self._is_entry(entry):
                raise TokenizerError(
                    f"vocabulary[{number}]: {entry!r} is not one {self.entry_name}"
                )
            if entry in ids:
                raise TokenizerError(f"vocabulary[{number}]: {entry!r} stands there twice")
            ids[entry] = first + number
        texts = (*SPECIAL_TOKENS, *vocabulary)
        tokens = [text.encode("utf-8") for text in texts]
        if unknown == "bytes":
            tokens[FIRST_BYTE_ID:FIRST_BYTE_ID] = BYTES
        vars(self).update(
            vocabulary=tuple(vocabulary),
            unknown=unknown,
            special_tokens=MappingProxyType({name: i for i, name in enumerate(SPECIAL_TOKENS)}),
            unknown_id=0,
            start_id=1,
            end_id=2,
            pad_id=3,
            _ids=ids,
            _tokens=tuple(tokens),
        )

    @staticmethod
    @abstractmethod
    def _split(text: str) -> Sequence[str]:
        """Split a text into what this family looks up."""

    @staticmethod
    @abstractmethod
    def _is_entry(text: str) -> bool:
        """Tell whether a text can be one entry of the vocabulary."""

    @classmethod
    def _learn(cls, texts: Iterable[str], config: VocabularyConfig, listener: Listener) -> Self:
        if problems := list(config.conflicts()):
            raise ConfigError(problems)
        counts: Counter[str] = Counter()
        name = cls.entry_name
        for text in corpus_texts(texts, f"counting {name}s", listener):
            counts.update(cls._split(text))
        limit = config.vocab_size - reserved_ids(config.unknown) if config.vocab_size else None
        vocabulary = most_frequent(counts, limit, config.min_frequency)
        if not vocabulary:
            raise TokenizerError(
                f"no {name} of the corpus occurs at least {config.min_frequency} times, so the "
                "vocabulary would be empty; lower min_frequency"
            )
        if len(vocabulary) < len(counts):
            running = counts.total()
            share = sum(counts[entry] for entry in vocabulary) / running
            rest = "spelled in bytes" if config.unknown == "bytes" else f"written as {UNKNOWN}"
            listener.notice(
                f"the vocabulary holds {len(vocabulary):,} of {len(counts):,} different {name}s "
                f"and covers {share:.2%} of {running:,} running ones; the others are {rest}"
            )
        return cls(vocabulary, config.unknown)

    def _encode_plain(self, text: str) -> list[int]:
        ids: list[int] = []
        for entry in self._split(text):
            token_id = self._ids.get(entry)
            if token_id is not None:
                ids.append(token_id)
            elif self.unknown == "token":
                ids.append(0)
            else:
                ids.extend(FIRST_BYTE_ID + byte for byte in entry.encode("utf-8"))
        return ids

    def to_json(self) -> dict[str, Any]:
        """Return the tokenizer as JSON values."""
        return {**self._header(), "unknown": self.unknown, "vocabulary": list(self.vocabulary)}

    @classmethod
    def _from_fields(cls, fields: StoredFields) -> Self:
        unknown, vocabulary = fields.text("unknown"), fields.texts("vocabulary")
        try:
            return cls(vocabulary, unknown)  # pyright: ignore[reportArgumentType]
        except TokenizerError as error:
            raise fields.problem(f"key {error}") from None
