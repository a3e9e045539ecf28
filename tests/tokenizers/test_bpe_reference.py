"""The reference against the textbook, and its properties on corpora made to be difficult."""

from collections import Counter
from itertools import pairwise

import pytest
from awkward_texts import few_letters
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.errors import TokenizerError
from hornbook.tokenizers.bpe import merged_tokens
from hornbook.tokenizers.bpe_reference import (
    count_pre_tokens,
    encode_long_word,
    encode_word,
    learn_merges,
    merge_pair,
    merge_word,
    mirrored,
)

corpora = st.one_of(
    st.dictionaries(few_letters.map(str.encode), st.integers(1, 4), max_size=8),
    st.dictionaries(st.binary(max_size=12), st.integers(1, 4), max_size=8),
    st.dictionaries(st.text("a", max_size=14).map(str.encode), st.integers(1, 3), max_size=5),
)


def textbook_merges(
    pre_tokens: dict[bytes, int], merge_count: int, min_frequency: int
) -> list[tuple[int, int]]:
    """Byte pair encoding in a few lines: count every pair anew before every merge."""
    words = [(list(word), count) for word, count in pre_tokens.items()]
    tokens = [bytes([byte]) for byte in range(256)]
    merges: list[tuple[int, int]] = []
    while len(merges) < merge_count:
        pairs: Counter[tuple[int, int]] = Counter()
        for word, count in words:
            for pair in pairwise(word):
                pairs[pair] += count
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], tokens[pair[0]], tokens[pair[1]]))
        if pairs[best] < min_frequency:
            break
        words = [(textbook_merge(word, best, len(tokens)), count) for word, count in words]
        tokens.append(tokens[best[0]] + tokens[best[1]])
        merges.append(best)
    return merges


def textbook_merge(word: list[int], pair: tuple[int, int], new_id: int) -> list[int]:
    if len(word) < 2:
        return word
    if (word[0], word[1]) == pair:
        return [new_id, *textbook_merge(word[2:], pair, new_id)]
    return [word[0], *textbook_merge(word[1:], pair, new_id)]


@settings(max_examples=600, deadline=None)
@given(pre_tokens=corpora, merge_count=st.integers(0, 40), min_frequency=st.integers(1, 4))
def test_incremental_training_equals_the_textbook(
    pre_tokens: dict[bytes, int], merge_count: int, min_frequency: int
) -> None:
    expected = textbook_merges(pre_tokens, merge_count, min_frequency)
    assert learn_merges(pre_tokens, merge_count, min_frequency) == expected


@settings(max_examples=400, deadline=None)
@given(pre_tokens=corpora)
def test_training_never_makes_the_same_bytes_twice(pre_tokens: dict[bytes, int]) -> None:
    tokens = merged_tokens(learn_merges(pre_tokens, 200, min_frequency=1))
    assert len(set(tokens)) == len(tokens)


@settings(max_examples=200, deadline=None)
@given(pre_tokens=corpora, seed=st.randoms(use_true_random=False))
def test_the_order_of_the_corpus_does_not_matter(pre_tokens: dict[bytes, int], seed) -> None:
    shuffled = list(pre_tokens.items())
    seed.shuffle(shuffled)
    assert learn_merges(dict(shuffled), 30, 1) == learn_merges(pre_tokens, 30, 1)


@settings(max_examples=300, deadline=None)
@given(pre_tokens=corpora, words=st.lists(few_letters.map(str.encode), max_size=4))
def test_encoding_replays_the_merges(pre_tokens: dict[bytes, int], words: list[bytes]) -> None:
    merges = learn_merges(pre_tokens, 40, min_frequency=1)
    ranks = {pair: 256 + number for number, pair in enumerate(merges)}
    tokens = merged_tokens(merges)
    for word in [*words, *pre_tokens]:
        replayed = list(word)
        for pair, new_id in ranks.items():
            replayed = merge_pair(replayed, pair, new_id)
        assert encode_word(word, ranks) == replayed
        assert encode_long_word(word, ranks) == replayed
        assert b"".join(tokens[token_id] for token_id in replayed) == word


@settings(max_examples=300, deadline=None)
@given(word=st.lists(st.integers(97, 99), max_size=12), pair=st.tuples(*[st.integers(97, 99)] * 2))
def test_a_merge_returns_what_it_changed(word: list[int], pair: tuple[int, int]) -> None:
    merged, changes = merge_word(word, pair, 256)
    assert merged == textbook_merge(word, pair, 256)
    counts = Counter(pairwise(word))
    counts.update(changes)
    assert +counts == Counter(pairwise(merged))
    assert 0 not in changes.values()
    assert min(counts.values(), default=0) >= 0
    assert all(256 in changed for changed, change in changes.items() if change > 0)


@given(tokens=st.lists(st.binary(min_size=1, max_size=5)))
def test_mirrored_bytes_sort_backwards(tokens: list[bytes]) -> None:
    assert sorted(tokens, key=mirrored) == sorted(tokens, reverse=True)


def test_ties_go_to_the_greatest_bytes() -> None:
    assert learn_merges({b"ab": 2, b"cd": 2, b"ce": 2}, 3) == [(99, 101), (99, 100), (97, 98)]
    # "b" is greater than "ab" though its id is smaller: bytes decide, not ids.
    merges = learn_merges({b"abxy": 3, b"bx": 1, b"ab": 9}, 3, min_frequency=3)
    assert merges == [(97, 98), (120, 121), (256, 257)]


def test_a_pair_must_be_frequent_enough() -> None:
    assert learn_merges({b"ab": 2, b"bc": 1}, 10, min_frequency=2) == [(97, 98)]
    assert learn_merges({b"ab": 2, b"bc": 1}, 10, min_frequency=3) == []
    assert learn_merges({b"aaa": 1}, 10, min_frequency=2) == [(97, 97)]
    assert learn_merges({}, 10) == []


def test_a_long_word_takes_no_quadratic_time() -> None:
    ranks = {(97, 97): 256, (256, 256): 257, (257, 257): 258}
    assert encode_long_word(b"a" * 200_007, ranks) == [258] * 25_000 + [257, 256, 97]


def test_a_corpus_that_is_no_text_is_named() -> None:
    with pytest.raises(TokenizerError, match="text 1 of the corpus: character 1 is a lone surr"):
        count_pre_tokens(["fine", "a\ud800"], str.split)
