"""hornbook tokenizer compare: its numbers against counts made here, one by one."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hornbook.cli import tokenizer_compare
from hornbook.errors import TokenizerError
from hornbook.tokenizers import (
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    CharTokenizerConfig,
    Tokenizer,
    WordTokenizer,
    comparison,
)
from hornbook.tokenizers.comparison import SAMPLES, TextCut, compare_tokenizers, first_sentence


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure for no time at all."""
    measure = comparison.measure_speed
    monkeypatch.setattr(
        comparison,
        "measure_speed",
        lambda *given, **named: measure(*given, **named | {"seconds": 0}),
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Byte pair encoding with two merges: "th", and "the"."""
    path = tmp_path_factory.mktemp("bpe") / "the.json"
    BPETokenizer([(116, 104), (256, 101)], "gpt2").save(path)
    return path


@pytest.fixture(scope="module")
def losing(tmp_path_factory: pytest.TempPathFactory, text: str) -> Path:
    """Characters, with <?> for those it does not know."""
    path = tmp_path_factory.mktemp("char") / "losing.json"
    CharTokenizer.train([text], CharTokenizerConfig(unknown="token")).save(path)
    return path


def test_every_number_against_a_count(call: Any, place: Path, corpus: Path, text: str) -> None:
    result = call(
        "tokenizer", "compare", place, "word", "--corpus", corpus, "--corpus-size", "1GB", "--json"
    )
    assert result.exit_code == 0, result.output
    bpe, word = json.loads(result.stdout)["tokenizers"]
    assert (bpe["kind"], word["kind"]) == ("bpe", "word")
    # The pieces of the two merges, told without any tokenizer.
    left = text.replace("the", "\0").replace("th", "\1")
    found = bpe["corpus"]
    assert found["tokens"] == len(left)
    assert found["entries_used"] == len(set(left))
    assert (bpe["vocabulary"], bpe["entries"]) == (259, 258)
    assert found["share_used"] == len(set(left)) / 258
    assert found["bytes_per_token"] == len(text) / len(left)
    assert found["tokens_per_word"] == len(left) / len(text.split())
    assert found["estimate"]["tokens"] == round(1e9 * len(left) / len(text))
    seconds = 1e9 / found["encode_bytes_per_second"]
    assert found["estimate"]["seconds"] == pytest.approx(seconds)
    assert found["lost_at"] is None
    assert found["decode_bytes_per_second"] > 0
    assert bpe["longest"][:2] == ["the", "th"]
    made = WordTokenizer.train([text])
    assert word["corpus"]["tokens"] == len(made.encode(text))
    assert word["corpus"]["entries_used"] == len(made.vocabulary)
    assert word["corpus"]["longest"] == sorted(made.vocabulary, key=lambda entry: -len(entry))[:5]
    for column in (bpe, word):
        assert list(column["samples"]) == list(SAMPLES)
        for name, sample in column["samples"].items():
            assert sample["bytes"] == len(SAMPLES[name].encode())
            assert sample["lost_at"] is None
    english = SAMPLES["English"].replace("the", "\0").replace("th", "\1")
    assert bpe["samples"]["English"]["tokens"] == len(english)
    assert bpe["samples"]["Hindi"]["bytes_per_token"] == 1.0


def test_the_table_and_the_sentence_in_a_pipe(call: Any, place: Path, corpus: Path) -> None:
    words = ["tokenizer", "compare", place, "byte", "word", "--corpus", corpus]
    result = call(*words, "--text", "the thin\x1b bird")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"text: {corpus}, ")
    rows = {line[:22].strip(): line[22:].split() for line in lines[2:13]}
    assert rows["kind"] == ["bpe", "byte", "word"]
    assert rows["bytes per token"][1] == "1.00"
    assert rows["comes back"] == ["every", "byte"] * 3
    assert "to encode 825.0 GB" in rows
    assert f"  {place}, 11 tokens" in lines
    assert "    the|·|th|i|n|␛|·|b|i|r|d" in lines
    assert "    the|·|t|h|i|n|␛|·|bird" in lines
    assert "\x1b" not in result.stdout


def test_on_a_terminal_in_colours(
    call: Any, monkeypatch: pytest.MonkeyPatch, place: Path, corpus: Path
) -> None:
    monkeypatch.setattr("hornbook.cli.screen.on_terminal", lambda stream: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = call("tokenizer", "compare", place, "--corpus", corpus, "--text", "the bird")
    assert result.exit_code == 0, result.output
    assert "\x1b[30;43mthe\x1b[0m\x1b[30;46m·\x1b[0m" in result.stdout


def test_a_tokenizer_that_loses_text_is_told(
    call: Any, losing: Path, corpus: Path, text: str
) -> None:
    result = call("tokenizer", "compare", losing, "byte", "--corpus", corpus)
    assert result.exit_code == 0, result.output
    korean = next(line for line in result.stdout.splitlines() if line.startswith("Korean"))
    sample = SAMPLES["Korean"]
    assert f"({len(sample)}) lost" in korean
    assert f"({len(sample.encode())})" in korean
    assert f"{losing} has an unknown token" in result.stdout
    # What does not come back is no entry that was used.
    (column,) = compare_tokenizers([("a", Tokenizer.load(losing))], text + "한한", "ab")
    assert not isinstance(column.corpus, str)
    assert column.corpus.text == TextCut(len(text) + 6, len(text) + 2, len(text))
    assert column.corpus.used == column.entries == len(set(text))


def test_one_that_cannot_read_does_not_stop_the_others(
    call: Any, monkeypatch: pytest.MonkeyPatch, place: Path, corpus: Path
) -> None:
    def refuse(self: Any, text: str) -> Any:
        raise TokenizerError("its expression takes too long")

    monkeypatch.setattr(CharTokenizer, "_encode_text", refuse)
    result = call("tokenizer", "compare", "char", place, "--corpus", corpus)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    (tokens,) = (line for line in lines if line.startswith("tokens  "))
    assert "cannot read it" in tokens
    assert tokens.split()[-1].replace(",", "").isdecimal()
    assert result.stdout.count("its expression takes too long") == 1
    as_json = call("tokenizer", "compare", "char", "--corpus", corpus, "--json").stdout
    (column,) = json.loads(as_json)["tokenizers"]
    assert column["corpus"] == {"problem": "its expression takes too long"}


def test_of_a_large_corpus_the_beginning_up_to_a_whole_character(
    call: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tokenizer_compare, "READ_AT_MOST", 12)
    (tmp_path / "a.txt").write_bytes("river 🙂🙂\n".encode() * 500)
    result = call("tokenizer", "compare", "byte", "--corpus", tmp_path / "a.txt")
    assert result.stdout.startswith(
        f"text: the beginning of {tmp_path / 'a.txt'}, 10 B; encoded by"
    )


def test_documents_stand_a_line_apart(call: Any, tmp_path: Path) -> None:
    rows = io.StringIO()
    for text in ("to be", "or not\n", "to be"):
        rows.write(json.dumps({"text": text}) + "\n")
    (tmp_path / "a.jsonl").write_text(rows.getvalue())
    result = call("tokenizer", "compare", "byte", "--corpus", tmp_path / "a.jsonl", "--json")
    (column,) = json.loads(result.stdout)["tokenizers"]
    assert column["corpus"]["bytes"] == len("to be\nor not\nto be")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no.json", "neither.json"], "neither.json"),
        (["byte", "--corpus-size", "ten"], "--corpus-size=ten: a size is expected"),
        (["byte", "--text", ""], "--text is empty"),
        (["byte", "--corpus", "absent.txt"], "absent.txt"),
        (["byte", "--threads", "0"], "--threads"),
        ([], "TOKENIZER"),
    ],
)
def test_mistakes_are_told(
    refused: Callable[..., str], corpus: Path, words: list[str], said: str
) -> None:
    assert said in refused("tokenizer", "compare", "--corpus", corpus, *words)


def test_all_that_cannot_be_opened_are_told_at_once(
    refused: Callable[..., str], corpus: Path
) -> None:
    told = refused("tokenizer", "compare", "no.json", "byte", "none.json", "--corpus", corpus)
    assert "no.json" in told
    assert "none.json" in told


def test_no_text_is_refused() -> None:
    with pytest.raises(TokenizerError, match="nothing to compare on"):
        compare_tokenizers([("byte", ByteTokenizer())], "", "a")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (" One. " + "Two. " * 100, "One." + " Two." * 8),
        (
            "A long sentence of more than forty characters. Two.",
            "A long sentence of more than forty characters.",
        ),
        ("人人生而自由。在尊严", "人人生而自由。"),
        ("x" * 500, "x" * 160),
        ("x" * 100 + " " + "y" * 100, "x" * 100),
        ("\n\n", ""),
    ],
)
def test_the_first_sentence(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence
