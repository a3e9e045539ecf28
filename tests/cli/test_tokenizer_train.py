"""hornbook tokenizer train and count: from files to a vocabulary, in one go or in parts."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hornbook.cli import tokenizer_train
from hornbook.cli.corpus_counting import texts_of_shard
from hornbook.corpora import CorpusConfig
from hornbook.errors import CorpusError, VocabularyUnfinished
from hornbook.listener import Listener, Progress
from hornbook.tokenizers import BPETokenizer, Tokenizer
from hornbook.tokenizers.bpe_reference import count_pre_tokens, learn_merges
from hornbook.tokenizers.counts import PreTokenCounts
from hornbook.tokenizers.patterns import splitter

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs the extra ray, which is not installed"
)


def reference(*texts: str, vocab_size: int, pattern: str = "gpt2") -> BPETokenizer:
    """The tokenizer that the readable twin learns."""
    counted = count_pre_tokens(texts, splitter(pattern))
    return BPETokenizer(learn_merges(counted, vocab_size - 257), pattern)


@pytest.fixture
def halves(tmp_path: Path, text: str) -> tuple[Path, Path]:
    """The made-up sentences in two files, the second in lines of JSON."""
    lines = text.splitlines(keepends=True)
    first, second = tmp_path / "first.txt", tmp_path / "second.jsonl"
    first.write_text("".join(lines[:150]), encoding="utf-8")
    rows = [json.dumps({"text": line}) for line in lines[150:]]
    second.write_text("\n".join(rows), encoding="utf-8")
    return first, second


@pytest.mark.parametrize("pattern", ["gpt2", "o200k", r"\p{L}+"])
def test_the_vocabulary_of_the_readable_twin(
    call: Any, corpus: Path, text: str, tmp_path: Path, pattern: str
) -> None:
    out = tmp_path / "t.json"
    words = ["--vocab-size", 320, "--pattern", pattern, "--out", out]
    result = call("tokenizer", "train", corpus, *words)
    assert result.exit_code == 0, result.output
    expected = reference(text, vocab_size=320, pattern=pattern)
    assert Tokenizer.load(out) == expected
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["vocabulary"] == (
        f"{expected.vocab_size} entries: 256 bytes, {len(expected.merges)} merges, 1 special token"
    )
    assert lines["written"] == str(out)
    assert lines["text"] == f"{len(text.encode()) / 1000:.1f} kB"


def test_counts_of_parts_give_the_file_of_the_whole(
    call: Any, halves: tuple[Path, Path], tmp_path: Path
) -> None:
    for number, half in enumerate(halves):
        out = tmp_path / f"{number}.parquet"
        result = call("tokenizer", "count", half, "--out", out)
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines()[-1] == f"written     {out}"
    call("tokenizer", "count", *halves, "--out", tmp_path / "both.parquet")
    parts = [tmp_path / "1.parquet", tmp_path / "0.parquet"]
    whole, joined = tmp_path / "whole.json", tmp_path / "joined.json"
    result = call("tokenizer", "train", *halves, "--vocab-size", 300, "--out", whole)
    assert result.exit_code == 0, result.output
    result = call("tokenizer", "train", "--counts", *parts, "--vocab-size", 300, "--out", joined)
    assert result.exit_code == 0, result.output
    assert whole.read_bytes() == joined.read_bytes()
    both = PreTokenCounts.load(tmp_path / "both.parquet")
    merged = PreTokenCounts.merged(map(PreTokenCounts.load, parts))
    assert (both.to_mapping(), both.text_bytes) == (merged.to_mapping(), merged.text_bytes)


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "words"])
def test_threads_and_blocks_leave_no_trace_in_the_file(
    call: Any, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    files = set()
    for block in (1 << 20, 700):
        monkeypatch.setattr("hornbook.tokenizers.counting.BATCH", block)
        for threads in (1, 3):
            out = tmp_path / f"{block}-{threads}.parquet"
            words = ["--pattern", pattern, "--threads", threads, "--out", out]
            result = call("tokenizer", "count", corpus, *words)
            assert result.exit_code == 0, result.output
            files.add(out.read_bytes())
    assert len(files) == 1


def test_no_merge_crosses_a_special_token(call: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ab<s>ab<s>" * 50)
    words = ["--special", "<s>", "--special", "</s>", "--pattern", "none", "--vocab-size", 300]
    out = tmp_path / "a.json"
    result = call("tokenizer", "train", tmp_path / "a.txt", *words, "--out", out)
    assert result.exit_code == 0, result.output
    tokenizer = Tokenizer.load(out)
    assert isinstance(tokenizer, BPETokenizer)
    assert tokenizer.merges == ((97, 98),)
    assert list(tokenizer.special_tokens) == ["<s>", "</s>"]
    assert "259 entries instead of 300" in result.stderr


def test_settings_of_the_corpus_are_heard(call: Any, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"body": "to be or not to be"}\n')
    out = tmp_path / "a.parquet"
    result = call("tokenizer", "count", tmp_path / "a.jsonl", "corpus.field=body", "--out", out)
    assert result.exit_code == 0, result.output
    assert PreTokenCounts.load(out).to_mapping()[b" be"] == 2


def test_long_pre_tokens_are_warned_of(call: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a picture: " + "QUJD" * 300)
    result = call("tokenizer", "count", tmp_path / "a.txt", "--out", tmp_path / "a.parquet")
    assert "1 pre-token is longer than 1,000 bytes" in result.stderr


def test_of_pre_tokens_that_are_documents_a_part_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(tokenizer_train, "_SAMPLE", 1000)
    content = text.encode()
    counts = PreTokenCounts.from_mapping({content: 3}, "none", ("<|endoftext|>",))
    tokenizer = BPETokenizer([(116, 104), (256, 101)], "none")
    tokens = tokenizer.encode_bytes(content[:1000])
    assert tokenizer_train.bytes_per_token(tokenizer, counts) == 1000 / len(tokens)


@pytest.mark.parametrize("command", ["train", "count"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["TEXT", "--out", "TEXT"], "exists already"),
        (["TEXT", "--out", "absent/x"], "no such folder"),
        pytest.param(
            ["TEXT", "--out", "/proc/x"],
            "/proc: nothing can be written there",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="looks at Linux's /proc"),
        ),
        (["--out", "x"], "Name the text"),
        (["absent.txt", "--out", "x"], "absent.txt: no such file"),
        (["EMPTY", "--out", "x"], "there is no text to read"),
        (["TEXT", "model.layers=3", "--out", "x"], "model.layers=3: only settings of the corpus"),
        (["TEXT", "corpus.feld=a", "--out", "x"], "Did you mean corpus.field?"),
        (["TEXT", "--pattern", "gpt3", "--out", "x"], "'gpt3' is none of"),
        (["TEXT", "--special", "", "--out", "x"], "is empty"),
        (["TEXT", "--special", "<a>", "--special", "<a>", "--out", "x"], "cannot be told apart"),
        (["TEXT", "--special", "<a>", "--special", "<a><b>", "--out", "x"], "contains the other"),
        (["TEXT", "--max-memory", "2XB", "--out", "x"], "--max-memory=2XB"),
        (["TEXT", "--ray-address", "a:1", "--out", "x"], "needs --engine ray"),
        (["TEXT", "--engine", "ray", "--threads", "2", "--out", "x"], "--threads is for"),
    ],
)
def test_mistakes_are_told(
    refused: Callable[..., str],
    command: str,
    words: list[str],
    said: str,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").touch()
    named = {"TEXT": str(corpus), "EMPTY": "empty.txt"}
    assert said in refused("tokenizer", command, *(named.get(word, word) for word in words))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["TEXT", "--vocab-size", "256"],
            "256 bytes and the special tokens, <|endoftext|>, need 257",
        ),
        (["--counts"], "--counts needs files"),
        (["--counts", "TEXT"], "cannot be read as a file of counts"),
        (["--counts", "gpt2.parquet", "gpt2.parquet"], "gpt2.parquet is named twice"),
        (["--counts", "gpt2.parquet", "words.parquet"], "words.parquet cannot be put together"),
        (["--counts", "gpt2.parquet", "--pattern", "words"], "--pattern words does not fit"),
        (["--counts", "gpt2.parquet", "--special", "<s>"], "--special <s> does not fit"),
        (["--counts", "gpt2.parquet", "--threads", "2"], "--threads is for counting"),
        (["--counts", "gpt2.parquet", "--engine", "ray"], "--engine ray is for counting"),
        (["--counts", "gpt2.parquet", "--vocab-size", "200"], "--vocab-size 200 is too small"),
        (["--counts", "nothing.parquet"], "counts are empty"),
        (["gpt2.parquet"], "no column 'text'"),
    ],
)
def test_mistakes_with_counts_are_told(
    refused: Callable[..., str],
    words: list[str],
    said: str,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for pattern in ("gpt2", "words"):
        counts = PreTokenCounts.from_mapping({b"to": 2, b"be": 2}, pattern, ("<|endoftext|>",))
        counts.save(f"{pattern}.parquet")
    PreTokenCounts.from_mapping({}, "gpt2", ("<|endoftext|>",)).save("nothing.parquet")
    words = [str(corpus) if word == "TEXT" else word for word in words]
    assert said in refused("tokenizer", "train", *words, "--out", "x")
    assert not (tmp_path / "x").exists()


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> BPETokenizer:
    """Merging that is stopped with Ctrl-C after one merge."""
    tokenizer = BPETokenizer([(116, 104)])

    def stop(*_: object, **__: object) -> BPETokenizer:
        raise VocabularyUnfinished(tokenizer, 32_000)

    monkeypatch.setattr(BPETokenizer, "train_from_counts", stop)
    return tokenizer


def test_ctrl_c_keeps_the_vocabulary_so_far_aside(
    call: Any, corpus: Path, tmp_path: Path, stopped: BPETokenizer
) -> None:
    result = call("tokenizer", "train", corpus, "--out", tmp_path / "t.json")
    assert result.exit_code == 130
    aside = tmp_path / "t.unfinished.json"
    assert result.stderr.endswith(
        f"hornbook: stopped; the 258 entries learned so far are in {aside}\n"
    )
    assert Tokenizer.load(aside) == stopped
    assert not (tmp_path / "t.json").exists()


def test_ctrl_c_while_the_readable_twin_merges_keeps_its_merges(text: str) -> None:
    class Stopping(Listener, Progress):
        """Ctrl-C while the third merge is told of."""

        told = 0

        def progress(self, title: str, *, total: int | None, unit: str) -> Progress:
            return self

        def advance(self, amount: int) -> None:
            self.told += amount
            if self.told == 3:
                raise KeyboardInterrupt

    pre_tokens = count_pre_tokens([text[:2000]], splitter("gpt2"))
    counts = PreTokenCounts.from_mapping(pre_tokens, "gpt2", ("<|endoftext|>",))
    with pytest.raises(VocabularyUnfinished, match="260 of 300") as stop:
        BPETokenizer.train_from_counts(counts, 300, listener=Stopping())
    assert list(stop.value.tokenizer.merges) == learn_merges(pre_tokens, 43)[:3]


@pytest.mark.parametrize(
    ("answer", "kept"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_ctrl_c_on_a_terminal_asks(
    call: Any,
    corpus: Path,
    tmp_path: Path,
    stopped: BPETokenizer,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    kept: bool,
) -> None:
    monkeypatch.setattr("hornbook.cli.screen.on_terminal", lambda _: True)
    out = tmp_path / "t.json"
    result = call("tokenizer", "train", corpus, "--out", out, text=answer)
    assert result.exit_code == 130
    assert "Keep the vocabulary of 258 entries learned so far?" in result.stderr
    assert out.exists() == kept
    if kept:
        assert Tokenizer.load(out) == stopped


def test_a_file_of_a_shard_may_be_blank_but_not_broken(tmp_path: Path) -> None:
    def texts(content: bytes, pattern: str = "gpt2") -> list[str | bytes]:
        path = tmp_path / "shard.txt"
        path.write_bytes(content)
        return list(texts_of_shard(CorpusConfig(files=(str(path),)), pattern))

    assert texts(b"to be\n") == [b"to be\n"]
    assert texts(b"to be\n", "none") == ["to be\n"]
    assert texts(b"") == texts(b" \r\n\t") == []
    with pytest.raises(CorpusError, match="byte 3"):
        texts(b"\n\n\n\xff")


@needs_ray
def test_a_cluster_gives_the_files_of_one_machine(
    call: Any, halves: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray  # pyright: ignore[reportMissingImports]

    monkeypatch.setattr("hornbook.cli.corpus_counting.SLICE", 1000)
    begun_before = ray.is_initialized()
    for files in (halves, halves[:1]):
        results = []
        for engine in ("local", "ray"):
            out = tmp_path / f"{engine}-{len(files)}.parquet"
            result = call("tokenizer", "count", *files, "--engine", engine, "--out", out)
            assert result.exit_code == 0, result.output
            results.append(out.read_bytes())
        assert results[0] == results[1]
    assert ray.is_initialized() == begun_before
