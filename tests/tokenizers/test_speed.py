"""The measuring of a tokenizer: what is counted, not how fast this machine is."""

from __future__ import annotations

import itertools

import pytest
from awkward_texts import CORPUS, any_text
from hypothesis import given
from hypothesis import strategies as st

from hornbook.errors import TokenizerError
from hornbook.tokenizers import CharTokenizer, CharTokenizerConfig, WordTokenizer, speed
from hornbook.tokenizers.speed import PASSES, cut_into_blocks, first_difference, measure_speed

WORDS = WordTokenizer.train(CORPUS)
"""Not byte pairs, whose kernels would be compiled before they are measured."""


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "BLOCK_SIZE", 64)


def ticking(*steps: float) -> itertools.accumulate[float]:
    """A clock whose readings lie these seconds apart, again and again."""
    return itertools.accumulate(itertools.cycle(steps))


def test_rates_are_medians_of_what_the_clock_says() -> None:
    # Each reading begins or ends one timing: 1 s to know the pace, then encode 2 s, decode 0.5 s.
    readings = itertools.chain([0.0, 1.0], ticking(0.0, 2.0, 0.0, 0.5))
    text = "the dog doesn't mind 語言\n" * 10
    size = len(text.encode("utf-8"))
    told = measure_speed(WORDS, text.encode("utf-8"), clock=readings.__next__)
    assert (told.bytes, told.tokens) == (size, len(WORDS.encode(text)))
    assert (told.encode_seconds, told.decode_seconds) == (2.0, 0.5)
    assert (told.encode_rate, told.decode_rate) == (size / 2, size / 0.5)
    assert (told.passes, told.threads, told.lost_at) == (PASSES, 1, None)
    assert told.estimate(size * 1000) == (told.tokens * 1000, 2000.0)


def test_a_slow_tokenizer_is_measured_on_less_text(small_blocks: None) -> None:
    content = b"a\n" * 64  # two blocks
    slow = itertools.chain([0.0, 60.0], ticking(1.0))
    assert measure_speed(WORDS, content, clock=slow.__next__).bytes == 64
    fast = itertools.chain([0.0, 0.001], ticking(1.0))
    assert measure_speed(WORDS, content, clock=fast.__next__).bytes == 128


def test_threads_have_a_block_each_however_slow_they_are(small_blocks: None) -> None:
    content = b"the dog\n" * 80  # ten blocks
    measured = measure_speed(WORDS, content, seconds=0.0, threads=3)
    assert (measured.threads, measured.bytes, measured.lost_at) == (3, 3 * 64, None)
    assert measured.tokens == len(WORDS.encode(content[: 3 * 64].decode()))


def test_lost_text_is_found() -> None:
    losing = CharTokenizer.train(["abc"], CharTokenizerConfig(unknown="token"))
    assert measure_speed(losing, "abcabdé".encode(), seconds=0.0).lost_at == 5
    assert measure_speed(WORDS, "abcabdé".encode(), seconds=0.0).lost_at is None


@given(text=any_text, size=st.integers(4, 12))
def test_blocks_are_the_text_in_whole_characters(text: str, size: int) -> None:
    blocks = cut_into_blocks(text.encode("utf-8"), size)
    assert "".join(block.decode("utf-8") for block in blocks) == text
    assert all(0 < len(block) <= size for block in blocks)


@given(content=st.binary(max_size=40), size=st.integers(1, 9))
def test_blocks_of_any_bytes_are_these_bytes(content: bytes, size: int) -> None:
    blocks = cut_into_blocks(content, size)
    assert b"".join(blocks) == content
    assert all(0 < len(block) <= size for block in blocks)


@given(one=st.lists(st.binary(max_size=4)), other=st.lists(st.binary(max_size=4)))
def test_the_first_difference(one: list[bytes], other: list[bytes]) -> None:
    assert first_difference(one, one) is None
    count = min(len(one), len(other))
    place = first_difference(one[:count], other[:count])
    if place is None:
        assert one[:count] == other[:count]
    else:
        assert b"".join(one[:count])[:place] == b"".join(other[:count])[:place]


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(TokenizerError, match="the text is empty"):
        measure_speed(WORDS, b"")
    with pytest.raises(TokenizerError, match="threads is at least 1, not 0"):
        measure_speed(WORDS, b"a", threads=0)
