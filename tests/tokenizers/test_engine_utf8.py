"""UTF-8 by a kernel: what ``str.encode`` gives, for every width, length and place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook.errors import TokenizerError
from hornbook.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, Tokenizer
from hornbook.tokenizers.engine.encoder import SHORT_TEXT
from hornbook.tokenizers.engine.machine import address_of
from hornbook.tokenizers.engine.utf8 import (
    LONE_SURROGATE,
    SPARE,
    TOGETHER,
    WIDEST,
    write_utf8,
)

GREATEST = {"ASCII": "z", "one byte": "ÿ", "two bytes": "\uffff", "four bytes": "\U0010ffff"}
"""A character that decides how wide Python keeps all characters of a text."""

EDGES = "\x00\x7f\x80\xff\u0100\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"
"""The first and last characters of each length in UTF-8, and around the surrogates."""


class OwnText(str):
    """A text that Python keeps elsewhere than its own."""


def written(text: str) -> bytes | None:
    """Return what the kernel writes, or None for no Unicode text; nothing beyond its room."""
    room = WIDEST * len(text) + SPARE
    memory = np.full(room + 64, 0xA5, dtype=np.uint8)
    size = write_utf8(text, address_of(memory))
    assert (memory[room:] == 0xA5).all()
    return None if size == LONE_SURROGATE else memory[:size].tobytes()


@pytest.mark.parametrize("widest", GREATEST.values(), ids=GREATEST.keys())
@pytest.mark.parametrize("length", [*range(1, 2 * TOGETHER + 3), 1000])
def test_every_place_in_every_width(widest: str, length: int) -> None:
    for place in range(min(length, 2 * TOGETHER)):
        text = "a" * place + widest + "b" * (length - place - 1)
        assert written(text) == text.encode()


def test_every_character() -> None:
    for first in range(0, 0x110000, 0x10000):
        numbers = range(first, first + 0x10000)
        text = "".join(chr(number) for number in numbers if not 0xD800 <= number < 0xE000)
        assert written(text) == text.encode()


@given(
    st.lists(st.sampled_from([*EDGES, "plain text ", "鷄肋" * 9, "ñ"]), max_size=60).map("".join)
)
def test_mixtures(text: str) -> None:
    assert written(text) == text.encode()
    assert written(OwnText(text)) == text.encode()


def test_nothing() -> None:
    assert written("") == b""


@pytest.mark.parametrize("beside", ["", "鷄", "🙂"])
@pytest.mark.parametrize("number", [0xD800, 0xDBFF, 0xDC00, 0xDFFF])
def test_half_a_surrogate_pair(number: int, beside: str) -> None:
    half = chr(number)
    for place in (0, 1, TOGETHER - 1, TOGETHER, 100):
        assert written("a" * place + half + beside + "b" * 70) is None


@pytest.fixture(scope="module")
def tokenizer() -> BPETokenizer:
    tokenizer = BPETokenizer.train(["the cat, the hat, 鷄肋 🙂"], 280, "gpt2")
    tokenizer.prepare()
    return tokenizer


LONG = SHORT_TEXT // 8
TEXTS = [
    sign * LONG for sign in ("the cat, the hat", "the 鷄肋 of ñ ", "the 🙂 of é ", "ñ à ç, ÿé")
]


@pytest.mark.parametrize("threads", [1, 3])
def test_long_texts_and_their_bytes_have_the_same_ids(
    tokenizer: BPETokenizer, threads: int
) -> None:
    texts = [text * times for text in TEXTS for times in (1, 40)]
    for text, ids in zip(texts, tokenizer.encode_batch_arrays(texts, threads=threads), strict=True):
        expected = tokenizer.encode_array(text.encode())
        assert ids.tolist() == expected.tolist()
        assert tokenizer.encode_array(text, threads=threads).tolist() == expected.tolist()
        assert tokenizer.encode(text) == expected.tolist()
        assert tokenizer.decode_bytes(ids) == text.encode()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("kind", ["bpe", "bpe without kernels", "byte", "char"])
def test_half_a_pair_is_named_wherever_it_stands(
    tokenizer: BPETokenizer, kind: str, threads: int
) -> None:
    families: dict[str, Tokenizer] = {
        "bpe": tokenizer,
        "bpe without kernels": BPETokenizer.train(["the cat"], 257, "(?:the)"),
        "byte": ByteTokenizer(),
        "char": CharTokenizer.train(["the cat"]),
    }
    broken = "鷄" * 3_000_000 + "\udc80" + "the"
    with pytest.raises(TokenizerError, match="text 2: character 3000000 is a lone surrogate"):
        families[kind].encode_batch_arrays(["the", b"the", broken], threads=threads)
    with pytest.raises(TokenizerError, match="the text: character 3000000 is a lone surrogate"):
        families[kind].encode_array(broken, threads=threads)
    with pytest.raises(TokenizerError, match=r"text 1: .* not int"):
        families[kind].encode_batch_arrays(["the", 3], threads=threads)  # type: ignore[list-item]


class Words(str):
    """A text that counts its length in words."""

    def __len__(self) -> int:
        return len(self.split())


class Pages(bytes):
    """Bytes that say they are more than they are."""

    def __len__(self) -> int:
        return 100_000


def test_what_inherits_from_a_text_may_say_any_length(tokenizer: BPETokenizer) -> None:
    for text in ("the 鷄肋 ", "the 鷄肋 " * 600_000, "the" + "鷄" * SHORT_TEXT):
        expected = tokenizer.encode_array(text.encode()).tolist()
        words = Words(text)
        assert tokenizer.encode(words) == expected
        for threads in (1, 2):
            assert tokenizer.encode_array(words, threads=threads).tolist() == expected
            (ids,) = tokenizer.encode_batch_arrays([words], threads=threads)
            assert ids.tolist() == expected
    for ids in tokenizer.encode_batch_arrays([Pages(b"the cat")]):
        assert ids.tolist() == tokenizer.encode("the cat")
