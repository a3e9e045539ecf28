"""decode(encode(x)) == x for every Unicode text, in every family, by every way in and out."""

import numpy as np
import pytest
from awkward_texts import CORPUS, any_text
from hypothesis import given, settings

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
from hornbook.tokenizers.patterns import split_words

PATTERNS = ["gpt2", "cl100k", "o200k", "words", "none", r"[a-z]+|(\d)"]
EXACT = {
    "byte": ByteTokenizer(),
    "char": CharTokenizer.train(CORPUS),
    "char, small": CharTokenizer.train(CORPUS, CharTokenizerConfig(vocab_size=265)),
    "word": WordTokenizer.train(CORPUS),
    "word, small": WordTokenizer.train(CORPUS, WordTokenizerConfig(min_frequency=2)),
    **{
        f"bpe, {pattern}": BPETokenizer.train(CORPUS, vocab_size=300, pattern=pattern)
        for pattern in PATTERNS
    },
}
LOSSY = {
    "char": CharTokenizer.train(CORPUS, CharTokenizerConfig(vocab_size=20, unknown="token")),
    "word": WordTokenizer.train(CORPUS, WordTokenizerConfig(vocab_size=20, unknown="token")),
}


@pytest.mark.parametrize("tokenizer", EXACT.values(), ids=EXACT.keys())
@settings(max_examples=150, deadline=None)
@given(text=any_text)
def test_every_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode_bytes(ids) == text.encode()
    array = tokenizer.encode_array(text)
    assert array.dtype == np.uint32
    assert array.tolist() == ids
    assert tokenizer.decode(array) == text
    assert [token_id for token_id, _ in tokenizer.pieces(text)] == ids
    assert b"".join(piece for _, piece in tokenizer.pieces(text)) == text.encode()
    assert tokenizer.byte_lengths()[ids].sum() == len(text.encode())
    assert not set(ids) & set(tokenizer.special_tokens.values())


@pytest.mark.parametrize("tokenizer", EXACT.values(), ids=EXACT.keys())
@settings(max_examples=50, deadline=None)
@given(text=any_text)
def test_allowed_special_tokens_still_round_trip(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text, allowed_special="all", add_start=True, add_end=True)
    assert ids[0] == tokenizer.start_id
    assert ids[-1] == tokenizer.end_id
    assert tokenizer.decode(ids[1:-1]) == text
    found = sum(token_id in tokenizer.special_tokens.values() for token_id in ids[1:-1])
    assert found == sum(text.count(name) for name in tokenizer.special_tokens)


@settings(max_examples=200, deadline=None)
@given(text=any_text)
def test_unknown_characters_become_one_token_each(text: str) -> None:
    tokenizer = LOSSY["char"]
    known = set(tokenizer.to_json()["vocabulary"])
    assert tokenizer.decode(tokenizer.encode(text)) == "".join(
        character if character in known else "<?>" for character in text
    )
    assert len(tokenizer.encode(text)) == len(text)


@settings(max_examples=200, deadline=None)
@given(text=any_text)
def test_unknown_words_become_one_token_each(text: str) -> None:
    tokenizer = LOSSY["word"]
    known = set(tokenizer.to_json()["vocabulary"])
    words = split_words(text)
    assert tokenizer.decode(tokenizer.encode(text)) == "".join(
        word if word in known else "<?>" for word in words
    )


@pytest.mark.parametrize("tokenizer", EXACT.values(), ids=EXACT.keys())
def test_a_lone_surrogate_is_refused_by_its_position(tokenizer: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match=r"character 2 is a lone surrogate \(U\+D800\)"):
        tokenizer.encode("ab\ud800")
    with pytest.raises(TokenizerError, match=r"character 0 is a lone surrogate \(U\+DFFF\)"):
        tokenizer.encode_array("\udfff")
    with pytest.raises(TokenizerError, match="text 1: character 0"):
        tokenizer.encode(["fine", "\udfff"])
