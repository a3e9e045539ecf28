"""tokenizer.json: equal after loading, the same bytes every time, clear when it is not one."""

import json
from pathlib import Path
from typing import Any

import pytest
from awkward_texts import CORPUS

from hornbook.errors import TokenizerError
from hornbook.tokenizers import (
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    CharTokenizerConfig,
    Tokenizer,
    WordTokenizer,
)

FAMILIES: dict[str, Tokenizer] = {
    "byte": ByteTokenizer(["<|end|>", "<|pad|>"]),
    "char": CharTokenizer.train([*CORPUS, '\u2028\x00"\\'], CharTokenizerConfig(unknown="token")),
    "word": WordTokenizer.train(CORPUS),
    "bpe": BPETokenizer.train(CORPUS, vocab_size=290, pattern="[a-z]+"),
    "bpe, ordered": BPETokenizer([(0, 1)], "none", ["<e>"], range(255, -1, -1)),
}


@pytest.mark.parametrize("tokenizer", FAMILIES.values(), ids=FAMILIES.keys())
def test_saving_and_loading(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    tokenizer.save(path)
    for loaded in (Tokenizer.load(path), type(tokenizer).load(str(path))):
        assert type(loaded) is type(tokenizer)
        assert loaded == tokenizer
        assert loaded.special_tokens == tokenizer.special_tokens
        assert loaded.vocab_size == tokenizer.vocab_size
        for text in CORPUS:
            assert loaded.encode(text) == tokenizer.encode(text)
        loaded.save(tmp_path / "again.json")
        assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert json.loads(path.read_text(encoding="utf-8")) == tokenizer.to_json()
    assert [item.name for item in tmp_path.iterdir() if item.name.startswith(".")] == []


def test_a_folder_holds_tokenizer_json(tmp_path: Path) -> None:
    ByteTokenizer().save(tmp_path)
    assert (tmp_path / "tokenizer.json").is_file()
    assert Tokenizer.load(tmp_path) == ByteTokenizer()


def test_the_file_can_be_read_by_a_person(tmp_path: Path) -> None:
    BPETokenizer.train(["hug hug hugs café café"]).save(tmp_path)
    lines = (tmp_path / "tokenizer.json").read_text(encoding="utf-8").splitlines()
    assert '    [117, 103, "ug"],' in lines
    assert any('"hug"]' in line for line in lines)
    CharTokenizer.train(["é語"]).save(tmp_path)
    assert '    "é",' in (tmp_path / "tokenizer.json").read_text(encoding="utf-8").splitlines()


def changed(**changes: Any) -> dict[str, Any]:
    document = BPETokenizer([(117, 103), (104, 256)]).to_json()
    document.update(changes)
    return {key: value for key, value in document.items() if value is not None}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([1, 2], "JSON object"),
        ({"version": "1.0", "model": {}}, "'schema_version' is missing"),
        (changed(schema_version=2), "'schema_version' is 2.* reads up to 1.*newer hornbook"),
        (changed(schema_version="1"), "'schema_version'"),
        (changed(schema_version=True), "'schema_version'"),
        (changed(kind=None), "'kind' is missing"),
        (changed(kind="sentencepiece"), "'kind' is 'sentencepiece'.*none of 'byte'"),
        (changed(kind=["bpe"]), "'kind': a text is expected"),
        (changed(kind="byte"), "keys that this kind of tokenizer does not have: 'pattern'"),
        (changed(kind="char"), "'unknown' is missing"),
        (changed(pattern=None), "'pattern' is missing"),
        (changed(pattern="gpt3"), "'gpt3' is none of 'gpt2'"),
        (changed(pattern="(a"), "no regular expression"),
        (changed(merges=None), "'merges' is missing"),
        (changed(merges=7), "'merges': a list"),
        (changed(merges=[[1, 2]]), r"'merges'\[0\]"),
        (changed(merges=[["1", 2, "x"]]), r"'merges'\[0\]"),
        (changed(merges=[[97, 999, "x"]]), r"merges\[0\].*only use ids from 0 to 255"),
        (changed(merges=[[97, -1, "x"]]), r"merges\[0\].*only use ids from 0 to 255"),
        (changed(merges=[[97, 98, "ab"], [97, 98, "ab"]]), r"merges\[1\].*a token already"),
        (changed(merges=[[97, 98, "ba"]]), r"'merges'\[0\] says 'ba'.*spell 'ab'.*damaged"),
        (changed(special_tokens=[]), "special_tokens is empty"),
        (changed(special_tokens=[3]), r"'special_tokens'\[0\]: a text"),
        (changed(byte_order=[0] * 256), "byte_order must hold"),
        (changed(byte_order=["a"]), r"'byte_order'\[0\]: a whole number"),
        (changed(extra=1), "does not have: 'extra'"),
        ({"schema_version": 1, "kind": "char", "unknown": "ask", "vocabulary": ["a"]}, "unknown"),
        ({"schema_version": 1, "kind": "char", "unknown": "bytes", "vocabulary": []}, "is empty"),
        (
            {"schema_version": 1, "kind": "char", "unknown": "bytes", "vocabulary": ["ab"]},
            r"vocabulary\[0\]: 'ab' is not one character",
        ),
        (
            {"schema_version": 1, "kind": "word", "unknown": "bytes", "vocabulary": ["a", "a"]},
            r"vocabulary\[1\]: 'a' stands there twice",
        ),
    ],
)
def test_a_wrong_file_is_named_with_its_key(document: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(TokenizerError, match=message) as caught:
        Tokenizer.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no JSON at line 1, column 1"),
        (b'{"kind": ', "no JSON"),
        (b"\xff\xfe", "byte 0 is no UTF-8"),
        (b"[" * 100_000, "not a hornbook tokenizer"),
    ],
)
def test_what_is_no_json(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.load(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"tokenizer\.json: cannot be read: No such file"):
        Tokenizer.load(tmp_path)


def test_a_family_loads_only_its_own_kind(tmp_path: Path) -> None:
    ByteTokenizer().save(tmp_path)
    with pytest.raises(TokenizerError, match=r"'kind' is 'byte'.*BPETokenizer; use Tokenizer.load"):
        BPETokenizer.load(tmp_path)


def test_the_fingerprint_is_fixed_for_ever() -> None:
    """Runs compare it years later: this number may never change."""
    assert ByteTokenizer().fingerprint[:16] == "ad93634118e8d76e"
