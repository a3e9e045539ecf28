"""hornbook runs, show, verify, pack and unpack on real runs."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hornbook
from hornbook.listener import Listener


class Interrupter(Listener):
    """Sends this process a signal after some steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def test_runs_lists_good_and_damaged(call: Any, finished_run: hornbook.Run, tmp_path: Path) -> None:
    shutil.copytree(finished_run.path, tmp_path / "good")
    shutil.copytree(finished_run.path, tmp_path / "bad")
    (tmp_path / "bad" / "manifest.json").write_text("{")
    shutil.copytree(finished_run.path, tmp_path / "begun")
    shutil.rmtree(tmp_path / "begun" / "checkpoints")
    (tmp_path / "no run").mkdir()
    result = call("runs", tmp_path)
    assert result.exit_code == 0
    table, _, unusable = result.stdout.partition("\n\n")
    rows = {line.split()[0]: line for line in table.splitlines()}
    assert set(rows) == {"name", "good", "bad", "begun"}
    assert f"{finished_run.model.parameter_count():,}" in rows["good"]
    assert "manifest.json is damaged" in unusable
    assert "begun: no checkpoint yet" in unusable


def test_no_runs_says_how_to_make_one(
    call: Any, refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "hornbook train" in call("runs").stdout
    assert "no folder elsewhere" in refused("runs", "elsewhere")


def test_parameters_are_counted_from_the_file(finished_run: hornbook.Run) -> None:
    assert finished_run.checkpoint.parameter_count() == finished_run.model.parameter_count()


def test_show_says_what_a_run_is(call: Any, finished_run: hornbook.Run) -> None:
    shown = call("show", finished_run.path).stdout
    for fact in (
        "transformer",
        "300 entries",
        "12 of 12",
        "preset tiny",
        "model.d_model = 16",
        finished_run.checkpoints()[-1].weights_checksum(),
    ):
        assert fact in shown


def test_show_is_the_same_after_an_interruption(
    call: Any, train_fast: Callable[..., hornbook.Run], tmp_path: Path
) -> None:
    whole = train_fast(tmp_path / "whole")
    with pytest.raises(hornbook.Interrupted):
        train_fast(tmp_path / "parts", Interrupter(7))
    assert call("train", "--resume", tmp_path / "parts").exit_code == 0
    expected = call("show", whole.path).stdout.splitlines()
    found = call("show", tmp_path / "parts").stdout.splitlines()
    assert found[1:] == expected[1:]
    assert found[0] != expected[0]


def test_show_draws_the_loss_curve(call: Any, finished_run: hornbook.Run, tmp_path: Path) -> None:
    result = call("show", finished_run.path, "--svg", tmp_path / "loss.svg")
    assert result.exit_code == 0, result.output
    assert "<svg" in (tmp_path / "loss.svg").read_text()
    nowhere = call("show", finished_run.path, "--svg", tmp_path / "absent" / "loss.svg")
    assert (nowhere.exit_code, "cannot be written" in nowhere.stderr) == (2, True)


def test_what_is_no_run_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    for command in ("show", "verify", "sample"):
        assert "is not a run" in refused(command, tmp_path)
    assert "is not a run" in refused("pack", tmp_path, "--out", tmp_path / "a.zip")


def test_verify_tells_what_was_checked_and_what_is_damaged(
    call: Any, refused: Callable[..., str], finished_run: hornbook.Run, tmp_path: Path
) -> None:
    lines = call("verify", finished_run.path).stdout.splitlines()
    assert "ok  tokenizer.json" in lines
    assert all(line.startswith("ok  ") for line in lines)
    shutil.copytree(finished_run.path, tmp_path / "run")
    (tmp_path / "run" / "tokenizer.json").write_text("{}")
    assert "tokenizer.json" in refused("verify", tmp_path / "run")


def test_a_packed_run_comes_back(call: Any, finished_run: hornbook.Run, tmp_path: Path) -> None:
    archive = tmp_path / "run.zip"
    packed = call("pack", finished_run.path, "--out", archive, "--with-data")
    assert packed.exit_code == 0, packed.output
    assert call("unpack", archive, "--out", tmp_path / "back").exit_code == 0
    again = call("show", tmp_path / "back").stdout.splitlines()
    assert again[1:] == call("show", finished_run.path).stdout.splitlines()[1:]
