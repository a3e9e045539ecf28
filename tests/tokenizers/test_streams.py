"""Text in pieces: put together again without loss, cut only where it is safe, in linear time."""

import random

import pytest
from awkward_texts import CORPUS, any_text
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.errors import TokenizerError
from hornbook.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, Tokenizer, WordTokenizer
from hornbook.tokenizers.patterns import NAMES, safe_cut, splitter
from hornbook.tokenizers.streams import usable_cores, whole_blocks

pieces_of_text = st.lists(any_text, max_size=12)


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(st.binary(max_size=30), max_size=20), block=st.integers(1, 50))
def test_blocks_are_the_same_bytes(pieces: list[bytes], block: int) -> None:
    blocks = list(whole_blocks(iter(pieces), lambda text: max(text.rfind(b"a"), 0), block))
    assert b"".join(blocks) == b"".join(pieces)
    assert b"" not in blocks
    assert all(later.startswith(b"a") for later in blocks[1:])


def test_a_place_to_cut_is_not_looked_for_again_and_again() -> None:
    asked: list[int] = []

    def nowhere(text: bytes) -> int:
        asked.append(len(text))
        return 0

    assert list(whole_blocks([b"x"] * 5000, nowhere, block=10)) == [b"x" * 5000]
    assert asked == [10 << number for number in range(9)]


def test_nothing_is_held_back_longer_than_needed() -> None:
    taken = 0

    def pieces():
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield b"ab c"

    blocks = whole_blocks(pieces(), safe_cut, block=64)
    next(blocks)
    assert taken == 16


@pytest.mark.parametrize("pattern", [name for name in NAMES if name != "none"])
@settings(max_examples=400, deadline=None)
@given(pieces=pieces_of_text, more=any_text)
def test_every_named_pattern_cuts_where_it_is_safe(
    pattern: str, pieces: list[str], more: str
) -> None:
    split = splitter(pattern)
    content = "".join(pieces).encode()
    cut = safe_cut(content)
    assert 0 <= cut <= max(len(content) - 4, 0)
    left, right = (
        part.decode("utf-8", "surrogateescape") for part in (content[:cut], content[cut:])
    )
    assert split(left + right + more) == split(left) + split(right + more)


def test_a_long_text_without_a_place_to_cut() -> None:
    for sign in (b"a", b" ", b"\xff", "語".encode(), "\u0301".encode()):
        assert safe_cut(sign * 100_000) == 0
    assert safe_cut(b"a b" + b"c" * 100_000) == 1


FAMILIES: list[Tokenizer] = [
    ByteTokenizer(),
    CharTokenizer.train(CORPUS),
    WordTokenizer.train(CORPUS),
    *(BPETokenizer.train(CORPUS, 300, pattern) for pattern in (*NAMES, r"\w+")),
]


@pytest.mark.parametrize("tokenizer", FAMILIES, ids=lambda tokenizer: tokenizer.kind)
@settings(max_examples=100, deadline=None)
@given(pieces=pieces_of_text, as_bytes=st.booleans(), seed=st.integers(0, 9))
def test_every_family_encodes_pieces_as_the_whole(
    tokenizer: Tokenizer, pieces: list[str], as_bytes: bool, seed: int
) -> None:
    whole = "".join(pieces)
    given_pieces: list[str | bytes] = list(pieces)
    if as_bytes:  # cut anywhere, inside of characters too
        content, draw = whole.encode(), random.Random(seed)
        places = sorted(draw.randint(0, len(content)) for _ in range(6))
        bounds = zip([0, *places], [*places, len(content)], strict=True)
        given_pieces = [content[begin:end] for begin, end in bounds]
    arrays = list(tokenizer.encode_stream(iter(given_pieces)))
    assert [token_id for ids in arrays for token_id in ids.tolist()] == tokenizer.encode(whole)
    assert tokenizer.count(whole) == sum(map(len, arrays))


def test_a_piece_that_is_no_text() -> None:
    for tokenizer in FAMILIES:
        with pytest.raises(TokenizerError, match="piece 1: a text is expected, not int"):
            list(tokenizer.encode_stream(["fine", 3]))  # type: ignore[list-item]
        with pytest.raises(TokenizerError, match="piece 2: character 1 is a lone surrogate"):
            list(tokenizer.encode_stream(["fine", b"fine", "a\ud800"]))


def test_bytes_that_are_no_text() -> None:
    content = b"fine \xff\xfe"
    for tokenizer in FAMILIES:
        if tokenizer.kind in ("byte", "bpe"):
            ids = [i for array in tokenizer.encode_stream([content]) for i in array.tolist()]
            assert ids == tokenizer.encode_bytes(content)
            assert tokenizer.decode_bytes(ids) == content
        else:
            with pytest.raises(TokenizerError, match=r"byte 5 is 0xff.*reads text only"):
                list(tokenizer.encode_stream([content]))


def test_cores() -> None:
    assert usable_cores() >= 1
