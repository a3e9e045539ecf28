"""A study is fair, goes on where it stopped, and refuses what it cannot do."""

from __future__ import annotations

import csv
import io
import math
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
import torch

from hornbook.data.full_context import LinesAlone, RunningText
from hornbook.errors import ConfigError, DataError, HornbookError, RunError
from hornbook.experiments import (
    Cell,
    Comparison,
    Study,
    StudyInterrupted,
    built_in_names,
    compare,
    find_study,
    resume_study,
)
from hornbook.experiments.cells import cell_config
from hornbook.experiments.preparation import Preparation
from hornbook.experiments.record import StudyRecord, run_path
from hornbook.experiments.study import REAL_TEXT
from hornbook.experiments.tables import markdown
from hornbook.listener import Listener, Progress
from hornbook.runs.assembly import make_batches, make_model
from hornbook.runs.checkpoints import list_checkpoints
from hornbook.runs.run import open_run
from hornbook.training import evaluate, train
from hornbook.training.step import TrainingStep, micro_batches

Conduct = Callable[..., Comparison]
FILES = (
    "study.toml", "results.csv", "results.parquet", "table.md", "plot.svg", "plot.png",
    "report.html",
)  # fmt: skip


class Killed(BaseException):
    """What no code expects, as when a process is killed."""


class At(Listener):
    """Does something when a cell has done so many steps."""

    def __init__(self, cell: str, step: int, then: Callable[[], None]) -> None:
        self.cell, self.step, self.then = cell, step, then

    def progress(self, title: str, *, total: int | None, unit: str) -> Progress:
        outer = self

        class Counted(Progress):
            done = 0

            def advance(self, amount: int) -> None:
                self.done += amount
                if outer.cell in title and self.done == outer.step:
                    outer.then()

        return Counted()


def untimed(comparison: Comparison) -> list[dict[str, Any]]:
    return [one.model_dump(exclude={"training_seconds"}) for one in comparison.measurements]


def weights(comparison: Comparison) -> Iterator[bytes]:
    for one in comparison.measurements:
        run = run_path(comparison.folder, one.cell, one.seed)
        yield (list_checkpoints(run)[-1].folder / "model.safetensors").read_bytes()


def test_every_cell_sees_the_same_number_of_real_tokens(finished: Comparison) -> None:
    assert len(finished.measurements) == 6
    for one in finished.measurements:
        config = cell_config(finished.record, one.cell, one.seed)
        prepared = Preparation().of(config)
        training = make_batches(prepared.config, prepared.store).training
        counted = sum(
            int((part.targets >= 0).sum())
            for part in micro_batches(training, 0, one.steps * one.batch_size, 64)
        )
        assert one.tokens == counted  # what is reported is what the model was trained on
        assert abs(counted - 1000) < 1.5 * counted / one.steps
        assert (
            open_run(f"{run_path(finished.folder, one.cell, one.seed)}").config == prepared.config
        )


def test_cells_begin_with_the_same_weights_for_a_seed(finished: Comparison) -> None:
    record = finished.record
    assert record.same_initial_weights
    prepared = Preparation().of(record.settings)
    models = {
        (cell, seed): make_model(cell_config(record, cell, seed), prepared.tokenizer).state_dict()
        for cell in record.cells
        for seed in record.seed_numbers
    }
    for (_, seed), found in models.items():
        first = models[("stream", seed)]
        assert all(torch.equal(first[name], found[name]) for name in first)
    differing = models[("stream", 1)], models[("stream", 2)]
    assert any(not torch.equal(differing[0][name], differing[1][name]) for name in differing[0])


def test_a_cell_is_the_run_that_train_would_make(finished: Comparison, tmp_path: Path) -> None:
    path = run_path(finished.folder, "packed", 2)
    again = train(preset=None, config=path / "run.toml", out=tmp_path / "again")
    same = [list_checkpoints(run)[-1].folder / "model.safetensors" for run in (path, again.path)]
    assert same[0].read_bytes() == same[1].read_bytes()


def test_measures_are_those_of_the_trained_model(finished: Comparison) -> None:
    for one in finished.measurements[:3]:
        run = open_run(f"{run_path(finished.folder, one.cell, one.seed)}@latest")
        prepared = Preparation().of(run.config)
        byte_lengths = torch.tensor(run.tokenizer.byte_lengths())
        side = prepared.store.validation
        before = run.tokenizer.start_id if one.cell == "left_padded" else run.tokenizer.end_id
        lines = LinesAlone(side, 12, before=before, pad=run.tokenizer.pad_id)
        assert evaluate(run.model, lines, byte_lengths).bits_per_byte == one.lines
        running = evaluate(run.model, RunningText(side, 12), byte_lengths)
        assert running.bits_per_byte == one.running_text
        assert (one.lines_tokens, one.running_text_tokens) == (len(side), len(side) - 1)


def test_the_outcome_is_on_disk(finished: Comparison) -> None:
    assert all((finished.folder / name).stat().st_size > 100 for name in FILES)
    rows = list(csv.DictReader(io.StringIO((finished.folder / "results.csv").read_text())))
    columns = parquet.read_table(finished.folder / "results.parquet").to_pylist()
    own = ("tokens_per_second", "diverged")
    assert [{k: v for k, v in row.items() if k not in own} for row in columns] == [
        one.model_dump(exclude={"curve"}) for one in finished.measurements
    ]
    assert [[row[name] for name in own] for row in columns] == [
        [one.tokens_per_second, one.diverged] for one in finished.measurements
    ]
    assert [float(row["lines"]) for row in rows] == [row["lines"] for row in columns]
    table = (finished.folder / "table.md").read_text()
    assert table == markdown(finished)
    assert all(cell in table for cell in ("stream", "packed", "left_padded"))
    assert StudyRecord.read(finished.folder) == finished.record
    assert untimed(Comparison.read(finished.folder)) == untimed(finished)


@pytest.mark.parametrize("ending", ["signal", "crash"])
def test_an_interrupted_study_goes_on_to_the_same_result(
    finished: Comparison, conduct: Conduct, tmp_path: Path, ending: str
) -> None:
    folder = tmp_path / "study"
    if ending == "signal":
        stop = At("packed, seed 2", 5, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(StudyInterrupted, match=f"--resume {folder}") as caught:
            conduct(folder, listener=stop)
        assert caught.value.signal == signal.SIGINT
        assert list_checkpoints(run_path(folder, "packed", 2))[-1].step == 5
    else:

        def crash() -> None:
            raise Killed

        with pytest.raises(Killed):  # no farewell of any kind
            conduct(folder, listener=At("packed, seed 2", 5, crash))
        assert list_checkpoints(run_path(folder, "packed", 2))[-1].step == 3
    before = {path: path.stat().st_mtime_ns for path in folder.glob("measurements/*")}
    assert len(before) == 4
    again = resume_study(folder)
    assert untimed(again) == untimed(finished)
    assert list(weights(again)) == list(weights(finished))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again.record.plan.keys() == finished.record.plan.keys()


def test_the_same_command_goes_on_and_more_seeds_join(conduct: Conduct, tmp_path: Path) -> None:
    first = conduct(tmp_path / "study", seeds=1)
    assert "One seed says nothing" in str(first.verdicts[0])
    more = conduct(tmp_path / "study", seeds=2, tokens=None)
    assert [one for one in more.measurements if one.seed == 1] == list(first.measurements)
    assert more.record.plan == first.record.plan
    assert len(more.measurements) == 6


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"overrides": {"model.layers": 2}}, r"model\.layers: the study has 1, asked for 2"),
        ({"seeds": 1}, "--seeds: the study has 2, asked for 1"),
        ({"tokens": 2000}, "--tokens: the study has 1000, asked for 2000"),
        ({"tokens": None, "budget": "5m"}, "--budget: the study has none"),
        ({"study": "windows"}, "study: the study has small, asked for windows"),
    ],
)
def test_other_settings_are_refused_by_name(
    finished: Comparison, conduct: Conduct, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(RunError, match=named) as caught:
        conduct(finished.folder, **changes)
    assert "--out" in str(caught.value)


def test_a_changed_text_is_refused(conduct: Conduct, lines: Path, tmp_path: Path) -> None:
    text = tmp_path / "lines.txt"
    text.write_bytes(lines.read_bytes())
    conduct(tmp_path / "study", corpus=text, seeds=1)
    text.write_text(text.read_text() + "one more line\n")
    with pytest.raises(RunError, match="text has changed"):
        resume_study(tmp_path / "study")


def test_a_cell_that_cannot_serve_the_text_is_left_out(
    conduct: Conduct, small_study: Study, tmp_path: Path
) -> None:
    names = ("stream", "full", "packed")
    cells = tuple(Cell(name=name, settings={"data": {"windows": name}}) for name in names)
    settings = {**small_study.settings, "context_length": 60}  # longer than every line
    study = Study(name="left", settings=settings, cells=cells)
    found = conduct(tmp_path / "study", study=study, seeds=1)
    assert found.record.cells == ["stream", "packed"]
    assert "no full window" in found.record.left_out["full"]
    assert "full is left out" in (found.folder / "table.md").read_text()
    with pytest.raises(DataError, match="fewer than two cells.*\n.*no full window"):
        two = study.model_copy(update={"cells": cells[:2]})
        conduct(tmp_path / "other", study=two, seeds=1)


def test_a_cell_that_diverges_is_an_outcome(
    conduct: Conduct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = TrainingStep.__call__

    def sometimes(self: TrainingStep, parts: Any, **settings: Any) -> Any:
        result = original(self, parts, **settings)
        if parts[0].segments is None or settings["dropout_seed"] % 3:
            return result
        return replace(result, loss=result.loss * math.nan, applied=torch.tensor(False))

    monkeypatch.setattr(TrainingStep, "__call__", sometimes)
    found = conduct(tmp_path / "study")
    assert set(found.failed) == {"packed", "left_padded"}
    assert "the loss is nan" in found.failed["packed"]
    assert list(found.verdicts[0].estimates) == ["stream"]
    assert {cell: found.fate(cell) for cell in found.record.cells} == {
        "stream": "",
        "packed": "diverged",
        "left_padded": "diverged",
    }
    assert "packed diverged and is not part of the verdict: seed 2" in markdown(found)
    monkeypatch.undo()
    assert untimed(resume_study(found.folder)) == untimed(found)  # not tried again


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"study": "window"}, "Did you mean windows"),
        ({"overrides": ["data.windows=full"]}, "data.windows: is what the study small compares"),
        ({"overrides": ["training.steps=5"]}, "training.steps.*--tokens"),
        ({"overrides": ["model.layer=5"]}, "model.layer.*Did you mean"),
        ({"overrides": ["corpus.validation_fraction=0"]}, "validation"),
        ({"tokens": None, "budget": "2s"}, "--budget.*too short.*at least"),
        ({"tokens": None, "budget": "soon"}, "is no time"),
        ({"budget": "2m"}, "--tokens.*cannot be given with --budget"),
        ({"seeds": 0}, "--seeds"),
        ({"tokens": 0}, "--tokens"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(
    conduct: Conduct, tmp_path: Path, wish: dict[str, Any], named: str
) -> None:
    with pytest.raises(HornbookError, match=f"(?s){named}"):
        conduct(tmp_path / "study", **wish)
    assert not (tmp_path / "study").exists()


def test_a_folder_with_something_else_is_left_alone(conduct: Conduct, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is no study"):
        conduct(tmp_path)
    with pytest.raises(RunError, match="is no study"):
        resume_study(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_damaged_study_is_told(finished: Comparison, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text("schema_version = 99\n")
    with pytest.raises(RunError, match="newer hornbook"):
        StudyRecord.read(tmp_path)
    text = (finished.folder / "study.toml").read_text()
    (tmp_path / "study.toml").write_text(text.replace("seeds = 2", "seeds = 'two'"))
    with pytest.raises(RunError, match="damaged"):
        StudyRecord.read(tmp_path)


@pytest.mark.parametrize("name", built_in_names())
def test_built_in_studies_have_cells_that_fit_together(name: str) -> None:
    study = find_study(name)
    base = study.base()
    cells = [cell for cell in study.cells if cell.name != REAL_TEXT]
    configs = {
        (study.cell_config(base, cell.name).model_dump_json(), cell.begins_from) for cell in cells
    }
    assert len(configs) == len(cells)
    assert study.question.endswith("?")


def test_a_study_of_ones_own_is_a_file(lines: Path, tmp_path: Path) -> None:
    place = tmp_path / "widths.toml"
    place.write_text(
        'question = "How wide?"\nsettings.model.kind = "lstm"\nsettings.tokenizer.kind = "char"\n'
        'settings.corpus.separate_by = "line"\nsettings.context_length = 8\n'
        '[[cells]]\nname = "four"\nsettings.model.d_model = 4\n'
        '[[cells]]\nname = "eight"\nsettings.model.d_model = 8\n'
    )
    found = compare(str(place), lines, seeds=1, tokens=300, out=tmp_path / "study")
    assert not found.record.same_initial_weights
    assert "different weights" in markdown(found)
    place.write_text('[[cells]]\nname = "a/b"\n[[cells]]\nnam = "c"\n')
    with pytest.raises(ConfigError, match=r"(?s)cells\.0\.name.*cells\.1\.nam"):
        find_study(str(place))
    place.write_text('[[cells]]\nname = "a"\n[[cells]]\nname = "A"\n')
    with pytest.raises(ConfigError, match="two cells have this name"):
        find_study(str(place))
    with pytest.raises(ConfigError, match="cannot be read"):
        find_study(str(tmp_path / "none.toml"))
