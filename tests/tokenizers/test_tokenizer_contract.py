"""What holds in every family: arguments, errors, equality, and that nothing ever changes."""

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from awkward_texts import CORPUS

from hornbook import tokenizers
from hornbook.errors import TokenizerError
from hornbook.tokenizers import (
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    CharTokenizerConfig,
    Tokenizer,
    WordTokenizer,
)

FAMILIES = {
    "byte": ByteTokenizer(),
    "char": CharTokenizer.train(CORPUS),
    "char, token": CharTokenizer.train(CORPUS, CharTokenizerConfig(unknown="token")),
    "word": WordTokenizer.train(CORPUS),
    "bpe": BPETokenizer.train(CORPUS, vocab_size=290),
}
every_family = pytest.mark.parametrize("tokenizer", FAMILIES.values(), ids=FAMILIES.keys())


def test_the_public_names_of_the_room() -> None:
    assert tokenizers.__all__ == [
        "PUBLISHED_VOCABULARIES",
        "BPETokenizer",
        "BPETokenizerConfig",
        "ByteTokenizer",
        "ByteTokenizerConfig",
        "CharTokenizer",
        "CharTokenizerConfig",
        "PreTokenCounts",
        "Tokenizer",
        "TokenizerConfig",
        "WordTokenizer",
        "WordTokenizerConfig",
        "count_pre_tokens",
        "train_tokenizer",
    ]


@every_family
def test_one_text_or_a_list(tokenizer: Tokenizer) -> None:
    one, two = tokenizer.encode("the dog"), tokenizer.encode("fox")
    assert tokenizer.encode(["the dog", "fox"]) == [one, two]
    assert tokenizer.encode(("the dog",)) == [one]
    assert tokenizer.encode_batch(iter(["the dog", "fox"])) == [one, two]
    assert tokenizer.encode([]) == []
    assert tokenizer.encode("") == []
    assert tokenizer.encode_array("").shape == (0,)
    assert tokenizer.decode([]) == ""


@every_family
def test_start_and_end_only_when_asked_for(tokenizer: Tokenizer) -> None:
    plain = tokenizer.encode("the")
    assert tokenizer.encode("the", add_start=True) == [tokenizer.start_id, *plain]
    assert tokenizer.encode("the", add_end=True) == [*plain, tokenizer.end_id]
    assert tokenizer.encode("", add_start=True, add_end=True) == [
        tokenizer.start_id,
        tokenizer.end_id,
    ]


@every_family
def test_special_tokens_are_plain_text_unless_allowed(tokenizer: Tokenizer) -> None:
    for name, token_id in tokenizer.special_tokens.items():
        text = f"a{name}b"
        allowed = tokenizer.encode(text, allowed_special=[name])
        assert allowed == [*tokenizer.encode("a"), token_id, *tokenizer.encode("b")]
        assert tokenizer.encode(text, allowed_special="all") == allowed
        plain = tokenizer.encode(text, allowed_special=frozenset())
        assert plain == tokenizer.encode(text) != allowed
        assert token_id not in plain or token_id == tokenizer.unknown_id
        assert tokenizer.decode(allowed) == text
        assert tokenizer.token_bytes(token_id) == name.encode()
    with pytest.raises(TokenizerError, match=r"'<\|eot\|>' is no special token.*its special tok"):
        tokenizer.encode("a", allowed_special=["<|eot|>"])
    with pytest.raises(TokenizerError, match="not the one text '<s>'"):
        tokenizer.encode("a", allowed_special="<s>")


@every_family
def test_ids_outside_the_vocabulary_are_named(tokenizer: Tokenizer) -> None:
    size = tokenizer.vocab_size
    for wrong in (size, -1, size + 10**12, 1.5, None):
        with pytest.raises(TokenizerError, match=rf"ids\[1\]: {wrong} .* 0 to {size - 1}"):
            tokenizer.decode([0, wrong])  # pyright: ignore[reportArgumentType]
        with pytest.raises(TokenizerError, match="no token id"):
            tokenizer.token_bytes(wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TokenizerError, match=r"ids of the shape \[2, 2\]"):
        tokenizer.decode(np.zeros((2, 2), dtype=np.int64))


@every_family
def test_what_is_no_text_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="not bytes; decode it first"):
        tokenizer.encode(b"abc")  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(TokenizerError, match="text 1: a text is expected, not int"):
        tokenizer.encode(["a", 7])  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(TokenizerError, match="one text goes to encode"):
        tokenizer.encode_batch("abc")


def test_bytes_that_are_no_text() -> None:
    tokenizer = ByteTokenizer()
    cut = [ord("a"), *"é".encode()[:1]]
    assert tokenizer.decode(cut) == "a\ufffd"
    assert tokenizer.decode(cut, errors="ignore") == "a"
    assert tokenizer.decode(cut, errors="backslashreplace") == "a\\xc3"
    assert tokenizer.decode_bytes(cut) == b"a\xc3"
    with pytest.raises(TokenizerError, match="byte 1 is 0xc3"):
        tokenizer.decode(cut, errors="strict")


@every_family
def test_byte_lengths(tokenizer: Tokenizer) -> None:
    lengths = tokenizer.byte_lengths()
    assert lengths.dtype == np.int64
    assert lengths.shape == (tokenizer.vocab_size,)
    special = set(tokenizer.special_tokens.values())
    for token_id in range(tokenizer.vocab_size):
        silent = token_id in special and token_id != tokenizer.unknown_id
        assert lengths[token_id] == (0 if silent else len(tokenizer.token_bytes(token_id)))
    if tokenizer.unknown_id is not None:
        assert lengths[tokenizer.unknown_id] == 3


@every_family
def test_nothing_ever_changes(tokenizer: Tokenizer) -> None:
    with pytest.raises(AttributeError, match="never changes"):
        tokenizer.start_id = 7
    with pytest.raises(AttributeError, match="never changes"):
        del tokenizer.start_id
    with pytest.raises(TypeError):
        tokenizer.special_tokens["<new>"] = 1  # pyright: ignore[reportIndexIssue]
    with pytest.raises(ValueError, match="read-only"):
        tokenizer.byte_lengths()[0] = 9
    before = tokenizer.fingerprint
    tokenizer.to_json().clear()
    assert type(tokenizer).from_json(tokenizer.to_json()).fingerprint == before


@every_family
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))]
)
def test_copies_are_equal_and_whole(
    tokenizer: Tokenizer, copied: Callable[[Tokenizer], Tokenizer]
) -> None:
    tokenizer.encode("the dog")  # fills the caches, which must not travel
    twin = copied(tokenizer)
    assert type(twin) is type(tokenizer)
    assert twin == tokenizer
    assert hash(twin) == hash(tokenizer)
    assert twin.encode("the dog") == tokenizer.encode("the dog")
    assert repr(twin) == repr(tokenizer)


def test_families_differ() -> None:
    assert len({tokenizer.fingerprint for tokenizer in FAMILIES.values()}) == len(FAMILIES)
    assert len(set(FAMILIES.values())) == len(FAMILIES)
    assert FAMILIES["byte"] != "byte"


def test_layout_of_ids() -> None:
    byte = ByteTokenizer()
    assert dict(byte.special_tokens) == {"<|endoftext|>": 256}
    assert (byte.start_id, byte.end_id, byte.pad_id, byte.unknown_id) == (256, 256, 256, None)
    assert [byte.token_bytes(i) for i in range(256)] == [bytes([i]) for i in range(256)]
    char = CharTokenizer(["e", "t"])
    assert dict(char.special_tokens) == {"<?>": 0, "<s>": 1, "</s>": 2, "<>": 3}
    assert (char.unknown_id, char.start_id, char.end_id, char.pad_id) == (0, 1, 2, 3)
    assert [char.token_bytes(4 + i) for i in range(256)] == [bytes([i]) for i in range(256)]
    assert char.encode("te") == [261, 260]
    assert CharTokenizer(["e", "t"], "token").encode("tea") == [5, 4, 0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "is empty"),
        ([""], "is empty"),
        (["<a>", "<a>"], "cannot be told apart"),
        (["<a>", "x<a>"], "cannot be told apart"),
        (["\ud800"], "lone surrogate"),
        ("<a>", "not the one text"),
    ],
)
def test_special_tokens_that_cannot_be(names: list[str], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        ByteTokenizer(names)
    with pytest.raises(TokenizerError, match=message):
        BPETokenizer([], special_tokens=names)


def test_several_special_tokens() -> None:
    tokenizer = BPETokenizer([(97, 98)], special_tokens=["<|end|>", "<|user|>"])
    assert dict(tokenizer.special_tokens) == {"<|end|>": 257, "<|user|>": 258}
    assert tokenizer.encode("ab<|user|>ab<|end|>", allowed_special="all") == [256, 258, 256, 257]
    assert 258 not in tokenizer.encode("ab<|user|>", allowed_special=["<|end|>"])
