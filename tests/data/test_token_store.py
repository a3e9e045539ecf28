"""Tokens on disk: what is written is what is read, whatever the shards; damage is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.data import TokenStore
from hornbook.data.array_file import ArrayWriter, open_array, verify_array
from hornbook.data.token_store import TokenStoreWriter, token_width
from hornbook.errors import DataError


def write_store(
    folder: Path, documents: list[list[int]], vocab_size: int = 300, shard_tokens: int = 7
) -> TokenStore:
    folder.mkdir(parents=True, exist_ok=True)
    with TokenStoreWriter(folder, vocab_size, shard_tokens) as writer:
        for ids in documents:
            writer.add("training", np.array(ids, dtype=np.uint32), len(ids))
            writer.end_document("training")
        writer.close(fingerprint="f", sources={"corpus": "c"})
    return TokenStore.open(folder)


@settings(max_examples=40, deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(0, 299), max_size=20), max_size=12),
    shard_tokens=st.integers(1, 30),
)
def test_tokens_come_back_across_shards(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]], shard_tokens: int
) -> None:
    store = write_store(tmp_path_factory.mktemp("store"), documents, shard_tokens=shard_tokens)
    joined = [token for ids in documents for token in ids]
    assert store.training.slice(0, len(joined)).tolist() == joined
    assert store.training.document_ends.tolist() == np.cumsum(list(map(len, documents))).tolist()
    assert len(store.validation) == 0
    if len(joined) > 3:
        starts = np.arange(len(joined) - 2)
        expected = [joined[s : s + 3] for s in starts]
        assert store.training.gather(starts, 3).tolist() == expected
    store.verify()


def test_wide_vocabularies_take_four_bytes(tmp_path: Path) -> None:
    store = write_store(tmp_path / "wide", [[70_000, 1]], vocab_size=70_001)
    assert store.training.slice(0, 2).tolist() == [70_000, 1]
    assert (tmp_path / "wide" / "training-00000.tokens").stat().st_size == 64 + 8
    assert token_width(65_536) == 2
    assert token_width(65_537) == 4


def test_a_slice_outside_is_refused(tmp_path: Path) -> None:
    store = write_store(tmp_path / "s", [[1, 2, 3]])
    with pytest.raises(IndexError):
        store.training.gather(np.array([1]), 3)
    with pytest.raises(IndexError):
        store.training.gather(np.array([-1]), 1)


def test_damage_is_found(tmp_path: Path) -> None:
    store = write_store(tmp_path / "s", [list(range(20))], shard_tokens=100)
    path = tmp_path / "s" / "training-00000.tokens"
    content = bytearray(path.read_bytes())
    content[70] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="checksum"):
        store.verify()
    path.write_bytes(bytes(content[:-2]))
    with pytest.raises(DataError, match="damaged"):
        TokenStore.open(tmp_path / "s")
    path.write_bytes(b"no header")
    with pytest.raises(DataError, match="not a token file"):
        TokenStore.open(tmp_path / "s")
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        TokenStore.open(tmp_path / "s")


def test_a_missing_or_strange_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no token store"):
        TokenStore.open(tmp_path)
    write_store(tmp_path / "s", [[1, 2]])
    description = tmp_path / "s" / "store.json"
    good = description.read_text()
    description.write_text(good.replace('"schema_version": 1', '"schema_version": 99'))
    with pytest.raises(DataError, match="99"):
        TokenStore.open(tmp_path / "s")
    description.write_text(good.replace("training-00000.tokens", "../training-00000.tokens"))
    with pytest.raises(DataError, match="outside"):
        TokenStore.open(tmp_path / "s")
    description.write_text(good[:20])
    with pytest.raises(DataError, match="damaged"):
        TokenStore.open(tmp_path / "s")


def test_an_unfinished_array_cannot_be_opened(tmp_path: Path) -> None:
    writer = ArrayWriter(tmp_path / "a", 2)
    writer.append(np.arange(5))
    writer.abandon()
    with pytest.raises(DataError):
        open_array(tmp_path / "a")


def test_arrays_of_every_width(tmp_path: Path) -> None:
    for width in (2, 4, 8):
        writer = ArrayWriter(tmp_path / str(width), width)
        writer.append(np.array([1, 2**15], dtype=np.int64))
        writer.append(np.array([], dtype=np.int64))
        writer.append(np.array([2 ** (8 * width) - 1], dtype=np.uint64))
        writer.close()
        found = open_array(tmp_path / str(width))
        assert found.tolist() == [1, 2**15, 2 ** (8 * width) - 1]
        assert found.dtype.itemsize == width
        verify_array(tmp_path / str(width))
