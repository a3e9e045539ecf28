"""A corpus becomes a store once; it is reused while nothing changed, and never otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornbook.corpora import Corpus, CorpusConfig, CorpusSplit, split_corpus
from hornbook.data import build_token_store, cached_token_store, tokenization
from hornbook.errors import CorpusError, DataError
from hornbook.listener import SILENT, Listener
from hornbook.tokenizers import BPETokenizer, ByteTokenizer


class Notices(Listener):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        self.texts.append(text)

    @property
    def reused(self) -> bool:
        return any("reused" in text for text in self.texts)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def split_of(path: Path, **settings: object) -> CorpusSplit:
    config = CorpusConfig.model_validate(
        {"files": (str(path),), "separate_by": "line", "validation_fraction": 0.5, **settings}
    )
    return split_corpus(Corpus.open(config), seed=1)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("".join(f"line number {number}\n" for number in range(40)))
    return path


def test_documents_are_joined_by_the_end_token(text: Path) -> None:
    tokenizer = ByteTokenizer()
    split = split_of(text, split="contiguous")
    store = cached_token_store(split, tokenizer)
    ids = store.training.slice(0, len(store.training)).tolist()
    lines = [document.text for document in split.documents("training")]
    assert tokenizer.decode(ids) == "".join(f"{line}<|endoftext|>" for line in lines)
    ends = store.training.document_ends.tolist()
    assert len(ends) == len(lines) >= 15
    assert all(ids[end - 1] == tokenizer.end_id for end in ends)
    assert len(store.validation) > 0


def test_a_store_is_reused_only_while_nothing_changed(text: Path) -> None:
    tokenizer = ByteTokenizer()
    first, second = Notices(), Notices()
    cached_token_store(split_of(text), tokenizer, listener=first)
    cached_token_store(split_of(text), tokenizer, listener=second)
    assert not first.reused
    assert second.reused
    changed = text.read_text().replace("number 7", "number 8")  # as long as before
    text.write_text(changed)
    other = BPETokenizer(merges=[(108, 105)])
    for split, with_tokenizer in (
        (split_of(text), tokenizer),
        (split_of(text, split="random"), tokenizer),
        (split_of(text), other),
    ):
        listener = Notices()
        store = cached_token_store(split, with_tokenizer, listener=listener)
        assert not listener.reused
        ids = store.training.slice(0, len(store.training)).tolist()
        joined = "".join(f"{d.text}<|endoftext|>" for d in split.documents("training"))
        assert with_tokenizer.decode(ids) == joined


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_a_damaged_store_is_built_anew(text: Path, damage: str) -> None:
    tokenizer = ByteTokenizer()
    store = cached_token_store(split_of(text), tokenizer)
    path = store.folder / "training-00000.tokens"
    good = path.read_bytes()
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(good[:-1] if damage == "cut" else good[:-1] + bytes([good[-1] ^ 1]))
    listener = Notices()
    cached_token_store(split_of(text), tokenizer, listener=listener)
    assert any("built anew" in text for text in listener.texts)
    assert path.read_bytes() == good


def test_text_that_changes_after_the_split_leaves_no_store(text: Path, empty_cache: Path) -> None:
    split = split_of(text)
    text.write_text("something else\n" * 3)
    with pytest.raises(CorpusError, match="changed"):
        cached_token_store(split, ByteTokenizer())
    assert list((empty_cache / "tokens").iterdir()) == []


def test_a_cache_that_cannot_be_written(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="HORNBOOK_CACHE"):
        cached_token_store(split_of(text), ByteTokenizer())


def test_documents_keep_their_order_and_sides_however_they_are_batched(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text.write_text("".join(f"line {number} " + "x" * (number % 7) + "\n" for number in range(90)))
    tokenizer = BPETokenizer.train([text.read_text()], vocab_size=280)
    split = split_of(text)
    expected: dict[str, list[int]] = {"training": [], "validation": []}
    for side, document in split.assigned():
        expected[side] += [*tokenizer.encode(document.text), tokenizer.end_id]
    for number, (batch, worth_a_thread) in enumerate([(1, 1), (40, 1), (1 << 20, 1 << 12)]):
        monkeypatch.setattr(tokenization, "BATCH", batch)
        monkeypatch.setattr(tokenization, "WORTH_A_THREAD", worth_a_thread)
        store = build_token_store(split, tokenizer, tmp_path / f"store{number}")
        for sequence, ids in (
            (store.training, expected["training"]),
            (store.validation, expected["validation"]),
        ):
            assert sequence.slice(0, len(sequence)).tolist() == ids


def test_a_small_corpus_compiles_nothing(text: Path, tmp_path: Path) -> None:
    class Unprepared(ByteTokenizer):
        def prepare(self, listener: Listener = SILENT) -> None:
            raise AssertionError("a small corpus must not wait for a compiler")

    store = build_token_store(split_of(text), Unprepared(), tmp_path / "store")
    assert len(store.training) > 0
