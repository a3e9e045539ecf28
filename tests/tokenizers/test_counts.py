"""Counts of pre-tokens: their order, merging, their file, and what is said of long ones."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from awkward_texts import CORPUS, any_text
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.errors import TokenizerError
from hornbook.tokenizers.bpe_reference import count_pre_tokens
from hornbook.tokenizers.byte_sort import gather, sort_stretches
from hornbook.tokenizers.counts import PreTokenCounts
from hornbook.tokenizers.counts_file import METADATA_KEY
from hornbook.tokenizers.patterns import splitter

stretches = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.integers(0, 120).map(bytes),  # zeros alone, told apart by their length
        st.lists(st.sampled_from([0, 97, 255]), min_size=50, max_size=62).map(bytes),
        st.sampled_from([0, 97, 255]).map(lambda last: b"a" * 70 + bytes([last])),
    ),
    max_size=30,
)


def packed(items: list[bytes]) -> tuple[Any, Any]:
    content = np.frombuffer(b"".join(items), dtype=np.uint8)
    return content, np.cumsum([len(item) for item in items], dtype=np.int64)


def counted(*texts: str, pattern: str = "gpt2", special: tuple[str, ...] = ()) -> PreTokenCounts:
    """The readable twin's counts, as what a counting phase gives."""
    return PreTokenCounts.from_mapping(
        count_pre_tokens(texts, splitter(pattern)) if any(texts) else {},
        pattern,
        special,
        texts=len(texts),
        text_bytes=sum(len(text.encode()) for text in texts),
    )


@given(stretches)
def test_stretches_sort_as_python_sorts_bytes(items: list[bytes]) -> None:
    order, new = sort_stretches(*packed(items))
    ordered = [items[number] for number in order]
    assert sorted(order.tolist()) == list(range(len(items)))
    assert ordered == sorted(items)
    assert new.tolist() == [i == 0 or ordered[i - 1] != item for i, item in enumerate(ordered)]
    content, ends = gather(*packed(items), order)
    assert content.tobytes() == b"".join(ordered)
    assert ends.tolist() == packed(ordered)[1].tolist()


def test_gathering_takes_more_than_one_block() -> None:
    draw = random.Random(3)
    items = [draw.randbytes(draw.choice([0, 3, 70_000, 1_500_000])) for _ in range(40)]
    order = np.array(draw.sample(range(40), 40))
    content, ends = gather(*packed(items), order)
    assert content.tobytes() == b"".join(items[number] for number in order)
    assert ends[-1] == len(content)


@given(st.dictionaries(st.binary(min_size=1, max_size=80), st.integers(1, 2**40)))
def test_a_mapping_comes_back_in_the_order_of_bytes(mapping: dict[bytes, int]) -> None:
    counts = PreTokenCounts.from_mapping(mapping, "gpt2")
    assert counts.to_mapping() == mapping
    assert [pre_token for pre_token, _ in counts] == sorted(mapping)
    assert len(counts) == len(mapping)
    assert counts.total == sum(mapping.values())


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=3), st.integers(1, 9)), max_size=30))
def test_equal_entries_become_one(entries: list[tuple[bytes, int]]) -> None:
    content, ends = packed([pre_token for pre_token, _ in entries])
    numbers = np.array([count for _, count in entries], dtype=np.int64)
    expected: Counter[bytes] = Counter()
    for pre_token, count in entries:
        expected[pre_token] += count
    assert PreTokenCounts.from_arrays(content, ends, numbers, "gpt2").to_mapping() == expected


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(any_text, min_size=1, max_size=8), data=st.data())
def test_files_are_equal_however_the_texts_were_shared_out(
    texts: list[str], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("counts")
    counted(*texts).save(folder / "whole.parquet")
    shuffled = data.draw(st.permutations(texts))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(texts)), max_size=4)) | {0, len(texts)})
    parts = [counted(*shuffled[begin:end]) for begin, end in pairwise(cuts)]
    PreTokenCounts.merged(parts).save(folder / "parts.parquet")
    assert (folder / "whole.parquet").read_bytes() == (folder / "parts.parquet").read_bytes()


def test_merging_takes_parts_one_by_one_and_adds_up_what_is_known() -> None:
    parts = (
        PreTokenCounts.from_mapping(
            {b"x" * number: number, b"all": 1}, "gpt2", dropped=2, texts=3, text_bytes=4
        )
        for number in range(1, 40)
    )
    merged = PreTokenCounts.merged(parts)
    assert merged.to_mapping() == {b"all": 39, **{b"x" * n: n for n in range(1, 40)}}
    assert (merged.dropped, merged.texts, merged.text_bytes) == (78, 117, 156)


def test_merging_refuses_texts_that_were_cut_otherwise() -> None:
    gpt2 = counted(*CORPUS)
    with pytest.raises(TokenizerError, match=r"part 2 .* part 1: .* pattern 'o200k'.* 'gpt2'"):
        PreTokenCounts.merged([gpt2, counted(*CORPUS, pattern="o200k")])
    special = counted(*CORPUS, special=("<s>", "</s>"))
    with pytest.raises(TokenizerError, match=r"b\.parquet .* a\.parquet: .* <s>, </s>.* none"):
        PreTokenCounts.merged([gpt2, special], names=["a.parquet", "b.parquet"])
    with pytest.raises(TokenizerError, match="no counts"):
        PreTokenCounts.merged([])
    assert PreTokenCounts.merged([special, special]).special_tokens == ("<s>", "</s>")


def test_a_file_gives_the_counts_back(tmp_path: Path) -> None:
    path = tmp_path / "counts.parquet"
    counts = counted(*CORPUS, pattern=r"\p{L}+|語", special=("<|endoftext|>", "<é>"))
    counts.save(path)
    assert PreTokenCounts.load(path) == counts
    table = pq.read_table(path)
    assert table.column_names == ["pre_token", "count"]
    assert dict(zip(*(column.to_pylist() for column in table.columns), strict=True)) == dict(counts)
    counts.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["counts.parquet"]


def test_counts_of_nothing_can_be_kept(tmp_path: Path) -> None:
    nothing = PreTokenCounts.from_mapping({}, "gpt2", texts=3)
    nothing.save(tmp_path / "nothing.parquet")
    assert PreTokenCounts.load(tmp_path / "nothing.parquet") == nothing
    assert PreTokenCounts.merged([nothing, counted(*CORPUS)]).texts == 3 + len(CORPUS)
    assert nothing.long_pre_tokens() is None


def test_a_file_of_several_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = counted(*CORPUS)
    monkeypatch.setattr("hornbook.tokenizers.counts_file._GROUP", 7)
    monkeypatch.setattr("hornbook.tokenizers.counts_file._GROUP_BYTES", 30)
    counts.save(tmp_path / "groups.parquet")
    assert pq.ParquetFile(tmp_path / "groups.parquet").num_row_groups > len(counts) / 7
    assert PreTokenCounts.load(tmp_path / "groups.parquet") == counts


@pytest.mark.parametrize("kind", ["absent", "folder", "text", "cut"])
def test_what_is_no_whole_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "counts.parquet"
    counted(*CORPUS).save(path)
    if kind == "absent":
        path = tmp_path / "absent.parquet"
    elif kind == "folder":
        path = tmp_path
    elif kind == "text":
        path.write_text("the the the")
    else:
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TokenizerError, match=str(path)):
        PreTokenCounts.load(path)


def test_no_changed_byte_goes_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "counts.parquet"
    counts = counted("to be or not to be")
    counts.save(path)
    content = path.read_bytes()
    refused = 0
    for place in range(0, len(content), 2):
        changed = content[place] ^ (1 << place // 2 % 8)
        path.write_bytes(content[:place] + bytes([changed]) + content[place + 1 :])
        try:
            assert PreTokenCounts.load(path) == counts  # in what Parquet keeps for other readers
        except TokenizerError:
            refused += 1
    assert refused > len(content) / 4


GOOD = (
    b'{"schema_version":1,"pattern":"gpt2","special_tokens":[],"dropped":0,"texts":1,'
    b'"text_bytes":9,"checksum":""}'
)


@pytest.mark.parametrize(
    ("metadata", "columns", "said"),
    [
        (None, {}, "none that hornbook tokenizer count wrote"),
        (GOOD.replace(b"1,", b"2,", 1), {}, "'schema_version'.*install a newer hornbook"),
        (GOOD.replace(b"pattern", b"patern"), {}, "'pattern'"),
        (GOOD.replace(b'"dropped":0', b'"dropped":"0"'), {}, "'dropped'"),
        (GOOD.replace(b'"dropped":0', b'"dropped":-1'), {}, "'dropped'"),
        (b"{", {}, "JSON"),
        (GOOD, {"count": pa.array([1, 2], pa.int32())}, "columns are pre_token, count"),
        (GOOD, {"count": pa.array([1, None])}, "null"),
        (GOOD, {}, "do not match their checksum"),
    ],
)
def test_foreign_and_changed_files_are_refused(
    tmp_path: Path, metadata: bytes | None, columns: dict[str, Any], said: str
) -> None:
    filled = {"pre_token": pa.array([b"a", b"b"]), "count": pa.array([1, 2]), **columns}
    table = pa.table(filled, metadata=None if metadata is None else {METADATA_KEY: metadata})
    pq.write_table(table, tmp_path / "foreign.parquet")
    with pytest.raises(TokenizerError, match=rf"foreign\.parquet.*{said}"):
        PreTokenCounts.load(tmp_path / "foreign.parquet")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"absent/counts\.parquet: .* cannot be written"):
        counted(*CORPUS).save(tmp_path / "absent" / "counts.parquet")


def test_long_pre_tokens_are_told() -> None:
    encoded = "QUJD" * 400
    counts = counted(f"the {encoded} {encoded} {'z' * 1001}", *CORPUS)
    long = counts.long_pre_tokens()
    assert long is not None
    assert (long.distinct, long.occurrences) == (2, 3)
    assert long.example == b" " + b"z" * 39
    assert long.share == pytest.approx((2 * 1601 + 1002) / counts.text_bytes)
    assert "2 pre-tokens are longer than 1,000 bytes (3 occurrences" in str(long)
    assert counted("z" * 1000).long_pre_tokens() is None
    assert str(counted("z" * 1001).long_pre_tokens()).startswith("1 pre-token is longer")
