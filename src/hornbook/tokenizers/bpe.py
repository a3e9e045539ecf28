"""Byte pair encoding: frequent stretches of bytes become tokens, and every text can be spelled.

    id     0 ... 255   256, 257, ...              then, with gaps where a publisher left some
    token  the bytes   one a merge, in order      the special tokens

The class holds the vocabulary. Where its merges come from is ``counting`` and ``bpe_training``,
how they are applied ``bpe_encoder``; what both of them mean is ``bpe_reference``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hornbook.errors import Problem, TokenizerError, VocabularyUnfinished
from hornbook.listener import SILENT, Listener
from hornbook.settings import Settings
from hornbook.tokenizers.base import Tokenizer
from hornbook.tokenizers.bpe_encoder import BPEEncoder
from hornbook.tokenizers.bpe_reference import Pair
from hornbook.tokenizers.bpe_training import learn_merges
from hornbook.tokenizers.byte_tokenizer import BYTES
from hornbook.tokenizers.counting import count_pre_tokens
from hornbook.tokenizers.counts import PreTokenCounts
from hornbook.tokenizers.patterns import PUBLISHED, safe_cut, splitter
from hornbook.tokenizers.special_tokens import (
    END_OF_TEXT,
    SpecialTokens,
    check_special_tokens,
    place_special_tokens,
)
from hornbook.tokenizers.tokenizer_file import StoredFields
from hornbook.tokenizers.vocabulary import VocabularyFrom

BYTE_ORDER = bytes(range(256))
"""Ids 0 to 255 in the order of the bytes, as in every vocabulary trained here."""

UNUSED = b""
"""What an id between special tokens stands for that no special token has."""


class BPETokenizerConfig(Settings):
    """The settings of a ``BPETokenizer``."""

    kind: Literal["bpe"] = "bpe"
    """Frequent stretches of bytes as tokens: what large language models use."""

    vocab_size: int = Field(default=4096, ge=257)
    """When to stop: the entries of the vocabulary, with its 256 bytes and the special token
    <|endoftext|> [tokens]."""

    pattern: str = "gpt2"
    """Where the text is cut before merging: "gpt2", "cl100k", "o200k", "words" (letters, white
    space, digits, the rest), "none" (each text whole; slow), or your own regular expression."""

    min_frequency: int = Field(default=2, ge=1)
    """How often two tokens must stand side by side to be merged; training ends early when no
    two do [occurrences]."""

    vocabulary_from: VocabularyFrom = "training"
    """Which part of the corpus the merges are learned from: "training" leaves the text held out
    for evaluation unseen; "corpus" takes all of it."""

    def conflicts(self) -> Iterator[Problem]:
        """Yield a problem if the pattern cannot be used."""
        try:
            splitter(self.pattern)
        except TokenizerError as error:
            yield Problem("pattern", str(error))


class BPETokenizer(Tokenizer):
    """Tokens made by merging; byte-level, so there is no unknown text.

    Args:
        merges: pairs of ids, in the order learned; merge ``i`` makes the token ``256 + i``.
        pattern: what cuts a text into pre-tokens; see ``patterns.splitter``.
        special_tokens: their names, to follow the last merge; or each name's id, anywhere after
            the last merge, where ids between them stay unused. ``<|endoftext|>`` is start, end
            and padding; without one of that name, the special token of the lowest id is.
        byte_order: the byte of each id from 0 to 255, where a published vocabulary orders them
            in its own way (GPT-2 puts the printable ones first).

    Raises:
        TokenizerError: a merge uses an id that does not exist yet, or makes bytes that another
            token already stands for; the pattern is invalid; the special tokens cannot be told
            apart or have ids that are taken; ``byte_order`` does not hold each byte once.
    """

    kind: ClassVar[str] = "bpe"

    merges: tuple[Pair, ...]
    pattern: str
    byte_order: bytes
    _encoder: BPEEncoder

    def __init__(
        self,
        merges: Iterable[Pair],
        pattern: str = "gpt2",
        special_tokens: SpecialTokens = (END_OF_TEXT,),
        byte_order: Sequence[int] = BYTE_ORDER,
    ) -> None:
        pairs = tuple((left, right) for left, right in merges)
        if sorted(byte_order) != list(range(256)):
            raise TokenizerError("byte_order must hold each number from 0 to 255 exactly once")
        special_ids = place_special_tokens(special_tokens, 256 + len(pairs))
        tokens = merged_tokens(pairs, byte_order)
        tokens += [UNUSED] * (max(special_ids.values()) + 1 - len(tokens))
        for name, token_id in special_ids.items():
            tokens[token_id] = name.encode("utf-8")
        document_end = special_ids.get(END_OF_TEXT, min(special_ids.values()))
        vars(self).update(
            merges=pairs,
            pattern=pattern,
            byte_order=bytes(byte_order),
            special_tokens=MappingProxyType(special_ids),
            start_id=document_end,
            end_id=document_end,
            pad_id=document_end,
            unknown_id=None,
            _tokens=tuple(tokens),
            _encoder=BPEEncoder(tokens[: 256 + len(pairs)], pairs, pattern, bytes(byte_order)),
        )

    @classmethod
    def train(
        cls,
        corpus: Iterable[str | bytes],
        vocab_size: int = 4096,
        pattern: str = "gpt2",
        special_tokens: Sequence[str] = (END_OF_TEXT,),
        min_frequency: int = 2,
        *,
        threads: int | None = None,
        max_memory: int | None = None,
        listener: Listener = SILENT,
    ) -> BPETokenizer:
        """Learn a vocabulary from texts, read once; memory grows with different pre-tokens.

        The same texts in any order, pieces and number of threads give the same vocabulary: the
        pair that occurs most often is merged first, and of equally frequent pairs the one with
        the greatest bytes.

        Args:
            corpus: texts, or parts of them that may be cut apart, as text or UTF-8.
            vocab_size: the entries, with 256 bytes and the special tokens.
            pattern: what cuts a text into pre-tokens; see ``patterns.splitter``.
            special_tokens: their names; text is cut at them and they are never merged.
            min_frequency: how often two tokens must stand side by side to be merged.
            threads, max_memory: see ``counting.count_pre_tokens``.

        Raises:
            TokenizerError: the texts hold no character, ``vocab_size`` has no room for the bytes
                and the special tokens, or the pattern cannot be used.
            VocabularyUnfinished: Ctrl-C while merging; carries the vocabulary so far.
        """
        _merge_count(vocab_size, check_special_tokens(special_tokens), min_frequency)
        splitter(pattern)
        counts = count_pre_tokens(
            corpus,
            pattern,
            special_tokens,
            threads=threads,
            max_memory=max_memory,
            listener=listener,
        )
        return cls.train_from_counts(
            counts, vocab_size, special_tokens, min_frequency, listener=listener
        )

    @classmethod
    def train_from_counts(
        cls,
        counts: PreTokenCounts,
        vocab_size: int = 4096,
        special_tokens: Sequence[str] | None = None,
        min_frequency: int = 2,
        *,
        listener: Listener = SILENT,
    ) -> BPETokenizer:
        """Learn a vocabulary from counted pre-tokens; see ``train``.

        Args:
            special_tokens: those at which the text was cut before it was counted, unless given.

        Raises:
            TokenizerError: as ``train``, or the text was not cut at one of the special tokens.
            VocabularyUnfinished: as ``train``.
        """
        names = check_special_tokens(special_tokens or counts.special_tokens or (END_OF_TEXT,))
        merge_count = _merge_count(vocab_size, names, min_frequency)
        if uncut := [name for name in names if name not in counts.special_tokens]:
            raise TokenizerError(
                f"the text was not cut at {', '.join(map(repr, uncut))} before it was counted, so "
                "their names may have been merged; count it again with these special tokens"
            )

        def unfinished(merges: Sequence[Pair]) -> NoReturn:
            tokenizer = cls(merges, counts.pattern, names)
            raise VocabularyUnfinished(tokenizer, vocab_size)

        merges = learn_merges(counts, merge_count, min_frequency, unfinished, listener)
        try:
            tokenizer = cls(merges, counts.pattern, names)
        except KeyboardInterrupt:  # a large vocabulary takes a second
            unfinished(merges)
        if len(merges) < merge_count:
            listener.notice(
                f"the vocabulary has {tokenizer.vocab_size:,} entries instead of {vocab_size:,}: "
                f"no two tokens stand side by side {min_frequency:,} times any more"
            )
        return tokenizer

    def _encode_plain(self, text: str) -> list[int]:
        return self._encoder.listed(text)

    def _encode_any(self, text: str | bytes, threads: int = 1) -> NDArray[np.uint32]:
        return self._encoder.ids(text, threads)

    def _encode_all(
        self, texts: Iterable[str | bytes], size: int, threads: int
    ) -> Iterator[NDArray[np.uint32]]:
        return self._encoder.ids_of_all(texts, size, threads)

    def _safe_cut(self, content: bytes) -> int:
        return safe_cut(content) if self.pattern in (*PUBLISHED, "words") else 0

    def prepare(self, listener: Listener = SILENT) -> None:
        """Bring the kernels now instead of when they are worth it; see ``bpe_encoder``."""
        self._encoder.prepare(listener)

    @property
    def _merged(self) -> tuple[bytes, ...]:
        return self._tokens[256 : 256 + len(self.merges)]

    def to_json(self) -> dict[str, Any]:
        """Return the tokenizer as JSON values; a merge is [left id, right id, what it spells]."""
        document: dict[str, Any] = {
            **self._header(),
            "pattern": self.pattern,
            "special_tokens": self._stored_special_tokens(),
            "byte_order": list(self.byte_order),
        }
        spelled = map(spelling, self._merged)
        document["merges"] = [[*p, text] for p, text in zip(self.merges, spelled, strict=True)]
        return document

    def _stored_special_tokens(self) -> list[str] | dict[str, int]:
        """Their names where they directly follow the merges, else the id of each name."""
        first, last = 256 + len(self.merges), self.vocab_size - 1
        directly = last - first + 1 == len(self.special_tokens)
        return list(self.special_tokens) if directly else dict(self.special_tokens)

    @classmethod
    def _from_fields(cls, fields: StoredFields) -> BPETokenizer:
        pattern, special_tokens = fields.text("pattern"), fields.texts_or_ids("special_tokens")
        byte_order, entries = fields.integers("byte_order"), fields.entries("merges")
        for number, entry in enumerate(entries):
            kinds = [type(value) for value in entry] if isinstance(entry, list) else None
            if kinds != [int, int, str]:
                raise fields.problem(
                    f"key 'merges'[{number}]: [left id, right id, text] is expected, not {entry!r}"
                )
        pairs = [(left, right) for left, right, _ in entries]
        try:
            tokenizer = cls(pairs, pattern, special_tokens, byte_order)
        except TokenizerError as error:
            raise fields.problem(f"key {error}") from None
        for number, (entry, token) in enumerate(zip(entries, tokenizer._merged, strict=True)):
            if entry[2] != spelling(token):
                raise fields.problem(
                    f"key 'merges'[{number}] says {entry[2]!r}, but its ids spell "
                    f"{spelling(token)!r}; the file was changed or damaged"
                )
        return tokenizer


def _merge_count(vocab_size: int, special_tokens: Sequence[str], min_frequency: int) -> int:
    """Return how many merges a vocabulary has room for.

    Raises:
        TokenizerError: it has none for the bytes and the special tokens, or ``min_frequency``
            is below 1.
    """
    taken = 256 + len(special_tokens)
    if vocab_size < taken:
        raise TokenizerError(
            f"vocab_size={vocab_size} is too small: 256 bytes and {len(special_tokens)} special "
            f"tokens need {taken}"
        )
    if min_frequency < 1:
        raise TokenizerError(f"min_frequency={min_frequency}: give 1 or more")
    return vocab_size - taken


def merged_tokens(merges: Sequence[Pair], byte_order: Sequence[int] = BYTE_ORDER) -> list[bytes]:
    """Return the bytes of the 256 byte tokens and of each merge's token, in the order of ids.

    >>> merged_tokens([(117, 103), (104, 256)])[256:]
    [b'ug', b'hug']

    Raises:
        TokenizerError: a merge uses an id not made before it, or makes known bytes again.
    """
    tokens = [BYTES[byte] for byte in byte_order]
    known = set(tokens)
    for number, (left, right) in enumerate(merges):
        new_id = 256 + number
        if not (0 <= left < new_id and 0 <= right < new_id):
            raise TokenizerError(
                f"merges[{number}]: ({left}, {right}) makes token {new_id} and may only use ids "
                f"from 0 to {new_id - 1}"
            )
        token = tokens[left] + tokens[right]
        if token in known:
            raise TokenizerError(
                f"merges[{number}]: ({left}, {right}) makes {spelling(token)!r}, which is a token "
                "already; every token stands for different bytes"
            )
        known.add(token)
        tokens.append(token)
    return tokens


def spelling(token: bytes) -> str:
    r"""Return a token as a person can read it; a byte that is no UTF-8 is written ``\xNN``.

    >>> spelling("ña".encode()), spelling("ñ".encode()[:1])
    ('ña', '\\xc3')
    """
    return token.decode("utf-8", "backslashreplace")
