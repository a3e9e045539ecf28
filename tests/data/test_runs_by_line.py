"""Runs on windows by line: exact resume, exact accumulation, one evaluation for all."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

import hornbook
from hornbook.data.windows import LineStrategy
from hornbook.errors import ConfigError, DataError
from hornbook.listener import Listener
from hornbook.runs.assembly import find_store, make_batches
from hornbook.runs.checkpoints import list_checkpoints
from hornbook.runs.resolution import check, resolve
from hornbook.training.fork import fork

Train = Callable[..., hornbook.Run]
STRATEGIES = get_args(LineStrategy)
BY_LINE = {"corpus.separate_by": "line", "model.positions": "learned"}


class StopAt(Listener):
    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def weights(run: hornbook.Run) -> bytes:
    return (list_checkpoints(run.path)[-1].folder / "model.safetensors").read_bytes()


def batches_of(run: hornbook.Run) -> Any:
    config, store = find_store(run.folder, run.config, run.folder.read_manifest())
    return make_batches(config, store)


@pytest.mark.parametrize(
    ("strategy", "positions"),
    [*((strategy, "random") for strategy in STRATEGIES), ("left_padded", "line")],
)
def test_resume_is_exact_and_evaluation_does_not_know_the_strategy(
    train_fast: Train, tmp_path: Path, strategy: str, positions: str
) -> None:
    settings = {
        **BY_LINE,
        "data.windows": strategy,
        "data.positions": positions,
        "data.stride": 2,
        "context_length": 12,
    }
    whole = train_fast(tmp_path / "whole", **settings)
    with pytest.raises(hornbook.Interrupted):
        train_fast(tmp_path / "cut", listener=StopAt(7), **settings)
    resumed = hornbook.resume(tmp_path / "cut")
    assert weights(resumed) == weights(whole)
    assert resumed.metrics()[-1]["tokens_seen"] == whole.metrics()[-1]["tokens_seen"]
    assert str(whole.sample("The", temperature=0, max_tokens=30)).startswith("The")

    batches = batches_of(whole)
    seen = sum(batches.training.batch(4 * step, 4).real_targets for step in range(12))
    assert whole.metrics()[-1]["tokens_seen"] == seen
    stream = train_fast(tmp_path / "stream", **{**BY_LINE, "context_length": 12})
    for ours, theirs in zip(
        batches.evaluation.batches(16), batches_of(stream).evaluation.batches(16), strict=True
    ):
        assert torch.equal(ours.tokens, theirs.tokens)
        assert torch.equal(ours.targets, theirs.targets)


def test_accumulation_counts_real_targets_only(train_fast: Train, tmp_path: Path) -> None:
    settings = {**BY_LINE, "data.windows": "slide_through", "training.steps": 4}
    whole = train_fast(tmp_path / "whole", **settings)
    parts = train_fast(tmp_path / "parts", **settings, **{"training.micro_batch_size": 1})
    for ours, theirs in zip(whole.metrics(), parts.metrics(), strict=True):
        assert ours["tokens_seen"] == theirs["tokens_seen"]
        assert ours["training_loss"] == pytest.approx(theirs["training_loss"], rel=1e-5)
        assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=1e-4)


def test_an_older_run_goes_on_under_another_strategy_as_a_fork(
    finished_run: hornbook.Run, tmp_path: Path
) -> None:
    run = fork(
        f"{finished_run.path}@8",
        out=tmp_path / "fork",
        overrides=["data.windows=first_full", "training.steps=10"],
    )
    assert list_checkpoints(run.path)[-1].step == 10


def test_a_context_longer_than_every_line_is_refused_before_training(
    train_fast: Train, tmp_path: Path
) -> None:
    settings = {**BY_LINE, "data.windows": "full", "context_length": 400}
    with pytest.raises(DataError, match=r"full window: .*400 .*Use a context_length of at most"):
        train_fast(tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"data.windows": "full", "data.stride": 17}, "data.stride"),
        ({"data.positions": "line", "model.kind": "bigram"}, "data.positions"),
        ({"data.positions": "line", "model.positions": "none"}, "data.positions"),
        ({"data.positions": "random", "model.positions": "alibi"}, "data.positions"),
        ({"data.positions": "random", "model.position_count": 16}, "model.position_count"),
        ({"model.position_count": 15}, "model.position_count"),
        ({"data.windows": "sideways"}, "data.windows"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(preset="tiny", overrides={"context_length": 16, **settings})
    assert key in [problem.key for problem in caught.value.problems]


def test_positions_beyond_the_window_make_the_table_longer(
    train_fast: Train, tmp_path: Path
) -> None:
    def rows(**settings: Any) -> int:
        name = "-".join(map(str, settings.values())) or "window"
        run = train_fast(tmp_path / name, **BY_LINE, **{"training.steps": 3}, **settings)
        return run.model.get_parameter("position_embedding.weight").shape[0]

    assert rows() == 16
    assert rows(**{"data.positions": "line"}) == 64
    assert rows(**{"data.positions": "random", "model.position_count": 40}) == 40


def test_settings_from_before_mean_what_they_did(finished_run: hornbook.Run) -> None:
    settings = finished_run.config.model_dump()
    del settings["data"]["positions"], settings["model"]["position_count"]
    config = check(settings)
    assert config == finished_run.config
    assert (config.data.windows, config.stride, config.position_count) == ("stream", 16, 16)
    batch = batches_of(finished_run).training.batch(0, 4)
    assert batch.positions is None
    assert batch.segments is None
    assert torch.equal(batch.tokens[:, 1:], batch.targets[:, :-1])
