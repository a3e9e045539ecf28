"""``hornbook train --check``: one screen, an exit code, and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hornbook
from hornbook.cli.preflight import drawn
from hornbook.models import Transformer
from hornbook.training.preflight_check import Check, PreflightReport


def test_a_sound_run_is_told_on_one_screen(
    call: Any, corpus: Path, fast_words: list[str], tmp_path: Path
) -> None:
    result = call("train", corpus, "--out", tmp_path / "run", *fast_words, "--check")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    assert "0 failed" in lines[-2] + lines[-1]
    assert "FAIL" not in result.stdout
    assert not (tmp_path / "run").exists()


def test_a_failing_check_ends_with_1_and_json_says_the_same(
    call: Any,
    corpus: Path,
    fast_words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = Transformer.head
    monkeypatch.setattr(Transformer, "head", lambda self, x: 300 * original(self, x))
    words = ("train", corpus, "--out", tmp_path / "run", *fast_words, "--check")
    result = call(*words)
    assert result.exit_code == 1
    assert "FAIL  first loss" in result.stdout
    machine = call(*words, "--json")
    assert machine.exit_code == 1
    found = json.loads(machine.stdout)
    assert not found["passed"]
    verdicts = {check["name"]: check["verdict"] for check in found["checks"]}
    assert verdicts["first loss"] == "fail"
    assert verdicts["data"] == "pass"


def test_a_run_and_a_fork_are_checked(call: Any, finished_run: hornbook.Run) -> None:
    for words in (("--resume", finished_run.path), ("--from", f"{finished_run.path}@8")):
        result = call("train", *words, "training.steps=20", "--check")
        assert result.exit_code == 0, result.output


def test_mistakes_are_refused_as_in_training(
    refused: Callable[..., str], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--json is for --check" in refused("train", corpus, "--json")
    assert "model.layers" in refused("train", corpus, "--check", "model.layers=0")
    assert "is not a run" in refused("train", "--resume", tmp_path / "none", "--check")
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "localhost"),
                        ("MASTER_PORT", "29500")):  # fmt: skip
        monkeypatch.setenv(name, value)
    assert "without torchrun" in refused("train", corpus, "--check")


def test_what_comes_from_a_text_does_not_steer_the_terminal() -> None:
    check = Check("round trip", "fail", "a\x1b[2Jb does not come back")
    text = drawn(PreflightReport("runs/x", (check,), 0.1), 80)
    assert "\x1b" not in text
    assert text.startswith("FAIL  round trip")
    assert "nothing left behind" in text
