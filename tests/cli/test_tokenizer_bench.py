"""hornbook tokenizer bench: what it says, whatever the speed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hornbook.cli import tokenizer_bench
from hornbook.tokenizers import CharTokenizer, CharTokenizerConfig, Tokenizer, WordTokenizer


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure for no time at all."""
    from hornbook.tokenizers import speed

    measure = speed.measure_speed
    monkeypatch.setattr(
        speed, "measure_speed", lambda *given, **named: measure(*given, seconds=0.0, **named)
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, text: str) -> Path:
    """A tokenizer that has nothing to compile."""
    path = tmp_path_factory.mktemp("words") / "words.json"
    WordTokenizer.train([text]).save(path)
    return path


@pytest.mark.usefixtures("short")
def test_speed_tokens_and_the_estimate(call: Any, place: Path, corpus: Path, text: str) -> None:
    result = call("tokenizer", "bench", place, corpus, "--corpus-size", "1GB")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    count = len(Tokenizer.load(place).encode(text))
    assert lines[0].startswith("text        ")
    assert lines[0].endswith(f" kB, {corpus}")
    assert lines[1] == "comes back  every byte"
    assert lines[2] == f"tokens      {count:,}, {len(text) / count:.2f} bytes each"
    assert re.fullmatch(r"encode      [\d,.]+ MB/s, one thread, median of 5 passes", lines[3])
    assert re.fullmatch(r"decode      [\d,.]+ MB/s, one thread, median of 5 passes", lines[4])
    tokens = 1e9 * count / len(text)
    assert f"of 1.0 GB like this text: about {tokens / 1e6:.1f} million tokens" in lines[6]
    assert lines[7].startswith(f"{2 * tokens / 1e6:.1f} MB on disk at 2 bytes a token.")


@pytest.mark.usefixtures("short")
def test_of_a_large_file_the_beginning_up_to_a_whole_character(
    call: Any, monkeypatch: pytest.MonkeyPatch, place: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(tokenizer_bench, "READ_AT_MOST", 12)
    (tmp_path / "a.txt").write_bytes("river 🙂🙂\n".encode() * 500)
    result = call("tokenizer", "bench", place, tmp_path / "a.txt", "--threads", "2")
    assert result.stdout.startswith(f"text        10 B of 7.5 kB, {tmp_path / 'a.txt'}\n")
    assert "2 threads" in result.stdout


@pytest.mark.usefixtures("short")
def test_a_tokenizer_that_loses_text_is_told(call: Any, tmp_path: Path) -> None:
    losing = CharTokenizer.train(["ab"], CharTokenizerConfig(unknown="token"))
    losing.save(tmp_path / "losing.json")
    (tmp_path / "a.txt").write_text("abba c")
    result = call("tokenizer", "bench", tmp_path / "losing.json", tmp_path / "a.txt")
    assert "comes back  not exactly: byte 4 is the first that differs\n" in result.stdout


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        (b"", [], "a.txt is empty"),
        (b"ab\xffcd", [], "a.txt is not UTF-8 text: byte 2 is 0xff"),
        ("é".encode()[:1], [], "a.txt is not UTF-8 text: byte 0 is 0xc3"),
        (None, [], "a.txt cannot be read"),
        (b"a", ["--corpus-size", "ten"], "--corpus-size=ten: a size is expected"),
        (b"a", ["--corpus-size", "0GB"], "--corpus-size=0GB: a size is expected"),
        (b"a", ["--corpus-size", "5 XB"], "such as 500MB, 10GB or 2GiB"),
    ],
)
def test_mistakes_are_told(
    refused: Callable[..., str],
    place: Path,
    tmp_path: Path,
    content: bytes | None,
    words: list[str],
    said: str,
) -> None:
    if content is not None:
        (tmp_path / "a.txt").write_bytes(content)
    assert said in refused("tokenizer", "bench", place, tmp_path / "a.txt", *words)
