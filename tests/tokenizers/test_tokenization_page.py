"""docs/tokenization.md: its Python is run, its figures and commands exist."""

from __future__ import annotations

import csv
import doctest
import re
from pathlib import Path

import pytest

from hornbook.tokenizers.bpe_reference import learn_merges
from hornbook.tokenizers.patterns import splitter

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tokenization.md"


@pytest.fixture(scope="module")
def page() -> str:
    if not PAGE.is_file():
        pytest.skip("needs the project's docs/, which are absent here")
    return PAGE.read_text(encoding="utf-8")


def rows(page: str, first_cell: str) -> list[list[str]]:
    """The cells of each line of a table that begins as ``first_cell`` matches."""
    lines = re.findall(rf"^\| ({first_cell}) \| (.*) \|$", page, re.MULTILINE)
    return [[first, *rest.split(" | ")] for first, rest in lines]


def test_every_example_gives_what_the_page_says(page: str) -> None:
    examples = doctest.DocTestParser().get_doctest(page, {}, PAGE.name, str(PAGE), 0)
    assert len(examples.examples) >= 15
    complaints: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(examples, out=complaints.append)
    assert result.failed == 0, "".join(complaints)


def test_the_table_of_training_by_hand_is_what_the_trainer_does(page: str) -> None:
    told = rows(page, r"2[56]\d")
    merges = learn_merges({b"nest": 4, b"newest": 6, b"west": 3, b"egg": 5}, len(told))
    tokens = [bytes([byte]) for byte in range(256)]
    for (token_id, pair, _, _), (left, right) in zip(told, merges, strict=True):
        assert int(token_id) == len(tokens)
        assert pair == f"`{tokens[left].decode()}` + `{tokens[right].decode()}`"
        tokens.append(tokens[left] + tokens[right])


def test_the_table_of_patterns_is_what_they_cut(page: str) -> None:
    line = "I'll pay 12345 won,  DON'T  wait!\n\n나무"
    told = rows(page, "`(?:gpt2|cl100k|o200k|words)`.*?")
    assert len(told) == 4
    for name, pieces in told:
        shown = [piece.replace("·", " ").replace("⏎", "\n") for piece in pieces[1:-1].split("` `")]
        assert shown == splitter(name.split("`")[1])(line)


def test_figures_exist_and_the_numbers_are_those_that_are_drawn(page: str) -> None:
    figures = re.findall(r"\]\((figures/[\w-]+\.svg)\)", page)
    assert len(figures) == 2
    assert all((PAGE.parent / figure).read_bytes().startswith(b"<?xml") for figure in figures)
    with open(PAGE.parent / "figures" / "vocabulary-size.csv", encoding="utf-8") as file:
        measured = {
            int(row["entries"]): float(row["bytes_per_token"])
            for row in csv.DictReader(file)
            if row["text"] == "books.txt"
        }
    told = [f"{measured[entries]:.2f}" for entries in (1024, 2048, 16384, 32768)]
    found = re.search(r"from ([\d.]+) bytes to\s([\d.]+); .* from ([\d.]+) to ([\d.]+)\.", page)
    assert found
    assert list(found.groups()) == told
