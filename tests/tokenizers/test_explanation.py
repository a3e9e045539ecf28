"""explain: what is shown is what encode does, step by step."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
import tiktoken
from awkward_texts import AWKWARD, CORPUS, any_text, few_letters
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.errors import TokenizerError
from hornbook.tokenizers import (
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    CharTokenizerConfig,
    Tokenizer,
    WordTokenizer,
    WordTokenizerConfig,
)
from hornbook.tokenizers.explanation import ExplainedPiece, Explanation, Token, explain
from hornbook.tokenizers.formats.gpt2_files import read_gpt2
from hornbook.tokenizers.patterns import PUBLISHED

FAMILIES: dict[str, Tokenizer] = {
    "byte": ByteTokenizer(),
    "char": CharTokenizer.train(CORPUS),
    "char, unknown": CharTokenizer.train(CORPUS, CharTokenizerConfig(unknown="token")),
    "word": WordTokenizer.train(CORPUS),
    "word, unknown": WordTokenizer.train(CORPUS, WordTokenizerConfig(unknown="token")),
    "bpe": BPETokenizer.train(CORPUS, vocab_size=320),
    "bpe, none": BPETokenizer.train(CORPUS, vocab_size=300, pattern="none"),
    "bpe, own": BPETokenizer.train(CORPUS, vocab_size=290, pattern="[a-m ]+"),
}


def assert_explains(tokenizer: Tokenizer, text: str) -> Explanation:
    told = explain(tokenizer, text)
    assert told.ids == tokenizer.encode(text)
    assert [tuple(token) for token in told.tokens] == tokenizer.pieces(text)
    assert "".join(piece.text for piece in told.pieces) == text
    assert "".join(each.character for each in told.characters) == text
    assert b"".join(each.content for each in told.characters) == text.encode("utf-8")
    return told


def replayed(piece: ExplainedPiece, byte_order: bytes) -> list[list[Token]]:
    """The tokens after each merge, from the bytes and the places alone."""
    tokens = [Token(byte_order.index(byte), bytes([byte])) for byte in piece.text.encode("utf-8")]
    states = []
    for merge in piece.merges:
        assert merge.made.content == merge.left.content + merge.right.content
        for place in reversed(merge.places):
            assert tokens[place : place + 2] == [merge.left, merge.right]
            tokens[place : place + 2] = [merge.made]
        states.append(tokens.copy())
    assert tuple(tokens) == piece.tokens
    return states


@pytest.mark.parametrize("name", FAMILIES)
@given(text=any_text)
def test_every_family_is_explained_as_it_encodes(name: str, text: str) -> None:
    assert_explains(FAMILIES[name], text)


@given(text=any_text, size=st.integers(260, 330))
def test_replayed_merges_give_the_tokens(text: str, size: int) -> None:
    tokenizer = BPETokenizer.train([text, *CORPUS], vocab_size=size)
    for piece in assert_explains(tokenizer, text).pieces:
        assert replayed(piece, tokenizer.byte_order) == [list(state) for state in piece.states()]
        ranks = [merge.made.token_id for merge in piece.merges]
        assert ranks == sorted(set(ranks)), "the lowest rank first, and none twice"


@given(text=few_letters, learned_from=st.lists(few_letters.filter(bool), min_size=1, max_size=4))
def test_runs_of_few_letters(text: str, learned_from: list[str]) -> None:
    tokenizer = BPETokenizer.train(learned_from, 280, "none", min_frequency=1)
    for piece in assert_explains(tokenizer, text).pieces:
        assert replayed(piece, tokenizer.byte_order) == [list(state) for state in piece.states()]


def test_a_pair_that_stands_twice_is_merged_in_one_step() -> None:
    tokenizer = BPETokenizer([(97, 97), (256, 256)], pattern="none")
    (piece,) = explain(tokenizer, "aaabaaaa").pieces
    first, second = piece.merges
    assert (first.made, first.places) == (Token(256, b"aa"), (0, 4, 6))
    assert (second.made, second.places) == (Token(257, b"aaaa"), (3,))
    assert [token.content for token in piece.tokens] == [b"aa", b"a", b"b", b"aaaa"]


def test_characters_are_named() -> None:
    told = explain(ByteTokenizer(), "e\u0301나🙂\n\U000e0fff")
    assert [each.name for each in told.characters] == [
        "LATIN SMALL LETTER E",
        "COMBINING ACUTE ACCENT",
        "HANGUL SYLLABLE NA",
        "SLIGHTLY SMILING FACE",
        "control character 10",
        "no name: 921599",
    ]
    assert [len(each.content) for each in told.characters] == [1, 2, 3, 4, 1, 4]
    assert [each.code_point for each in told.characters] == [*map(ord, told.text)]
    assert all(unicodedata.name(each.character, each.name) == each.name for each in told.characters)


def test_nothing_is_special_and_nothing_is_explained_twice() -> None:
    tokenizer = FAMILIES["bpe"]
    told = assert_explains(tokenizer, "<|endoftext|> the the")
    assert tokenizer.end_id not in told.ids
    assert told.pieces[-1] is told.pieces[-2]
    assert explain(tokenizer, "").pieces == ()


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(TokenizerError, match="character 1 is a lone surrogate"):
        explain(FAMILIES["bpe"], "a\ud800")


@pytest.mark.parametrize("name", FAMILIES)
def test_texts_that_tokenizers_stumble_over(name: str) -> None:
    for text in [*AWKWARD, "".join(AWKWARD), "a" * 500]:
        assert_explains(FAMILIES[name], text)


def test_gpt2_is_explained_with_the_ids_of_tiktoken(shared: Path) -> None:
    folder = shared / "vocabularies"
    ours = read_gpt2(folder / "gpt2-vocab.json", folder / "gpt2-merges.txt")
    ranks = {ours.token_bytes(token_id): token_id for token_id in range(50256)}
    theirs = tiktoken.Encoding(
        "gpt2", pat_str=PUBLISHED["gpt2"], mergeable_ranks=ranks, special_tokens={}
    )

    @settings(max_examples=60, deadline=None)
    @given(text=any_text)
    def same_ids(text: str) -> None:
        told = assert_explains(ours, text)
        assert told.ids == theirs.encode_ordinary(text)
        for piece in told.pieces:
            assert len(replayed(piece, ours.byte_order)) == len(piece.merges)

    same_ids()
    told = explain(ours, "The newest egg")
    assert [merge.made for merge in told.pieces[1].merges] == [
        (274, b"es"),
        (299, b" n"),
        (395, b"est"),
        (413, b"ew"),
        (649, b" new"),
        (15530, b" newest"),
    ]
