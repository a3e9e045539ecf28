"""A text file becomes one array of ids, equal to the ids of the whole, and comes back."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hornbook.corpora.streams
import hornbook.tokenizers.streams
from hornbook.corpora.decoding import checked_utf8
from hornbook.data import decode_file, decoded_chunks, encode_file, file_encoding
from hornbook.data.array_file import ArrayWriter, durable_array, open_array, verify_array
from hornbook.errors import CorpusError, DataError, TokenizerError
from hornbook.listener import Listener, Progress
from hornbook.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, Tokenizer

TEXT = "The river — naïve 🙂\n\tends, and so did the riverbank. 나무\r\n"


class Watching(Listener):
    """Adds up what it is told."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.done = 0

    def progress(self, title: str, *, total: int | None, unit: str) -> Progress:
        assert (title, unit) == ("encoding", "B")
        self.total = total
        watching = self

        class Adding(Progress):
            def advance(self, amount: int) -> None:
                watching.done += amount

        return Adding()


@pytest.fixture(scope="module")
def bpe() -> BPETokenizer:
    return BPETokenizer.train([TEXT * 3], vocab_size=320)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and encode a few bytes at a time, as if the file were large."""
    monkeypatch.setattr(hornbook.corpora.streams, "CHUNK", 7)
    monkeypatch.setattr(file_encoding, "DECODED_AT_ONCE", 5)
    monkeypatch.setattr(hornbook.tokenizers.streams.whole_blocks, "__defaults__", (40,))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("family", ["bpe", "byte", "char"])
def test_ids_are_those_of_the_whole_text_and_come_back(
    tmp_path: Path, bpe: BPETokenizer, family: str, threads: int
) -> None:
    tokenizers: dict[str, Tokenizer] = {
        "bpe": bpe,
        "byte": ByteTokenizer(),
        "char": CharTokenizer.train([TEXT]),
    }
    tokenizer = tokenizers[family]
    content = (TEXT * 30).encode()
    (tmp_path / "text.txt").write_bytes(content)
    watching = Watching()
    out = tmp_path / "text.tokens"
    encoded = encode_file(tokenizer, tmp_path / "text.txt", out, threads=threads, listener=watching)
    verify_array(out)
    ids = open_array(out)
    assert ids.tolist() == tokenizer.encode(content.decode())
    assert (encoded.tokens, encoded.bytes, encoded.width) == (len(ids), len(content), 2)
    assert watching.total == watching.done == len(content)
    assert b"".join(decoded_chunks(tokenizer, ids)) == content
    assert decode_file(tokenizer, out, tmp_path / "again.txt") == len(content)
    assert (tmp_path / "again.txt").read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again.txt",
        "text.tokens",
        "text.txt",
    ]


def test_large_vocabularies_take_four_bytes(tmp_path: Path) -> None:
    tokenizer = BPETokenizer([], special_tokens={"<|endoftext|>": 1 << 16})
    (tmp_path / "a.txt").write_bytes(b"abc")
    assert encode_file(tokenizer, tmp_path / "a.txt", tmp_path / "a.tokens").width == 4
    assert open_array(tmp_path / "a.tokens").dtype == np.dtype("<u4")


def test_an_empty_file_gives_no_ids(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"")
    assert encode_file(ByteTokenizer(), tmp_path / "a.txt", tmp_path / "a.tokens").tokens == 0
    assert list(decoded_chunks(ByteTokenizer(), open_array(tmp_path / "a.tokens"))) == []


def test_compressed_text_is_encoded_decompressed(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    encode_file(ByteTokenizer(), tmp_path / "a.txt.gz", tmp_path / "a.tokens")
    assert bytes(open_array(tmp_path / "a.tokens").tolist()) == TEXT.encode()


@pytest.mark.usefixtures("small_chunks")
def test_the_first_byte_that_is_no_text_is_named_unless_allowed(
    tmp_path: Path, bpe: BPETokenizer
) -> None:
    content = TEXT.encode() * 3 + b"\xe2\x82" + TEXT.encode()
    text, out = tmp_path / "a.txt", tmp_path / "a.tokens"
    text.write_bytes(content)
    out.write_bytes(b"what stood there")
    with pytest.raises(CorpusError, match=f"byte {len(TEXT.encode()) * 3} .0xe2"):
        encode_file(bpe, text, out)
    assert out.read_bytes() == b"what stood there"
    assert len(list(tmp_path.iterdir())) == 2
    encode_file(bpe, text, out, errors="bytes")
    assert open_array(out).tolist() == bpe.encode_bytes(content)
    with pytest.raises(TokenizerError, match="no UTF-8"):
        encode_file(CharTokenizer.train([TEXT]), text, out, errors="bytes")


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=40), cuts=st.lists(st.integers(0, 40), max_size=5))
def test_utf8_is_checked_as_python_does_however_it_is_cut(content: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    chunks = [content[a:b] for a, b in zip(places, places[1:], strict=False)]
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        with pytest.raises(CorpusError, match=f"x: .*{error.reason} at byte {error.start} "):
            list(checked_utf8(chunks, "x"))
    else:
        assert list(checked_utf8(chunks, "x")) == chunks


def test_places_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_bytes(b"abc")
    with pytest.raises(DataError, match="is the text itself"):
        encode_file(ByteTokenizer(), text, text)
    with pytest.raises(CorpusError, match="cannot be read"):
        encode_file(ByteTokenizer(), tmp_path / "absent", tmp_path / "a.tokens")
    with pytest.raises(DataError, match="cannot be written"):
        encode_file(ByteTokenizer(), text, tmp_path / "no" / "a.tokens")
    assert text.read_bytes() == b"abc"
    tokens = tmp_path / "a.tokens"
    encode_file(ByteTokenizer(), text, tokens)
    with pytest.raises(DataError, match="the tokens themselves"):
        decode_file(ByteTokenizer(), tokens, tokens)
    with pytest.raises(DataError, match="cannot be written"):
        decode_file(ByteTokenizer(), tokens, tmp_path / "no" / "a.txt")
    with pytest.raises(DataError, match="cannot be read"):
        decode_file(ByteTokenizer(), tmp_path / "absent", text)
    assert open_array(tokens).tolist() == [97, 98, 99]


@pytest.mark.usefixtures("small_chunks")
def test_an_id_outside_is_named_by_its_position(bpe: BPETokenizer) -> None:
    ids = np.array([65] * 12 + [400, 500], dtype=np.uint16)
    with pytest.raises(TokenizerError, match=r"a.tokens: the id at position 12 .* is 400"):
        list(decoded_chunks(bpe, ids, "a.tokens"))


def test_what_interrupts_writing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), durable_array(tmp_path / "a", 2) as writer:
        writer.append(np.arange(5))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_arrays_of_version_1_are_opened_and_verified(tmp_path: Path) -> None:
    payload = np.arange(9, dtype="<u2").tobytes()
    header = struct.pack("<8sIIQ32s8x", b"HORNBOOK", 1, 2, 9, hashlib.sha256(payload).digest())
    path = tmp_path / "old.tokens"
    path.write_bytes(header + payload)
    verify_array(path)
    assert open_array(path).tolist() == list(range(9))
    path.write_bytes(header + payload[:-1] + b"\1")
    with pytest.raises(DataError, match="checksum"):
        verify_array(path)


def test_damage_anywhere_in_the_numbers_is_found(tmp_path: Path) -> None:
    writer = ArrayWriter(tmp_path / "a", 4)
    writer.append(np.arange(100))
    writer.append(np.arange(100))
    writer.close()
    whole = (tmp_path / "a").read_bytes()
    for place in range(64, len(whole), 37):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        (tmp_path / "a").write_bytes(damaged)
        with pytest.raises(DataError, match="checksum"):
            verify_array(tmp_path / "a")
