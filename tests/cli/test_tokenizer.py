"""hornbook tokenizer: there and back, to look at and to pipe on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hornbook
from hornbook.cli.tokenizer import shown
from hornbook.data.array_file import durable_array, open_array

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
    assert call("tokenizer", "encode", place, tmp_path / "a.txt").stdout == expected


def test_a_file_becomes_tokens_and_comes_back(
    call: Any, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_bytes(TEXT.encode() * 50)
    result = call("tokenizer", "encode", place, "a.txt", "--out", "a.tokens")
    assert result.exit_code == 0, result.output
    expected = hornbook.Tokenizer.load(place).encode(TEXT * 50)
    assert open_array(Path("a.tokens")).tolist() == expected
    first, speed, written = result.stdout.splitlines()
    size = len(TEXT.encode()) * 50
    each = f"{size / len(expected):.2f} bytes per token"
    assert first == f"{len(expected):,} tokens of {size:,} bytes, {each}"
    assert "MB/s" in speed
    assert written == "a.tokens"
    assert call("tokenizer", "decode", place, "a.tokens").stdout_bytes == TEXT.encode() * 50
    result = call("tokenizer", "decode", place, "a.tokens", "--out", "b.txt")
    assert result.stdout.splitlines() == [f"{size:,} bytes", "b.txt"]
    assert Path("b.txt").read_bytes() == TEXT.encode() * 50
    few = [str(number) for number in expected[:9]]
    assert call("tokenizer", "decode", place, *few, "--out", "c.txt").exit_code == 0
    assert Path("c.txt").read_bytes() == hornbook.Tokenizer.load(place).decode_bytes(expected[:9])


def test_bytes_that_are_no_text_are_kept_if_asked(
    call: Any, refused: Callable[..., str], place: Path, tmp_path: Path
) -> None:
    text, tokens = tmp_path / "a.txt", tmp_path / "a.tokens"
    text.write_bytes(b"ab\xff")
    assert "at byte 2 (0xff" in refused("tokenizer", "encode", place, text, "--out", tokens)
    assert not tokens.exists()
    assert call("tokenizer", "encode", place, text, "--out", tokens, "--errors", "bytes").stdout
    assert call("tokenizer", "decode", place, tokens).stdout_bytes == b"ab\xff"


def test_tokens_of_a_larger_vocabulary_are_refused(
    refused: Callable[..., str], place: Path, tmp_path: Path
) -> None:
    for width in (2, 4):
        path = tmp_path / f"{width}.tokens"
        with durable_array(path, width) as writer:
            writer.append(np.array([1, 2, 3, 60_000, 1, 61_000]))
        for more in ([], ["--out", tmp_path / "a.txt"]):
            message = refused("tokenizer", "decode", place, path, *more)
            assert f"{path}: the id at position 3 (counted from 0) is 60000" in message
    assert not (tmp_path / "a.txt").exists()


def test_damaged_tokens_are_refused(
    refused: Callable[..., str], place: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.tokens"
    with durable_array(path, 2) as writer:
        writer.append(np.array([1, 2, 3]))
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert "checksum" in refused("tokenizer", "decode", place, path)
    assert "checksum" in refused("tokenizer", "decode", place, path, "--out", tmp_path / "b")


def test_a_folder_and_a_file_name_the_same_tokenizer(call: Any, place: Path) -> None:
    by_file = call("tokenizer", "encode", place / "tokenizer.json", TEXT).stdout
    assert by_file == call("tokenizer", "encode", place, TEXT).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["decode", "RUN", "3", "x5", "7"], "Word 2 of the ids is 'x5'"),
        (["decode", "RUN", "9" * 5000, "7"], "Word 1 of the ids is"),
        (["decode", "RUN", "3", "99999"], "99999"),
        (["encode", "RUN"], "either a TEXT"),
        (["encode", "RUN", "a", "--file", "b"], "either a TEXT"),
        (["encode", "RUN", "--file", "absent.txt"], "absent.txt cannot be read"),
        (["encode", "RUN", "some text", "--out", "x"], "'some text' is none"),
        (["encode", "RUN", "-", "--out", "x"], "--out is for a file"),
        (["encode", "RUN", "some text", "--errors", "bytes"], "needs --out"),
        (["encode", "RUN", "--file", "absent.txt", "--out", "x"], "absent.txt: cannot be read"),
        (["encode", "RUN", __file__, "--out", __file__], "exists already"),
        (["decode", "RUN", __file__], "is not a token file"),
        (["decode", "RUN", "1", "--out", __file__], "exists already"),
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
