"""Files of verses: how they are written, what is wrong with them, and whole chapters apart."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opening_corpora import Remembering, opened, shared_corpus, texts

from hornbook.corpora import Corpus, CorpusConfig, split_corpus
from hornbook.corpora.streams import Reading
from hornbook.corpora.verses import Verse, read_verses
from hornbook.errors import ConfigError, CorpusError
from hornbook.runs.resolution import resolve

RUTH = [
    ("Ruth", 1, 1, "Now it came to pass, in the days"),
    ("Ruth", 1, 2, 'And she said, "Go."'),
    ("1 Samuel", 4, 17, "And the messenger answered"),
]

FORMS = {
    "tab": [f"{b} {c}:{v}\t{t}" for b, c, v, t in RUTH],
    "comma": [f"{b} {c}:{v},{t}" for b, c, v, t in RUTH],
    "pipe": [f"{b} {c}:{v}|{t}" for b, c, v, t in RUTH],
    "bracketed": [f"[{b} {c}:{v}]\t{t}" for b, c, v, t in RUTH],
    "four tabs": [f"{b}\t{c}\t{v}\t{t}" for b, c, v, t in RUTH],
    "four pipes": [f"{b}|{c}|{v}| {t}" for b, c, v, t in RUTH],
    "four commas": [f"{b},{c},{v},{t}" for b, c, v, t in RUTH],
    "tab, header": ["Reference\tText"] + [f"{b} {c}:{v}\t{t}" for b, c, v, t in RUTH],
    "verse column": ["Verse|Text"] + [f"{b} {c}:{v}|{t}" for b, c, v, t in RUTH],
    "pipe, header": ["Book|Chapter|Verse|Text"] + [f"{b}|{c}|{v}|{t}" for b, c, v, t in RUTH],
    "text first": ["text|book|chapter|verse"] + [f"{t}|{b}|{c}|{v}" for b, c, v, t in RUTH],
    "unknown header": ["Reference\tAKJV"] + [f"{b} {c}:{v}\t{t}" for b, c, v, t in RUTH],
    "more columns": ["id,b,c,v,t"] + [f"9,{b},{c},{v},{t}" for b, c, v, t in RUTH],
}


def write(path: Path, lines: list[str], end: str = "\n") -> Path:
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_common_form_gives_the_same_verses(tmp_path: Path, form: str, end: str) -> None:
    corpus = opened(write(tmp_path / "ruth.txt", FORMS[form], end))
    assert corpus.config.separate_by == "verse"
    found = list(corpus.documents())
    assert [document.text for document in found] == [text for *_, text in RUTH]
    assert [document.sections for document in found] == [
        ("Ruth", "Ruth 1"), ("Ruth", "Ruth 1"), ("1 Samuel", "1 Samuel 4"),
    ]  # fmt: skip
    first = 2 if len(FORMS[form]) > 3 else 1
    assert found[0].id == f"{tmp_path / 'ruth.txt'}:{first}"


def test_a_spreadsheets_quotes_are_read_as_spreadsheets_do(tmp_path: Path) -> None:
    table = io.StringIO()
    csv.writer(table, quoting=csv.QUOTE_ALL).writerows(
        [("Book", "Chapter", "Verse", "Text"), *RUTH]
    )
    path = tmp_path / "ruth.csv"
    path.write_text(table.getvalue())
    assert texts(path) == [text for *_, text in RUTH]


words = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8)


@given(st.lists(st.tuples(words, st.integers(1, 150), st.integers(1, 176), words), min_size=1))
def test_what_a_csv_writer_wrote_comes_back(rows: list[tuple[str, int, int, str]]) -> None:
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("Book", "Chapter", "Verse", "Text"), *rows])
    found = [verse for _, verse in read_verses([table.getvalue()], "x.csv", Reading())]
    assert found == [Verse(book, chapter, text) for book, chapter, _, text in rows]


def test_with_books_keeps_the_name_alone_and_a_verse_is_one_line(tmp_path: Path) -> None:
    lines = ["[1  Samuel 4:17]\tAnd\tthe\u2028messenger ", "[1 Samuel 4:18]\tAnd it came"]
    path = write(tmp_path / "samuel.txt", lines)
    assert texts(path) == ["And the messenger", "And it came"]
    with_books = texts(path, with_books=True)
    assert with_books == ["1 Samuel And the messenger", "1 Samuel And it came"]
    assert not re.search(r"[\[\]\t\r\n\u2028]", "".join(with_books))


@pytest.mark.parametrize(
    "damaged",
    ["Ruth 1:x\tNow", "Ruth 1:2 And she said", "1:2\tAnd she said", "Ruth 1:2,And she said", "***"],
)
def test_a_malformed_line_is_named_or_left_out(
    tmp_path: Path, damaged: str, listener: Remembering
) -> None:
    path = write(tmp_path / "ruth.txt", [FORMS["tab"][0], damaged, *FORMS["tab"][1:], "", damaged])
    with pytest.raises(CorpusError, match="no verse") as caught:
        texts(path)
    message = str(caught.value)
    assert f"{path}, line 2" in message
    assert "Book C:V<TAB>Text" in message
    assert "corpus.errors=skip" in message
    corpus = opened(path, errors="skip", validation_fraction=0)
    split = split_corpus(corpus, 1, listener=listener)
    assert [document.text for document in split.documents("training")] == [t for *_, t in RUTH]
    assert split.facts.malformed_dropped == 2
    assert f"malformed lines left out: 2, the first is {path}, line 2" in listener.notices


def test_bytes_that_are_no_text_cost_a_line_at_most(tmp_path: Path) -> None:
    path = tmp_path / "ruth.txt"
    path.write_bytes(b"Ruth 1:1\tNow\nRuth 1:2\tA\xffnd\nRuth 1:3\tThen\n")
    with pytest.raises(CorpusError, match="at byte 23 "):
        texts(path)
    assert texts(path, errors="skip") == ["Now", "Then"]
    assert texts(path, errors="replace") == ["Now", "A\ufffdnd", "Then"]
    other = tmp_path / "other.txt"
    other.write_bytes(b"no verses \xff here")
    with pytest.raises(CorpusError, match="at byte 10 "):
        texts(other, errors="skip")


def test_verses_without_text_are_counted_as_empty(tmp_path: Path, listener: Remembering) -> None:
    lines = ["Ruth 1:1\tNow", "Ruth 1:2\t ", "Ruth 1:3\tThen"]
    corpus = opened(write(tmp_path / "ruth.txt", lines), validation_fraction=0, with_books=True)
    facts = split_corpus(corpus, 1, listener=listener).facts
    assert (facts.training.documents, facts.empty_dropped) == (2, 1)
    assert "1 empty documents were left out" in listener.notices


def test_text_that_is_no_verses_is_not_taken_for_it(tmp_path: Path) -> None:
    prose = write(tmp_path / "prose.txt", ["In the days, he said", "And then, it was"])
    assert opened(prose).config.separate_by == "file"
    verses = write(tmp_path / "ruth.txt", FORMS["tab"])
    assert opened([prose, verses]).config.separate_by == "file"
    assert opened([verses, verses]).config.separate_by == "verse"
    assert opened(verses, separate_by="line").config.separate_by == "line"
    with pytest.raises(CorpusError, match=r"prose\.txt, line 1: no verse"):
        texts(prose, separate_by="verse")
    with pytest.raises(CorpusError, match="there is no verse in it"):
        texts(prose, separate_by="verse", errors="skip")


def test_named_verses_beside_other_text_need_a_word_from_the_user(
    tmp_path: Path, cache: Path
) -> None:
    (cache / "corpora").mkdir(parents=True)
    write(cache / "corpora" / "akjv.txt", FORMS["tab"])
    ruth = write(tmp_path / "ruth.txt", FORMS["comma"])
    assert len(texts(["akjv", ruth])) == 6
    with pytest.raises(CorpusError, match="separated in different ways"):
        opened(["akjv", write(tmp_path / "prose.txt", ["Now it came"])])


def bible(tmp_path: Path, books: int = 40, chapters: int = 5, verses: int = 4) -> Path:
    """A work whose verses all differ, but for one that stands in every chapter."""
    lines = [
        f"Book{chr(65 + b // 26)}{chr(65 + b % 26)} {c}:{v}\t"
        + ("Amen" if v == verses else f"text {b} {c} {v}")
        for b in range(books)
        for c in range(1, chapters + 1)
        for v in range(1, verses + 1)
    ]
    return write(tmp_path / "bible.txt", lines)


@pytest.mark.parametrize(("method", "place"), [("by_book", 0), ("by_chapter", 1)])
def test_whole_sections_stand_apart_and_no_text_on_both_sides(
    tmp_path: Path, method: str, place: int, listener: Remembering
) -> None:
    corpus = opened(bible(tmp_path), split=method, validation_fraction=0.2)
    split = split_corpus(corpus, 1, listener=listener)
    sides: dict[str, set[str]] = {}
    found: dict[str, set[str]] = {"training": set(), "validation": set()}
    for side, document in split.assigned():
        found[side].add(document.text)
        if document.text != "Amen":
            sides.setdefault(document.sections[place], set()).add(side)
    assert all(len(where) == 1 for where in sides.values())
    assert not found["training"] & found["validation"]
    held = sum(where == {"validation"} for where in sides.values())
    assert 0.1 < held / len(sides) < 0.3
    chapters_in_section = 5 if method == "by_book" else 1
    assert split.facts.duplicates_moved == held * chapters_in_section
    other_seed = split_corpus(corpus, 2)
    assert other_seed.facts.split_fingerprint == split.facts.split_fingerprint


def test_chapters_need_verses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"corpus\.split=by_chapter: needs verses"):
        resolve(overrides=["corpus.split=by_chapter", "corpus.separate_by=line"])
    prose = write(tmp_path / "prose.txt", ["Now it came to pass"])
    with pytest.raises(CorpusError, match=r"corpus\.split=by_book: needs verses.*separate_by=file"):
        opened(prose, split="by_book")


def test_the_real_bible() -> None:
    path = shared_corpus("akjv.txt")
    corpus = opened(path)
    assert corpus.config.separate_by == "verse"
    documents = list(corpus.documents())
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    assert [document.text for document in documents] == [
        line.partition("\t")[2].strip() for line in lines
    ]
    assert len(documents) == 31_102
    assert len({document.sections[0] for document in documents}) == 66
    assert len({document.sections[1] for document in documents}) == 1_189
    named = texts(path, with_books=True)
    assert named[0] == "Genesis In the beginning God created the heaven and the earth."
    for method in ("by_book", "by_chapter"):
        config = CorpusConfig(files=(path,), split=method)  # type: ignore[arg-type]
        facts = split_corpus(Corpus.open(config), 1).facts
        share = facts.validation.bytes / (facts.validation.bytes + facts.training.bytes)
        assert 0.03 < share < 0.2
