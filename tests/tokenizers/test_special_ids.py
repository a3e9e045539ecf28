"""Special tokens at ids of their own: gaps, the file's two forms, and ids that cannot be."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from awkward_texts import any_text
from hypothesis import given
from hypothesis import strategies as st

from hornbook.errors import TokenizerError
from hornbook.tokenizers import BPETokenizer, Tokenizer
from hornbook.tokenizers.special_tokens import LAST_SPECIAL_ID

MERGES = [(117, 103), (104, 256)]
FIRST = 256 + len(MERGES)

special_ids = st.dictionaries(
    st.sampled_from(["<|endoftext|>", "<|fim_prefix|>", "<|pad|>", "<é>", "[語]"]),
    st.integers(FIRST, FIRST + 40),
    min_size=1,
).filter(lambda ids: len(set(ids.values())) == len(ids))


@given(ids=special_ids, text=any_text)
def test_special_tokens_stand_at_their_ids(ids: dict[str, int], text: str) -> None:
    tokenizer = BPETokenizer(MERGES, "words", ids)
    assert tokenizer.special_tokens == ids
    assert list(tokenizer.special_tokens.values()) == sorted(ids.values())
    assert tokenizer.vocab_size == max(ids.values()) + 1
    lowest = min(ids, key=lambda name: ids[name])
    end = ids.get("<|endoftext|>", ids[lowest])
    assert tokenizer.start_id == tokenizer.end_id == tokenizer.pad_id == end
    marked = text + "".join(ids) + text
    found = tokenizer.encode(marked, allowed_special="all")
    assert tokenizer.decode(found) == marked
    names = re.findall("|".join(map(re.escape, ids)), marked)
    assert [token_id for token_id in found if token_id >= FIRST] == [ids[name] for name in names]
    assert tokenizer.decode(tokenizer.encode(marked)) == marked
    assert all(token_id < FIRST for token_id in tokenizer.encode(marked))
    for name, token_id in ids.items():
        assert tokenizer.encode(name, allowed_special=(name,)) == [token_id]
        assert tokenizer.token_bytes(token_id) == name.encode()


@given(ids=special_ids)
def test_unused_ids_stand_for_nothing(ids: dict[str, int]) -> None:
    tokenizer = BPETokenizer(MERGES, "words", ids)
    unused = set(range(FIRST, tokenizer.vocab_size)) - set(ids.values())
    lengths = tokenizer.byte_lengths()
    assert lengths.shape == (tokenizer.vocab_size,)
    assert not lengths[FIRST:].any()
    for token_id in unused:
        with pytest.raises(TokenizerError, match=rf"id {token_id} is unused in this vocabulary"):
            tokenizer.token_bytes(token_id)
        for row in ([97, token_id, 98], np.array([97, token_id], dtype=np.uint32)):
            with pytest.raises(TokenizerError, match=rf"ids\[1\]: id {token_id} is unused"):
                tokenizer.decode(row)


@given(ids=special_ids)
def test_the_file_keeps_every_id(ids: dict[str, int]) -> None:
    tokenizer = BPETokenizer(MERGES, "words", ids)
    again = Tokenizer.from_json(tokenizer.to_json())
    assert again == tokenizer
    assert again.special_tokens == tokenizer.special_tokens
    backwards = BPETokenizer(MERGES, "words", dict(reversed(ids.items())))
    assert backwards.fingerprint == tokenizer.fingerprint


def test_the_form_of_the_file_is_the_old_one_where_ids_follow_the_merges(tmp_path: Path) -> None:
    """Files and fingerprints of older runs stay as they are."""
    listed = BPETokenizer(MERGES, "words", ["<|endoftext|>", "<|pad|>"])
    mapped = BPETokenizer(MERGES, "words", {"<|pad|>": FIRST + 1, "<|endoftext|>": FIRST})
    assert listed == mapped
    assert listed.to_json()["special_tokens"] == ["<|endoftext|>", "<|pad|>"]
    apart = BPETokenizer(MERGES, "words", {"<|pad|>": FIRST + 1})
    assert apart.to_json()["special_tokens"] == {"<|pad|>": FIRST + 1}
    apart.save(tmp_path)
    assert Tokenizer.load(tmp_path) == apart
    assert f'{{"<|pad|>": {FIRST + 1}}}' in (tmp_path / "tokenizer.json").read_text()


@pytest.mark.parametrize(
    ("special_tokens", "message"),
    [
        ({"<a>": FIRST - 1}, rf"\['<a>'\]: id {FIRST - 1} is not from {FIRST}"),
        ({"<a>": 0}, "id 0 is not from"),
        ({"<a>": -1}, "id -1 is not from"),
        ({"<a>": LAST_SPECIAL_ID + 1}, f"to {LAST_SPECIAL_ID}"),
        ({"<a>": 10**30}, "is not from"),
        ({"<a>": 300, "<b>": 300}, r"\['<b>'\]: id 300 is that of '<a>' already"),
        ({"<a>": True}, "a whole number, not True"),
        ({"<a>": 300.0}, "a whole number, not 300.0"),
        ({"<a>": "300"}, "a whole number, not '300'"),
        ({"<a>": None}, "a whole number, not None"),
        ({"": 300}, "is empty; give it a name"),
        ({"<a": 300, "<a>": 301}, "cannot be told apart"),
        ({7: 300}, "a text is expected, not int"),
        ({}, "special_tokens is empty"),
    ],
)
def test_ids_that_cannot_be(special_tokens: Any, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        BPETokenizer(MERGES, "words", special_tokens)


@pytest.mark.parametrize(
    ("special_tokens", "message"),
    [
        ({"<a>": "300"}, r"key 'special_tokens'\['<a>'\]: a whole number, not '300'"),
        ({"<a>": True}, r"key 'special_tokens'\['<a>'\]: a whole number, not True"),
        ({"<a>": 5}, r"key special_tokens\['<a>'\]: id 5 is not from"),
        ({}, "key special_tokens is empty"),
        ("<a>", "key 'special_tokens': a list is expected"),
    ],
)
def test_a_file_with_ids_that_cannot_be(special_tokens: Any, message: str) -> None:
    document = BPETokenizer(MERGES, "words").to_json() | {"special_tokens": special_tokens}
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.from_json(document)
