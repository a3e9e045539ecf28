"""What a run watches: times, arithmetic, memory, updates; and the notes when its loss jumps."""

from __future__ import annotations

import json
import math
import random
import signal
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import hornbook
from hornbook.inspection import write_report
from hornbook.inspection.accounting.devices import CARDS
from hornbook.inspection.accounting.products import training_flops_per_token
from hornbook.listener import Listener
from hornbook.models import Transformer
from hornbook.runs.archive import pack_run, unpack_run
from hornbook.runs.verification import verify_run
from hornbook.training.jumps import DEVIATIONS, FEWEST, REMEMBERED, expectation, jump
from hornbook.training.peaks import device_peak, stated_peak
from hornbook.training.precision import Precision
from hornbook.training.step_time import PARTS, StepClock

Train = Callable[..., hornbook.Run]
CUDA = torch.device("cuda")


def test_every_line_says_where_the_time_went(finished_run: hornbook.Run) -> None:
    steps = 0
    for line in finished_run.metrics():
        taken = line["step"] - steps
        steps = line["step"]
        times = line["step_time"]
        assert tuple(times) == PARTS
        assert all(seconds >= 0 for seconds in times.values())
        per_step = taken * 4 * 16 / line["tokens_per_second"] / taken
        assert 0 < sum(times.values()) <= 1.001 * per_step  # they are measured inside of the step
        assert line["flops_utilisation"] is None  # no peak is stated for a CPU
        assert line["peak_memory"] > 50_000_000
        assert set(line["update_ratio"]) == {"matrices", "embeddings", "gains"}
        assert all(1e-7 < ratio < 1 for ratio in line["update_ratio"].values())
        cost = training_flops_per_token(finished_run.model, 16)
        assert line["flops_per_second"] == pytest.approx(cost * line["tokens_per_second"])


def test_lines_of_earlier_versions_are_still_reported(train_fast: Train, tmp_path: Path) -> None:
    run = train_fast(tmp_path / "run")
    known = {"step", "seconds", "epoch", "tokens_seen", "training_loss", "validation_loss"}
    lines = [{k: v for k, v in line.items() if k in known} for line in run.metrics()]
    run.folder.metrics.path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = write_report(run).read_text()
    assert "waiting for data" not in page
    assert "tokens seen" in page
    longer = hornbook.resume(run.path, overrides=["training.steps=14"])
    page = write_report(longer).read_text()
    assert "utilisation unknown: no peak is stated for this device" in page
    assert "forward" in page


def test_a_clock_adds_up_and_begins_anew() -> None:
    clock = StepClock(torch.device("cpu"))
    for _ in range(2):
        clock.add("data", 0.5)
        clock.begin()
        for part in ("forward", "backward", "forward", "backward", "optimizer"):
            clock.mark(part)
    found = clock.read()
    assert found is not None
    assert found["data"] == 0.5
    assert all(0 <= found[part] < 0.1 for part in PARTS[1:])
    assert clock.read() is None


def test_on_cuda_the_clock_reads_events_between_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    """With events made by hand: each lies 10 ms behind the one before."""
    made: list[Event] = []

    class Event:
        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing
            self.place = len(made)
            made.append(self)

        def record(self) -> None: ...

        def synchronize(self) -> None: ...

        def elapsed_time(self, later: Event) -> float:
            return 10.0 * (later.place - self.place)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    clock = StepClock(CUDA)
    for _ in range(2):
        clock.begin()
        for part in ("forward", "backward", "forward", "backward", "optimizer"):
            clock.mark(part)
    found = clock.read()
    assert found == {"data": 0.0, "forward": 0.02, "backward": 0.02, "optimizer": 0.01}


def test_peaks_are_those_of_the_whole_name(monkeypatch: pytest.MonkeyPatch) -> None:
    bfloat16, float32 = Precision("bfloat16", "", CUDA), Precision("float32", "", CUDA)
    rounded = Precision("float32", "", CUDA, tf32=True)
    assert stated_peak("NVIDIA A100-SXM4-80GB", bfloat16) == 312e12
    assert stated_peak("NVIDIA A100-SXM4-80GB", float32) == 19.5e12
    assert stated_peak("NVIDIA A100-SXM4-80GB", rounded) == 156e12
    assert stated_peak("NVIDIA A10", bfloat16) == 125e12
    assert stated_peak("Tesla T4", rounded) == 8.1e12  # it has no TF32
    assert stated_peak("Tesla T4", bfloat16) is None
    for unknown in ("NVIDIA A10G", "NVIDIA L40", "NVIDIA H100 NVL Slice", "AMD Instinct MI300X"):
        assert stated_peak(unknown, bfloat16) is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA L4")
    assert device_peak(bfloat16) == 121e12
    assert device_peak(Precision("float32", "", torch.device("cpu"))) is None
    for card in CARDS:
        assert 0 < card.peak.float32 < card.peak.float16, card


# --- jumps


def test_a_jump_is_six_robust_deviations_above_the_median() -> None:
    draw = random.Random(1)
    losses = [2.0 + draw.gauss(0, 0.1) for _ in range(200)]
    found = expectation(losses)
    assert found is not None
    last = losses[-REMEMBERED:]
    middle = statistics.median(last)
    spread = 1.4826 * statistics.median(abs(x - middle) for x in last)
    assert found.usual == middle
    assert found.limit == pytest.approx(middle + DEVIATIONS * spread)
    assert not any(jump(losses[i], losses[:i]) for i in range(len(losses)))
    # Wild losses before it do not hide a jump.
    assert jump(3.5, [*losses, 9.0, 9.0, 9.0, 2.0])
    # One that stays high jumps once.
    assert jump(3.5, losses)
    assert not jump(3.5, [*losses, 3.5])
    assert not jump(math.inf, losses)
    assert not jump(math.nan, losses)
    # Nor does noise around a falling loss make one.
    falling = [2 + 5 * math.exp(-i / 30) + draw.gauss(0, 0.05) for i in range(300)]
    assert not any(jump(falling[i], falling[:i]) for i in range(len(falling)))
    # Losses that are all the same are no reason to call a slightly larger one a jump.
    assert not jump(2.05, [2.0] * 60)
    assert not jump(99.0, [2.0] * (FEWEST - 1))


class Watcher(Listener):
    def __init__(self, stop_at: int = 0) -> None:
        self.notices: list[str] = []
        self.stop_at = stop_at

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        if step == self.stop_at:
            signal.raise_signal(signal.SIGINT)


JUMPING = {
    "training.steps": 30,
    "training.schedule.kind": "constant",
    "training.evaluate_every": 0,
    "training.checkpoint_every": 10,
    "training.sample_every": 0,
}


def jump_at(monkeypatch: pytest.MonkeyPatch, pass_number: int) -> None:
    """Let the model forget everything in one forward pass of training."""
    original, calls = Transformer.head, {"n": 0}

    def head(self: Transformer, features: torch.Tensor) -> torch.Tensor:
        logits = original(self, features)
        calls["n"] += self.training
        return logits * -20 if self.training and calls["n"] == pass_number else logits

    monkeypatch.setattr(Transformer, "head", head)


def test_a_jump_leaves_a_note_with_the_batch_and_the_layers(
    train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    watcher = Watcher()
    with monkeypatch.context() as patch:
        jump_at(patch, 25)
        run = train_fast(tmp_path / "run", listener=watcher, **JUMPING)
    notes = list(run.folder.notes.entries())
    assert [note["step"] for note in notes] == [25]
    note = notes[0]
    assert note["loss"] > note["limit"] > note["usual_loss"]
    assert note["examples"] == [96, 100]
    assert set(note["gradient_norm_by_layer"]) == {"token_embedding", "blocks.0", "final_norm"}
    whole = math.sqrt(sum(norm**2 for norm in note["gradient_norm_by_layer"].values()))
    assert note["gradient_norm"] == pytest.approx(whole, rel=1e-5)
    assert len(note["rows"]) == 4
    assert all(row in text for row in note["rows"])
    assert note["documents"]
    told = [text for text in watcher.notices if "the loss jumped to" in text]
    assert len(told) == 1
    assert "notes.jsonl" in told[0]
    assert "notes.jsonl" in verify_run(run.path)
    page = write_report(run).read_text()
    assert "the loss jumped" in page
    archive = pack_run(run.path, tmp_path / "run.zip")
    unpacked = unpack_run(archive, tmp_path / "unpacked")
    assert (unpacked / "notes.jsonl").read_bytes() == run.folder.notes.path.read_bytes()


def test_notes_are_the_same_after_a_resume_and_follow_a_fork(
    train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        jump_at(patch, 25)
        whole = train_fast(tmp_path / "whole", **JUMPING)
    with pytest.raises(hornbook.Interrupted):
        train_fast(tmp_path / "run", listener=Watcher(22), **JUMPING)
    with monkeypatch.context() as patch:
        jump_at(patch, 3)
        resumed = hornbook.resume(tmp_path / "run")
    expected = list(whole.folder.notes.entries())
    assert list(resumed.folder.notes.entries()) == expected
    assert len(expected) == 1
    forked = hornbook.fork(
        f"{whole.path}@30", out=tmp_path / "fork", overrides=["training.steps=31"]
    )
    assert list(forked.folder.notes.entries()) == expected
    earlier = hornbook.fork(f"{whole.path}@20", out=tmp_path / "early")
    assert not list(earlier.folder.notes.entries())
