"""Every kind of source, and one clear error for everything that can be wrong with one."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import threading
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from opening_corpora import opened, shared_corpus, texts

from hornbook.corpora import Corpus, CorpusConfig
from hornbook.corpora.streams import CHUNK, Reading
from hornbook.errors import CorpusError


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def write_rows(path: Path, *rows: object) -> Path:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def test_a_file_comes_back_exactly(tmp_path):
    text = "one\r\ntwo\n\n\ttabs, é, 中, 😀\r and an end without a line end"
    path = write(tmp_path / "notes.tex", "\ufeff" + text)
    (document,) = opened(path).documents()
    assert document.text == text
    assert (document.id, document.source, document.complete) == (str(path), str(path), True)


def test_several_files_keep_the_users_order_and_a_file_is_read_once(tmp_path, listener):
    b, a = write(tmp_path / "b.txt", "b"), write(tmp_path / "a.txt", "a")
    assert texts([b, a]) == ["b", "a"]
    corpus = Corpus.open(CorpusConfig(files=(str(b), str(tmp_path))), listener=listener)
    assert [document.text for document in corpus.documents()] == ["b", "a"]
    assert any("read once" in notice for notice in listener.notices)


def test_a_folder_is_read_below_in_the_order_of_its_paths(tmp_path):
    write(tmp_path / "b.md", "b")
    write(tmp_path / "a" / "z.text", "az")
    write(tmp_path / "a" / "b.txt.gz", gzip.compress(b"ab"))
    write(tmp_path / "c.txt.zst", zstandard.compress(b"c"))
    write_rows(tmp_path / "d.jsonl", {"text": "d"})
    write(tmp_path / "code.py", "not read")
    write(tmp_path / ".hidden" / "x.txt", "not read")
    write(tmp_path / ".x.txt", "not read")
    assert texts(tmp_path) == ["ab", "az", "b", "c", "d"]
    assert texts(tmp_path / "**" / "*.py") == ["not read"]
    assert texts(tmp_path / "?.md") == ["b"]


def test_a_name_with_brackets_is_a_name_first(tmp_path):
    assert texts(write(tmp_path / "[1].txt", "brackets")) == ["brackets"]


@pytest.mark.parametrize("separate_by", ["file", "line"])
def test_compressed_files_read_as_plain_ones_do(tmp_path, separate_by):
    text = "".join(f"line {n} é\n" for n in range(50_000))
    data = text.encode()
    plain = texts(write(tmp_path / "x.txt", data), separate_by=separate_by)
    packed = gzip.compress(data[:9]) + gzip.compress(data[9:])
    assert texts(write(tmp_path / "x.txt.gz", packed), separate_by=separate_by) == plain
    packed = zstandard.compress(data[:9]) + zstandard.compress(data[9:])
    assert texts(write(tmp_path / "x.txt.zst", packed), separate_by=separate_by) == plain


@pytest.mark.parametrize("cut", [-1, -5, 20])
def test_a_compressed_file_cut_short_is_an_error(tmp_path, cut):
    data = os.urandom(1000).hex().encode()
    for name, packed in (("x.gz", gzip.compress(data)), ("x.zst", zstandard.compress(data))):
        path = write(tmp_path / name, packed[:cut])
        with pytest.raises(CorpusError, match=rf"{name}: damaged or cut short"):
            texts(path, separate_by="file")


def test_damaged_compressed_files_are_errors(tmp_path):
    for name in ("x.gz", "x.zst"):
        path = write(tmp_path / name, b"this was never compressed")
        with pytest.raises(CorpusError, match=rf"{name}: damaged or cut short"):
            texts(path, separate_by="file")


def test_jsonl_gives_a_document_a_row_whatever_the_separation(tmp_path):
    rows = [{"text": "one\ntwo"}, {"text": ""}, {"text": "é \ud83d\ude00"}]
    path = write_rows(tmp_path / "x.jsonl", *rows)
    write(path, path.read_text() + "\n  \n" + json.dumps({"text": "last"}))
    corpus = opened(path, separate_by="line")
    found = list(corpus.documents())
    assert [document.text for document in found] == ["one\ntwo", "é 😀", "last"]
    assert [document.id for document in found] == [f"{path}:{n}" for n in (1, 3, 6)]
    reading = Reading()
    assert len(list(corpus.read(reading))) == 3
    assert reading.empty == 1


def test_a_long_row_comes_in_parts(tmp_path):
    text = "word " * 100
    path = write_rows(tmp_path / "x.jsonl", {"text": text})
    found = list(opened(path).read(Reading(), limit=64))
    assert "".join(document.text for document in found) == text
    assert [document.complete for document in found] == [False] * (len(found) - 1) + [True]
    assert len({document.id for document in found}) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "cut', "line 2: not valid JSON"),
        ("[" * 100_000, "line 2: not valid JSON"),
        ('["text"]', "line 2: a JSON list, not an object"),
        ('{"story": "x", "id": 1}', "line 2: no field 'text'; the fields there are 'story', 'id'"),
        ('{"text": 5}', "line 2: the field 'text' is a number, not a string"),
        ('{"text": null}', "line 2: the field 'text' is a null, not a string"),
        ('{"text": "a\\ud800b"}', r"line 2: the text holds U\+D800"),
    ],
)
def test_bad_rows_name_file_and_line(tmp_path, line, message):
    path = write(tmp_path / "x.jsonl", '{"text": "fine"}\n' + line + "\n")
    with pytest.raises(CorpusError, match=f"x.jsonl, {message}"):
        texts(path)


def test_lone_surrogates_are_replaced_when_asked(tmp_path):
    path = write(tmp_path / "x.jsonl", '{"text": "a\\ud800b \\ud83d\\ude00"}\n')
    assert texts(path, errors="replace") == ["a\ufffdb 😀"]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]
)
def test_parquet_gives_a_document_a_row(tmp_path, kind, listener):
    rows = [f"row {n} é" for n in range(1000)] + ["", "last"]
    table = pa.table({"id": pa.array(range(len(rows))), "story": pa.array(rows).cast(kind)})
    path = tmp_path / "x.parquet"
    pq.write_table(table, path, row_group_size=300)
    corpus = opened(path, field="story")
    with listener.progress("", total=None, unit="bytes") as progress:
        found = list(corpus.read(Reading(progress)))
    assert [document.text for document in found] == [row for row in rows if row]
    assert found[-1].id == f"{path}:1002"
    assert listener.advanced == [path.stat().st_size]
    packed = write(tmp_path / "y.parquet.gz", gzip.compress(path.read_bytes()))
    assert texts(packed, field="story") == [row for row in rows if row]


def test_parquet_errors_name_what_is_there(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"story": ["a", None], "id": [1, 2]}), path)
    with pytest.raises(CorpusError, match="no column 'text'; the columns there are 'story', 'id'"):
        texts(path)
    with pytest.raises(CorpusError, match="the column 'id' holds int64, not strings"):
        texts(path, field="id")
    with pytest.raises(CorpusError, match="row 2: the column 'story' is null"):
        texts(path, field="story")
    for damaged in (path.read_bytes()[:-9], b"no parquet", b"x"):
        with pytest.raises(CorpusError, match=r"y.parquet: not a readable parquet file"):
            texts(write(tmp_path / "y.parquet", damaged))


def test_parquet_bytes_that_are_not_utf8(tmp_path):
    bad = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffb"))
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": bad}), path)
    with pytest.raises(CorpusError, match="row 1: not UTF-8 text.*at byte 1 "):
        texts(path)
    assert texts(path, errors="replace") == ["a\ufffdb"]


@pytest.mark.parametrize("offset", [0, 5, CHUNK - 1, CHUNK, CHUNK + 7])
def test_invalid_utf8_names_the_byte(tmp_path, offset):
    data = bytearray(b"a" * (CHUNK + 100))
    data[offset] = 0xFF
    path = write(tmp_path / "x.txt", bytes(data))
    with pytest.raises(CorpusError, match=rf"x.txt: not UTF-8.* at byte {offset} .*errors=replace"):
        texts(path)
    (text,) = texts(path, errors="replace")
    assert text[offset] == "\ufffd"
    assert len(text) == len(data)


def test_a_sequence_cut_off_at_the_end_is_invalid(tmp_path):
    path = write(tmp_path / "x.txt", b"a" * (CHUNK - 2) + "中".encode()[:2])
    with pytest.raises(CorpusError, match=rf"unexpected end of data at byte {CHUNK - 2} "):
        texts(path)


def test_an_image_is_not_text(tmp_path):
    path = write(tmp_path / "x.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    with pytest.raises(CorpusError, match=r"x.png: not UTF-8 text: .* at byte 0 "):
        texts(path)


def test_what_does_not_exist_is_named_with_what_may_be_meant(tmp_path):
    write(tmp_path / "notes.txt", "x")
    with pytest.raises(CorpusError, match=r"Did you mean .*notes.txt\?"):
        opened(tmp_path / "note.txt")
    with pytest.raises(CorpusError, match=r"Did you mean tinyshakespeare"):
        opened("tinyshakespear")
    with pytest.raises(CorpusError, match=r"Named corpora are: python-docs"):
        opened(tmp_path / "qqqqqq" / "zzzzzzz.txt")
    with pytest.raises(CorpusError, match="empty name"):
        opened("")
    with pytest.raises(CorpusError, match="no file matches"):
        opened(tmp_path / "*.nothing")
    with pytest.raises(CorpusError):
        opened("nul\0byte")


def test_a_folder_without_text_says_what_is_read(tmp_path):
    write(tmp_path / "code.py", "x")
    with pytest.raises(CorpusError, match=r"a folder without text. Files ending in .txt, .md"):
        opened(tmp_path)


@pytest.mark.parametrize("content", ["", " \n\t\n", "\ufeff"])
def test_no_text_at_all_is_an_error(tmp_path, content):
    with pytest.raises(CorpusError, match="there is no text to read"):
        texts(write(tmp_path / "x.txt", content))
    with pytest.raises(CorpusError, match="there is no text to read"):
        texts(write(tmp_path / "x.txt", content), separate_by="blank_line")


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="a system without /dev/null")
def test_dev_null_is_empty():
    with pytest.raises(CorpusError, match="/dev/null is empty"):
        opened("/dev/null")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_that_may_not_be_read(tmp_path):
    path = write(tmp_path / "x.txt", "x")
    path.chmod(0)
    with pytest.raises(CorpusError, match="cannot be read: Permission denied"):
        texts(path)


def test_standard_input_is_kept_and_named(monkeypatch, cache):
    class Standard:
        buffer = io.BytesIO("one\ntwo é\n".encode())

    monkeypatch.setattr(sys, "stdin", Standard)
    corpus = opened("-", separate_by="line")
    assert [document.text for document in corpus.documents()] == ["one", "two é"]
    (kept,) = corpus.config.files
    assert Path(kept).parent == cache / "stdin"
    again = Corpus.open(corpus.config)
    assert [document.text for document in again.documents()] == ["one", "two é"]
    with pytest.raises(CorpusError, match="standard input is empty"):
        opened("-")
    assert [path.name for path in (cache / "stdin").iterdir()] == [Path(kept).name]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
def test_a_pipe_can_be_read_again(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"through a pipe",), daemon=True)
    writer.start()
    corpus = opened(pipe)
    for _ in range(2):
        assert [document.text for document in corpus.documents()] == ["through a pipe"]


def test_addresses_go_through_fsspec(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    for name, content in (("b.txt", b"b"), ("a.txt.gz", gzip.compress(b"a")), ("c.py", b"c")):
        memory.pipe(f"/corpus-test/{name}", content)
    assert texts("memory://corpus-test/b.txt") == ["b"]
    assert texts("memory://corpus-test") == ["a", "b"]
    assert texts("memory://corpus-test/*.py") == ["c"]
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": ["row"]}), path)
    assert texts(f"file://{path}") == ["row"]
    with pytest.raises(CorpusError, match="memory://nothing"):
        texts("memory://nothing/here.txt")
    with pytest.raises(CorpusError, match="nonsense://x"):
        texts("nonsense://x")
    with pytest.raises(CorpusError, match="https://127.0.0.1:9/x.txt"):  # or without the extra
        texts("https://127.0.0.1:9/x.txt")
    memory.rm("/corpus-test", recursive=True)


def test_auto_finds_the_separator_and_says_so(tmp_path, listener):
    with_it = write(tmp_path / "a.txt", "one<|endoftext|>two\nlines")
    without = write(tmp_path / "b.txt", "three\nlines")
    config = CorpusConfig(files=(str(without), str(with_it)))
    corpus = Corpus.open(config, listener=listener)
    assert corpus.config.separate_by == "separator"
    assert [d.text for d in corpus.documents()] == ["three\nlines", "one", "two\nlines"]
    assert "separate_by=separator" in listener.notices[0]
    assert opened(without).config.separate_by == "file"
    late = write(tmp_path / "late.txt", "x" * CHUNK + "<|endoftext|>")
    assert opened(late).config.separate_by == "file"
    assert texts(with_it, separator="two\n") == ["one<|endoftext|>", "lines"]


def test_the_resolved_configuration_leads_back_from_anywhere(tmp_path, monkeypatch):
    write(tmp_path / "data" / "x.txt", "x")
    monkeypatch.chdir(tmp_path)
    files = ("data", "python-docs", "data/*.txt", "./data/../data/x.txt")
    corpus = Corpus.open(CorpusConfig(files=files))
    monkeypatch.chdir("/")
    assert corpus.config.files[:3] == (
        str(tmp_path / "data"),
        "python-docs",
        str(tmp_path / "data" / "*.txt"),
    )
    again = Corpus.open(CorpusConfig.model_validate(corpus.config.model_dump()))
    assert again.config == corpus.config
    assert list(again.documents()) == list(corpus.documents())


def test_python_docs_are_always_there():
    corpus = Corpus.open(CorpusConfig())
    found = list(corpus.documents())
    assert len(found) > 50
    assert [document.id for document in found] == sorted(document.id for document in found)
    assert all(document.source == "python-docs" for document in found)
    assert found[0].id.startswith("python-docs:")


def test_known_corpora_with_different_rules_need_a_word_from_the_user(cache):
    write(cache / "corpora" / "akjv.txt", "Ruth 1:1\tNow\nRuth 1:2\tAnd\n")
    assert texts("akjv") == ["Now", "And"]
    with pytest.raises(CorpusError, match="separated in different ways"):
        opened(["akjv", "python-docs"])
    assert opened(["akjv", "python-docs"], separate_by="line").config.separate_by == "line"


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "big.txt"
    with open(path, "wb") as file:
        for _ in range(60):
            file.write(b"A line of some sixty characters, no more, no less, as it is.\n" * 16_384)
    for separate_by in ("file", "separator", "blank_line"):
        corpus = opened(path, separate_by=separate_by)
        tracemalloc.start()
        length = sum(len(document.text) for document in corpus.documents())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert path.stat().st_size - 1 <= length <= path.stat().st_size
        assert peak < 40_000_000, separate_by


def test_real_corpora_read_as_they_are():
    path = shared_corpus("tinyshakespeare.txt")
    assert texts(path) == [Path(path).read_bytes().decode()]
    assert len(texts(shared_corpus("akjv.txt"), separate_by="line")) == 31_102
    books = opened(shared_corpus("books.txt"))
    assert books.config.separate_by == "separator"
    starts = [document.id for document in books.documents() if document.complete]
    assert len(starts) == 229
