"""hornbook score: totals in a pipe, colours on a terminal, objects for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.text import Text

import hornbook
from hornbook.cli.surprise import coloured, readable_pieces
from hornbook.generation import Score

TEXT = "The river sings – über the stone.\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "new.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_the_totals_are_those_of_the_run(call: Any, finished_run: hornbook.Run, file: Path) -> None:
    result = call("score", finished_run.path, file)
    scored = finished_run.score(TEXT)
    assert result.exit_code == 0
    assert f"{scored.bytes} bytes" in result.stdout
    assert f"bits per byte  {scored.bits_per_byte:.4f}\n" in result.stdout
    assert TEXT.strip() not in result.stdout
    assert call("score", finished_run.path, text=TEXT).stdout == result.stdout
    assert call("score", finished_run.path, "-", text=TEXT).stdout == result.stdout


def test_json_is_one_object_or_one_a_token(
    call: Any, finished_run: hornbook.Run, file: Path
) -> None:
    scored = finished_run.score(TEXT, overlap=5)
    words = ["score", finished_run.path, file, "--overlap", 5, "--json"]
    summary = json.loads(call(*words).stdout)
    assert summary["bits_per_byte"] == scored.bits_per_byte
    assert summary["step"] == finished_run.checkpoint.step
    lines = [json.loads(line) for line in call(*words, "--tokens").stdout.splitlines()]
    assert b"".join(bytes(line["bytes"]) for line in lines).decode() == TEXT
    assert [line["rank"] for line in lines] == scored.ranks.tolist()
    assert [line["log_probability"] for line in lines] == scored.log_probabilities.tolist()


@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
def test_what_fewer_bits_cost_is_told(
    call: Any, finished_run: hornbook.Run, file: Path, kind: Any
) -> None:
    exact = finished_run.score(TEXT)
    rounded = hornbook.open_run(finished_run.path).quantise(kind).score(TEXT)
    assert 0 < abs(rounded.nats - exact.nats) < 0.05 * exact.nats
    words = ["score", finished_run.path, file, "--quantise", kind]
    printed = call(*words).stdout
    assert f"bits per byte  {exact.bits_per_byte:.4f}\n" in printed
    assert f"{rounded.bits_per_byte:.4f} bits per byte" in printed.splitlines()[-1]
    summary = json.loads(call(*words, "--json").stdout)
    assert summary["nats"] == exact.nats
    assert summary["quantised"]["kind"] == kind
    assert summary["quantised"]["nats"] == rounded.nats
    wrong = call(*words[:-1], "int4")
    assert wrong.exit_code == 2
    assert "float32, bfloat16, int8" in wrong.stderr


def test_a_table_of_the_first_tokens(call: Any, finished_run: hornbook.Run) -> None:
    long = TEXT * 120
    assert finished_run.score(long).tokens > 2000
    short = call("score", finished_run.path, "--tokens", text=long).stdout
    assert "--all shows the rest" in short
    whole = call("score", finished_run.path, "--tokens", "--all", text=long).stdout
    assert "--all" not in whole
    assert len(whole.splitlines()) > len(short.splitlines())
    assert short.splitlines()[:2001] == whole.splitlines()[:2001]


def made_score(pieces: list[bytes], bits: list[float]) -> Score:
    count = len(pieces)
    return Score(
        text=b"".join(pieces).decode(),
        ids=np.arange(count),
        log_probabilities=(-np.array(bits) * np.log(2)).astype(np.float32),
        ranks=np.ones(count, np.int64),
        pieces=tuple(pieces),
        byte_lengths=np.array([len(piece) for piece in pieces]),
        alternatives=np.zeros((count, 0), np.int64),
        alternative_log_probabilities=np.zeros((count, 0), np.float32),
    )


def test_tokens_that_share_a_character_are_shown_together() -> None:
    scored = made_score([b"a", b"\xc3", b"\xbc", b"b"], [1, 2, 3, 4])
    found = [(text, round(bits, 3)) for text, bits in readable_pieces(scored)]
    assert found == [("a", 1), ("ü", 5), ("b", 4)]
    cut = list(readable_pieces(scored, 2))
    assert [text for text, _ in cut] == ["a", "\ufffd"]


def test_colours_follow_surprise_and_controls_are_shown() -> None:
    painted = coloured(made_score([b"a", b"\x1b", b"c"], [0.5, 3.0, 20.0]))
    assert isinstance(painted, Text)
    assert painted.plain == "a␛c"
    styles = {painted.plain[span.start : span.end]: str(span.style) for span in painted.spans}
    assert "a" not in styles or not styles["a"]
    assert styles["␛"] != styles["c"]


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        ([], "", "is empty"),
        ([], b"\xff\xfe", "not UTF-8"),
        (["no-such-file.txt"], None, "no-such-file.txt"),
        (["--overlap", "16"], "text", "0 to 15"),
        (["--device", "toaster"], "text", "training.device"),
    ],
)
def test_mistakes_are_told(
    refused: Callable[..., str],
    finished_run: hornbook.Run,
    words: list[str],
    given: str | bytes | None,
    said: str,
) -> None:
    assert said in refused("score", finished_run.path, *words, text=given)
