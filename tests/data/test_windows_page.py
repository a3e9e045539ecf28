"""docs/windows.md: what it draws is what the strategies do."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from hornbook.data.packing import Packing
from hornbook.data.packing_reference import rows_of
from hornbook.data.windows import LineStrategy
from hornbook.data.windows_reference import END, PAD, START, Cell, Pair, counts, pairs

PAGE = Path(__file__).resolve().parents[2] / "docs" / "windows.md"
LINES: list[list[Cell]] = [[START, *"abcde", END], [START, "f", END]]
CONTEXT = 5


@pytest.fixture(scope="module")
def page() -> str:
    if not PAGE.is_file():
        pytest.skip("needs the project's docs/, which are absent here")
    return PAGE.read_text(encoding="utf-8")


def drawn(example: Pair) -> str:
    """One example as the page draws it."""
    x, y = example
    counted = [b if counts(a, b) else PAD for a, b in zip(x, y, strict=True)]
    left, right = (
        " ".join(f"{'·' if cell == PAD else cell:>4}" for cell in cells) for cells in (x, counted)
    )
    return f"    x {left}     y {right}"


@pytest.mark.parametrize("strategy", get_args(LineStrategy))
def test_every_strategy_is_drawn_as_it_is(page: str, strategy: LineStrategy) -> None:
    section = page.split(f"\n## {strategy}\n")[1].split("\n## ")[0]
    expected = [drawn(example) for line in LINES for example in pairs(strategy, line, CONTEXT)]
    assert [line for line in section.splitlines() if line.startswith("    x")] == expected


def test_a_stride_is_drawn_as_it_is(page: str) -> None:
    section = page.split("\n## Stride\n")[1].split("\n## ")[0]
    expected = [drawn(example) for example in pairs("left_padded", LINES[0], CONTEXT, stride=3)]
    assert [line for line in section.splitlines() if line.startswith("    x")] == expected


@pytest.mark.parametrize("packing", get_args(Packing))
def test_packed_rows_are_drawn_as_they_are(page: str, packing: Packing) -> None:
    section = page.split("\n## packed\n")[1].split("\n## ")[0]
    documents = [["a", "b", "c", "d", "e", END], ["g", "h", "i", END], ["f", END]]
    names = [token for document in documents for token in document]
    places = iter(range(len(names)))
    rows = rows_of([[next(places) for _ in document] for document in documents], 8, packing)
    expected = []
    for row in rows:
        targets = [place for piece in row for place in piece]
        padding = [PAD] * (8 - len(targets))
        x = [names[place - 1] if place else END for place in targets]
        expected.append(drawn(([*x, *padding], [*(names[place] for place in targets), *padding])))
    part = section.split(f"`data.packing={packing}`")[1].split("\n\n")[1]
    assert part.splitlines() == expected
