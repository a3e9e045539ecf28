"""hornbook tokenizer: there and back, to look at and to pipe on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hornbook
from hornbook.cli.tokenizer import shown

TEXT = "The river — naïve 🙂\n\tends. "


@pytest.fixture
def place(finished_run: hornbook.Run) -> Path:
    return finished_run.path


def test_ids_and_back_give_the_same_bytes(call: Any, place: Path) -> None:
    ids = call("tokenizer", "encode", place, TEXT, "--ids")
    assert ids.exit_code == 0
    words = ids.stdout.split()
    assert call("tokenizer", "decode", place, *words).stdout_bytes == TEXT.encode()
    assert call("tokenizer", "decode", place, "-", text=ids.stdout).stdout_bytes == TEXT.encode()


def test_half_a_character_comes_out_as_its_bytes(call: Any, place: Path) -> None:
    first = call("tokenizer", "encode", place, "🙂", "--ids").stdout.split()[0]
    assert call("tokenizer", "decode", place, first).stdout_bytes == "🙂".encode()[:1]


def test_encode_shows_ids_pieces_and_counts(call: Any, place: Path) -> None:
    lines = call("tokenizer", "encode", place, 'a "b"\n').stdout.splitlines()
    assert lines[0].replace(" ", "").isdigit()
    assert lines[1].endswith('"\\n"')
    assert lines[2] == f"{len(lines[0].split())} tokens, 6 bytes, " + lines[2].split(", ", 2)[2]


def test_text_comes_from_standard_input_or_a_file_exactly(
    call: Any, place: Path, tmp_path: Path
) -> None:
    expected = call("tokenizer", "encode", place, "a\r\nb\n").stdout
    assert call("tokenizer", "encode", place, "-", text=b"a\r\nb\n").stdout == expected
    (tmp_path / "a.txt").write_bytes(b"a\r\nb\n")
    assert call("tokenizer", "encode", place, "--file", tmp_path / "a.txt").stdout == expected


def test_a_folder_and_a_file_name_the_same_tokenizer(call: Any, place: Path) -> None:
    by_file = call("tokenizer", "encode", place / "tokenizer.json", TEXT).stdout
    assert by_file == call("tokenizer", "encode", place, TEXT).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["decode", "RUN", "3", "x5", "7"], "Word 2 of the ids is 'x5'"),
        (["decode", "RUN", "3", "99999"], "99999"),
        (["encode", "RUN"], "either a TEXT"),
        (["encode", "RUN", "a", "--file", "b"], "either a TEXT"),
        (["encode", "RUN", "--file", "absent.txt"], "absent.txt cannot be read"),
        (["encode", "absent", "a"], "absent"),
    ],
)
def test_mistakes_are_told(
    refused: Callable[..., str], place: Path, words: list[str], said: str
) -> None:
    assert said in refused("tokenizer", *(str(place) if word == "RUN" else word for word in words))


def test_bytes_that_are_no_text_are_refused(refused: Callable[..., str], place: Path) -> None:
    message = refused("tokenizer", "encode", place, "-", text=b"ab\xff")
    assert "standard input is not UTF-8 text: byte 2 is 0xff" in message


def test_white_space_and_control_characters_are_made_visible() -> None:
    assert shown("·".encode()) == "·"
    assert shown(b"\x1b[2J \r\n") == "␛[2J·␍⏎"
