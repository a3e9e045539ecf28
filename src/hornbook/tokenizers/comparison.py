"""Several tokenizers on the same text: what each makes of it, and how fast.

    text ──> tokenizer A ──> Column: tokens, share of the vocabulary used, longest, speed
         ──> tokenizer B ──> Column: ...             the same sentence cut, and other languages

Everything is counted on the whole text; only the speed is measured on as much of it as there is
time for. A tokenizer that cannot read a text says so in its column, and the others go on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornbook.errors import TokenizerError
from hornbook.listener import SILENT, Listener
from hornbook.tokenizers.base import Tokenizer
from hornbook.tokenizers.speed import (
    BLOCK_SIZE,
    TokenizerSpeed,
    cut_into_blocks,
    first_difference,
    measure_speed,
)

LONGEST = 5
"""How many of the longest tokens are named."""
SENTENCE_LIMIT = 160
"""The most of a text that is shown as its first sentence [characters]."""

SAMPLES: Mapping[str, str] = {
    "English": "All human beings are born free and equal in dignity and rights.",
    "German": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "Russian": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "Arabic": "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق.",
    "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "Chinese": "人人生而自由，在尊严和权利上一律平等。",
    "Korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "emoji": "🙂 👩\u200d🚀 🇪🇺 👍🏽",
    "Python": "def mean(values):\n"
    "    if not values:\n"
    '        raise ValueError("no values")\n'
    "    return sum(values) / len(values)\n",
}
"""The beginning of the Universal Declaration of Human Rights in scripts of the world, and code."""


@dataclass(frozen=True, slots=True)
class TextCut:
    """One text in the tokens of one tokenizer.

    Attributes:
        bytes: the size of the text in UTF-8 [bytes].
        tokens: how many tokens it became.
        lost_at: the first byte that did not come back from decoding, or ``None`` if all did.
    """

    bytes: int
    tokens: int
    lost_at: int | None

    @property
    def bytes_per_token(self) -> float:
        """How much text one token carries on average [bytes].

        >>> TextCut(bytes=12, tokens=4, lost_at=None).bytes_per_token
        3.0
        """
        return self.bytes / self.tokens


@dataclass(frozen=True, slots=True)
class CorpusCut:
    """The text that all are compared on, in the tokens of one tokenizer.

    Attributes:
        text: its size, its tokens, and whether it comes back.
        words: how many words it has, which are what white space separates.
        used: how many different entries occur in it, special tokens not counted.
        longest: the longest entries that occur in it, longest first.
        speed: what was measured.
    """

    text: TextCut
    words: int
    used: int
    longest: tuple[bytes, ...]
    speed: TokenizerSpeed

    @property
    def tokens_per_word(self) -> float | None:
        """How many tokens a word takes on average, white space included; ``None`` without words."""
        return self.text.tokens / self.words if self.words else None

    def estimate(self, corpus_bytes: int) -> tuple[int, float]:
        """Return the tokens of a corpus like this text, and the seconds to encode it."""
        return (
            round(corpus_bytes / self.text.bytes_per_token),
            corpus_bytes / self.speed.encode_rate,
        )


@dataclass(frozen=True, slots=True)
class Column:
    """All that is known of one tokenizer.

    Attributes:
        name: what it was called by.
        kind: the family: ``byte``, ``char``, ``word`` or ``bpe``.
        vocab_size: the highest id plus one.
        entries: how many ids stand for text: special tokens and unused ids do not.
        longest: the longest entries of the vocabulary, longest first.
        corpus: the text in its tokens, or why it cannot read it.
        sentence: id and bytes of each token of the sentence, or why it cannot read it.
        samples: each sample in its tokens, or why it cannot read it, by the sample's name.
    """

    name: str
    kind: str
    vocab_size: int
    entries: int
    longest: tuple[bytes, ...]
    corpus: CorpusCut | str
    sentence: tuple[tuple[int, bytes], ...] | str
    samples: Mapping[str, TextCut | str]

    @property
    def share_used(self) -> float | None:
        """The share of the entries that occur in the text [0 to 1], if it can be read."""
        return None if isinstance(self.corpus, str) else self.corpus.used / self.entries


def compare_tokenizers(
    tokenizers: Sequence[tuple[str, Tokenizer]],
    text: str,
    sentence: str,
    samples: Mapping[str, str] = SAMPLES,
    *,
    seconds: float = 2.0,
    threads: int = 1,
    listener: Listener = SILENT,
) -> tuple[Column, ...]:
    """Make a column for each tokenizer, in their order.

    Args:
        tokenizers: the name and the tokenizer of each.
        text: what all are compared on.
        sentence: a short text, to look at how each cuts it.
        samples: short texts by their names; none may be empty.
        seconds: about how long encoding may be measured for each [seconds].
        threads: how many share the encoding while the speed is measured.
        listener: is told what is prepared.

    Raises:
        TokenizerError: the text is empty or no Unicode text, or ``threads`` is below 1.
    """
    if not text:
        raise TokenizerError("the text is empty; there is nothing to compare on")
    content = text.encode("utf-8")
    words = len(text.split())
    columns = []
    for name, tokenizer in tokenizers:
        texts = np.flatnonzero(_stands_for_text(tokenizer))
        column = Column(
            name=name,
            kind=tokenizer.kind,
            vocab_size=tokenizer.vocab_size,
            entries=len(texts),
            longest=_longest(tokenizer, texts),
            corpus=_corpus_cut(tokenizer, content, words, seconds, threads, listener),
            sentence=_pieces(tokenizer, sentence),
            samples={name: _sample_cut(tokenizer, each) for name, each in samples.items()},
        )
        columns.append(column)
    return tuple(columns)


def first_sentence(text: str, limit: int = SENTENCE_LIMIT) -> str:
    """Return the beginning of a text up to the end of a sentence, else of a word.

    A sentence is taken on to the next while it has less than a quarter of ``limit``.

    >>> first_sentence("Speak.  Resolved to die? Resolved.", limit=40)
    'Speak.  Resolved to die?'
    >>> first_sentence("  no end in sight", limit=8)
    'no end'
    """
    begun = text.strip()
    beginning = begun[: limit + 1]
    ends = [found.end() for found in re.finditer(r"[.!?](?=\s)|[。।؟！？]", beginning)]
    ends = [end for end in ends if end <= limit]
    if ends:
        return beginning[: next((end for end in ends if end >= limit // 4), ends[-1])]
    if len(begun) <= limit:
        return begun
    return re.sub(r"\s+\S*\Z", "", beginning)[:limit]


def _stands_for_text(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Whether each id stands for text: bool [vocab_size]."""
    stands = tokenizer.byte_lengths() > 0
    if tokenizer.unknown_id is not None:
        stands[tokenizer.unknown_id] = False
    return stands


def _longest(tokenizer: Tokenizer, ids: NDArray[np.int64]) -> tuple[bytes, ...]:
    """The longest of these tokens, longest first; of equally long ones the lowest ids."""
    order = np.argsort(-tokenizer.byte_lengths()[ids], kind="stable")[:LONGEST]
    return tuple(tokenizer.token_bytes(int(ids[place])) for place in order)


def _corpus_cut(
    tokenizer: Tokenizer,
    content: bytes,
    words: int,
    seconds: float,
    threads: int,
    listener: Listener,
) -> CorpusCut | str:
    try:
        tokenizer.prepare(listener)
        blocks = cut_into_blocks(content, BLOCK_SIZE)
        found = np.zeros(tokenizer.vocab_size, dtype=np.int64)
        begin, lost_at = 0, None
        for block in blocks:
            ids = tokenizer.encode_array(block)
            found += np.bincount(ids, minlength=tokenizer.vocab_size)
            if lost_at is None:
                differs = first_difference([block], [tokenizer.decode_bytes(ids)])
                lost_at = None if differs is None else begin + differs
            begin += len(block)
        used = np.flatnonzero((found > 0) & _stands_for_text(tokenizer))
        return CorpusCut(
            text=TextCut(len(content), int(found.sum()), lost_at),
            words=words,
            used=len(used),
            longest=_longest(tokenizer, used),
            speed=measure_speed(
                tokenizer, content, seconds=seconds, threads=threads, listener=listener
            ),
        )
    except TokenizerError as error:
        return str(error)


def _pieces(tokenizer: Tokenizer, sentence: str) -> tuple[tuple[int, bytes], ...] | str:
    try:
        return tuple(tokenizer.pieces(sentence))
    except TokenizerError as error:
        return str(error)


def _sample_cut(tokenizer: Tokenizer, sample: str) -> TextCut | str:
    content = sample.encode("utf-8")
    try:
        ids = tokenizer.encode_array(content)
        lost_at = first_difference([content], [tokenizer.decode_bytes(ids)])
    except TokenizerError as error:
        return str(error)
    return TextCut(len(content), len(ids), lost_at)
