"""Text outside a vocabulary that reads it as ``<?>``: every command says how much there was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import hornbook
from hornbook.listener import Listener
from hornbook.serving.limits import Limits
from hornbook.serving.order import read_order
from hornbook.tokenizers import CharTokenizer

CHARACTERS = {"tokenizer": {"kind": "char", "unknown": "token"}, "training.steps": 4}


class Notices(Listener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def notice(self, text: str) -> None:
        self.told.append(text)


@pytest.fixture(scope="module")
def characters(
    tmp_path_factory: pytest.TempPathFactory, fast_settings: dict[str, Any], text: str
) -> tuple[hornbook.Run, list[str]]:
    """A run of single characters whose last lines hold two that only validation has."""
    folder = tmp_path_factory.mktemp("characters")
    file = folder / "text.txt"
    file.write_text(text + "\u8a9e\u8a9e\n", encoding="utf-8")
    settings = {key: value for key, value in fast_settings.items() if "tokenizer" not in key}
    notices = Notices()
    run = hornbook.train(
        file,
        preset="tiny",
        out=folder / "run",
        overrides={**settings, **CHARACTERS},
        listener=notices,
    )
    return run, notices.told


def test_training_tells_of_unknown_text_in_the_validation_part(
    characters: tuple[hornbook.Run, list[str]],
) -> None:
    told = [notice for notice in characters[1] if "<?>" in notice]
    assert len(told) == 1
    assert told[0].startswith("2 of ")
    assert "validation tokens" in told[0]


def test_a_score_leaves_out_what_cannot_be_compared(
    characters: tuple[hornbook.Run, list[str]], call: Any
) -> None:
    run = characters[0]
    scored = run.score("The \ub098\ubb34")
    assert (scored.tokens, scored.unknown, scored.bits_per_byte) == (6, 2, None)
    fine = run.score("The")
    assert (fine.unknown, fine.bits_per_byte is None) == (0, False)
    words = ["score", run.path, "-", "--device", "cpu"]
    found = json.loads(call(*words, "--json", text="The \ub098\ubb34").stdout)
    assert (found["unknown"], found["bits_per_byte"]) == (2, None)
    printed = call(*words, text="The \ub098\ubb34").stdout
    assert "bits per byte  -\n" in printed
    assert "2 tokens are <?>" in printed
    assert "<?>" not in call(*words, text="The").stdout


def test_a_prompt_that_is_not_read_is_told_of(
    characters: tuple[hornbook.Run, list[str]], call: Any, tmp_path: Path
) -> None:
    words = ["sample", characters[0].path, "--max-tokens", 1, "--device", "cpu"]
    found = call(*words, "\ub098 old")
    assert found.stdout.startswith("\ub098 old")
    assert "1 of 5 tokens are <?>" in found.stderr
    assert "<?>" not in call(*words, "old").stderr
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("old\n\ub098\n", encoding="utf-8")
    found = call(*words, "--prompts", prompts, "--json")
    assert found.exit_code == 0
    assert "1 of 4 tokens are <?>" in found.stderr


def test_counting_unknown_tokens() -> None:
    lossy = CharTokenizer(["a", "b"], unknown="token")
    ids = lossy.encode("axb\u8a9e")
    assert lossy.unknown_among(ids) == 2
    assert lossy.unknown_among(lossy.encode_array("axb\u8a9e")) == 2
    assert CharTokenizer(["a", "b"]).unknown_among(CharTokenizer(["a", "b"]).encode("axb")) == 0


def test_the_endpoint_counts_what_it_could_not_read(
    characters: tuple[hornbook.Run, list[str]],
) -> None:
    run = characters[0]
    order = read_order(json.dumps({"prompt": ["\ub098 old", "old"]}).encode(), run, "x", Limits())
    assert [prompt.unknown for prompt in order.prompts] == [1, 0]
