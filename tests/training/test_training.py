"""Training is right: it learns, it is exact, and it stops and goes on as it should."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import hornbook
from hornbook.errors import ConfigError, RunError, TrainingStopped
from hornbook.listener import Listener
from hornbook.models import Transformer
from hornbook.runs.assembly import find_store
from hornbook.runs.checkpoints import Checkpoint, list_checkpoints, model_tensors
from hornbook.training import record as record_module
from hornbook.training.equipment import choose_equipment, make_step
from hornbook.training.stops import stopped_not_finite
from hornbook.training.watching import TIMED

Train = Callable[..., hornbook.Run]


def weights(run: hornbook.Run) -> bytes:
    return (list_checkpoints(run.path)[-1].folder / "model.safetensors").read_bytes()


def optimizer(run: hornbook.Run) -> bytes:
    return (list_checkpoints(run.path)[-1].folder / "optimizer.safetensors").read_bytes()


def measurements(run: hornbook.Run) -> list[dict[str, Any]]:
    """Metrics without what a clock says."""
    return [{k: v for k, v in line.items() if k not in TIMED} for line in run.metrics()]


class StopAt(Listener):
    """Sends this process a signal after some steps."""

    def __init__(self, step: int, number: signal.Signals = signal.SIGINT) -> None:
        self.step, self.number = step, number

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        if step == self.step:
            os.kill(os.getpid(), self.number)


def test_it_learns(finished_run: hornbook.Run) -> None:
    lines = finished_run.metrics()
    assert lines[0]["training_loss"] > lines[-1]["training_loss"]
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    measured = [line for line in lines if "validation_loss" in line]
    assert [line["step"] for line in measured] == [4, 8, 12]
    assert all(0 < line["bits_per_byte"] < 10 for line in measured)
    assert lines[-1]["tokens_seen"] == 12 * 4 * 16


def test_the_same_settings_give_the_same_bytes(
    finished_run: hornbook.Run, train_fast: Train, tmp_path: Path
) -> None:
    again = train_fast(tmp_path / "again")
    assert weights(again) == weights(finished_run)
    assert optimizer(again) == optimizer(finished_run)
    assert measurements(again) == measurements(finished_run)
    assert (again.path / "tokenizer.json").read_bytes() == (
        finished_run.path / "tokenizer.json"
    ).read_bytes()
    other = train_fast(tmp_path / "other", seed=4)
    assert weights(other) != weights(finished_run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [3, 8])
def test_a_signal_ends_at_a_step_with_a_checkpoint_and_resume_is_exact(
    finished_run: hornbook.Run, train_fast: Train, tmp_path: Path, step: int, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(hornbook.Interrupted, match=f"step {step}") as caught:
        train_fast(tmp_path / "run", listener=StopAt(step, number))
    assert caught.value.outcome.signal == number
    assert signal.getsignal(number) == before
    assert list_checkpoints(tmp_path / "run")[-1].step == step
    resumed = hornbook.resume(tmp_path / "run")
    assert weights(resumed) == weights(finished_run)
    assert optimizer(resumed) == optimizer(finished_run)
    assert measurements(resumed) == measurements(finished_run)
    assert list(resumed.folder.samples.entries()) == list(finished_run.folder.samples.entries())
    assert len(resumed.folder.read_manifest().sessions) == 2


def test_a_second_ctrl_c_ends_at_once(train_fast: Train, tmp_path: Path) -> None:
    class Twice(StopAt):
        def stepped(self, step: int, loss: float, tokens: int) -> None:
            if step == 3:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        train_fast(
            tmp_path / "run",
            listener=Twice(3),
            **{"training.evaluate_every": 0, "training.checkpoint_every": 0},
        )
    assert not list_checkpoints(tmp_path / "run")


def test_dropout_resumes_exactly(train_fast: Train, tmp_path: Path) -> None:
    settings = {
        "model.dropout": 0.3,
        "model.attention_dropout": 0.2,
        "training.micro_batch_size": 3,
    }
    whole = train_fast(tmp_path / "whole", **settings)
    with pytest.raises(hornbook.Interrupted):
        train_fast(tmp_path / "run", listener=StopAt(7), **settings)
    assert weights(hornbook.resume(tmp_path / "run")) == weights(whole)
    plain = train_fast(tmp_path / "plain", **{"model.dropout": 0.0})
    assert weights(plain) != weights(whole)


KILLED = """
import json, sys, hornbook
from hornbook.listener import Listener
class Tell(Listener):
    def stepped(self, step, loss, tokens):
        print(step, flush=True)
changes = json.loads(sys.argv[3])
hornbook.train(sys.argv[1], preset="tiny", out=sys.argv[2], overrides=changes, listener=Tell())
"""


@pytest.mark.parametrize("after", [0, 5, 9])
def test_kill_9_loses_nothing(
    corpus: Path, train_fast: Train, fast_settings: dict[str, Any], tmp_path: Path, after: int
) -> None:
    settings = {**fast_settings, "training.steps": 40}
    whole = train_fast(tmp_path / "whole", **{"training.steps": 40})
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(corpus), str(tmp_path / "run"), json.dumps(settings)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if after:
        for line in process.stdout:
            if int(line) >= after:
                break
    else:  # as soon as there is a folder, before the first step
        deadline = time.monotonic() + 60
        while not (tmp_path / "run" / "run.toml").exists() and time.monotonic() < deadline:
            time.sleep(0.001)
    process.kill()
    process.communicate()
    resumed = hornbook.resume(tmp_path / "run")
    assert weights(resumed) == weights(whole)
    assert measurements(resumed) == measurements(whole)
    steps = [line["step"] for line in resumed.metrics()]
    assert steps == sorted(set(steps))


def test_accumulation_equals_the_big_batch_also_with_uneven_parts() -> None:
    from hornbook.data import Batch
    from hornbook.models import TransformerConfig, build_model
    from hornbook.optimization import OptimizerConfig, build_optimizer
    from hornbook.targets import IGNORED_TARGET

    config = hornbook.RunConfig()

    tokens = torch.randint(0, 50, (6, 12), generator=torch.Generator().manual_seed(1))
    targets = (tokens * 3 + 1) % 50
    targets[0, 1:] = IGNORED_TARGET
    targets[3, :9] = IGNORED_TARGET

    def after(cuts: list[int]) -> dict[str, torch.Tensor]:
        model = build_model(
            TransformerConfig(layers=2, d_model=32), vocab_size=50, context_length=12, seed=1
        )
        optimizer = build_optimizer(model, OptimizerConfig(), 1e-3)
        step = make_step(config, choose_equipment(config), model.train(), optimizer)
        parts, first = [], 0
        for size in cuts:
            piece = slice(first, first + size)
            real = int((targets[piece] != IGNORED_TARGET).sum())
            parts.append(Batch(tokens[piece], targets[piece], real))
            first += size
        for _ in range(2):
            result = step(parts, learning_rate=1e-3, dropout_seed=1)
            losses.append(result.loss.item())
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    losses: list[float] = []
    whole, cut = after([6]), after([1, 2, 3])
    assert losses[:2] == pytest.approx(losses[2:], rel=1e-5)
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_not_finite_stops_before_the_step(
    train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    original = Transformer.hidden
    calls = {"n": 0}

    def poisoned(self: Transformer, tokens: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        features, state = original(self, tokens, *args, **kwargs)
        if self.training:
            calls["n"] += 1
            if calls["n"] == 6:
                if where == "loss":
                    features = features * math.nan
                else:
                    features.register_hook(lambda gradient: gradient * math.inf)
        return features, state

    monkeypatch.setattr(Transformer, "hidden", poisoned)
    with pytest.raises(TrainingStopped, match="Step 6") as caught:
        train_fast(tmp_path / "run")
    message = str(caught.value)
    assert "learning_rate" in message
    assert "a smaller training.gradient_clip (it was 1)" in message
    assert ("loss is nan" in message) if where == "loss" else ("gradient of " in message)
    newest = list_checkpoints(tmp_path / "run")[-1]
    newest.verify()
    assert newest.step == 5
    assert f"--from {tmp_path / 'run'}@5" in message
    monkeypatch.setattr(Transformer, "hidden", original)
    assert hornbook.resume(tmp_path / "run").checkpoints()[-1].step == 12


def test_a_clip_that_was_off_is_not_to_be_made_smaller(tmp_path: Path) -> None:
    stop = stopped_not_finite(tmp_path, 5, "the loss is nan", rate=0.1, clip=0.0)
    assert "training.gradient_clip=1.0 (it was off)" in str(stop)
    assert "smaller training.gradient_clip" not in str(stop)


def test_too_little_memory_says_what_would_fit(
    train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Transformer.hidden
    room = {"rows": 2}

    def starved(self: Transformer, tokens: torch.Tensor, *more: Any, **settings: Any) -> Any:
        if len(tokens) > room["rows"]:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you …")
        return original(self, tokens, *more, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(Transformer, "hidden", starved)
        with pytest.raises(RunError, match="4 windows at once did not fit, 2 do") as caught:
            train_fast(tmp_path / "run")
        assert "training.micro_batch_size=2" in str(caught.value)
        room["rows"] = 0
        with pytest.raises(RunError, match="4 and 2 and 1 windows.*activation_checkpointing"):
            train_fast(tmp_path / "none")
    smaller = hornbook.resume(tmp_path / "run", overrides=["training.micro_batch_size=2"])
    assert smaller.checkpoints()[-1].step == 12

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Transformer, "hidden", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        train_fast(tmp_path / "other")


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished_run: hornbook.Run
) -> None:
    original = record_module.save_checkpoint

    def full(folder: Path, model: Any, tensors: Any, state: Any, *more: Any) -> Any:
        if state.step == 8:
            monkeypatch.setattr("hornbook.runs.checkpoints._save", no_space)
        return original(folder, model, tensors, state, *more)

    def no_space(tensors: Any, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record_module, "save_checkpoint", full)
    with pytest.raises(TrainingStopped, match="No space left") as caught:
        train_fast(tmp_path / "run")
    assert "step 4" in str(caught.value)
    assert [c.step for c in list_checkpoints(tmp_path / "run")] == [4]
    assert not [p for p in (tmp_path / "run" / "checkpoints").iterdir() if p.name.startswith(".")]
    monkeypatch.undo()
    monkeypatch.setenv("HORNBOOK_CACHE", os.environ.get("HORNBOOK_CACHE", str(tmp_path)))
    assert weights(hornbook.resume(tmp_path / "run")) == weights(finished_run)


def test_a_finished_run_can_be_extended(train_fast: Train, tmp_path: Path) -> None:
    run = train_fast(tmp_path / "run", **{"training.schedule.kind": "constant"})
    notices: list[str] = []

    class Listen(Listener):
        def notice(self, text: str) -> None:
            notices.append(text)

    hornbook.resume(run.path, listener=Listen())
    assert any("finished at step 12" in text for text in notices)
    longer = hornbook.resume(run.path, overrides=["training.steps=16"])
    whole = train_fast(
        tmp_path / "whole", **{"training.schedule.kind": "constant", "training.steps": 16}
    )
    assert weights(longer) == weights(whole)
    assert hornbook.open_run(run.path).config.training.steps == 16


def test_settings_that_would_change_the_run_are_refused_by_name(
    train_fast: Train, tmp_path: Path
) -> None:
    run = train_fast(tmp_path / "run", **{"training.steps": 2, "training.schedule.warmup_steps": 1})
    before = (run.path / "run.toml").read_bytes()
    with pytest.raises(RunError, match="learning_rate") as caught:
        hornbook.resume(
            run.path, overrides=["training.learning_rate=1e-5", "seed=9", "training.steps=4"]
        )
    assert "seed: the run has 3, asked for 9" in str(caught.value)
    assert "training.steps" not in str(caught.value)
    assert (run.path / "run.toml").read_bytes() == before
    (run.path / "run.toml").write_text(
        before.decode().replace("context_length = 16", "context_length = 8")
    )
    with pytest.raises(RunError, match="context_length"):
        hornbook.resume(run.path)


def test_the_same_command_goes_on_and_another_is_refused(train_fast: Train, tmp_path: Path) -> None:
    with pytest.raises(hornbook.Interrupted):
        train_fast(tmp_path / "run", listener=StopAt(3))
    with pytest.raises(RunError, match="model.layers"):
        train_fast(tmp_path / "run", **{"model.layers": 2})
    done = train_fast(tmp_path / "run")
    assert done.checkpoints()[-1].step == 12
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="not a run"):
        train_fast(tmp_path / "other")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="not a folder"):
        train_fast(tmp_path / "file")
    assert (tmp_path / "other" / "thesis.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_written(train_fast: Train, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file is not a folder"):
        train_fast(tmp_path / "file" / "run")


def test_a_corpus_shorter_than_a_window_leaves_no_folder_behind(
    train_fast: Train, tmp_path: Path
) -> None:
    with pytest.raises(hornbook.DataError, match="context_length"):
        train_fast(tmp_path / "run", context_length=60_000)
    assert not (tmp_path / "run").exists()


def test_a_model_larger_than_memory_leaves_no_folder_behind(
    train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(*_: Any, **__: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate …")

    monkeypatch.setattr("hornbook.runs.assembly.build_model", starved)
    with pytest.raises(RunError, match=r"does not fit into memory.*model\.d_model"):
        train_fast(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_changed_text_is_refused_and_moved_text_is_not(
    corpus: Path, train_fast: Train, tmp_path: Path, finished_run: hornbook.Run
) -> None:
    mine = tmp_path / "mine.txt"
    shutil.copy(corpus, mine)
    with pytest.raises(hornbook.Interrupted):
        train_fast(tmp_path / "run", listener=StopAt(5), **{"corpus.files": (str(mine),)})
    # train_fast names the shared corpus; the run above was trained on that very text
    moved = hornbook.resume(tmp_path / "run", overrides={"corpus.files": (str(mine),)})
    assert weights(moved) == weights(finished_run)
    mine.write_text(mine.read_text() + "One more sentence.\n")
    with pytest.raises(RunError, match="corpus: the run has") as caught:
        hornbook.resume(
            tmp_path / "run", overrides={"training.steps": 14, "corpus.files": (str(mine),)}
        )
    assert "tokens: the run has" in str(caught.value)


def test_a_fork_lists_what_changed_and_keeps_the_past(
    finished_run: hornbook.Run, tmp_path: Path
) -> None:
    forked = hornbook.fork(
        f"{finished_run.path}@8",
        out=tmp_path / "fork",
        overrides=["training.learning_rate=1e-4", "training.steps=14"],
    )
    origin = forked.manifest.forked_from
    assert origin is not None
    assert (origin.run, origin.step) == ("finished", 8)
    assert origin.changed == {
        "training.learning_rate": (0.003, 1e-4),
        "training.steps": (12, 14),
    }
    assert measurements(forked)[:4] == measurements(finished_run)[:4]
    assert [line["step"] for line in forked.metrics()] == [2, 4, 6, 8, 10, 12, 14]
    assert forked.tokenizer == finished_run.tokenizer
    unchanged = hornbook.fork(f"{finished_run.path}@8", out=tmp_path / "same")
    assert weights(unchanged) == weights(finished_run)


def test_a_fork_to_other_text_measures_its_own_best(
    finished_run: hornbook.Run, text: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.txt"
    other.write_text(text.swapcase() * 2)
    forked = hornbook.fork(
        f"{finished_run.path}@12",
        out=tmp_path / "fork",
        overrides={"corpus.files": (str(other),), "training.steps": 14},
    )
    best = forked.checkpoints()[-1].state().best
    assert best is not None
    assert best["step"] == 14
    assert forked.manifest.fingerprints != finished_run.manifest.fingerprints
    assert forked.tokenizer == finished_run.tokenizer
    hornbook.resume(forked.path, overrides=["training.steps=15"])


def test_what_a_fork_cannot_change(finished_run: hornbook.Run, tmp_path: Path) -> None:
    address = f"{finished_run.path}@8"
    for words, part in (
        (["tokenizer.vocab_size=290"], "tokenizer"),
        (["model.d_model=32"], "expected"),
        (["model.layers=2"], "is missing"),
        (["training.steps=8"], "more"),
    ):
        with pytest.raises(RunError, match=part):
            hornbook.fork(address, out=tmp_path / "fork", overrides=words)
        assert not (tmp_path / "fork").exists()
    with pytest.raises(RunError, match="no checkpoint '7'"):
        hornbook.fork(f"{finished_run.path}@7")


def test_a_resume_at_a_step_is_told_to_fork(finished_run: hornbook.Run) -> None:
    with pytest.raises(RunError, match=r"--from .*@8"):
        hornbook.resume(f"{finished_run.path}@8")


def test_two_processes_cannot_train_one_run(train_fast: Train, tmp_path: Path) -> None:
    from hornbook.runs.lock import run_lock

    with pytest.raises(hornbook.Interrupted):
        train_fast(tmp_path / "run", listener=StopAt(3))
    with run_lock(tmp_path / "run"), pytest.raises(RunError, match="another process"):
        hornbook.resume(tmp_path / "run")


def test_a_damaged_newest_checkpoint_is_passed_over_and_trained_again(
    finished_run: hornbook.Run, train_fast: Train, tmp_path: Path
) -> None:
    with pytest.raises(hornbook.Interrupted):
        train_fast(tmp_path / "run", listener=StopAt(9))
    newest = list_checkpoints(tmp_path / "run")[-1]
    file = newest.folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    notices: list[str] = []

    class Listen(Listener):
        def notice(self, text: str) -> None:
            notices.append(text)

    resumed = hornbook.resume(tmp_path / "run", listener=Listen())
    assert any("damaged" in text for text in notices)
    assert weights(resumed) == weights(finished_run)


def test_a_finished_run_with_a_damaged_end_is_trained_to_its_end_again(
    finished_run: hornbook.Run, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(finished_run.path, tmp_path / "run"))
    newest = list_checkpoints(path)[-1]
    (newest.folder / "optimizer.safetensors").unlink()
    assert weights(hornbook.resume(path)) == weights(finished_run)
    newest.verify()


def test_damaged_checkpoints_never_push_whole_ones_out(
    finished_run: hornbook.Run, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(finished_run.path, tmp_path / "run"))
    newest = list_checkpoints(path)[-1]
    (newest.folder / "model.safetensors").write_bytes(b"half")
    (path / "checkpoints" / "step-00000099").mkdir()
    changes = {"training.keep_checkpoints": 1, "training.checkpoint_every": 0}
    with pytest.raises(hornbook.Interrupted):
        hornbook.resume(path, overrides=changes, listener=StopAt(9))
    whole = list_checkpoints(path)
    assert 9 in [checkpoint.step for checkpoint in whole]
    for checkpoint in whole:
        checkpoint.verify()
    kept = {item.name for item in (path / "checkpoints").iterdir()}
    assert {"damaged-step-00000012", "damaged-step-00000099"} <= kept
    assert weights(hornbook.resume(path)) == weights(finished_run)


def test_a_fork_finds_the_newest_when_its_checkpoint_vanishes(
    finished_run: hornbook.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copytree(finished_run.path, tmp_path / "run"))
    original, vanished = Checkpoint.verify, []

    def vanish(self: Checkpoint) -> None:
        if not vanished:
            vanished.append(self.folder)
            shutil.rmtree(self.folder)
        original(self)

    monkeypatch.setattr(Checkpoint, "verify", vanish)
    forked = hornbook.fork(str(path), out=tmp_path / "fork", overrides=["training.steps=14"])
    assert forked.manifest.forked_from is not None
    assert forked.manifest.forked_from.step == 8


def test_top_k_beyond_the_vocabulary_is_found_before_the_first_step(
    train_fast: Train, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"sampling\.top_k=5000"):
        train_fast(tmp_path / "run", **{"sampling.top_k": 5000})
    assert not (tmp_path / "run").exists()


def test_lines_that_cannot_be_read_are_kept_aside(
    finished_run: hornbook.Run, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(finished_run.path, tmp_path / "run"))
    metrics = path / "metrics.jsonl"
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join([lines[0], "gar{bage\n", *lines[2:]]))
    hornbook.resume(path, overrides=["training.steps=14"])
    assert "gar{bage" in (path / "metrics.jsonl.damaged").read_text()
    assert "gar{bage" not in metrics.read_text()


def test_a_run_without_any_whole_checkpoint_is_not_silently_begun_again(
    finished_run: hornbook.Run, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(finished_run.path, tmp_path / "run"))
    for checkpoint in list_checkpoints(path):
        (checkpoint.folder / "state.json").write_text("{")
    before = (path / "metrics.jsonl").read_bytes()
    with pytest.raises(RunError, match="Every checkpoint"):
        hornbook.resume(path)
    assert (path / "metrics.jsonl").read_bytes() == before


def test_checkpoints_are_limited_and_the_best_stays(train_fast: Train, tmp_path: Path) -> None:
    run = train_fast(
        tmp_path / "run",
        **{
            "training.checkpoint_every": 1,
            "training.keep_checkpoints": 3,
            "training.evaluate_every": 5,
        },
    )
    best = run.checkpoints()[-1].state().best
    assert best is not None
    steps = [checkpoint.step for checkpoint in run.checkpoints()]
    assert steps == sorted({best["step"], 10, 11, 12})
    assert run.checkpoint.step == best["step"]
    assert hornbook.open_run(f"{run.path}@latest").checkpoint.step == 12


def train_bigram(corpus: Path, settings: dict[str, Any], out: Path, **changes: Any) -> hornbook.Run:
    plain = {key: value for key, value in settings.items() if not key.startswith("model.")}
    return hornbook.train(corpus, preset="tiny", out=out, overrides={**plain, **changes})


@pytest.mark.parametrize("kind", ["bigram", "bigram_counts"])
def test_bigrams_train_sample_and_resume(
    corpus: Path, fast_settings: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    run = train_bigram(corpus, fast_settings, tmp_path / "run", **{"model.kind": kind})
    assert str(run.sample("The", seed=1)) == str(run.sample("The", seed=1))
    last = run.metrics()[-1]
    assert last["step"] == (1 if kind == "bigram_counts" else 12)
    assert last["validation_loss"] < math.log(run.tokenizer.vocab_size)
    before = weights(run)
    assert weights(hornbook.resume(run.path)) == before


def test_counted_bigram_equals_a_count_by_hand(
    corpus: Path, fast_settings: dict[str, Any], tmp_path: Path
) -> None:
    changes = {"model.kind": "bigram_counts", "model.smoothing": 0.5}
    run = train_bigram(corpus, fast_settings, tmp_path / "run", **changes)
    _, store = find_store(run.folder, run.config, run.manifest)
    ids = store.training.slice(0, len(store.training)).tolist()
    size = run.tokenizer.vocab_size
    token = ids[100]
    following = [b for a, b in zip(ids, ids[1:], strict=False) if a == token]
    row = run.model(torch.tensor([[token]]))[0][0, 0].exp()
    for next_token in {*following, 0}:
        expected = (following.count(next_token) + 0.5) / (len(following) + 0.5 * size)
        assert math.isclose(row[next_token].item(), expected, rel_tol=1e-5)


def test_without_validation_it_trains_too(train_fast: Train, tmp_path: Path) -> None:
    run = train_fast(tmp_path / "run", **{"corpus.validation_fraction": 0.0})
    assert all("validation_loss" not in line for line in run.metrics())
    assert run.checkpoint.step == 12


def test_training_in_a_thread_works_without_signals(train_fast: Train, tmp_path: Path) -> None:
    done: list[hornbook.Run] = []
    thread = threading.Thread(target=lambda: done.append(train_fast(tmp_path / "run")))
    thread.start()
    thread.join()
    assert done[0].checkpoints()[-1].step == 12


def test_a_device_that_is_not_there(train_fast: Train, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(ConfigError, match="no CUDA"):
        train_fast(tmp_path / "run", **{"training.device": "cuda"})
    assert not (tmp_path / "run").exists()


def test_weights_on_disk_have_the_models_own_names(finished_run: hornbook.Run) -> None:
    names = set(model_tensors(finished_run.model))
    assert "token_embedding.weight" in names
    assert "output_head.weight" not in names  # tied: one tensor, one name
    assert not any(name.startswith("_orig_mod") for name in names)
