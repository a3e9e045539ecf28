"""How a text became tokens, step by step, as data to look at.

    text -> characters -> bytes -> pre-tokens -> one merge after another -> ids

>>> tokenizer = BPETokenizer([(104, 117), (256, 103)], pattern="words")
>>> told = explain(tokenizer, "hugs!")
>>> [piece.text for piece in told.pieces]
['hugs', '!']
>>> for merge in told.pieces[0].merges:
...     print(merge.left.content, "+", merge.right.content, "->", merge.made.token_id)
b'h' + b'u' -> 256
b'hu' + b'g' -> 257
>>> told.ids == tokenizer.encode("hugs!")
True

The merges are those of the readable twin, ``bpe_reference``, so what is shown is what happens.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from hornbook.tokenizers.base import Tokenizer
from hornbook.tokenizers.bpe import BPETokenizer
from hornbook.tokenizers.bpe_reference import Pair, merge_pair
from hornbook.tokenizers.patterns import split_words, splitter
from hornbook.tokenizers.text import check_text
from hornbook.tokenizers.word_tokenizer import WordTokenizer


@dataclass(frozen=True, slots=True)
class ExplainedCharacter:
    """One character of a text.

    Attributes:
        character: the character itself.
        code_point: its number in Unicode.
        name: its name in Unicode; control characters have none and are called by their number.
        content: its bytes in UTF-8, 1 to 4.
    """

    character: str
    code_point: int
    name: str
    content: bytes


class Token(NamedTuple):
    """A token: its id, and the bytes it stands for."""

    token_id: int
    content: bytes


@dataclass(frozen=True, slots=True)
class AppliedMerge:
    """One step inside a pre-token: a pair becomes one token wherever it stands.

    Attributes:
        left, right: the two tokens that stood side by side.
        made: the token they became. Its id is also the merge's rank: of all pairs that stand
            in a pre-token, the one that makes the lowest id is merged first.
        places: where the pair stood, from left to right, counted in tokens before this step.
    """

    left: Token
    right: Token
    made: Token
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExplainedPiece:
    """What was encoded on its own: a pre-token, a word, or a character.

    Attributes:
        text: the piece.
        merges: the merges in the order applied; only byte pair encoding has any.
        tokens: what the piece became.
    """

    text: str
    merges: tuple[AppliedMerge, ...]
    tokens: tuple[Token, ...]

    def states(self) -> Iterator[tuple[Token, ...]]:
        """Yield the tokens after each merge, in the order of ``merges``.

        >>> tokenizer = BPETokenizer([(104, 117), (256, 103)], pattern="words")
        >>> for state in explain(tokenizer, "hugs").pieces[0].states():
        ...     print(*(token.content.decode() for token in state))
        hu g s
        hug s
        """
        # Backwards from the result: what a merge made is taken apart again.
        states = [self.tokens]
        for merge in reversed(self.merges[1:]):
            states.append(_taken_apart(states[-1], merge))
        yield from reversed(states[: len(self.merges)])


@dataclass(frozen=True, slots=True)
class Explanation:
    """A text on its way to token ids.

    Attributes:
        text: the text.
        characters: each character in its order.
        piece_name: what a piece is called: ``pre-token``, ``word`` or ``character``.
        cut: how the text was cut into pieces, in a few words.
        pieces: what was encoded on its own, in its order; put end to end they are the text.
    """

    text: str
    characters: tuple[ExplainedCharacter, ...]
    piece_name: str
    cut: str
    pieces: tuple[ExplainedPiece, ...]

    @property
    def tokens(self) -> list[Token]:
        """All tokens in their order."""
        return [token for piece in self.pieces for token in piece.tokens]

    @property
    def ids(self) -> list[int]:
        """The token ids, exactly those of ``tokenizer.encode(text)``."""
        return [token.token_id for token in self.tokens]


def explain(tokenizer: Tokenizer, text: str) -> Explanation:
    """Explain how a text becomes token ids; names of special tokens in it are plain text.

    Takes far more time and memory than ``encode``: it is for texts that a person reads.

    Raises:
        TokenizerError: ``text`` is no Unicode text.
    """
    check_text(text)
    characters = tuple(map(explain_character, text))
    if isinstance(tokenizer, BPETokenizer):
        cut = f"cut by the pattern {tokenizer.pattern!r}"
        return Explanation(text, characters, "pre-token", cut, _explain_merges(tokenizer, text))
    if isinstance(tokenizer, WordTokenizer):
        name, parts = "word", split_words(text)
        cut = "cut into runs of letters, white space, digits and the rest"
    else:
        name, parts, cut = "character", list(text), "each on its own"
    pieces = [
        ExplainedPiece(part, (), tuple(map(Token._make, tokenizer.pieces(part)))) for part in parts
    ]
    return Explanation(text, characters, name, cut, tuple(pieces))


def explain_character(character: str) -> ExplainedCharacter:
    """Name one character and spell it in bytes.

    >>> told = explain_character("é")
    >>> f"U+{told.code_point:04X}", told.name, told.content.hex(" ")
    ('U+00E9', 'LATIN SMALL LETTER E WITH ACUTE', 'c3 a9')
    >>> explain_character("\\n").name
    'control character 10'
    """
    code_point = ord(character)
    kind = "control character" if unicodedata.category(character) == "Cc" else "no name:"
    name = unicodedata.name(character, f"{kind} {code_point}")
    return ExplainedCharacter(character, code_point, name, character.encode("utf-8"))


def applied_merges(ids: list[int], ranks: Mapping[Pair, int]) -> Iterator[tuple[Pair, list[int]]]:
    """Yield each merge that encoding one pre-token applies, and the ids after it.

    >>> for pair, ids in applied_merges(list(b"hugs"), {(104, 117): 256, (256, 103): 257}):
    ...     print(pair, ids)
    (104, 117) [256, 103, 115]
    (256, 103) [257, 115]
    """
    while mergeable := [pair for pair in pairwise(ids) if pair in ranks]:
        best = min(mergeable, key=ranks.__getitem__)
        ids = merge_pair(ids, best, ranks[best])
        yield best, ids


def _explain_merges(tokenizer: BPETokenizer, text: str) -> tuple[ExplainedPiece, ...]:
    ranks = {pair: 256 + number for number, pair in enumerate(tokenizer.merges)}
    id_of_byte = {byte: token_id for token_id, byte in enumerate(tokenizer.byte_order)}

    def token(token_id: int) -> Token:
        return Token(token_id, tokenizer.token_bytes(token_id))

    def explained(pre_token: str) -> ExplainedPiece:
        spelled = [id_of_byte[byte] for byte in pre_token.encode("utf-8")]
        ids, merges = spelled, list[AppliedMerge]()
        for (left, right), ids in applied_merges(spelled, ranks):
            made = ranks[left, right]
            # A merge's token is new to the piece: its id is above those of its two parts, so
            # ids only rise. Each one made before this place stood on two places.
            found = [place for place, token_id in enumerate(ids) if token_id == made]
            places = tuple(place + earlier for earlier, place in enumerate(found))
            merges.append(AppliedMerge(token(left), token(right), token(made), places))
        return ExplainedPiece(pre_token, tuple(merges), tuple(map(token, ids)))

    pre_tokens = splitter(tokenizer.pattern)(text)
    once = {pre_token: explained(pre_token) for pre_token in dict.fromkeys(pre_tokens)}
    return tuple(once[pre_token] for pre_token in pre_tokens)


def _taken_apart(tokens: tuple[Token, ...], merge: AppliedMerge) -> tuple[Token, ...]:
    parts: list[Token] = []
    for token in tokens:
        parts += (merge.left, merge.right) if token == merge.made else (token,)
    return tuple(parts)
