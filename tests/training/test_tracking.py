"""What TensorBoard and wandb are shown is what the run's own journals say, at any time."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import hornbook
from hornbook.errors import ConfigError, RunError
from hornbook.listener import SILENT, Listener
from hornbook.runs.checkpoints import list_checkpoints
from hornbook.runs.resolution import resolve
from hornbook.training.record import RunRecord
from hornbook.training.tracking import TRACKERS, sample_text, scalars

pytest.importorskip("tensorboard", reason="install hornbook[tracking]")
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Train = Callable[..., hornbook.Run]
TENSORBOARD = {"training.log_to": ["tensorboard"]}


class Halt(Listener):
    """Ends training in a way that leaves no checkpoint, as a killed process does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        if step == self.step:
            raise RuntimeError("killed")


EVERYTHING = {"scalars": 0, "tensors": 0}


def read_events(run: hornbook.Run) -> EventAccumulator:
    return EventAccumulator(str(run.path / "tensorboard"), size_guidance=EVERYTHING).Reload()


def assert_same_as_journals(events: EventAccumulator, run: hornbook.Run) -> None:
    assert_same_numbers(events, run)
    assert texts(events, "sample") == samples(run)


def samples(run: hornbook.Run) -> list[tuple[int, str]]:
    return [(line["step"], sample_text(line)) for line in run.folder.samples.entries()]


def assert_same_numbers(events: EventAccumulator, run: hornbook.Run) -> None:
    told = Counter(
        (event.step, name, event.value)
        for name in events.Tags()["scalars"]
        for event in events.Scalars(name)
    )
    written = [(line["step"], *pair) for line in run.metrics() for pair in scalars(line).items()]
    assert {(step, name) for step, name, _ in told} == {(step, name) for step, name, _ in written}
    assert set(told.values()) == {1}, "a point stands twice"
    values = {(step, name): value for step, name, value in told}
    for step, name, value in written:
        assert values[step, name] == pytest.approx(value, rel=1e-6)


def texts(events: Any, name: str) -> list[tuple[int, str]]:
    """The texts under a name by step, without the indent that keeps them as they are."""
    return [
        (
            event.step,
            "\n".join(
                line[4:] for line in event.tensor_proto.string_val[0].decode("utf-8").split("\n")
            ),
        )
        for event in events.Tensors(f"{name}/text_summary")
    ]


def test_numbers_samples_and_settings_can_be_read_back(train_fast: Train, tmp_path: Path) -> None:
    run = train_fast(tmp_path / "run", **TENSORBOARD)
    events = read_events(run)
    assert_same_as_journals(events, run)
    assert {"validation_loss", "step_time/forward", "learning_rate"} <= set(
        events.Tags()["scalars"]
    )
    assert texts(events, "settings") == [(0, run.folder.config_file.read_text(encoding="utf-8"))]
    assert "_hparams_/session_start_info" in events.summary_metadata
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"model.d_model" in content


def test_a_killed_run_goes_on_with_the_same_curve(train_fast: Train, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        train_fast(tmp_path / "run", listener=Halt(7), **TENSORBOARD)
    run = hornbook.open_run(tmp_path / "run")
    watching = read_events(run)
    # What TensorBoard itself reads texts with; the other never forgets one.
    place = str(run.path / "tensorboard")
    plugins = plugin_event_accumulator.EventAccumulator(place, {}, EVERYTHING)
    assert len(texts(plugins.Reload(), "sample")) == 1
    assert watching.Scalars("training_loss")[-1].step == 6, "beyond the checkpoint at step 4"
    run = hornbook.resume(run.path)
    assert_same_as_journals(read_events(run), run)
    assert_same_numbers(watching.Reload(), run)
    assert texts(plugins.Reload(), "sample") == samples(run)
    assert [file.stat().st_size > 0 for file in sorted((run.path / "tensorboard").iterdir())] == [
        False,
        True,
    ]


def test_a_run_that_lost_its_newest_checkpoint(train_fast: Train, tmp_path: Path) -> None:
    run = train_fast(tmp_path / "run", **TENSORBOARD)
    shutil.rmtree(list_checkpoints(run.path)[-1].folder)
    run = hornbook.resume(run.path)
    assert_same_as_journals(read_events(run), run)


def test_a_tool_named_later_and_a_fork_show_the_past(train_fast: Train, tmp_path: Path) -> None:
    train_fast(tmp_path / "run")
    assert not (tmp_path / "run" / "tensorboard").exists()
    run = hornbook.resume(tmp_path / "run", overrides=["training.log_to=tensorboard", STEPS])
    assert_same_as_journals(read_events(run), run)
    fork = hornbook.fork(f"{run.path}@12", out=tmp_path / "fork", overrides=[STEPS])
    assert fork.metrics()[0]["step"] == 2
    assert_same_as_journals(read_events(fork), fork)


STEPS = "training.steps=14"


def test_a_bigram_that_is_counted(corpus: Path, tmp_path: Path) -> None:
    settings = {"context_length": 16, "tokenizer.vocab_size": 300, "model.kind": "bigram_counts"}
    overrides = {**settings, **TENSORBOARD}
    run = hornbook.train(corpus, preset=None, out=tmp_path / "run", overrides=overrides)
    assert_same_as_journals(read_events(run), run)


def test_only_the_first_rank_writes(finished_run: hornbook.Run, tmp_path: Path) -> None:
    shutil.copytree(finished_run.path, tmp_path / "run")
    run = hornbook.open_run(tmp_path / "run")
    config = resolve(base=run.config, overrides=TENSORBOARD)
    with RunRecord(run.folder, config, SILENT, saved_step=12, writes=False) as record:
        record.begin(12)
        record.measured({"step": 14, "training_loss": 1.0})
    assert not (run.path / "tensorboard").exists()


@pytest.mark.parametrize("words", ["[tensorboard, wandb]", '["tensorboard", "wandb"]'])
def test_the_names_as_a_word(words: str) -> None:
    config = resolve(overrides=[f"training.log_to={words}"])
    assert config.training.log_to == ("tensorboard", "wandb") == tuple(TRACKERS)
    with pytest.raises(ConfigError, match=r"training\.log_to"):
        resolve(overrides=["training.log_to=mlflow"])


def test_a_missing_package_is_told_before_anything_is_made(
    train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hornbook.training.tracking.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"log_to=wandb: needs .* pip install 'hornbook\[track"):
        train_fast(tmp_path / "run", **{"training.log_to": ["wandb"]})
    assert not (tmp_path / "run").exists()


def test_a_folder_of_the_name_is_no_package(
    train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wandb").mkdir()  # as wandb itself leaves one wherever it was used
    monkeypatch.setattr(
        "hornbook.training.tracking.find_spec",
        lambda name: importlib.machinery.PathFinder.find_spec(name, [str(tmp_path)]),
    )
    with pytest.raises(ConfigError, match="not installed"):
        train_fast(tmp_path / "run", **{"training.log_to": ["wandb"]})


class FakeWandb(ModuleType):
    """Stands for wandb: keeps what it was told, as its server would."""

    class Error(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("wandb")
        self.__spec__ = importlib.util.spec_from_loader("wandb", None, origin="here")
        self.sessions: list[dict[str, Any]] = []
        self.history: dict[int, dict[str, Any]] = {}
        self.Settings = SimpleNamespace
        self.Html = str

    def init(self, **settings: Any) -> Any:
        self.sessions.append(settings)
        if settings["mode"] == "offline":
            self.history = {}  # a session on this machine begins with nothing
        return SimpleNamespace(
            step=max(self.history, default=-1) + 1, log=self._log, finish=lambda: None
        )

    def _log(self, values: dict[str, Any], step: int) -> None:
        assert step >= max(self.history, default=0), "wandb drops what comes late"
        self.history.setdefault(step, {}).update(values)


@pytest.mark.parametrize("mode", ["offline", "online"])
def test_wandb_is_one_run_over_all_sessions(
    train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delitem(sys.modules, TRACKERS["wandb"], raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if mode == "online":
        monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(RuntimeError, match="killed"):
        train_fast(tmp_path / "run", listener=Halt(7), **{"training.log_to": ["wandb"]})
    run = hornbook.resume(tmp_path / "run")
    first, second = fake.sessions
    assert first["id"] == second["id"]
    assert first["mode"] == mode
    assert first["config"]["model"]["d_model"] == 16
    assert sorted(fake.history) == [line["step"] for line in run.metrics()]
    for line in run.metrics():
        assert fake.history[line["step"]]["training_loss"] == line["training_loss"]
    for line in run.folder.samples.entries():
        assert "<pre>" in fake.history[line["step"]]["sample"]


def test_a_wandb_that_does_not_start_is_told(
    train_fast: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeWandb()

    def refuse(**settings: Any) -> None:
        raise fake.Error("no key.")

    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delitem(sys.modules, TRACKERS["wandb"], raising=False)
    monkeypatch.setattr(fake, "init", refuse)
    with pytest.raises(RunError, match=r"no key.*log_to=\[\]"):
        train_fast(tmp_path / "run", **{"training.log_to": ["wandb"]})
