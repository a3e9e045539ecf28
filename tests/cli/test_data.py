"""hornbook data show and stats: what a person sees of the windows."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

import hornbook
from hornbook.cli import data as command
from hornbook.cli.mask_drawing import coarser, mask_lines
from hornbook.cli.signs import Signs, signs_for
from hornbook.cli.window_drawing import row_lines
from hornbook.data import Batch
from hornbook.inspection.window_picture import DrawnRow, drawn_row
from hornbook.models.masks import sawtooth

WORDS = ["--preset", "tiny", "context_length=12", "tokenizer.kind=word", "training.batch_size=6"]


@pytest.fixture(scope="module")
def verses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of verses: one of a single word, and others of up to 12."""
    path = tmp_path_factory.mktemp("verses") / "ruth.txt"
    said = "now it came to pass in the days when the judges ruled".split()
    texts = [" ".join([*said[: 1 + n % 12], f"and{n}"]) for n in range(40)] + ["amen"]
    path.write_text("".join(f"Ruth 1:{n + 1}\t{text}\n" for n, text in enumerate(texts)))
    return path


def row_of(segments: list[int], names: str = "{}") -> DrawnRow:
    """A row of tokens 0, 1, 2, … with these segments, -1 being padding."""
    tokens = torch.arange(len(segments))[None]
    targets = torch.where(torch.tensor([segments]) < 0, -100, tokens + 1)
    batch = Batch(tokens, targets, int((targets >= 0).sum()), None, torch.tensor([segments]))
    return drawn_row(batch, 0, names.format, pad_id=-1)


def mask_read_back(row: DrawnRow, segments: list[int], width: int, signs: Signs) -> Any:
    """The mask as the signs on the screen tell it."""
    lines = list(mask_lines(row, sawtooth(torch.tensor(segments)).numpy(), width, signs))
    assert all(line.cell_len <= width for line in lines[2:])
    large = len(lines) == len(segments) + 2 and 13 + 2 * len(segments) <= width - 32
    begin, step = (2 + 13, 2) if large else (2, 1)
    drawn = []
    for line in lines[2:]:
        cells = line.plain[begin : begin + step * len(segments) : step]
        if large or not signs.upper:
            drawn.append([cell == signs.seen for cell in cells])
        else:
            drawn.append([cell in (signs.seen, signs.upper) for cell in cells])
            drawn.append([cell in (signs.seen, signs.lower) for cell in cells])
    return np.array(drawn[: len(segments)])


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    padding=st.integers(0, 3),
    width=st.sampled_from([80, 200]),
    encoding=st.sampled_from(["utf-8", "ascii"]),
)
def test_the_drawn_mask_is_the_mask(
    lengths: list[int], padding: int, width: int, encoding: str
) -> None:
    segments = [n for n, length in enumerate(lengths) for _ in range(length)] + [-1] * padding
    drawn = mask_read_back(row_of(segments), segments, width, signs_for(encoding))
    assert (drawn == sawtooth(torch.tensor(segments)).numpy()).all()


def test_a_wide_mask_is_drawn_coarser() -> None:
    segments = [n // 60 for n in range(300)]
    mask = sawtooth(torch.tensor(segments)).numpy()
    lines = list(mask_lines(row_of(segments), mask, 80, signs_for("utf-8")))
    assert "a sign stands for 7 x 7 places" in lines[1].plain
    assert all(line.cell_len <= 80 for line in lines)
    small = coarser(mask, 7)
    for line in range(len(small)):
        for column in range(len(small)):
            square = mask[7 * line : 7 * line + 7, 7 * column : 7 * column + 7]
            assert small[line, column] == square.any()


def test_a_row_tells_all_without_colour() -> None:
    lines = [line.plain for line in row_lines(row_of([4, 4, 7, -1], "·w{}"), 60, signs_for("utf8"))]
    assert "\n".join(lines).splitlines() == [
        "",
        "row 0: 4 places, 3 targets that count, 2 documents, 1 of padding",
        "",
        "  tokens     ·w0 ·w1 ·w2 ░",
        "  positions  0   1   2   ░",
        "  targets    ·w1 ·w2 ·w3 ░",
        "  segments   1   1   2   ░",
    ]
    ascii_lines = [line.plain for line in row_lines(row_of([0, -1], "·⏎"), 60, signs_for("ascii"))]
    assert ascii_lines[1] == "  tokens     _\\n ~"
    assert all(line.isascii() for line in ascii_lines)


def test_rows_fit_the_screen_and_long_tokens_are_cut() -> None:
    lines = list(row_lines(row_of([0] * 30, "나무" * 20 + "{}"), 60, signs_for("utf-8")))
    assert all(cell_len(part) <= 60 for line in lines for part in line.plain.split("\n"))
    assert "…" in lines[1].plain


def test_colours_tell_documents_apart() -> None:
    styles = [
        {span.style for span in line.spans} for line in row_lines(row_of([0, 1, -1]), 60, Signs())
    ]
    assert {"black on #fde3cf", "black on #b4d0f4", "dim"} <= styles[1]


def test_show_prints_rows_and_writes_the_picture(call: Any, verses: Path, tmp_path: Path) -> None:
    picture = tmp_path / "saw.svg"
    words = ["data", "show", verses, *WORDS, "data.windows=packed", "context_length=24"]
    result = call(*words, "--mask", "--svg", picture)
    assert result.exit_code == 0, result.output
    assert "separate_by=verse" in result.stderr
    assert result.stdout.startswith("ruth.txt: packed, best_fit, context_length=24, 6 rows, ")
    shown = result.stdout.splitlines()
    assert [line.split(":")[0] for line in shown if line.startswith("row ")][:4] == [
        "row 0",
        "row 1",
        "row 2",
        "row 3",
    ]
    assert "·days" not in result.stdout  # a word and the white space before it are two tokens
    assert sum(line.startswith("mask of row") for line in shown) == 1
    assert any("segment 2: places" in line for line in shown)
    ElementTree.fromstring(picture.read_text("utf-8"))
    again = call(*words, "--mask")
    assert again.stdout == result.stdout


def test_show_draws_what_training_gets(call: Any, verses: Path) -> None:
    one = call("data", "show", verses, *WORDS, "data.windows=left_padded", "--row", "5").stdout
    assert one.count("\nrow ") == 1
    assert "\nrow 5: 12 places, " in one
    every = call("data", "show", verses, *WORDS, "data.windows=left_padded", "--rows", "6").stdout
    assert one.partition("\nrow 5")[2] == every.partition("\nrow 5")[2]
    assert "<s>" in every
    assert " ░ " in every
    validation = call("data", "show", verses, *WORDS, "--side", "validation", "--rows", "1").stdout
    assert "validation windows" in validation


def test_stats_sets_all_strategies_side_by_side(call: Any, verses: Path) -> None:
    result = call("data", "stats", verses, *WORDS)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("ruth.txt: ")
    assert "tokens to train on, context_length=12" in lines[0]
    names = ["left_padded", "slide_through", "full", "first_full", "stream"]
    table = {name: line.split() for name in names for line in lines if line.startswith(name)}
    table |= {line.split()[1]: line.split() for line in lines if line.startswith("packed")}
    assert list(table) == [*names, "split", "best_fit"]
    assert table["stream"][1] == "12"
    assert table["split"][2] == table["best_fit"][2] == "-"
    assert int(table["split"][3].replace(",", "")) <= int(table["best_fit"][3].replace(",", ""))
    strided = call("data", "stats", verses, *WORDS, "data.stride=5").stdout
    assert "left_padded 5" in " ".join(strided.split())


def test_stats_says_what_a_strategy_cannot_do(call: Any, verses: Path) -> None:
    result = call("data", "stats", verses, *WORDS, "context_length=200")
    assert result.exit_code == 0, result.output
    assert "full 1 not possible" in " ".join(result.stdout.split())
    assert "  full: data.windows=full finds no full window" in result.stdout
    assert "  stream: " not in result.stdout


def test_short_lines_are_counted(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text("a b\n\nx\n   \ny\nlonger line here\n" * 3)
    words = ["corpus.separate_by=line", "corpus.validation_fraction=0", "context_length=4"]
    result = call("data", "stats", path, *WORDS, *words)
    assert "6 of them hold a single token, and 0 none." in result.stdout
    shown = call("data", "show", path, *WORDS, *words, "data.windows=first_full", "--rows", "6")
    assert shown.exit_code == 0, shown.output


def test_a_batch_in_the_middle_of_a_run_is_shown_with_its_documents(
    call: Any, refused: Callable[..., str], verses: Path
) -> None:
    show = ["data", "show", verses, *WORDS, "data.windows=first_full", "training.batch_size=3"]
    later = call(*show, "--example", 6, "--rows", 3).stdout
    heading = later.splitlines()[0]
    assert "; examples 6 to 8 from documents " in heading
    whole = call(*show, "training.batch_size=9", "--rows", 9).stdout
    assert (
        later.split("row 0: ")[1].splitlines()[1:3] == whole.split("row 6: ")[1].splitlines()[1:3]
    )
    assert "leave out --side" in refused(*show, "--example", 6, "--side", "validation")


def test_a_run_is_shown_with_its_own_tokenizer(
    call: Any, refused: Callable[..., str], finished_run: hornbook.Run
) -> None:
    result = call("data", "show", finished_run.path, "--mask", "--row", "1")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{finished_run.name}: stream, stride=16, context_length=16")
    assert call("data", "stats", finished_run.path, "data.stride=4").exit_code == 0
    message = refused("data", "show", finished_run.path, "tokenizer.vocab_size=400")
    assert "tokenizer.vocab_size cannot be changed" in message
    assert "is a run, whose text is its own" in refused("data", "show", finished_run.path, "x.txt")
    assert "--preset cannot be used" in refused(
        "data", "stats", finished_run.path, "--preset", "tiny"
    )


def test_mistakes_are_told_in_words(
    refused: Callable[..., str], verses: Path, tmp_path: Path
) -> None:
    show = ["data", "show", verses, *WORDS]
    beyond = "no row 6: the batch has 6 rows, numbered from 0 to 5"
    assert beyond in refused(*show, "--row", 6)
    assert "no rows 4 to 7" in refused(*show, "--row", 4, "--rows", 4)
    assert "should end in .svg" in refused(*show, "--svg", tmp_path / "a.png")
    assert "there is no folder" in refused(*show, "--svg", tmp_path / "none" / "a.svg")
    assert "data.stride=13" in refused(*show, "data.stride=13")
    full = refused(*show, "data.windows=full", "context_length=100")
    assert "finds no full window" in full
    nothing = refused(*show, "corpus.validation_fraction=0", "--side", "validation")
    assert "no validation side" in nothing
    assert "nowhere.txt" in refused("data", "stats", tmp_path / "nowhere.txt")


def test_on_a_terminal_there_is_colour_unless_it_is_not_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = row_of([0, 0, 1, -1])

    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    def printed() -> str:
        screen = Terminal()
        monkeypatch.setattr("sys.stdout", screen)
        command._print_rows("title\x1b[2J", [row], None)
        monkeypatch.undo()
        return screen.getvalue()

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in printed()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = printed()
    assert "48;" not in plain
    assert "\x1b[2J" not in plain
