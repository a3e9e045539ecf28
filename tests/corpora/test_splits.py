"""No text stands on both sides, sides stay where they are, and the facts are true."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opening_corpora import Remembering, opened, shared_corpus

from hornbook.corpora import Corpus, CorpusConfig, CorpusSplit, Document, SideFacts, split_corpus
from hornbook.corpora.ledger import Ledger
from hornbook.corpora.sides import Assignment, contiguous
from hornbook.corpora.streams import Reading
from hornbook.errors import CorpusError

METHODS = ("by_document", "contiguous", "random")


class Parted(Corpus):
    """A corpus that comes in parts of at most ten characters."""

    def read(self, reading: Reading, limit: int = 10):
        return super().read(reading, limit)


def split(path: Path, seed: int = 1, *, parted: bool = False, **chosen: Any) -> CorpusSplit:
    corpus = opened(path, **chosen)
    if parted:
        corpus = Parted(corpus.config, corpus._sources)
    return split_corpus(corpus, seed)


def jsonl(folder: Path, texts: Sequence[str], name: str = "x.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def joined(found: CorpusSplit, side: str) -> list[str]:
    """The documents of a side, put together from their parts."""
    texts, begun = [], ""
    for document in found.documents(side):  # type: ignore[arg-type]
        begun += document.text
        if document.complete:
            texts.append(begun)
            begun = ""
    assert begun == "", "the last part of a side must be complete"
    return texts


def facts_of(texts: Sequence[str]) -> SideFacts:
    return SideFacts(len(texts), sum(map(len, texts)), sum(len(text.encode()) for text in texts))


some_texts = st.lists(
    st.text(alphabet="ab \né😀", min_size=1, max_size=40).filter(str.strip), min_size=1, max_size=12
)


@settings(max_examples=200)
@given(some_texts, st.sampled_from(METHODS), st.floats(0, 0.95), st.integers(0, 5), st.booleans())
def test_sides_are_whole_and_share_no_text(texts, method, fraction, seed, parted):
    with tempfile.TemporaryDirectory() as folder:
        path = jsonl(Path(folder), texts)
        chosen = {"split": method, "validation_fraction": fraction, "parted": parted}
        try:
            found = split(path, seed, **chosen)
        except CorpusError:
            assert fraction > 0  # so small a corpus may leave a side empty
            return
        training, validation = joined(found, "training"), joined(found, "validation")
        facts = found.facts
        assert facts.training == facts_of(training)
        assert facts.validation == facts_of(validation)
        assert bool(validation) == (fraction > 0)
        if facts.divided_at is None:
            assert not set(training) & set(validation)
            assert sorted(training + validation) == sorted(texts)
        else:
            assert "".join(training) + "".join(validation) != ""
            divided = training[-1] if facts.duplicates_moved == 0 else None
            if divided is not None:
                assert "".join(training + validation) == "".join(texts)
                assert len("".join(training)) == facts.divided_at
        again = split(path, seed, **chosen)
        assert list(again.assigned()) == list(found.assigned())
        assert again.facts == facts


def test_by_document_stays_when_documents_are_added(tmp_path):
    texts = [f"document {n}" for n in range(300)]
    few = split(jsonl(tmp_path, texts[100:200], "few.jsonl"), split="by_document")
    many = split(jsonl(tmp_path, texts[::-1]), seed=99, split="by_document")
    kept = set(joined(few, "validation"))
    assert kept == set(joined(many, "validation")) & set(texts[100:200])
    every = jsonl(tmp_path, texts, "every.jsonl")
    more = split(every, split="by_document", validation_fraction=0.5)
    assert set(joined(many, "validation")) < set(joined(more, "validation"))


def test_by_document_is_the_same_on_every_machine(tmp_path):
    """The definitions in other words, so that no later version may change them unnoticed."""
    texts = [f"document {n}" for n in range(100)]
    found = split(jsonl(tmp_path, texts), split="by_document")
    digest, sides = hashlib.sha256(), bytearray()
    for text in texts:
        digest.update(text.encode() + len(text).to_bytes(8, "big"))
        number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
        sides.append(number / 2**64 < 0.1)
    assert [side == "validation" for side, _ in found.assigned()] == list(map(bool, sides))
    assert found.facts.corpus_fingerprint == digest.hexdigest()
    expected = hashlib.sha256(digest.digest() + bytes(sides) + b"None").hexdigest()
    assert found.facts.split_fingerprint == expected


def test_random_depends_on_the_seed_and_nothing_else(tmp_path):
    path = jsonl(tmp_path, [f"document {n}" for n in range(1000)])
    sides = {seed: set(joined(split(path, seed, split="random"), "validation")) for seed in (1, 2)}
    assert all(60 < len(kept) < 140 for kept in sides.values())
    assert len(sides[1] & sides[2]) < 40
    assert set(joined(split(path, 1, split="random"), "validation")) == sides[1]


def test_contiguous_divides_one_long_document_exactly(tmp_path):
    text = "".join(chr(97 + n % 26) + "é"[n % 3 :] for n in range(1000))
    path = tmp_path / "x.txt"
    path.write_text(text, encoding="utf-8")
    for parted in (False, True):
        found = split(path, parted=parted, validation_fraction=0.3)
        cut = int(len(text) * (1 - 0.3))
        assert joined(found, "training") == [text[:cut]]
        assert joined(found, "validation") == [text[cut:]]
        assert found.facts.divided_at == cut
        assert found.config.split == "contiguous"


@pytest.mark.parametrize("place", [9, 10, 11, 20, 30])
def test_contiguous_divides_at_and_beside_the_end_of_a_part(tmp_path, place):
    text = "abcdefghij" * 4
    path = tmp_path / "x.txt"
    path.write_text(text)
    found = split(path, parted=True, validation_fraction=1 - place / 40, split="contiguous")
    cut = found.facts.divided_at
    assert cut in (place, place - 1)  # the fraction is a binary number
    assert joined(found, "training") == [text[:cut]]
    assert joined(found, "validation") == [text[cut:]]


def entered(texts: Sequence[str]) -> Assignment:
    ledger = Ledger()
    for number, text in enumerate(texts):
        ledger.enter(Document(text, str(number), "test"))
    return contiguous(ledger.close(), 0.25)


@pytest.mark.parametrize(
    ("texts", "sides", "divided"),
    [
        (["a" * 75, "b" * 25], [0, 1], None),  # a boundary at the place itself
        (["a" * 70, "b" * 20, "c" * 10], [0, 0, 1], None),  # the next boundary after it
        (["a" * 60, "b" * 26, "c" * 14], [0, 0, 1], (1, 15)),  # longer than what follows
        (["a" * 74, "b" * 25, "c"], [0, 0, 1], None),  # as long as what follows: kept whole
        (["a" * 100], [0], (0, 75)),
        (["a" * 60, "b" * 20, "a" * 60, "c" * 20], [0, 0, 0, 1], None),  # would leak its end
    ],
)
def test_contiguous_cuts_at_document_boundaries_where_it_can(texts, sides, divided):
    assignment = entered(texts)
    assert assignment.sides.tolist() == sides
    assert assignment.divided == divided


def test_contiguous_returns_texts_that_training_has_too(tmp_path):
    texts = [*(f"text {n}" for n in range(10)), "text 3", "new", "new", "text 3"]
    found = split(jsonl(tmp_path, texts), split="contiguous", validation_fraction=0.25)
    assert joined(found, "validation") == ["new", "new"]
    assert found.facts.duplicates_moved == 2


def test_auto_looks_at_the_number_of_different_documents(tmp_path, listener: Remembering):
    many = [f"document {n}" for n in range(100)]
    for texts, expected in (
        (many, "by_document"),
        (many[1:], "contiguous"),
        (many[1:] * 3, "contiguous"),
    ):
        corpus = opened(jsonl(tmp_path, texts))
        if expected == "contiguous" and len(texts) > 100:
            with pytest.raises(CorpusError, match="leaves no validation text"):
                split_corpus(corpus, 1)  # everything in the last part stands before it too
            continue
        found = split_corpus(corpus, 1, listener=listener)
        assert found.config.split == found.facts.method == expected
        assert f"split={expected}" in listener.notices[-1]
        reopened = split_corpus(Corpus.open(found.config), 1)
        assert reopened.facts == found.facts


def test_auto_falls_back_when_the_share_reaches_no_document(tmp_path):
    path = jsonl(tmp_path, [f"document {n}" for n in range(100)])
    found = split(path, validation_fraction=1e-4)
    assert found.config.split == "contiguous"
    assert found.facts.validation.characters > 0


@pytest.mark.parametrize("method", ["by_document", "random"])
def test_a_side_left_empty_is_an_error(tmp_path, method):
    path = jsonl(tmp_path, ["the only document"])
    with pytest.raises(CorpusError, match=f"corpus.split={method} .*leaves no validation text"):
        split(path, split=method, validation_fraction=1e-6)
    with pytest.raises(CorpusError, match="leaves no training text"):
        split(path, split=method, validation_fraction=0.999999)
    with pytest.raises(CorpusError, match="leaves no training text"):
        split(jsonl(tmp_path, ["x"]), split="contiguous", validation_fraction=0.9)


@pytest.mark.parametrize("method", ["auto", *METHODS])
def test_no_fraction_keeps_no_validation_text(tmp_path, method):
    found = split(jsonl(tmp_path, ["one", "two"]), split=method, validation_fraction=0)
    assert joined(found, "training") == ["one", "two"]
    assert list(found.documents("validation")) == []
    assert found.config.split != "auto"


def test_the_corpus_fingerprint_is_of_texts_alone(tmp_path):
    lines = tmp_path / "lines.txt"
    lines.write_text("one\ntwo\n")
    first = split(lines, separate_by="line", split="contiguous", validation_fraction=0.5).facts
    rows = jsonl(tmp_path, ["one", "", "two"], "other.jsonl")
    same = split(rows, split="contiguous", validation_fraction=0.5).facts
    assert same.corpus_fingerprint == first.corpus_fingerprint
    assert same.split_fingerprint == first.split_fingerprint
    assert same.empty_dropped == 1
    others = (["two", "one"], ["one", "two", "two"], ["onetwo"], ["onet", "wo"], ["one"])
    found = {
        split(jsonl(tmp_path, texts), validation_fraction=0).facts.corpus_fingerprint
        for texts in others
    }
    assert len(found | {first.corpus_fingerprint}) == len(others) + 1


def test_parts_do_not_change_the_fingerprint(tmp_path):
    path = jsonl(tmp_path, ["a text of more than ten characters", "short"])
    chosen: dict[str, Any] = {"split": "contiguous", "validation_fraction": 0.1}
    whole, parted = split(path, **chosen).facts, split(path, parted=True, **chosen).facts
    assert whole == parted


def test_the_split_fingerprint_tells_sides_apart(tmp_path):
    path = jsonl(tmp_path, [f"document {n}" for n in range(100)])
    found = {split(path, seed, split="random").facts.split_fingerprint for seed in range(4)}
    found |= {split(path, split=method).facts.split_fingerprint for method in METHODS[:2]}
    assert len(found) == 6


def test_facts_are_plain_json(tmp_path, listener):
    corpus = opened(jsonl(tmp_path, ["one", " ", "two é"]), validation_fraction=0.5)
    facts = split_corpus(corpus, 7, listener=listener).facts
    written = facts.to_json()
    assert json.loads(json.dumps(written)) == written
    assert written["seed"] == 7
    assert written["training"] == {"documents": 1, "characters": 3, "bytes": 3} or (
        written["divided_at"] is not None
    )
    assert any("1 empty" in notice for notice in listener.notices)
    assert listener.advanced == [corpus.size]


def test_a_corpus_that_changes_between_passes_is_noticed(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("one\ntwo\nthree\n")
    found = split(path, separate_by="line", split="contiguous", validation_fraction=0.3)
    for changed in ("one\ntwo\n", "one\ntwo\nthree\nfour\n", "one\ntwo\nother\n and"):
        path.write_text(changed)
        with pytest.raises(CorpusError, match="has changed since it was split"):
            list(found.assigned())


def test_real_verses_split_by_document():
    corpus = Corpus.open(CorpusConfig(files=(shared_corpus("akjv.txt"),), separate_by="line"))
    facts = split_corpus(corpus, 1).facts
    assert facts.method == "by_document"
    assert facts.training.documents + facts.validation.documents == 31_102
    assert 0.09 < facts.validation.characters / 4_500_000 < 0.11
