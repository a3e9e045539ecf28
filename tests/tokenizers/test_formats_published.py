"""Vocabularies by name: from the cache, fetched, never another one; and files told apart."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from awkward_texts import any_text
from hypothesis import given, settings

from hornbook.durable import file_checksum
from hornbook.errors import TokenizerError
from hornbook.tokenizers import PUBLISHED_VOCABULARIES, BPETokenizer, ByteTokenizer, Tokenizer
from hornbook.tokenizers.formats import published
from hornbook.tokenizers.formats.gpt2_files import read_gpt2, write_gpt2
from hornbook.tokenizers.formats.huggingface import write_huggingface
from hornbook.tokenizers.formats.importing import import_tokenizer
from hornbook.tokenizers.formats.published import CL100K, O200K, R50K
from hornbook.tokenizers.formats.tiktoken_file import write_tiktoken
from hornbook.tokenizers.patterns import PUBLISHED


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a server that has nothing: the folder ``served``."""
    (tmp_path / "served").mkdir()
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(published, "_FOLDER", (tmp_path / "served").as_uri())
    return tmp_path / "cache" / "vocabularies"


@pytest.fixture(scope="module")
def gpt2(shared: Path) -> BPETokenizer:
    folder = shared / "vocabularies"
    return read_gpt2(folder / "gpt2-vocab.json", folder / "gpt2-merges.txt")


def test_the_facts_are_those_of_tiktoken(monkeypatch: pytest.MonkeyPatch) -> None:
    from tiktoken_ext import openai_public

    def remembered(address: str, expected_hash: str) -> dict[str, str]:
        return {"address": address, "sha256": expected_hash}

    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", remembered)
    for ours in (R50K, CL100K, O200K):
        theirs = getattr(openai_public, ours.name)()
        assert theirs["mergeable_ranks"] == {"address": ours.address, "sha256": ours.sha256}
        assert theirs["special_tokens"] == ours.special_tokens
        assert theirs["pat_str"] == PUBLISHED[ours.pattern]


def test_gpt2_by_name(cache: Path, gpt2: BPETokenizer) -> None:
    """GPT-2's own two files make tiktoken's file to the byte, and so one tokenizer."""
    cache.mkdir(parents=True)
    write_tiktoken(gpt2, cache / "r50k_base.tiktoken")
    assert file_checksum(cache / "r50k_base.tiktoken") == R50K.sha256
    loaded = Tokenizer.load("gpt2")
    assert loaded == gpt2 == BPETokenizer.load(Path("r50k_base"))
    with pytest.raises(TokenizerError, match="gpt2: is a bpe tokenizer, not a ByteTokenizer"):
        ByteTokenizer.load("gpt2")


def test_what_was_made_of_the_file_is_kept_beside_it(cache: Path, gpt2: BPETokenizer) -> None:
    cache.mkdir(parents=True)
    write_tiktoken(gpt2, cache / "r50k_base.tiktoken")
    Tokenizer.load("gpt2")
    kept = R50K.cached_tokenizer
    assert kept.parent == cache
    whole = kept.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"{}"):
        kept.write_bytes(damaged)
        assert Tokenizer.load("gpt2") == gpt2
    BPETokenizer([], "gpt2", {"<|endoftext|>": 50257}).save(kept)
    assert Tokenizer.load("gpt2") == gpt2
    (cache / "r50k_base.tiktoken").unlink()
    assert kept.read_bytes() == whole
    assert Tokenizer.load("gpt2") == gpt2


def test_a_vocabulary_is_fetched_once(cache: Path, gpt2: BPETokenizer, tmp_path: Path) -> None:
    write_tiktoken(gpt2, tmp_path / "served/r50k_base.tiktoken")
    assert Tokenizer.load("gpt2") == gpt2
    (tmp_path / "served/r50k_base.tiktoken").unlink()
    assert Tokenizer.load("gpt2") == gpt2
    assert sorted(path.name for path in cache.iterdir()) == [
        R50K.cached_tokenizer.name,
        "r50k_base.tiktoken",
    ]


def test_a_served_file_that_is_another_one_is_thrown_away(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "served/r50k_base.tiktoken").write_bytes(b"IQ== 0\n")
    with pytest.raises(TokenizerError, match=rf"not {R50K.sha256}.*put the file at {cache}"):
        Tokenizer.load("gpt2")
    assert list(cache.iterdir()) == []


def test_without_a_network_it_says_where_to_put_the_file(cache: Path) -> None:
    with pytest.raises(TokenizerError, match=rf"put the file at {cache}/cl100k_base\.tiktoken"):
        Tokenizer.load("cl100k")


def test_another_file_in_the_cache_is_not_used(cache: Path, gpt2: BPETokenizer) -> None:
    cache.mkdir(parents=True)
    write_tiktoken(gpt2, cache / "o200k_base.tiktoken")
    with pytest.raises(TokenizerError, match=r"o200k_base\.tiktoken: this is not the published"):
        Tokenizer.load("o200k")


def test_an_unknown_name_lists_those_that_are_known(cache: Path) -> None:
    with pytest.raises(TokenizerError, match=r"no published vocabulary .*Did you mean cl100k\?"):
        Tokenizer.load("cl10k")
    with pytest.raises(TokenizerError) as caught:
        Tokenizer.load("mine")
    assert all(name in str(caught.value) for name in PUBLISHED_VOCABULARIES)
    for path in ("mine.json", "runs/mine"):
        with pytest.raises(TokenizerError, match="cannot be read: No such file"):
            Tokenizer.load(path)


def test_a_file_or_folder_of_that_name_comes_first(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ByteTokenizer().save("gpt2")
    assert Tokenizer.load("gpt2") == ByteTokenizer()
    Path("o200k").mkdir()
    ByteTokenizer().save("o200k")
    assert Tokenizer.load("o200k") == ByteTokenizer()


def test_o200k_by_name_has_the_ids_of_tiktoken(cache: Path, shared: Path) -> None:
    content = (shared / "vocabularies/o200k_base.tiktoken").read_bytes()
    cache.mkdir(parents=True)
    (cache / "o200k_base.tiktoken").write_bytes(content)
    ours = Tokenizer.load("o200k_base")
    pairs = (line.split() for line in content.splitlines())
    theirs = tiktoken.Encoding(
        "o200k",
        pat_str=PUBLISHED["o200k"],
        mergeable_ranks={base64.b64decode(token): int(rank) for token, rank in pairs},
        special_tokens=dict(O200K.special_tokens),
    )
    assert ours.vocab_size == theirs.n_vocab

    @settings(max_examples=100, deadline=None)
    @given(text=any_text)
    def same_ids(text: str) -> None:
        marked = f"{text}<|endofprompt|>{text}"
        assert ours.encode(text) == theirs.encode_ordinary(text)
        assert ours.encode(marked, allowed_special="all") == theirs.encode(
            marked, allowed_special="all"
        )

    same_ids()
    for path in (shared / "corpora").iterdir():
        with path.open("rb") as file:
            text = file.read(40_000).decode("utf-8", errors="ignore")
        assert ours.encode(text) == theirs.encode_ordinary(text)


# Which file it is.

SMALL = BPETokenizer([(97, 98)], "words", {"<|endoftext|>": 257})


def test_files_are_told_apart_by_their_content(tmp_path: Path) -> None:
    write_tiktoken(SMALL, tmp_path / "a")
    write_huggingface(SMALL, tmp_path / "b")
    write_gpt2(SMALL, tmp_path / "c")
    assert import_tokenizer(tmp_path / "a", pattern="words") == SMALL
    assert import_tokenizer(tmp_path / "b") == SMALL
    assert import_tokenizer(tmp_path / "c", pattern="words") == SMALL
    vocabulary, merges = tmp_path / "c/vocab.json", tmp_path / "c/merges.txt"
    assert import_tokenizer(vocabulary, merges, pattern="words") == SMALL
    assert import_tokenizer(vocabulary, merges).pattern == "gpt2"
    (tmp_path / "d").mkdir()
    write_huggingface(SMALL, tmp_path / "d/tokenizer.json")
    assert import_tokenizer(tmp_path / "d") == SMALL
    special = {"<a>": 300, "<b>": 290}
    imported = import_tokenizer(tmp_path / "a", pattern="none", special_tokens=special)
    assert (imported.pattern, imported.special_tokens) == ("none", special)


@pytest.mark.parametrize("content", [b"[1, 2]", b"\x7fELF\xd0", b""])
def test_a_file_that_is_called_json_is_read_as_json(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(TokenizerError, match="JSON|UTF-8"):
        import_tokenizer(path)


def test_a_published_file_brings_its_pattern_and_special_ids(shared: Path) -> None:
    path = shared / "vocabularies/cl100k_base.tiktoken"
    for pattern in (None, "cl100k"):
        imported = import_tokenizer(path, pattern=pattern)
        assert imported.pattern == "cl100k"
        assert imported.special_tokens == CL100K.special_tokens
        assert imported.vocab_size == 100277


def ours(folder: Path) -> Path:
    SMALL.save(folder / "ours.json")
    return folder / "ours.json"


def theirs(folder: Path) -> Path:
    write_huggingface(SMALL, folder / "theirs.json")
    return folder / "theirs.json"


def ranks(folder: Path) -> Path:
    write_tiktoken(SMALL, folder / "ranks")
    return folder / "ranks"


def lists(folder: Path) -> Path:
    write_gpt2(SMALL, folder)
    return folder / "vocab.json"


def other_json(folder: Path) -> Path:
    (folder / "other.json").write_text('{"a": "b"}')
    return folder / "other.json"


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (ours, {}, "this is a hornbook tokenizer; use it as it is"),
        (other_json, {}, "neither a Hugging Face tokenizer.json .* nor GPT-2's"),
        (lists, {}, "looks like GPT-2's vocab.json; its merges.txt is needed"),
        (lists, {"merges": Path("none.txt")}, "none.txt: cannot be read"),
        (ranks, {}, "does not say where text is cut.* give its pattern: gpt2, cl100k"),
        (ranks, {"pattern": "gpt5"}, "'gpt5' is none of"),
        (ranks, {"pattern": "gpt2", "special_tokens": {"<a>": 3}}, "id 3 is not from 257"),
        (ranks, {"form": "huggingface"}, "no JSON at line 1"),
        (ranks, {"form": "tiktoken", "merges": Path("x")}, "only GPT-2's vocab.json has merges"),
        (theirs, {"pattern": "gpt2"}, "says itself where text is cut"),
        (theirs, {"special_tokens": {"<a>": 300}}, "says itself which special tokens"),
        (theirs, {"form": "tiktoken", "pattern": "gpt2"}, "line 1: a token in base64"),
        (lambda folder: folder, {}, "holds neither tokenizer.json nor vocab.json and merges.txt"),
        (lambda folder: folder / "none", {}, "none: cannot be read: No such file"),
    ],
)
def test_what_cannot_be_imported(
    make: Callable[[Path], Path], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(TokenizerError, match=message):
        import_tokenizer(make(tmp_path), **options)
