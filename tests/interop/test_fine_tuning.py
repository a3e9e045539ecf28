"""An imported run is measured, fine-tuned and resumed like any other."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import hornbook
from hornbook.data import EvaluationBatches
from hornbook.data.token_store import TokenSequence
from hornbook.interop import GPT2, import_model
from hornbook.listener import Listener
from hornbook.runs.checkpoints import list_checkpoints
from hornbook.training import evaluate

Save = Callable[..., Path]
TUNING = {
    "training.steps": 4,
    "training.batch_size": 4,
    "training.micro_batch_size": 0,
    "training.schedule.warmup_steps": 0,
    "training.learning_rate": 1e-3,
    "training.device": "cpu",
    "sampling.max_tokens": 4,
}


class StopAt(Listener):
    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def weights(run: hornbook.Run) -> bytes:
    return (list_checkpoints(run.path)[-1].folder / "model.safetensors").read_bytes()


def test_its_score_is_that_of_the_original(
    save_gpt2: Save, transformers: Any, tmp_path: Path, text: str
) -> None:
    folder = save_gpt2()
    run, _ = import_model(GPT2, folder, out=tmp_path / "run")
    ids = run.tokenizer.encode_array(text)[: 24 * 20 + 1]
    side = TokenSequence([ids.astype(np.uint16)], np.array([len(ids)], dtype=np.uint64))
    batches = EvaluationBatches(side, 24)
    found = evaluate(run.model, batches, torch.tensor(run.tokenizer.byte_lengths()))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    windows = [ids[start : start + 25] for start in range(0, len(ids) - 1, 24)]
    nats, count = 0.0, 0
    for window in windows:
        row = torch.tensor(window.astype(np.int64))
        with torch.inference_mode():
            logits = theirs(row[None, :-1]).logits[0]
        nats += F.cross_entropy(logits, row[1:], reduction="sum").item()
        count += len(row) - 1
    assert found.tokens == count
    assert found.loss == pytest.approx(nats / count, abs=1e-5)


def test_it_is_fine_tuned_in_a_fork(save_gpt2: Save, tmp_path: Path, corpus: Path) -> None:
    run, _ = import_model(GPT2, save_gpt2(), out=tmp_path / "run")
    before = weights(run)
    changes = {**TUNING, "corpus.files": (str(corpus),), "context_length": 16}
    tuned = hornbook.fork(str(run.path), out=tmp_path / "tuned", overrides=changes)
    assert [entry["step"] for entry in tuned.metrics() if "validation_loss" in entry] == [4]
    assert tuned.manifest.forked_from is not None
    assert tuned.manifest.imported_from == run.manifest.imported_from
    assert weights(run) == before
    assert weights(tuned) != before
    assert tuned.tokenizer == run.tokenizer
    # Stopped on the way and resumed, it comes to the same weights.
    with pytest.raises(hornbook.Interrupted):
        hornbook.fork(
            str(run.path), out=tmp_path / "stopped", overrides=changes, listener=StopAt(2)
        )
    assert weights(hornbook.resume(tmp_path / "stopped")) == weights(tuned)


def test_it_goes_on_with_a_text_of_its_own(save_gpt2: Save, tmp_path: Path, corpus: Path) -> None:
    run, _ = import_model(GPT2, save_gpt2(), out=tmp_path / "run")
    steps = {"training.steps": 60, "training.micro_batch_size": 0}
    with pytest.raises(hornbook.Interrupted):
        hornbook.resume(
            run.path, overrides={**steps, "corpus.files": (str(corpus),)}, listener=StopAt(2)
        )
    gone_on = hornbook.open_run(f"{run.path}@latest")
    assert gone_on.checkpoint.step == 2
    assert gone_on.tokenizer == run.tokenizer
    assert gone_on.config.corpus.files == (str(corpus),)
    with pytest.raises(hornbook.Interrupted):
        hornbook.resume(run.path, listener=StopAt(3))
