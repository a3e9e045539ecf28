"""The character and word vocabularies: their order, their limits, and what is said of a cut."""

from collections import Counter

import pytest
from awkward_texts import any_text
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.errors import ConfigError, TokenizerError
from hornbook.listener import Listener
from hornbook.tokenizers import (
    CharTokenizer,
    CharTokenizerConfig,
    WordTokenizer,
    WordTokenizerConfig,
)


class Hearing(Listener):
    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


def test_the_most_frequent_come_first_and_ties_by_code_point() -> None:
    assert CharTokenizer.train(["cab", "b", "éa\n"]).vocabulary == ("a", "b", "\n", "c", "é")
    words = WordTokenizer.train(["to be or not to be, that"]).vocabulary
    assert words == (" ", "be", "to", ",", "not", "or", "that")


@settings(max_examples=200, deadline=None)
@given(texts=st.lists(any_text, max_size=5), limit=st.integers(261, 270), least=st.integers(1, 3))
def test_vocabularies_hold_what_the_counts_say(texts: list[str], limit: int, least: int) -> None:
    counts = Counter("".join(texts))
    expected = [c for c, n in sorted(counts.items(), key=lambda p: (-p[1], p[0])) if n >= least]
    config = CharTokenizerConfig(vocab_size=limit, min_frequency=least)
    if not expected:
        with pytest.raises(TokenizerError):
            CharTokenizer.train(texts, config)
        return
    tokenizer = CharTokenizer.train(iter(texts), config)
    assert list(tokenizer.vocabulary) == expected[: limit - 260]
    assert tokenizer.vocab_size <= limit


def test_a_cut_is_told_with_the_share_it_covers() -> None:
    hearing = Hearing()
    config = CharTokenizerConfig(vocab_size=6, unknown="token")
    CharTokenizer.train(["aaaaabbbcc"], config, listener=hearing)
    assert hearing.notices == [
        "the vocabulary holds 2 of 3 different characters and covers 80.00% of 10 running ones; "
        "the others are written as <?>"
    ]
    WordTokenizer.train(["a a b"], WordTokenizerConfig(min_frequency=2), listener=hearing)
    assert hearing.notices[1:] == [
        "the vocabulary holds 2 of 3 different words and covers 80.00% of 5 running ones; "
        "the others are spelled in bytes"
    ]


def test_nothing_is_said_where_nothing_is_cut() -> None:
    hearing = Hearing()
    CharTokenizer.train(["abc"], listener=hearing)
    WordTokenizer.train(["a b c"], listener=hearing)
    assert hearing.notices == []


@pytest.mark.parametrize("texts", [[], [""]])
def test_an_empty_corpus(texts: list[str]) -> None:
    for family in (CharTokenizer, WordTokenizer):
        with pytest.raises(TokenizerError, match="the corpus is empty"):
            family.train(texts)


def test_a_corpus_with_nothing_frequent_enough() -> None:
    with pytest.raises(TokenizerError, match="no word of the corpus occurs at least 3 times"):
        WordTokenizer.train(["a b"], WordTokenizerConfig(min_frequency=3))


def test_a_vocabulary_without_room_is_refused_by_training_too() -> None:
    with pytest.raises(ConfigError, match="vocab_size=260: at least 261 with unknown"):
        WordTokenizer.train(["a"], WordTokenizerConfig(vocab_size=260))


def test_unknown_words_are_spelled_in_bytes() -> None:
    tokenizer = WordTokenizer(["the", " "])
    assert tokenizer.pieces("the é") == [
        (260, b"the"), (261, b" "), (4 + 0xC3, b"\xc3"), (4 + 0xA9, b"\xa9"),
    ]  # fmt: skip
    assert WordTokenizer(["the", " "], "token").pieces("the é")[-1] == (0, b"<?>")


@pytest.mark.parametrize("entry", ["", "ab", "e\u0301", "\ud800"])
def test_what_is_no_character(entry: str) -> None:
    with pytest.raises(TokenizerError, match=r"vocabulary\[1\]"):
        CharTokenizer(["a", entry])


def test_words_of_another_unicode_load_and_lose_nothing() -> None:
    tokenizer = WordTokenizer(["two words", "a1"])
    assert tokenizer.decode(tokenizer.encode("two words a1")) == "two words a1"
    with pytest.raises(TokenizerError, match=r"vocabulary\[1\]: '' is not one word"):
        WordTokenizer(["a", ""])


def test_a_vocabulary_of_nothing_or_of_the_same_twice() -> None:
    with pytest.raises(TokenizerError, match="vocabulary is empty; it needs at least one char"):
        CharTokenizer([])
    with pytest.raises(TokenizerError, match=r"vocabulary\[1\]: 'a' stands there twice"):
        WordTokenizer(["a", "a"])
