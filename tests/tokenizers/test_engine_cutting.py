"""The kernels cut where ``patterns.splitter`` cuts: on every text, and on what is no text.

What is compared is how often each pre-token occurs, as ``Counter`` sees it: a wrong cut changes
that.
"""

import random
from collections import Counter as Tally

import pytest
from awkward_texts import AWKWARD, any_text
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hornbook.tokenizers.patterns import PUBLISHED, splitter

pytestmark = pytest.mark.usefixtures("kernels")

WHITE_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B)))
WHITE_SPACE += "\u2028\u2029\u202f\u205f\u3000"
"""The property White_Space, whole."""

SIGNS = [
    *WHITE_SPACE, *"aZsſtdm'’é一나ǅʰ\u0301\u20e3\u0f39", *"19²Ⅷ٣𝟘", *"!/-€\u200b\x00\x1c\U0010ffff",
    "🙂", "'S", "'ſ", "'LL", "'ll", "'Ve", "'rE", "'d", "'M", "HTTPServer", "\r\n", "  ", "//",
    "\ud7ff", "\ue000", "𝒜", "हिन्दी",
]  # fmt: skip
"""One or more of every class and length, and everything that a pattern names."""

signs = st.lists(st.sampled_from(SIGNS), max_size=90).map("".join)
few_signs = st.lists(st.sampled_from(SIGNS), min_size=1, max_size=4, unique=True).flatmap(
    lambda some: st.lists(st.sampled_from(some), max_size=150).map("".join)
)
"""Long runs of few signs reach beyond a window of 64 bytes."""

PARTS = (
    b"\xc3 \xe8\xaf \xf0\x9f\x99 \xc0\x80 \xe0\x9f\xbf \xed\xa0\x80 \xed\xbf\xbf \xf0\x8f\xbf\xbf "
    b"\xf4\x90\x80\x80 \xf5 \xff \x80 \xc3\xa9 \xe8\xaf\xad"
).split()
"""Characters and parts of them, too long forms, halves of surrogate pairs, too great numbers."""

NASTY = (
    "I'll it'S  don'ſt\r\n\r\n \t x\u3000\u3000y  12345٣٤½\u0301\u0301a!!\u0301s//\n/"
    "HTTPServer语言、日本語の🙂👩‍👩‍👧 éÉǅʰ\u00a0\u2003've''d 'RE\r\r x" + "q" * 70 + " " * 70 + "1"
)


def counted(pattern: str, *contents: bytes) -> dict[bytes, int]:
    """How often the kernels find each pre-token."""
    from hornbook.tokenizers.engine.counter import Counter

    counter = Counter(pattern)
    counter.add(contents)
    content, ends, counts = counter.counted()
    begins = [0, *ends[:-1].tolist()]
    found = {
        content[begin:end].tobytes(): count
        for begin, end, count in zip(begins, ends.tolist(), counts.tolist(), strict=False)
    }
    assert len(found) == len(ends)
    return found


def stated(pattern: str, *contents: bytes) -> dict[bytes, int]:
    """How often the readable way finds each; bytes that are no UTF-8 are signs of their own."""
    tally: Tally[bytes] = Tally()
    for content in contents:
        pre_tokens = splitter(pattern)(content.decode("utf-8", "surrogateescape"))
        tally.update(pre_token.encode("utf-8", "surrogateescape") for pre_token in pre_tokens)
    return tally


@pytest.mark.parametrize("pattern", PUBLISHED)
@settings(max_examples=400, deadline=None)
@given(text=st.one_of(signs, few_signs, any_text, st.text(max_size=150)))
@example(text="".join(WHITE_SPACE))
@example(text="x".join(WHITE_SPACE * 3))
@example(text="'s".join(AWKWARD))
def test_texts(pattern: str, text: str) -> None:
    content = text.encode("utf-8")
    assert counted(pattern, content) == stated(pattern, content)


@pytest.mark.parametrize("pattern", PUBLISHED)
@settings(max_examples=400, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=150),
        st.lists(st.one_of(signs.map(str.encode), st.binary(max_size=3)), max_size=9).map(b"".join),
        st.lists(
            st.sampled_from([*PARTS, b"a", b"1", b"'", b" ", b"\n"]),
            max_size=90,
        ).map(b"".join),
    )
)
def test_bytes_that_are_no_utf8(pattern: str, content: bytes) -> None:
    assert counted(pattern, content) == stated(pattern, content)


@pytest.mark.parametrize("pattern", PUBLISHED)
@pytest.mark.parametrize("seed", range(3))
def test_every_length(pattern: str, seed: int) -> None:
    """Windows end everywhere once, inside of characters and contractions too."""
    draw = random.Random(seed)
    nasty = NASTY.encode() if seed == 0 else "".join(draw.choices(SIGNS, k=120)).encode()
    for length in range(200):
        ending, beginning = nasty[:length], nasty[-length:]
        assert counted(pattern, ending) == stated(pattern, ending), length
        assert counted(pattern, beginning) == stated(pattern, beginning), length
        shifted = b"x" * (length % 70) + nasty
        assert counted(pattern, shifted) == stated(pattern, shifted), length


@pytest.mark.parametrize("pattern", PUBLISHED)
def test_runs_longer_than_any_window(pattern: str) -> None:
    for sign in SIGNS:
        content = (sign * 300 + "a " + sign * 1000).encode()
        assert counted(pattern, content) == stated(pattern, content), sign


@pytest.mark.parametrize("pattern", PUBLISHED)
@settings(max_examples=100, deadline=None)
@given(texts=st.lists(signs.filter(bool), max_size=9))
def test_each_text_ends_a_pre_token(pattern: str, texts: list[str]) -> None:
    contents = [text.encode() for text in texts] or [b"x"]
    assert counted(pattern, *contents) == stated(pattern, *contents)
