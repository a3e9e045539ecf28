"""The tokenizers beside models: each kind of file, read exactly or refused."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import hornbook
from hornbook.errors import TokenizerError
from hornbook.interop.text_files import find_tokenizer, open_tokenizer, written_tokenizer
from hornbook.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer
from hornbook.tokenizers.formats.gpt2_files import write_gpt2
from hornbook.tokenizers.formats.pre_tokenizers import CL100K_AS_FIRST_PUBLISHED
from hornbook.tokenizers.formats.tiktoken_file import write_tiktoken

BEGIN, END = "<|begin_of_text|>", "<|end_of_text|>"


@pytest.fixture(scope="module")
def llama3_like(tmp_path_factory: pytest.TempPathFactory, text: str) -> Path:
    """A tokenizer.json made as Llama 3's was: out of a tiktoken file, with a token in front."""
    for name in ("tokenizers", "transformers", "tiktoken"):
        pytest.importorskip(name, reason=f"{name} is in the extra dev, and is not installed")
    from tokenizers import AddedToken, processors
    from transformers.convert_slow_tokenizer import TikTokenConverter

    folder = tmp_path_factory.mktemp("llama3")
    spaced = text.replace(" ", "    ", 400).replace("i", "iii", 300)
    trained = BPETokenizer.train([spaced], vocab_size=420, pattern="cl100k")
    write_tiktoken(trained, folder / "ranks.tiktoken")
    converter = TikTokenConverter(str(folder / "ranks.tiktoken"), CL100K_AS_FIRST_PUBLISHED)
    theirs = converter.converted()
    theirs.add_special_tokens([AddedToken(n, normalized=False, special=True) for n in (BEGIN, END)])
    template = processors.TemplateProcessing(
        single=f"{BEGIN} $A",
        pair=f"{BEGIN} $A {BEGIN}:1 $B:1",
        special_tokens=[(BEGIN, theirs.token_to_id(BEGIN))],
    )
    byte_level = processors.ByteLevel(trim_offsets=False)
    theirs.post_processor = processors.Sequence([byte_level, template])
    theirs.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def test_llama_3s_kind_is_read_exactly(llama3_like: Path, text: str) -> None:
    from tokenizers import Tokenizer

    listed = json.loads(llama3_like.read_text(encoding="utf-8"))["model"]["merges"]
    found = open_tokenizer(str(llama3_like))
    ours, theirs = found.tokenizer, Tokenizer.from_file(str(llama3_like))
    assert isinstance(ours, BPETokenizer)
    assert len(listed) > len(ours.merges)
    assert found.adds_start
    assert ours.vocab_size == theirs.get_vocab_size()
    draw = random.Random(2)
    parts = ["i", "ii", "  ", "    ", "river", "é", "12", "\n", " the", "==", "日"]
    texts = [text, *("".join(draw.choices(parts, k=30)) for _ in range(200))]
    for each in texts:
        assert ours.encode(each, add_start=True) == theirs.encode(each).ids
    # What is written of it is read by theirs again, with the token in front.
    again = Tokenizer.from_str(written_tokenizer(ours, adds_start=True).decode("utf-8"))
    assert all(again.encode(each).ids == theirs.encode(each).ids for each in texts)


def test_another_token_in_front_is_refused(llama3_like: Path, tmp_path: Path) -> None:
    document = llama3_like.read_text(encoding="utf-8")
    step = json.loads(document)["post_processor"]
    other = json.loads(json.dumps(step).replace(BEGIN, END))
    changed = {**json.loads(document), "post_processor": other}
    (tmp_path / "tokenizer.json").write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(TokenizerError, match="would be put before every text"):
        open_tokenizer(str(tmp_path))


def test_every_place_that_a_person_may_name(
    small_tokenizer: BPETokenizer, finished_run: hornbook.Run, tmp_path: Path
) -> None:
    write_gpt2(small_tokenizer, tmp_path / "gpt2")
    small_tokenizer.save(tmp_path / "ours.json")
    (tmp_path / "theirs.json").write_bytes(written_tokenizer(small_tokenizer, adds_start=False))
    for name in ("gpt2", "gpt2/vocab.json", "ours.json", "theirs.json"):
        assert open_tokenizer(str(tmp_path / name)).tokenizer == small_tokenizer
    assert open_tokenizer(str(finished_run.path)).tokenizer == finished_run.tokenizer
    with pytest.raises(TokenizerError, match="cannot be read"):
        open_tokenizer(str(tmp_path / "absent" / "tokenizer.json"))


def test_gpt2s_own_vocabulary_is_known_by_name(
    gpt2_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hornbook.tokenizers import Tokenizer
    from hornbook.tokenizers.formats.gpt2_files import read_gpt2

    published = read_gpt2(gpt2_files / "gpt2-vocab.json", gpt2_files / "gpt2-merges.txt")
    asked: list[Any] = []

    def load(name: str, **_: Any) -> BPETokenizer:
        asked.append(name)
        return published

    monkeypatch.setattr(Tokenizer, "_load_published", staticmethod(load))
    assert find_tokenizer(tmp_path, None, 50257).tokenizer == published
    assert asked == ["gpt2"]


def test_what_cannot_be_fetched_can_be_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hornbook.tokenizers import Tokenizer

    def load(name: str, **_: Any) -> BPETokenizer:
        raise TokenizerError("no network")

    monkeypatch.setattr(Tokenizer, "_load_published", staticmethod(load))
    with pytest.raises(TokenizerError, match="no network.*--tokenizer"):
        find_tokenizer(tmp_path, None, 50257)


def test_bytes_go_out_and_characters_do_not() -> None:
    reason = "tokenizers is in the extra dev, and is not installed"
    theirs_of = pytest.importorskip("tokenizers", reason=reason).Tokenizer.from_str
    theirs = theirs_of(written_tokenizer(ByteTokenizer(), adds_start=False).decode())
    assert theirs.encode("né\n").ids == ByteTokenizer().encode("né\n")
    with pytest.raises(TokenizerError, match="tokenizer.kind=char"):
        written_tokenizer(CharTokenizer(["a"]), adds_start=False)
