"""Batches that grow: values by hand, sums as properties, and runs that resume inside the ramp."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hornbook
from hornbook.errors import ConfigError, RunError
from hornbook.listener import Listener
from hornbook.optimization import BatchRampConfig, batch_size_at, examples_before, rescaled
from hornbook.runs.checkpoints import list_checkpoints
from hornbook.runs.resolution import resolve


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 60), st.integers(0, 100))
def test_sizes_grow_by_the_first_and_the_place_in_the_data_is_their_sum(
    start: int, times: int, steps: int, step: int
) -> None:
    ramp = BatchRampConfig(start=start, steps=steps)
    whole = start * times
    sizes = [batch_size_at(s, whole=whole, ramp=ramp) for s in range(101)]
    assert sizes[0] == start
    assert all(size == whole for size in sizes[steps:])
    assert all(size % start == 0 for size in sizes)
    assert all(a <= b <= whole for a, b in zip(sizes, sizes[1:], strict=False))
    assert examples_before(step, whole=whole, ramp=ramp) == sum(sizes[:step])
    if steps >= times:  # every size comes, for as many steps as the others or one more or less
        spans = [sizes[:steps].count(start * k) for k in range(1, times)]
        assert not spans or max(spans) - min(spans) <= 1


def test_without_a_ramp_every_batch_is_whole() -> None:
    ramp = BatchRampConfig()
    assert [batch_size_at(s, whole=8, ramp=ramp) for s in (0, 1, 99)] == [8, 8, 8]
    assert examples_before(7, whole=8, ramp=ramp) == 56


def test_the_learning_rate_follows_the_batch_of_the_step_if_asked_to() -> None:
    words = ["batch_size=16", "batch_ramp.start=4", "batch_ramp.steps=8", "steps=20",
             "learning_rate=0.02", "base_batch_size=4", "schedule.kind=constant",
             "schedule.warmup_steps=0"]  # fmt: skip
    words = [f"training.{word}" for word in words]
    plan = resolve(
        preset="tiny", overrides=[*words, "training.learning_rate_scaling=sqrt"]
    ).training
    assert plan.learning_rate_at(0) == pytest.approx(0.02)
    assert plan.learning_rate_at(19) == plan.peak_learning_rate == pytest.approx(0.04)
    plain = resolve(preset="tiny", overrides=words).training
    assert {plain.learning_rate_at(step) for step in range(20)} == {0.02}
    assert rescaled(0.01, "linear", batch_size=24, base=16) == pytest.approx(0.015)


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["batch_ramp.start=5", "batch_ramp.steps=3"], ["batch_ramp.start"]),
        (["batch_ramp.start=4"], ["batch_ramp.steps"]),
        (["batch_ramp.start=4", "batch_ramp.steps=200"], ["batch_ramp.steps"]),
        (["learning_rate_scaling=linear"], ["base_batch_size"]),
    ],
)
def test_what_does_not_fit_is_refused(words: list[str], keys: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(preset="tiny", overrides=[f"training.{word}" for word in words])
    assert [problem.key for problem in caught.value.problems] == [f"training.{k}" for k in keys]


def test_rows_that_read_on_cannot_grow_in_number() -> None:
    with pytest.raises(ConfigError, match="carry_state"):
        resolve(
            preset="tiny",
            overrides=["model.kind=lstm", "training.carry_state=true",
                       "training.batch_ramp.start=4", "training.batch_ramp.steps=5"],
        )  # fmt: skip


class StopAt(Listener):
    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_run_resumes_inside_the_ramp_at_the_next_example(
    train_fast: Callable[..., hornbook.Run], tmp_path: Path
) -> None:
    settings: dict[str, Any] = {
        "training.batch_size": 8,
        "training.batch_ramp.start": 2,
        "training.batch_ramp.steps": 9,
        "training.micro_batch_size": 3,
    }
    whole = train_fast(tmp_path / "whole", **settings)
    plan = whole.config.training
    used = examples_before(12, whole=8, ramp=plan.batch_ramp)
    assert used < 12 * 8
    assert list_checkpoints(whole.path)[-1].state().examples_seen == used
    assert whole.metrics()[-1]["tokens_seen"] == used * 16
    with pytest.raises(hornbook.Interrupted):
        train_fast(tmp_path / "run", listener=StopAt(5), **settings)
    resumed = hornbook.resume(tmp_path / "run")
    files = [
        list_checkpoints(run.path)[-1].folder / "model.safetensors" for run in (whole, resumed)
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_study_refuses_batches_that_grow(corpus: Path, tmp_path: Path) -> None:
    from hornbook.experiments import compare

    with pytest.raises(RunError, match="batch_ramp"):
        compare(
            "windows",
            corpus,
            tokens=2000,
            out=tmp_path / "study",
            overrides=["training.batch_ramp.start=1", "training.batch_ramp.steps=1",
                       "training.steps=5"][:2],
        )  # fmt: skip
