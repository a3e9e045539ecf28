"""A state that goes on from window to window: the order, the resets, and resuming exactly."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import hornbook
from hornbook.data import StreamWindows, TokenSequence
from hornbook.data.consecutive import ConsecutiveBatches, ConsecutiveOrder
from hornbook.errors import ConfigError, DataError
from hornbook.listener import Listener
from hornbook.models import LSTMConfig, build_model
from hornbook.runs.archive import pack_run, unpack_run
from hornbook.runs.checkpoints import CARRIED_FILE, list_checkpoints
from hornbook.runs.resolution import resolve
from hornbook.runs.verification import verify_run
from hornbook.training.watching import TIMED

Train = Callable[..., hornbook.Run]
KINDS = ["rnn", "gru", "lstm"]


def file(run: hornbook.Run, name: str, step: int = -1) -> bytes:
    return (list_checkpoints(run.path)[step].folder / name).read_bytes()


def measurements(run: hornbook.Run) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k not in TIMED} for line in run.metrics()]


class StopAt(Listener):
    """Sends this process a signal after some steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def train(corpus: Path, fast_settings: dict[str, Any]) -> Callable[..., hornbook.Run]:
    """Train a tiny LSTM whose documents are paragraphs, carrying its state."""

    def run(out: Path, listener: Listener | None = None, **changes: Any) -> hornbook.Run:
        overrides = {
            **fast_settings,
            "model.kind": "lstm",
            "corpus.separate_by": "blank_line",
            "training.carry_state": True,
            **changes,
        }
        more: dict[str, Any] = {"listener": listener} if listener is not None else {}
        return hornbook.train(corpus, preset="tiny", out=out, overrides=overrides, **more)

    return run


@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 3), st.integers(0, 99))
def test_rows_read_on_and_an_epoch_uses_no_window_twice(
    windows: int, rows: int, epoch: int, seed: int
) -> None:
    rows = min(rows, windows)
    order = ConsecutiveOrder(windows, rows, seed)
    assert windows - rows < order.count <= windows
    first = epoch * order.count
    found = order.examples(first, order.count).reshape(-1, rows)
    assert (np.diff(found, axis=0) == 1).all()
    assert len(np.unique(found)) == order.count
    assert found.min() >= 0
    assert found.max() < windows
    begins = order.begins(first, order.count).reshape(-1, rows)
    assert begins[0].all()
    assert not begins[1:].any()
    # Asked for in pieces, as micro-batches do, it is the same.
    pieces = [order.examples(first + k, 1)[0] for k in range(order.count)]
    assert pieces == found.flatten().tolist()


def test_fewer_windows_than_rows_is_an_error_that_says_what_fits() -> None:
    with pytest.raises(DataError, match="batch_size of at most 3"):
        ConsecutiveOrder(windows=3, rows=4, seed=1)


def some_batches(length: int, rows: int, end: int = 0) -> ConsecutiveBatches:
    """A stream in which documents of very different lengths end with ``end``."""
    draw = np.random.default_rng(5)
    documents = []
    while sum(map(len, documents)) < 400:
        documents.append([*draw.integers(1, 40, int(draw.choice([1, 2, 9, 40]))), end])
    stream = np.concatenate(documents).astype(np.uint16)
    ends = np.cumsum([len(each) for each in documents]).astype(np.uint64)
    windows = StreamWindows(len(stream), length, length)
    sequence = TokenSequence([stream], ends)
    return ConsecutiveBatches(sequence, windows, ConsecutiveOrder(len(windows), rows, seed=3))


def test_carried_windows_equal_each_document_read_at_once() -> None:
    batches, rows = some_batches(length=8, rows=3), 3
    model = build_model(LSTMConfig(d_model=16), vocab_size=40, context_length=8, seed=1).eval()
    state = model.init_state(rows)
    steps = batches.order.count // rows
    logits, tokens, targets = [], [], []
    for step in range(steps):
        batch = batches.batch(step * rows, rows)
        keep = batches.goes_on(step * rows, rows)[None, :, None]
        state = tuple(torch.where(keep, part, 0.0) for part in state)
        found, state = model(batch.tokens, state, segments=batch.segments)
        logits.append(found)
        tokens.append(batch.tokens)
        targets.append(batch.targets)
    whole, read, wanted = (torch.cat(parts, dim=1) for parts in (logits, tokens, targets))
    assert torch.equal(read[:, 1:], wanted[:, :-1])
    for row in range(rows):
        # An end token begins the document behind it, and each is read as if it stood alone.
        cuts = [0, *(i for i in range(1, read.shape[1]) if read[row, i] == 0), read.shape[1]]
        for start, stop in zip(cuts, cuts[1:], strict=False):
            alone, _ = model(read[row : row + 1, start:stop])
            torch.testing.assert_close(whole[row, start:stop], alone[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("carry", [True, False])
def test_recurrent_runs_learn_sample_and_resume_to_the_bit(
    train: Train, tmp_path: Path, kind: str, carry: bool
) -> None:
    settings = {
        "model.kind": kind,
        "model.layers": 2,
        "model.dropout": 0.2,
        "training.carry_state": carry,
        "training.micro_batch_size": 3,
    }
    whole = train(tmp_path / "whole", **settings)
    lines = whole.metrics()
    assert lines[-1]["training_loss"] < lines[0]["training_loss"]
    assert str(whole.sample("The", seed=1)) == str(whole.sample("The", seed=1))
    with pytest.raises(hornbook.Interrupted):
        train(tmp_path / "run", StopAt(7), **settings)
    resumed = hornbook.resume(tmp_path / "run")
    for name in ("model.safetensors", "optimizer.safetensors", *[CARRIED_FILE] * carry):
        assert file(resumed, name) == file(whole, name)
    assert measurements(resumed) == measurements(whole)
    assert (list_checkpoints(whole.path)[-1].folder / CARRIED_FILE).exists() == carry


def test_carrying_makes_a_difference_and_micro_batches_make_none(
    train: Train, tmp_path: Path
) -> None:
    carrying = train(tmp_path / "carrying")
    fresh = train(tmp_path / "fresh", **{"training.carry_state": False})
    assert file(carrying, "model.safetensors") != file(fresh, "model.safetensors")
    parts = train(tmp_path / "parts", **{"training.micro_batch_size": 1})
    for name, weights in parts.model.state_dict().items():
        expected = carrying.model.state_dict()[name]
        torch.testing.assert_close(weights, expected, atol=1e-5, rtol=1e-3)


def test_resume_crosses_an_epoch(train: Train, tmp_path: Path) -> None:
    settings = {"training.batch_size": 16, "context_length": 32, "training.steps": 25}
    whole = train(tmp_path / "whole", **settings)
    assert whole.metrics()[-1]["epoch"] > 1.5
    with pytest.raises(hornbook.Interrupted):
        train(tmp_path / "run", StopAt(11), **settings)
    resumed = hornbook.resume(tmp_path / "run")
    assert file(resumed, "model.safetensors") == file(whole, "model.safetensors")


def test_a_fork_takes_the_state_along_while_its_rows_read_on(train: Train, tmp_path: Path) -> None:
    parent = train(tmp_path / "parent", **{"training.keep_checkpoints": 9})
    same = hornbook.fork(f"{parent.path}@8", out=tmp_path / "same")
    assert file(same, "model.safetensors") == file(parent, "model.safetensors")
    assert file(same, CARRIED_FILE) == file(parent, CARRIED_FILE)
    wider = hornbook.fork(
        f"{parent.path}@8", out=tmp_path / "wider", overrides=["training.batch_size=6"]
    )
    carried = list_checkpoints(wider.path)[-1].carried_state()
    assert carried is not None
    assert [tuple(part.shape) for part in carried] == [(1, 6, 16)] * 2
    without = hornbook.fork(
        f"{parent.path}@8", out=tmp_path / "without", overrides=["training.carry_state=false"]
    )
    assert list_checkpoints(without.path)[-1].carried_state() is None


def test_a_bundle_keeps_the_state_and_damage_to_it_is_found(train: Train, tmp_path: Path) -> None:
    run = train(tmp_path / "run")
    pack_run(run.path, tmp_path / "run.zip")
    copy = unpack_run(tmp_path / "run.zip", tmp_path / "copy")
    assert file(hornbook.open_run(copy), CARRIED_FILE) == file(run, CARRIED_FILE)
    verify_run(copy)
    place = list_checkpoints(copy)[-1].folder / CARRIED_FILE
    damaged = bytearray(place.read_bytes())
    damaged[-1] ^= 1
    place.write_bytes(damaged)
    with pytest.raises(hornbook.RunError, match=r"carried\.safetensors is damaged"):
        list_checkpoints(copy)[-1].verify()


@pytest.mark.parametrize(
    ("changes", "both"),
    [
        (["model.kind=lstm", "data.windows=left_padded"], "data.windows=left_padded"),
        (["model.kind=gru", "data.stride=5"], "data.stride=5"),
        (["model.kind=gru", "data.recut=true"], "data.recut=true"),
        (["model.kind=transformer"], "model.kind=transformer"),
        (["model.kind=bigram"], "model.kind=bigram"),
    ],
)
def test_what_cannot_carry_a_state_is_refused_with_both_keys(changes: list[str], both: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(preset="tiny", overrides=["training.carry_state=true", *changes])
    assert [problem.key for problem in caught.value.problems] == ["training.carry_state"]
    assert both in str(caught.value)
