"""Cells in processes of their own come to the same, and no crash of one costs another."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hornbook.experiments import Comparison, StudyInterrupted, resume_study
from hornbook.experiments import workers as room
from hornbook.experiments.cell_work import CellWork
from hornbook.experiments.cells import cell_config
from hornbook.experiments.outcomes import Measurement
from hornbook.experiments.record import run_path
from hornbook.experiments.tables import markdown
from hornbook.experiments.workers import WorkersStopped, work_in_processes
from hornbook.listener import Listener, Progress
from hornbook.runs.checkpoints import list_checkpoints
from hornbook.training.step import TrainingStep

Conduct = Callable[..., Comparison]


def losses(comparison: Comparison) -> list[tuple[str, int, float | None, float | None]]:
    return [(one.cell, one.seed, one.lines, one.running_text) for one in comparison.measurements]


def test_processes_come_to_the_same_as_one(
    conduct: Conduct, finished: Comparison, tmp_path: Path
) -> None:
    one_thread = {"training.threads": 1}
    alone = conduct(tmp_path / "alone", overrides=one_thread, seeds=1)
    titles: list[str] = []

    class Heard(Listener):
        def progress(self, title: str, *, total: int | None, unit: str) -> Progress:
            titles.append(title)
            return Progress()

    beside = conduct(tmp_path / "beside", overrides=one_thread, seeds=1, jobs=2, listener=Heard())
    assert losses(alone) == losses(beside)
    assert {title.rpartition(", seed")[0][-6:] for title in titles if "seed" in title} == {
        "stream", "packed", "padded",
    }  # fmt: skip


def test_a_cell_has_its_share_of_the_cores(finished: Comparison) -> None:
    record = finished.record
    assert cell_config(record, "stream", 1, threads=3).training.threads == 3
    assert cell_config(record, "stream", 1).training.threads == 0
    plan = record.settings.training.model_copy(update={"threads": 2})
    settings = record.settings.model_copy(update={"training": plan})
    asked = record.model_copy(update={"settings": settings})
    assert cell_config(asked, "stream", 1, threads=3).training.threads == 2


def test_a_crash_is_told_and_tried_again(
    conduct: Conduct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TrainingStep.__call__

    def broken(self: TrainingStep, parts: Any, **settings: Any) -> Any:
        if parts[0].segments is not None:  # rows that are packed or padded have segments
            raise RuntimeError("no memory\nleft")
        return original(self, parts, **settings)

    monkeypatch.setattr(TrainingStep, "__call__", broken)
    # the trial would crash as well
    monkeypatch.setattr("hornbook.experiments.planning.try_cell", _trial_without_steps)
    found = conduct(tmp_path / "study")
    assert found.fate("packed") == "crashed"
    assert found.failed["packed"] == "seed 2: RuntimeError: no memory left"
    assert set(found.verdicts[0].estimates) == {"stream"}
    assert "packed crashed and is not part of the verdict" in markdown(found)
    others = [one for one in found.measurements if one.cell == "stream"]
    monkeypatch.undo()
    again = resume_study(found.folder)
    assert again.fate("packed") == ""
    assert [one for one in again.measurements if one.cell == "stream"] == others


def _trial_without_steps(config: Any, prepared: Any) -> Any:
    from hornbook.experiments.budget import Trial

    return Trial(8, 12.0, 0.01, {})


class _ToldOff(Progress):
    """Kills the worker that reports to it."""

    def advance(self, amount: int) -> None:
        for child in room.multiprocessing.active_children():
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_killed_process_costs_its_cell_alone(
    finished: Comparison, conduct: Conduct, tmp_path: Path
) -> None:
    record = finished.record
    todo = [CellWork(tmp_path, cell, 1, 1) for cell in ("stream", "packed")]
    ended: dict[str, Measurement] = {}

    def began(work: CellWork) -> Progress:
        return _ToldOff() if work.cell == "stream" else Progress()

    work_in_processes(
        record, todo, 1, began=began, ended=lambda work, one: ended.update({work.cell: one})  # pyright: ignore
    )  # fmt: skip
    assert ended["stream"].crashed
    assert "killed by SIGKILL" in ended["stream"].failed
    assert not ended["packed"].failed
    assert not room.multiprocessing.active_children()


def test_a_signal_stops_all_with_checkpoints(finished: Comparison, tmp_path: Path) -> None:
    plan = {
        name: cell.model_copy(update={"steps": 100_000})
        for name, cell in finished.record.plan.items()
    }
    record = finished.record.model_copy(update={"plan": plan})
    todo = [CellWork(tmp_path, cell, 1, 1) for cell in ("stream", "packed", "left_padded")]

    heard: list[int] = []

    class Stops(Progress):
        def advance(self, amount: int) -> None:
            heard.append(amount)
            if len(heard) == 50:  # the first are told before a step is taken, or kept
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(WorkersStopped) as caught:
        work_in_processes(
            record, todo, 2, began=lambda _: Stops(), ended=lambda work, one: pytest.fail(str(one))
        )
    assert caught.value.signal == signal.SIGTERM
    assert not room.multiprocessing.active_children()
    kept = [list_checkpoints(run_path(tmp_path, work.cell, 1)) for work in todo]
    assert any(kept)
    assert not kept[2]


def test_an_interrupted_study_of_several_processes_says_how_to_go_on(
    conduct: Conduct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise WorkersStopped(signal.SIGINT)

    monkeypatch.setattr("hornbook.experiments.conduct.work_in_processes", stopped)
    with pytest.raises(StudyInterrupted, match="--resume"):
        conduct(tmp_path / "study", jobs=2)
