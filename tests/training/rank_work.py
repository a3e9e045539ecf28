"""What torchrun starts in test_ranks.py: every rank runs this file.

python -m torch.distributed.run … rank_work.py WORK CORPUS FOLDER SETTINGS
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import hornbook
from hornbook.cli.app import main
from hornbook.errors import ConfigError, ToldElsewhere
from hornbook.launch import launch_of
from hornbook.listener import Listener
from hornbook.optimization import model_loss
from hornbook.training.step import TrainingStep

CURVES: dict[str, dict[str, Any]] = {
    # Parts of one window are the same parts on one rank and on two, so dropout is the same too.
    "ddp": {"training.micro_batch_size": 1, "model.dropout": 0.2},
    "fsdp": {
        "training.parallel": "fsdp",
        "training.micro_batch_size": 1,
        "data.windows": "left_padded",
        "model.layers": 2,
    },
    "packed": {"data.windows": "packed", "training.batch_size": 6},
    "muon": {
        "training.parallel": "fsdp",
        "training.optimizer.kind": "muon",
        "training.optimizer.newton_schulz_precision": "float32",
        "training.optimizer.cautious_decay": True,
        "training.objective.z_loss": 1e-3,
        "training.batch_ramp": {"start": 2, "steps": 5},
        "model.tied_head": False,
        "model.kv_heads": 1,
    },
    "carried": {"model.kind": "lstm", "model.layers": 2, "training.carry_state": True},
}
"""Runs that two ranks train and one process as well."""
IN_CHUNKS = {"packed", "muon"}
"""Which of them ranks train without ever having all logits in memory."""
STOPPED_AFTER = 5
DIES_IN_CALL = [7, 6]
"""In which of its steps rank 1 dies, for each start of the job: the second begins at step 4."""


class StopAfter(Listener):
    """Sends a signal to this rank alone."""

    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def stop(corpus: Path, folder: Path, settings: dict[str, Any]) -> None:
    """Train until rank 0 has a signal; all ranks end after that step."""
    with pytest.raises(hornbook.Interrupted) as stopped:
        hornbook.train(
            corpus,
            preset="tiny",
            out=folder,
            overrides=settings,
            listener=StopAfter(STOPPED_AFTER),
        )
    outcome = stopped.value.outcome
    assert (outcome.step, outcome.signal) == (STOPPED_AFTER, signal.SIGTERM)


def compare(corpus: Path, folder: Path, settings: dict[str, Any]) -> None:
    """Train what is compared with one process, and go on with what one process has begun."""
    first = launch_of().is_first
    for name, changes in CURVES.items():
        model_loss.FEWEST_ROWS = 7 if name in IN_CHUNKS else 512
        model_loss.LOGITS_AT_ONCE["cpu"] = 0 if name in IN_CHUNKS else 1 << 23
        hornbook.train(corpus, preset="tiny", out=folder / name, overrides={**settings, **changes})
    for name in ("ddp", "fsdp"):
        left = folder / f"{name}-left"
        stop(corpus, left, {**settings, **CURVES[name]})
        if first:
            shutil.copytree(left, folder / f"{name}-resumed")
        hornbook.resume(folder / f"{name}-resumed")
    run = hornbook.resume(folder / "one-left")
    assert run.path.name == "one-left"
    assert hornbook.resume(folder / "one-left").path == run.path  # finished: nothing to do
    words = "batch_size=3: does not divide over 2 ranks; use 2 or 4" if first else "another rank"
    with pytest.raises(ConfigError if first else ToldElsewhere, match=words):
        hornbook.train(
            corpus, out=folder / "refused", overrides={**settings, "training.batch_size": 3}
        )


def die(corpus: Path, folder: Path, settings: dict[str, Any]) -> None:
    """Train as the command line does, in a folder of its own choice.

    Rank 1 fails at first, and when it was started again it is killed.
    """
    os.chdir(folder)
    if not launch_of().is_first:
        call, count = TrainingStep.__call__, 0
        start = int(os.environ["TORCHELASTIC_RESTART_COUNT"])

        def counted(self: TrainingStep, *arguments: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count == DIES_IN_CALL[start]:
                if start == 0:
                    raise ValueError("a mistake of rank 1")
                os.kill(os.getpid(), signal.SIGKILL)
            return call(self, *arguments, **more)

        TrainingStep.__call__ = counted  # pyright: ignore[reportAttributeAccessIssue]
    words = [f"{key}={value}" for key, value in settings.items()]
    main(["train", str(corpus), "--preset", "tiny", *words])


if __name__ == "__main__":
    _, work, corpus_path, folder_path, text = sys.argv
    {"compare": compare, "die": die}[work](Path(corpus_path), Path(folder_path), json.loads(text))
