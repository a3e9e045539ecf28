"""What is said before a run begins whose steps may not fit into memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import hornbook
from hornbook.errors import RunError
from hornbook.inspection.accounting.account import plan_of
from hornbook.inspection.accounting.fitting import cannot_fit, may_not_fit, remedies
from hornbook.inspection.accounting.peak import training_memory
from hornbook.listener import Listener
from hornbook.models import Transformer
from hornbook.runs.assembly import find_store
from hornbook.runs.config import RunConfig
from hornbook.runs.resolution import resolve
from hornbook.training import expected_memory, preflight
from hornbook.training.equipment import choose_equipment
from hornbook.training.preflight import check_train
from hornbook.training.preflight_check import PreflightReport
from hornbook.training.preflight_machine import in_bytes
from hornbook.training.preflight_quick import ROWS
from hornbook.training.range_test import range_test
from hornbook.training.step_speed import measure_steps

MB = 10**6
VOCABULARY = 300


class Notices(Listener):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def begin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, train_fast: Callable[..., hornbook.Run]
) -> Callable[[int], list[str]]:
    """``begin(memory)`` trains the tiny run on a machine with so much, and gives the notices."""

    def run(memory: int) -> list[str]:
        monkeypatch.setattr(expected_memory, "memory_there", lambda device: memory)
        heard = Notices()
        train_fast(tmp_path / "run", listener=heard)
        return heard.texts

    return run


@pytest.fixture
def config(fast_settings: dict[str, Any]) -> RunConfig:
    """The settings of the tiny run."""
    return resolve(preset="tiny", overrides=fast_settings)


@pytest.fixture
def peak(config: RunConfig) -> int:
    """What a step of the tiny run should take [bytes]."""
    plan = expected_memory.expected_plan(config, choose_equipment(config), VOCABULARY)
    return training_memory(plan).peak


def test_nothing_is_said_where_a_step_fits(begin: Callable[[int], list[str]]) -> None:
    assert not [text for text in begin(4000 * MB) if "memory" in text]


def test_a_step_that_may_not_fit_is_told_with_what_would(
    begin: Callable[[int], list[str]], peak: int
) -> None:
    told = next(text for text in begin(int(0.95 * peak)) if "may not fit" in text)
    assert "(±10%)" in told
    assert f"cpu has {in_bytes(int(0.95 * peak))}" in told
    assert "training.micro_batch_size=" in told


def test_a_step_that_cannot_fit_is_refused_with_what_would(
    begin: Callable[[int], list[str]], peak: int, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="a step takes .* cpu has .*training.micro_batch_size="):
        begin(int(0.88 * peak))
    assert not (tmp_path / "run").exists()


def test_a_check_does_not_take_a_step_that_cannot_fit(
    corpus: Path,
    fast_settings: dict[str, Any],
    peak: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def report() -> PreflightReport:
        return check_train(corpus, preset="tiny", out=tmp_path / "new", overrides=fast_settings)

    sound = report()
    monkeypatch.setattr(expected_memory, "memory_there", lambda device: int(0.88 * peak))
    monkeypatch.delattr(preflight, "trial_steps")
    lacking = report()
    found = {check.name: check for check in lacking.checks}
    assert list(found) == [check.name for check in sound.checks]
    assert [check.name for check in lacking.failed] == ["steps", "memory"]
    assert found["time"].verdict == "skip"
    assert "training.micro_batch_size=" in found["memory"].reason
    assert found["memory"].numbers["expected_bytes"] == peak
    assert list(tmp_path.iterdir()) == []
    # Weights and what the optimizer will remember of them are counted all the same.
    sizes = [check.numbers["checkpoint_bytes"] for check in (sound.checks[-1], lacking.checks[-1])]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)


def test_only_a_part_of_the_batch_is_looked_at_where_no_more_fits(
    corpus: Path,
    fast_settings: dict[str, Any],
    peak: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {**fast_settings, "training.batch_size": 10**5}
    seen = []
    original = Transformer.hidden

    def hidden(self: Transformer, tokens: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.append(len(tokens))
        return original(self, tokens, *args, **kwargs)

    monkeypatch.setattr(Transformer, "hidden", hidden)
    monkeypatch.setattr(expected_memory, "memory_there", lambda device: 100 * peak)
    report = check_train(corpus, preset="tiny", out=tmp_path / "new", overrides=settings)
    assert [check.name for check in report.failed] == ["steps", "memory"]
    assert max(seen) <= 2 * ROWS


def test_a_run_that_goes_on_or_is_forked_is_refused_and_kept(
    finished_run: hornbook.Run, peak: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"
    shutil.copytree(finished_run.path, path)
    before = sorted(path.rglob("*"))
    monkeypatch.setattr(expected_memory, "memory_there", lambda device: int(0.88 * peak))
    with pytest.raises(RunError, match="does not fit"):
        hornbook.resume(path, overrides=["training.steps=14"])
    with pytest.raises(RunError, match="does not fit"):
        hornbook.fork(str(path), out=tmp_path / "fork", overrides=["training.steps=14"])
    assert sorted(path.rglob("*")) == before
    assert not (tmp_path / "fork").exists()
    smaller = ["training.steps=14", "training.micro_batch_size=1"]
    assert hornbook.resume(path, overrides=smaller).checkpoints()[-1].step == 14


def test_other_ways_to_take_steps_are_refused_too(
    finished_run: hornbook.Run, peak: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, folder = finished_run.config, finished_run.folder
    _, store = find_store(folder, config, folder.read_manifest())
    monkeypatch.setattr(expected_memory, "memory_there", lambda device: int(0.88 * peak))
    with pytest.raises(RunError, match="micro_batch_size"):
        range_test(config, finished_run.tokenizer, store)
    with pytest.raises(RunError, match="micro_batch_size"):
        measure_steps(config, finished_run.tokenizer, store)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_refuses_memory_itself_may_try(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    there = replace(choose_equipment(config), device=torch.device(device))
    peak = training_memory(expected_memory.expected_plan(config, there, VOCABULARY)).peak
    monkeypatch.setattr(expected_memory, "memory_there", lambda device: peak // 2)
    monkeypatch.setattr(expected_memory, "free_memory", lambda device: peak // 2)
    heard = Notices()
    expected_memory.expect_memory(config, there, VOCABULARY, heard)
    assert "may not fit" in heard.texts[0]
    assert not expected_memory.lacking_memory(config, there, VOCABULARY)


def test_what_is_advised_fits_beside_other_programs(
    config: RunConfig, peak: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    equipment = choose_equipment(config)
    plan = expected_memory.expected_plan(config, equipment, VOCABULARY)
    there = int(0.95 * peak)
    monkeypatch.setattr(expected_memory, "free_memory", lambda device: 10 * peak)
    assert "micro_batch_size=2," in expected_memory.in_words(plan, there, equipment)
    monkeypatch.setattr(expected_memory, "free_memory", lambda device: int(0.8 * peak))
    assert "micro_batch_size=1," in expected_memory.in_words(plan, there, equipment)


def test_what_certainly_does_not_fit_is_refused(
    begin: Callable[[int], list[str]], tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="adamw alone take .* cpu has 100.0 kB.* Choose less of"):
        begin(MB // 10)
    assert not (tmp_path / "run").exists()


# Twelve layers with Muon need 66 MB for its update alone.
@pytest.mark.parametrize("memory", [80 * MB, 100 * MB, 400 * MB])
@pytest.mark.parametrize("changes", [[], ["model.kind=gru"], ["model.layers=12"]])
def test_every_remedy_makes_the_step_fit(memory: int, changes: list[str]) -> None:
    words: list[Any] = ["training.batch_size=128", *changes]
    config = resolve(preset="small", overrides=words)
    plan = plan_of(config, 512, device="cpu", short=False)
    assert may_not_fit(plan, memory)
    assert not cannot_fit(plan, memory)
    found = list(remedies(plan, memory))
    assert found
    for remedy in found:
        mended = resolve(preset="small", overrides=[*words, *remedy.split()])
        step = plan_of(mended, 512, device="cpu", short=False)
        assert training_memory(step).peak <= memory, remedy
