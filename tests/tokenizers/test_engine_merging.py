"""Merging by kernels is merging by the readable twin, whatever the merges are."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.errors import TokenizerError
from hornbook.tokenizers import BPETokenizer
from hornbook.tokenizers.bpe_reference import Pair, encode_long_word, encode_word
from tests.tokenizers.conftest import Published

pytestmark = pytest.mark.usefixtures("kernels")


def drawn(draw: random.Random, letters: bytes, count: int) -> BPETokenizer:
    """A tokenizer of random merges; many of its tokens can never be reached."""
    ids, merges = list(letters), []
    for _ in range(count):
        for _ in range(20):
            pair = draw.choice(ids), draw.choice(ids)
            try:
                BPETokenizer([*merges, pair])
            except TokenizerError:  # these bytes are a token already
                continue
            merges.append(pair)
            ids.append(255 + len(merges))
            break
    return BPETokenizer(merges)


def ranks_of(tokenizer: BPETokenizer) -> dict[Pair, int]:
    return {pair: 256 + number for number, pair in enumerate(tokenizer.merges)}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    letters=st.sampled_from(
        [b"a", b"ab", b"abc", b"abcdefgh", "éñ一".encode(), "山岳一é".encode()]
    ),
    count=st.integers(0, 40),
)
def test_random_merges(seed: int, letters: bytes, count: int) -> None:
    draw = random.Random(seed)
    tokenizer = drawn(draw, letters, count)
    tokenizer.prepare()
    ranks = ranks_of(tokenizer)
    # Each length has its way: cache of words, of phrases, short and long merging, segments.
    for length in (1, 2, 7, 15, 16, 40, 48, 49, 64, 255, 256, 600, 2048, 2049, 5000):
        word = bytes(draw.choices(letters, k=length))
        if b"\xc3" in letters:  # parts of characters are signs: keep to one pre-token
            word = "".join(draw.choices(letters.decode(), k=length)).encode()
        expected = encode_long_word(word, ranks)
        for _ in range(2):  # the second time from a cache
            assert tokenizer.encode_array(word).tolist() == expected
        if length < 100:
            assert expected == encode_word(word, ranks)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 32), letters=st.sampled_from([b"a", b"ab", b"abc"]))
def test_borders_of_segments(seed: int, letters: bytes) -> None:
    """Tokens as long as a segment and longer, and runs where every place could be a border."""
    draw = random.Random(seed)
    merges: list[Pair] = []
    last = draw.choice(letters)
    for number in range(12):  # each token twice as long as the one before: up to 4,096 bytes
        merges.append((last, last))
        last = 256 + number
    tokenizer = BPETokenizer(merges)
    tokenizer.prepare()
    for _ in range(6):
        word = b"".join(
            bytes([draw.choice(letters)]) * draw.choice([1, 2, 3, 100, 2047, 2049, 5001])
            for _ in range(6)
        )
        assert tokenizer.encode_array(word).tolist() == encode_long_word(word, ranks_of(tokenizer))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), letters=st.sampled_from(["山岳一長", "山岳한é𠀀a"]))
def test_chinese_of_which_some_is_merged_across_characters(seed: int, letters: str) -> None:
    """Most merges make characters, as in any vocabulary of use; the first join parts of two."""
    draw = random.Random(seed)
    text = "".join(draw.choices(letters, k=400)).encode()
    trained = BPETokenizer.train([text.decode()], 256 + draw.randrange(2, 40)).merges
    places = [draw.randrange(len(text) - 1) for _ in range(draw.randrange(4))]
    crossing = sorted({(text[place], text[place + 1]) for place in places} - {*trained})
    after = {number: number + len(crossing) * (number > 255) for pair in trained for number in pair}
    moved = [(after[left], after[right]) for left, right in trained]
    try:
        tokenizer = BPETokenizer([*crossing, *moved])
    except TokenizerError:  # two merges make the same bytes
        tokenizer = BPETokenizer(trained)
    tokenizer.prepare()
    for length in (2, 3, 5, 6, 20, 22, 90, 700):
        word = "".join(draw.choices(letters, k=length)).encode()
        expected = encode_long_word(word, ranks_of(tokenizer))
        for _ in range(2):  # the second time from a cache
            assert tokenizer.encode_array(word).tolist() == expected


@pytest.mark.parametrize("seed", range(6))
def test_rules_and_borders_that_tokens_are_as_long_as(seed: int) -> None:
    """A token may reach from one segment's beginning to its end, and still be a neighbour's."""
    draw = random.Random(seed)
    lengths = (1, 1, 1, 2, 3, 8, 16, 32, 48, 61, 62, 63, 64, 65, 80, 128)

    def rule() -> str:
        return "".join(draw.choice("-/*") * draw.choice(lengths) for _ in range(5))

    rules = [rule() for _ in range(30)]
    tokenizer = BPETokenizer.train(rules, 400, min_frequency=1)
    tokenizer.prepare()
    ranks = ranks_of(tokenizer)
    for text in [*rules, *(rule() for _ in range(60))]:
        assert tokenizer.encode(text) == encode_long_word(text.encode(), ranks)


def test_rules_in_published_vocabularies(vocabulary: Published) -> None:
    ours, theirs = vocabulary
    for sign in "*-=#/+":
        for length in (60, 61, 62, 63, 64, 65, 66, 128):
            for before, after in (("++/", "'"), ("/", "/"), ("//", "+"), ("", "//"), ("+-", "-+")):
                text = before + sign * length + after
                assert ours.encode(text) == theirs.encode_ordinary(text)


def test_a_change_at_the_end_that_reaches_the_beginning() -> None:
    """Pairs further right merge first, so the last sign decides about every sign before it."""
    letters = bytes(range(ord("a"), ord("z") + 1)) + bytes(range(ord("A"), ord("Z") + 1))
    chain = list(zip(letters, letters[1:], strict=False))[::-1]
    tokenizer = BPETokenizer(chain)
    tokenizer.prepare()
    ranks = ranks_of(tokenizer)
    for length in (51, 52):
        for word in (letters[:length], letters[:length] * 100, letters[-length:] * 81):
            assert tokenizer.encode_array(word).tolist() == encode_long_word(word, ranks)


def test_tokens_of_thousands_of_bytes() -> None:
    draw = random.Random(3)
    # A capital begins it, so no part of it begins anywhere else.
    word = b"A" + bytes(draw.choices(b"abcdefghijklmnopqrstuvwxyz", k=4999))
    merges, last = [], word[0]
    for number, byte in enumerate(word[1:]):
        merges.append((last, byte))
        last = 256 + number
    tokenizer = BPETokenizer(merges)
    tokenizer.prepare()
    assert tokenizer.encode_array(word).tolist() == [last]
    assert tokenizer.encode_array(word + word).tolist() == [last, last]
    cut = word[:4000] + b" " + word
    expected = [ranks_of(tokenizer)[merges[3998]], 32, last]
    assert tokenizer.encode_array(cut).tolist() == expected
    assert tokenizer.decode_bytes(tokenizer.encode_array(cut)) == cut


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_merges(count: int) -> None:
    tokenizer = BPETokenizer([(104, 101)][:count])
    tokenizer.prepare()
    text = "the theory, " * 300
    expected = text.encode().replace(b"he", b"\x01") if count else text.encode()
    ids = tokenizer.encode_array(text)
    assert [256 if i == 256 else i for i in ids.tolist()] == [
        256 if b == 1 else b for b in expected
    ]


def test_bytes_in_another_order() -> None:
    order = list(range(256))
    random.Random(8).shuffle(order)
    tokenizer = BPETokenizer([(order.index(104), order.index(101)), (32, 256)], byte_order=order)
    tokenizer.prepare()
    twin = tokenizer._encoder._twin_ids
    for text in ("the he hehe", " he" * 50, "é", ""):
        assert tokenizer.encode_array(text).tolist() == twin(text).tolist()
    everything = bytes(range(256)) * 3
    assert np.array_equal(tokenizer.encode_array(everything), twin(everything))


def test_more_ids_than_the_tables_have_room_for_go_to_the_twin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokenizer = BPETokenizer([(97, 98)])
    monkeypatch.setattr(tokenizer._encoder, "_tokens", [b"x"] * ((1 << 20) + 1))
    tokenizer.prepare()
    assert tokenizer._encoder._kernels is None
    assert tokenizer.encode("ab" * 9000) == [256] * 9000
