"""Runs on packed rows: exact resume, samples, and a word about padding at the start."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hornbook
from hornbook.data import PackedBatches
from hornbook.listener import Listener
from hornbook.runs.assembly import find_store, make_batches
from hornbook.runs.checkpoints import list_checkpoints

Train = Callable[..., hornbook.Run]


class Watching(Listener):
    """Keeps what is said, and stops at a step."""

    def __init__(self, stop_at: int = 0) -> None:
        self.stop_at = stop_at
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        if step == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)


def weights(run: hornbook.Run) -> bytes:
    return (list_checkpoints(run.path)[-1].folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "settings",
    [
        {"data.packing": "split"},
        {"context_length": 300, "training.batch_size": 2},  # a document at a time
        {"data.positions": "random", "model.positions": "learned"},
        {"data.positions": "line", "model.positions": "learned", "data.packing": "split"},
        {"data.reset_positions": False, "model.positions": "learned", "model.dropout": 0.1},
        {"model.kind": "lstm"},
    ],
    ids=str,
)
def test_packed_runs_resume_exactly_and_sample(
    train_fast: Train, tmp_path: Path, settings: dict[str, Any]
) -> None:
    settings = {"corpus.separate_by": "line", "data.windows": "packed", **settings}
    whole = train_fast(tmp_path / "whole", **settings)
    with pytest.raises(hornbook.Interrupted):
        train_fast(tmp_path / "cut", listener=Watching(stop_at=7), **settings)
    assert weights(hornbook.resume(tmp_path / "cut")) == weights(whole)
    assert str(whole.sample("The", temperature=0, max_tokens=30)).startswith("The")
    config, store = find_store(whole.folder, whole.config, whole.folder.read_manifest())
    batches = make_batches(config, store).training
    assert isinstance(batches, PackedBatches)
    size = config.training.batch_size
    seen = sum(batches.batch(size * step, size).real_targets for step in range(12))
    assert whole.metrics()[-1]["tokens_seen"] == seen


def test_the_start_says_how_much_is_padding(train_fast: Train, tmp_path: Path) -> None:
    watching = Watching()
    settings = {"corpus.separate_by": "line", "data.windows": "packed"}
    train_fast(tmp_path / "run", listener=watching, **settings)
    said = [notice for notice in watching.notices if notice.startswith("packed: ")]
    assert len(said) == 1
    assert "best_fit" in said[0]
    assert "% padding" in said[0]


def test_micro_batches_of_packed_rows_give_the_gradient_of_the_whole(
    train_fast: Train, tmp_path: Path
) -> None:
    settings = {"corpus.separate_by": "line", "data.windows": "packed", "training.steps": 4}
    whole = train_fast(tmp_path / "whole", **settings)
    parts = train_fast(tmp_path / "parts", **settings, **{"training.micro_batch_size": 1})
    for ours, theirs in zip(whole.metrics(), parts.metrics(), strict=True):
        assert ours["tokens_seen"] == theirs["tokens_seen"]
        assert ours["training_loss"] == pytest.approx(theirs["training_loss"], rel=1e-5)
