"""Runs under every optimizer: killed and resumed to the bit, forked into another, and shown."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import hornbook
from hornbook.errors import ConfigError
from hornbook.listener import Listener
from hornbook.runs.checkpoints import list_checkpoints

Train = Callable[..., hornbook.Run]

KILLED = """
import json, os, signal, sys, hornbook
from hornbook.listener import Listener
class Stop(Listener):
    def stepped(self, step, loss, tokens):
        if step == 7:
            os.kill(os.getpid(), signal.SIGKILL)
changes = json.loads(sys.argv[3])
hornbook.train(sys.argv[1], preset="tiny", out=sys.argv[2], overrides=changes, listener=Stop())
"""

MUON = {
    "training.optimizer.kind": "muon",
    "training.optimizer.embedding_rate": 3.0,
    "training.optimizer.cautious_decay": True,
    "training.schedule.kind": "wsd",
    "training.schedule.decay_fraction": 0.5,
    "model.kv_heads": 1,
}


def files(run: hornbook.Run) -> list[bytes]:
    folder = list_checkpoints(run.path)[-1].folder
    return [(folder / f"{name}.safetensors").read_bytes() for name in ("model", "optimizer")]


def test_muon_killed_and_resumed_ends_with_the_same_bytes(
    corpus: Path, train_fast: Train, fast_settings: dict[str, Any], tmp_path: Path
) -> None:
    whole = train_fast(tmp_path / "whole", **MUON)
    lines = whole.metrics()
    assert lines[-1]["training_loss"] < lines[0]["training_loss"]
    settings = json.dumps({**fast_settings, **MUON})
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(corpus), str(tmp_path / "run"), settings], timeout=120
    )
    assert ended.returncode == -9
    assert list_checkpoints(tmp_path / "run")[-1].step == 4
    resumed = hornbook.resume(tmp_path / "run")
    assert files(resumed) == files(whole)
    entries = {name.rpartition("/")[2] for name in whole.checkpoint.optimizer_tensors()}
    assert entries == {"momentum", "exp_avg", "exp_avg_sq", "step"}


class Groups(Listener):
    def __init__(self) -> None:
        self.groups: list[Mapping[str, Any]] = []
        self.notices: list[str] = []

    def optimizing(self, groups: Sequence[Mapping[str, Any]]) -> None:
        self.groups.extend(groups)

    def notice(self, text: str) -> None:
        self.notices.append(text)


def test_groups_are_told_before_training(train_fast: Train, tmp_path: Path) -> None:
    heard = Groups()
    run = train_fast(tmp_path / "run", listener=heard, **MUON)
    rules = {group["role"]: group["rule"] for group in heard.groups}
    assert rules == {"embeddings": "adamw", "matrices": "muon", "gains": "adamw"}
    rates = {group["role"]: group["learning_rate"] for group in heard.groups}
    assert rates["embeddings"] == pytest.approx(3 * rates["matrices"])
    assert sum(group["numbers"] for group in heard.groups) == run.model.parameter_count()


def test_a_fork_into_another_optimizer_keeps_the_state_that_serves_it(
    train_fast: Train, tmp_path: Path
) -> None:
    parent = train_fast(tmp_path / "parent")
    fork = hornbook.fork(
        f"{parent.path}@8",
        out=tmp_path / "fork",
        overrides=["training.optimizer.kind=muon", "training.steps=10"],
    )
    found = fork.checkpoint.optimizer_tensors()
    assert found["token_embedding.weight/step"].item() == 10
    assert "blocks.0.attention.qkv.weight/exp_avg" not in found
    assert "blocks.0.attention.qkv.weight/momentum" in found


def test_frozen_tensors_stay_and_the_others_learn(train_fast: Train, tmp_path: Path) -> None:
    heard = Groups()
    settings = {"training.freeze": ["token_embedding*", "blocks.0.attention.*"]}
    run = train_fast(tmp_path / "run", listener=heard, **settings)
    assert any("frozen by training.freeze: token_embedding.weight" in n for n in heard.notices)
    assert run.config.training.freeze == ("token_embedding*", "blocks.0.attention.*")
    first, last = (list_checkpoints(run.path)[i] for i in (0, -1))
    moved = set()
    for step in (first, last):
        step.verify()
    before = hornbook.open_run(f"{run.path}@{first.step}").model.state_dict()
    after = hornbook.open_run(f"{run.path}@{last.step}").model.state_dict()
    moved = {name for name in after if not before[name].equal(after[name])}
    still = {name for name in after if name not in moved}
    assert {n for n in still if not n.startswith("output_head")} == {
        "token_embedding.weight", "blocks.0.attention.qkv.weight",
        "blocks.0.attention.output.weight",
    }  # fmt: skip
    kept = {name.rpartition("/")[0] for name in run.checkpoint.optimizer_tensors()}
    assert kept == moved


@pytest.mark.parametrize(
    ("patterns", "words"),
    [
        ('["tokenembedding*"]', "near it are token_embedding.weight"),
        ("*", "leaves nothing to train"),
        ('["output_head*", "blocks.*", "final_norm*"]', "leaves nothing to train"),
    ],
)
def test_freezing_nothing_or_everything_is_refused_and_leaves_no_run(
    train_fast: Train, tmp_path: Path, patterns: str, words: str
) -> None:
    from hornbook.runs.resolution import resolve

    wanted = resolve(preset="tiny", overrides=[f"training.freeze={patterns}"]).training.freeze
    with pytest.raises(ConfigError, match=words) as caught:
        train_fast(tmp_path / "run", **{"training.freeze": wanted})
    assert caught.value.problems[0].key == "training.freeze"
    assert not (tmp_path / "run").exists()
