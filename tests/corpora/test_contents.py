"""Documents as bytes: the same documents as of text, whole or in parts, however they are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.corpora import Corpus, CorpusConfig
from hornbook.corpora.contents import separated_contents
from hornbook.corpora.separation import Separation, rule_for
from hornbook.corpora.streams import Reading
from hornbook.errors import CorpusError
from hornbook.tokenizers import count_pre_tokens

MARKED = b"\xef\xbb\xbf"


def chunks_of(content: bytes, size: int) -> list[bytes]:
    return [content[place : place + size] for place in range(0, len(content), size)]


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(st.sampled_from(["--", "-", "a", " ", "\n", "\u3000", "\x1c", "é", "나 b"])),
    size=st.integers(1, 9),
)
def test_documents_are_those_of_the_text(pieces: list[str], size: int) -> None:
    text = "".join(pieces)
    for separator in ("--", None):
        rule = rule_for("separator" if separator else "file", separator or "")
        expected = [document.encode() for _, document, _ in Separation([text], rule)]
        stored = separator.encode() if separator else None
        assert list(separated_contents(chunks_of(text.encode(), size), stored)) == expected


@settings(max_examples=100, deadline=None)
@given(
    pieces=st.lists(st.sampled_from(["to be.\n", "Or", "나무\n", " ", "é", "x" * 9]), max_size=60),
    size=st.integers(1, 20),
)
def test_parts_do_not_depend_on_how_the_text_is_read(pieces: list[str], size: int) -> None:
    content = "".join(pieces).encode()
    parts = list(separated_contents(chunks_of(content, size), None, part=20, limit=40))
    assert b"".join(parts) == (content if content.strip() else b"".join(parts))
    for part in parts:
        part.decode()
        assert len(part) <= 40 + 20 + size
    counts = count_pre_tokens(parts, "gpt2").to_mapping() if parts else {}
    by_one = list(separated_contents(chunks_of(content, 1), None, part=20, limit=40))
    assert (count_pre_tokens(by_one, "gpt2").to_mapping() if by_one else {}) == counts


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", "words"])
def test_parts_at_line_ends_have_the_pre_tokens_of_the_whole(text: str, pattern: str) -> None:
    parts = list(separated_contents(chunks_of(text.encode(), 100), None, part=300))
    assert len(parts) > 20
    counted = count_pre_tokens(parts, pattern).to_mapping()
    assert counted == count_pre_tokens([text], pattern).to_mapping()


def test_a_corpus_gives_the_bytes_of_its_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(MARKED + "one — 1\n<|endoftext|>two\r\n".encode())
    (tmp_path / "b.jsonl").write_text('{"text": "three"}\n{"text": " "}\n{"text": "four"}\n')
    for settings_of in ({}, {"separate_by": "line"}, {"errors": "replace"}):
        config = CorpusConfig.model_validate({"files": (str(tmp_path),), **settings_of})
        corpus = Corpus.open(config)
        expected = [document.text.encode() for document in corpus.documents()]
        assert len(expected) == 4
        assert list(corpus.contents(Reading())) == expected


def test_what_is_no_text_is_refused_as_of_documents(tmp_path: Path) -> None:
    for content in (b"ab\xff", b"ab \xe2\x82", b" \n", MARKED):
        (tmp_path / "a.txt").write_bytes(content)
        corpus = Corpus.open(CorpusConfig(files=(str(tmp_path / "a.txt"),)))
        with pytest.raises(CorpusError) as expected:
            list(corpus.documents())
        with pytest.raises(CorpusError) as found:
            list(corpus.contents(Reading()))
        assert str(found.value) == str(expected.value)
