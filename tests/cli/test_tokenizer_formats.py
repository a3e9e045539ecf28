"""hornbook tokenizer import and export: there and back, and what is said when it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hornbook.tokenizers import BPETokenizer, ByteTokenizer, Tokenizer

SMALL = BPETokenizer([(117, 103), (104, 256)], "words", {"<|endoftext|>": 300, "<|pad|>": 258})


@pytest.fixture
def small(tmp_path: Path) -> Path:
    SMALL.save(tmp_path / "small.json")
    return tmp_path / "small.json"


@pytest.mark.parametrize("form", ["huggingface", "tiktoken", "gpt2"])
def test_there_and_back(form: str, call: Any, small: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "theirs", tmp_path / "again.json"
    exported = call("tokenizer", "export", small, "--format", form, "--out", out)
    assert exported.exit_code == 0
    assert str(out) in exported.stdout
    words = [] if form == "huggingface" else ["--pattern", "words"]
    if form == "tiktoken":
        words += ["--special", "<|endoftext|>=300", "--special", "<|pad|>=258"]
        assert "pattern 'words', special tokens <|pad|> = 258" in exported.stdout
    imported = call("tokenizer", "import", out, *words, "--out", again)
    assert imported.stdout == (
        f"{again}: 301 ids, pattern 'words', special tokens <|pad|> = 258, <|endoftext|> = 300\n"
    )
    assert Tokenizer.load(again) == SMALL


def test_two_files_in_one_call(call: Any, small: Path, tmp_path: Path) -> None:
    exported = call("tokenizer", "export", small, "--format", "gpt2", "--out", tmp_path)
    assert "here it is 'words'" in exported.stdout
    files = [tmp_path / "vocab.json", tmp_path / "merges.txt"]
    out = tmp_path / "again.json"
    result = call("tokenizer", "import", *files, "--out", out, "--format", "gpt2")
    assert result.exit_code == 0
    assert Tokenizer.load(out).encode("hug") == [257]


def test_a_published_name_is_a_tokenizer(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path))
    folder = tmp_path / "vocabularies"
    folder.mkdir()
    (folder / "r50k_base.tiktoken").write_bytes(b"IQ== 0\n")
    said = refused("tokenizer", "encode", "gpt2", "text")
    assert f"{folder / 'r50k_base.tiktoken'}: this is not the published r50k_base" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["import", "SMALL", "--out", "x.json"], "this is a hornbook tokenizer; use it as it is"),
        (["import", "NONE", "--out", "x.json"], "cannot be read: No such file"),
        (["import", "SMALL", "--out", "x.json", "--special", "<a>"], "--special <a>: a name, ="),
        (["import", "SMALL", "--out", "x.json", "--special", "=5"], "--special =5: a name, ="),
        (["import", "SMALL", "--out", "x.json", "--special", "a=-5"], "--special a=-5: a name, ="),
        (["import", "SMALL", "--out", "x.json", "--special", "a=" + "9" * 5000], "an id are"),
        (
            ["import", "SMALL", "--out", "x.json", "--special", "a=5", "--special", "a=6"],
            "--special a=6: 'a' has the id 5 already",
        ),
        (["export", "BYTES", "--format", "gpt2", "--out", "x"], "is a byte tokenizer; the files"),
        (["export", "SMALL", "--format", "gguf", "--out", "x"], "gguf"),
        (["export", "NONE", "--format", "gpt2", "--out", "x"], "cannot be read"),
        (["export", "SMALL", "--format", "tiktoken", "--out", "no/where"], "No such file"),
    ],
)
def test_mistakes_are_told_in_words(
    words: list[str],
    said: str,
    refused: Callable[..., str],
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    ByteTokenizer().save("bytes.json")
    places = {"SMALL": small, "BYTES": "bytes.json", "NONE": "none.json"}
    assert said in refused("tokenizer", *(places.get(word, word) for word in words))
    assert not (tmp_path / "x.json").exists()
