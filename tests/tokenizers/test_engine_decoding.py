"""Decoding by kernels joins the bytes of tokens, and refuses what stands for nothing."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.errors import TokenizerError
from hornbook.tokenizers import BPETokenizer, ByteTokenizer, spelling_out
from hornbook.tokenizers.engine.decoding import decode
from hornbook.tokenizers.engine.machine import address_of

TEXT = "the theory of the thing, " * 30


def with_gap() -> BPETokenizer:
    """Tokens of 1 to 64 bytes, and an unused id between the special tokens."""
    merges = [(97, 97), (256, 256), (257, 257), (258, 258), (259, 259), (260, 260), (116, 104)]
    return BPETokenizer(merges, special_tokens={"<|endoftext|>": 263, "<|very long name|>": 266})


@pytest.fixture(params=["kernels", "join"])
def tokenizer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> BPETokenizer:
    """The same tokenizer, decoding every array in one of the two ways."""
    if request.param == "kernels":
        request.getfixturevalue("kernels")
    least = 1 if request.param == "kernels" else 1 << 60
    monkeypatch.setattr(spelling_out, "WORTH_KERNELS", least)
    monkeypatch.setattr(spelling_out, "WORTH_COMPILING", least)
    return with_gap()


KNOWN = [*range(264), 266]


@settings(max_examples=200, deadline=None)
@given(ids=st.lists(st.sampled_from(KNOWN), max_size=60))
def test_kernels_join_as_python_does(kernels: None, ids: list[int]) -> None:
    tokenizer = with_gap()
    expected = b"".join(tokenizer.token_bytes(token_id) for token_id in ids)
    joined = tokenizer._spelled.joined(np.array(ids, dtype=np.uint32))
    assert joined == tokenizer.decode_bytes(ids) == expected


def test_every_result_is_an_object_of_its_own(kernels: None) -> None:
    spelled = with_gap()._spelled
    short = [np.array(ids, dtype=np.uint32) for ids in ([97], [98], [0], [], [97, 98])]
    results = [spelled.joined(ids) for ids in short * 2]
    assert results == [b"a", b"b", b"\x00", b"", b"ab"] * 2


def test_nothing_is_written_behind_the_last_byte(kernels: None) -> None:
    tokenizer = with_gap()
    ids = np.array([261, 97, 262, 260, 98], dtype=np.uint32)
    for count in range(len(ids) + 1):
        expected = b"".join(map(tokenizer.token_bytes, ids[:count].tolist()))
        room = np.full(len(expected) + 32, 0xA5, dtype=np.uint8)
        spelled = tokenizer._spelled
        out = address_of(room)
        ends, content = address_of(spelled._ends), address_of(spelled._content)
        decode(address_of(ids), count, ends, content, out, out + len(expected))
        assert room.tobytes() == expected + b"\xa5" * 32


@pytest.mark.parametrize("dtype", [">u4", "uint16", "int16", "int64", "uint64", "uint32"])
def test_every_integer_type(tokenizer: BPETokenizer, dtype: str) -> None:
    ids = np.array(random.Random(3).choices(KNOWN, k=999)).astype(dtype)
    expected = b"".join(tokenizer.token_bytes(int(token_id)) for token_id in ids)
    assert tokenizer.decode_bytes(ids) == expected
    assert tokenizer.decode_bytes(ids[::3]) == tokenizer.decode_bytes(ids[::3].tolist())
    assert tokenizer.decode_bytes(ids[:0]) == b""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (267, "267 is no token id"),
        (1 << 31, "2147483648 is no token id"),
        ((1 << 32) + 97, "4294967393 is no token id"),
        (-1, "-1 is no token id"),
        (-(1 << 32) + 97, "is no token id"),
        (264, "id 264 is unused"),
    ],
)
@pytest.mark.parametrize("position", [0, 7, 49])
def test_ids_that_stand_for_nothing(
    tokenizer: BPETokenizer, wrong: int, said: str, position: int
) -> None:
    ids = np.full(50, 97, dtype=np.int64)
    ids[position] = wrong
    for given_ids in (ids, ids.tolist()):
        with pytest.raises(TokenizerError, match=rf"ids\[{position}\]: .*{said}"):
            tokenizer.decode_bytes(given_ids)
    if 0 <= wrong < 1 << 32:
        with pytest.raises(TokenizerError, match=rf"ids\[{position}\]"):
            tokenizer.decode(ids.astype(np.uint32))


@pytest.mark.parametrize("ids", [np.full(50, 97.0), [97.0], ["a"], [None], np.array(["a"])])
def test_what_is_no_number_of_a_token(tokenizer: BPETokenizer, ids: object) -> None:
    with pytest.raises(TokenizerError, match=r"ids\[0\]: .* is no token id"):
        tokenizer.decode_bytes(ids)  # type: ignore[arg-type]


def test_long_arrays_are_decoded_by_kernels(kernels: None, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = with_gap()
    ids = tokenizer.encode_array(TEXT * 200)
    assert len(ids) > spelling_out.WORTH_KERNELS
    monkeypatch.setattr(BPETokenizer, "_check_id", None)
    monkeypatch.setattr(type(tokenizer._spelled), "joined", lambda spelled, ids: b"by kernels")
    assert tokenizer.decode(ids) == "by kernels"
    assert tokenizer.decode_bytes(ids.tolist()) == (TEXT * 200).encode()


@settings(max_examples=100, deadline=None)
@given(content=st.one_of(st.binary(max_size=60), st.text(max_size=30).map(str.encode)))
def test_a_stream_says_what_the_whole_says(content: bytes) -> None:
    for tokenizer in (with_gap(), ByteTokenizer()):
        ids = tokenizer.encode_bytes(content)
        shown = list(tokenizer.decode_stream(iter(ids)))
        assert "".join(shown) == tokenizer.decode(ids) == content.decode("utf-8", "replace")
        assert len(shown) - len(ids) in (0, 1)
