"""The measuring of a tokenizer: what is counted, not how fast this machine is."""

from __future__ import annotations

import itertools

import pytest
from awkward_texts import CORPUS, any_text
from hypothesis import given
from hypothesis import strategies as st

from hornbook.errors import TokenizerError
from hornbook.tokenizers import BPETokenizer, BPETokenizerConfig, CharTokenizer, CharTokenizerConfig
from hornbook.tokenizers.speed import (
    BLOCK_LENGTH,
    PASSES,
    cut_into_blocks,
    first_difference,
    measure_speed,
)

BPE = BPETokenizer.train(CORPUS, BPETokenizerConfig(vocab_size=320))


def ticking(*steps: float) -> itertools.accumulate[float]:
    """A clock whose readings lie these seconds apart, again and again."""
    return itertools.accumulate(itertools.cycle(steps))


def test_rates_are_medians_of_what_the_clock_says() -> None:
    # Each reading begins or ends one timing: 1 s to know the pace, then encode 2 s, decode 0.5 s.
    readings = itertools.chain([0.0, 1.0], ticking(0.0, 2.0, 0.0, 0.5))
    text = "the dog doesn't mind 語言\n" * 10
    speed = measure_speed(BPE, text, clock=readings.__next__)
    size = len(text.encode("utf-8"))
    assert (speed.bytes, speed.tokens) == (size, len(BPE.encode(text)))
    assert (speed.encode_seconds, speed.decode_seconds) == (2.0, 0.5)
    assert (speed.encode_rate, speed.decode_rate) == (size / 2, size / 0.5)
    assert (speed.passes, speed.threads, speed.lost_at) == (PASSES, 1, None)
    assert speed.estimate(size * 1000) == (speed.tokens * 1000, 2000.0)


def test_a_slow_tokenizer_is_measured_on_less_text() -> None:
    text = "a\n" * BLOCK_LENGTH  # two blocks
    slow = itertools.chain([0.0, 60.0], ticking(1.0))
    assert measure_speed(BPE, text, clock=slow.__next__).bytes == BLOCK_LENGTH
    fast = itertools.chain([0.0, 0.001], ticking(1.0))
    assert measure_speed(BPE, text, clock=fast.__next__).bytes == 2 * BLOCK_LENGTH


def test_threads_measure_the_same_tokens() -> None:
    text = "".join(CORPUS) * 4000
    one = measure_speed(BPE, text, seconds=0.01)
    two = measure_speed(BPE, text, seconds=0.01, threads=2)
    assert (two.threads, two.lost_at) == (2, None)
    assert two.bytes >= one.bytes > 0
    assert two.tokens == len(BPE.encode(text.encode("utf-8")[: two.bytes].decode("utf-8")))


def test_lost_text_is_found() -> None:
    losing = CharTokenizer.train(["abc"], CharTokenizerConfig(unknown="token"))
    assert measure_speed(losing, "abcabdé", seconds=0.0).lost_at == 5
    assert measure_speed(BPE, "abcabdé", seconds=0.0).lost_at is None


@given(text=any_text, length=st.integers(1, 9))
def test_blocks_are_the_text_and_no_longer_than_asked(text: str, length: int) -> None:
    blocks = cut_into_blocks(text, length)
    assert "".join(blocks) == text
    assert all(0 < len(block) <= length for block in blocks)


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
        measure_speed(BPE, "")
    with pytest.raises(TokenizerError, match="threads is at least 1, not 0"):
        measure_speed(BPE, "a", threads=0)
