"""The ids of the kernels are tiktoken's, on real texts and on made-up ones of every kind."""

import random
from pathlib import Path

import numpy as np
import pytest
import tiktoken
from awkward_texts import AWKWARD, any_text
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.tokenizers import BPETokenizer

Published = tuple[BPETokenizer, tiktoken.Encoding]

CORPORA = [
    "akjv.txt",
    "books.txt",
    "chinese-poetry.jsonl.txt",
    "the-verdict.txt",
    "tinyshakespeare.txt",
    "verses-46-languages.xml.txt",
]
WHOLE = 5 << 20
"""Longer corpora are compared in parts, for tiktoken takes a second for 10 MB [bytes]."""

scripts = st.lists(
    st.one_of(
        st.sampled_from(AWKWARD),
        st.text(max_size=9),
        st.text("abcdefghijklmnopqrstuvwxyzABC", min_size=10, max_size=60),
        st.text("一二三四五六七八九十语言", max_size=30),
        st.integers(0, 10**12).map(str),
    ),
    max_size=25,
).map("".join)


def assert_same_ids(vocabulary: Published, text: str) -> None:
    ours, theirs = vocabulary
    expected = np.array(theirs.encode_ordinary(text))
    ids = ours.encode_array(text)
    assert ids.dtype == np.uint32
    if not np.array_equal(ids, expected):
        place = int(np.argmin(ids[: len(expected)] == expected[: len(ids)]))
        begin = len(theirs.decode_bytes(expected[:place].tolist()))
        around = text.encode()[max(begin - 40, 0) : begin + 40]
        pytest.fail(f"the ids differ from number {place} on, at byte {begin}, around {around!r}")


def parts_of(path: Path) -> list[str]:
    """A corpus, or of a long one its beginning and twenty stretches."""
    if path.stat().st_size <= WHOLE:
        return [path.read_text(encoding="utf-8")]
    draw = random.Random(path.name)
    with path.open("rb") as file:
        parts = [file.read(3_000_000 if path.name == "books.txt" else 1_000_000)]
        for _ in range(20):
            file.seek(draw.randrange(path.stat().st_size - 100_000))
            parts.append(file.read(100_000))
    return [part.decode("utf-8", "ignore") for part in parts]


@pytest.mark.parametrize("corpus", CORPORA)
def test_real_texts(vocabulary: Published, shared: Path, corpus: str) -> None:
    ours, _ = vocabulary
    text = ""
    for text in parts_of(shared / "corpora" / corpus):
        assert_same_ids(vocabulary, text)
        assert ours.decode_bytes(ours.encode_array(text)) == text.encode()
    assert ours.count(text) == len(ours.encode(text))


def test_made_up_texts(vocabulary: Published) -> None:
    @settings(max_examples=300, deadline=None)
    @given(text=st.one_of(scripts, any_text, st.text(max_size=200)))
    def same_ids(text: str) -> None:
        assert_same_ids(vocabulary, text)

    same_ids()


SIGNS = ["a", "1", " ", "\n", "!", "é", "一", "\u0301", "🙂", "\u3000", "ab", "abc "]


@pytest.mark.parametrize("sign", SIGNS)
def test_a_megabyte_of_one_sign(vocabulary: Published, sign: str) -> None:
    if not sign.isspace():
        assert_same_ids(vocabulary, sign * (1_000_000 // len(sign.encode())))
        return
    # tiktoken gives up on long white space ("max backtracking"), the readable twin does not.
    ours, _ = vocabulary
    assert np.array_equal(ours.encode_array(sign * 40_000), ours._encoder._split_ids(sign * 40_000))


@pytest.mark.parametrize(
    "length", [16, 17, 63, 64, 65, 255, 256, 257, 1000, 2047, 2048, 2049, 5000]
)
def test_glued_words(vocabulary: Published, shared: Path, length: int) -> None:
    """Pre-tokens beyond the cache of words, of phrases, beyond short merging and one segment."""
    book = (shared / "corpora" / "akjv.txt").read_text(encoding="utf-8")[: 40 * length + 4000]
    letters = "".join(filter(str.isalpha, book.lower()))
    for begin in range(0, 20 * length, length):
        assert_same_ids(vocabulary, " " + letters[begin : begin + length] + ".")


def test_long_stretches_without_a_joint(vocabulary: Published) -> None:
    """Few letters, so that merges meet at the borders of segments in every way."""
    draw = random.Random(11)
    for letters in ("ab", "aab", "the", "ing", "ан", "eaou", "xzqj"):
        for length in (2040, 2049, 4096, 5000, 9000):
            assert_same_ids(vocabulary, "".join(draw.choices(letters, k=length)))


def test_bytes_that_are_no_utf8(vocabulary: Published) -> None:
    ours, _ = vocabulary

    @settings(max_examples=100, deadline=None)
    @given(
        content=st.lists(
            st.one_of(st.binary(max_size=20), scripts.map(str.encode)), max_size=6
        ).map(b"".join)
    )
    def stated(content: bytes) -> None:
        ids = ours.encode_bytes(content)
        assert ours.decode_bytes(ids) == content
        assert ids == ours._encoder._twin_ids(content).tolist()

    stated()
    noise = random.Random(5).randbytes(50_000)
    assert ours.decode_bytes(ours.encode_array(noise)) == noise
    assert np.array_equal(ours.encode_array(noise), ours._encoder._twin_ids(noise))


def test_both_ways_to_a_list_are_one(vocabulary: Published) -> None:
    ours, theirs = vocabulary
    for text in [*AWKWARD, " ".join(AWKWARD), "", "x" * 20_000]:
        assert ours.encode(text) == theirs.encode_ordinary(text)
        assert ours.encode_array(text.encode()).tolist() == ours.encode_bytes(text.encode())
        assert ours.encode(text) == ours.encode_array(text).tolist()


@pytest.mark.usefixtures("kernels")
def test_the_twin_is_asked_first_and_kernels_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers, the ids are the same."""
    from hornbook.tokenizers import bpe_encoder

    monkeypatch.setattr(bpe_encoder, "WORTH_LOADING", 2000)
    tokenizer = BPETokenizer([(101, 103), (256, 103), (32, 257)])
    text = "an egg, eggs " * 20
    expected = tokenizer._encoder._split_ids(text)
    seen = set()
    for _ in range(400):
        seen.add(tokenizer._encoder._kernels is not None)
        assert tokenizer.encode(text) == expected
        if tokenizer._encoder._coming is not None:
            tokenizer._encoder._coming.join()
    assert seen == {False, True}
