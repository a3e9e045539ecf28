"""``hornbook bench``: every way is measured from the same weights, every device at each batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hornbook.cli import bench_device
from hornbook.runs.resolution import resolve
from hornbook.training.device_speed import BatchSpeed, DeviceSpeed, suggest_rate
from hornbook.training.device_sweep import Sweep
from hornbook.training.step_time import PARTS

from .conftest import Call

BRIEF = ("--seconds", 1, "--steps", 2, "--windows", 4)


def test_every_way_is_measured_and_computes_the_same(
    call: Call, corpus: Path, fast_words: list[str]
) -> None:
    words = [*fast_words, "training.precision=auto", "training.threads=2"]
    before = torch.get_num_threads()
    result = call("bench", "step", corpus, *words, "--steps", 2, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    ways = told["ways"]
    assert [way["chosen"] for way in ways] == [True] + [False] * (len(ways) - 1)
    assert ways[0]["way"]["precision"] in told["chosen"]
    named = {(way["way"]["precision"], way["way"]["threads"]) for way in ways}
    chosen = ways[0]["way"]["precision"]
    assert named == {("float32", 2), ("bfloat16", 2), (chosen, 1)}
    for way in ways:
        assert way["loss"] == pytest.approx(ways[0]["loss"], abs=0.02)
        assert set(way["parts"]) == set(PARTS)
        assert 0 < sum(way["parts"].values()) <= 3 * way["seconds"]
        assert way["tokens_per_second"] == pytest.approx(way["tokens"] / way["seconds"])
    assert torch.get_num_threads() == before


def test_a_run_is_measured_with_its_own_settings(
    call: Call, finished_run: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = call("bench", "step", str(finished_run.path), "--steps", 1)  # type: ignore[attr-defined]
    assert result.exit_code == 0, result.output
    chosen = [line for line in result.stdout.splitlines() if line.endswith("chosen")]
    assert len(chosen) == 1
    assert chosen[0].startswith("float32")  # as the run asks for


def test_what_is_not_trained_by_steps_is_refused(
    refused: Callable[..., str], corpus: Path, fast_words: list[str]
) -> None:
    words = [word for word in fast_words if not word.startswith("model.")]
    assert "bigram_counts" in refused("bench", "step", corpus, *words, "model.kind=bigram_counts")
    assert "bigram_counts" in refused("bench", "device", corpus, *words, "model.kind=bigram_counts")


def test_devices_are_measured_and_a_rate_is_suggested(
    call: Call, corpus: Path, fast_words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hornbook.training.device_sweep.LEAST_SECONDS", 0.0)
    result = call("bench", "device", corpus, *fast_words, *BRIEF, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["context_length"], told["steps"], told["windows"]) == (16, 2, 4)
    (device,) = told["devices"]
    assert device["device"] == told["fastest"] == "cpu"
    sizes = [row["batch"] for row in device["batches"]]
    assert sizes[:3] == [1, 2, 4][: len(sizes)]  # as far as a busy machine comes in a second
    assert device["fastest_threads"] in {row["threads"] for row in device["threads"]}
    best = max(row["windows_per_second"] for row in device["batches"])
    if device["saturated_from"]:
        near = [row for row in device["batches"] if row["windows_per_second"] >= 0.9 * best]
        assert device["saturated_from"] == near[0]["batch"]
    if told["suggestion"]:
        assert f"training.batch_size={device['saturated_from']}" in told["suggestion"]["settings"]


def test_the_table_of_a_run(
    call: Call, finished_run: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hornbook.training.device_sweep.LEAST_SECONDS", 0.0)
    monkeypatch.setattr("hornbook.training.power._energies", lambda folder: {})
    place = finished_run.path  # type: ignore[attr-defined]
    result = call("bench", "device", place, *BRIEF, "training.threads=1")
    assert result.exit_code == 0, result.output
    header = next(line for line in result.stdout.splitlines() if "batch" in line)
    assert all(column in header for column in ("2 steps", "4 windows", "memory", "expected"))
    assert "power: not readable (" in result.stdout
    assert "ends here: " in result.stdout
    assert "training.threads=" in result.stdout


def test_both_ways_of_advice(capsys: pytest.CaptureFixture[str]) -> None:
    def row(batch: int, seconds: float, watts: float | None = None) -> BatchSpeed:
        return BatchSpeed(batch, 2, 9, seconds, 9.0, 8.0, True, False, None, 10**6, watts)

    rows = (row(8, 0.1), row(16, 0.1), row(32, 0.2), row(64, 0.4))
    cpu = DeviceSpeed("cpu", "a processor", "", rows, "enough", 99, 10**9, (), "no RAPL")
    fast = tuple(row(speed.batch, speed.step_seconds / 4, 250.4) for speed in rows)
    card = replace(cpu, device="cuda:0", name="a card", batches=fast, power="NVML")
    sweep = Sweep(resolve(preset="tiny", overrides=["training.batch_size=4"]), None, None)  # type: ignore[arg-type]
    suggestion = suggest_rate(sweep.config.training, 16)
    bench_device._draw(sweep, [cpu, card], card, suggestion)
    said = capsys.readouterr().out
    assert "cuda:0: 640.0 windows/s at best, 4.0 times cpu  fastest" in said
    assert "250 W" in said
    assert "saturated from a batch of 16 on" in said
    assert "linear 0.012, square root 0.006; square root is the rule for adamw" in said
    words = "training.batch_size=16 training.base_batch_size=4 training.learning_rate_scaling=sqrt"
    assert words in said
    bench_device._draw(sweep, [card], card, None)
    assert "keeps cuda:0 busy already" in capsys.readouterr().out
