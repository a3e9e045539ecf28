"""One cell with one seed: an ordinary run in the study's folder, and then its measures.

A run that was under way goes on from its newest checkpoint; one that is done is only measured.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch

from hornbook.errors import TrainingStopped
from hornbook.experiments.curves import curve_of
from hornbook.experiments.outcomes import Measurement
from hornbook.experiments.preparation import Preparation, Prepared, validation_windows
from hornbook.experiments.record import StudyRecord, run_path
from hornbook.listener import Listener, Progress
from hornbook.runs.assembly import make_batches
from hornbook.runs.config import RunConfig
from hornbook.runs.folder import RunFolder
from hornbook.runs.lock import run_lock
from hornbook.runs.manifest import Manifest, now
from hornbook.runs.resolution import resolve
from hornbook.runs.run import Run
from hornbook.training import choose_device, evaluate, resume
from hornbook.training.equipment import choose_equipment
from hornbook.training.session import (
    make_loop,
    new_folder,
    record_data,
    run_session,
    write_settings,
)
from hornbook.training.warm_start import begin_from_origin

WARMUP_SHARE = 10
"""The warm-up takes at most one step in so many."""


class CellProgress(Listener):
    """Shows a cell as one line of the study's progress; the run's own words stay unsaid."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def training_began(self, step: int, last_step: int) -> None:
        """Count the steps of earlier sessions."""
        self._progress.advance(step)

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        """Count a step."""
        self._progress.advance(1)


def cell_config(record: StudyRecord, cell: str, seed: int, *, threads: int = 0) -> RunConfig:
    """The settings of the run of one cell with one seed.

    Args:
        record: the study.
        cell: its name.
        seed: the run's.
        threads: its share of the cores, where several cells are trained at once; 0 means all.
    """
    plan, own = record.plan[cell], record.study.cell(cell)
    config = record.study.cell_config(record.settings, cell)
    shared = config.training
    warmup = min(shared.schedule.warmup_steps, plan.steps // WARMUP_SHARE)
    training: dict[str, object] = {
        "steps": plan.steps,
        "batch_size": plan.batch_size,
        "micro_batch_size": _micro(shared.micro_batch_size, plan.batch_size),
        "schedule": {"warmup_steps": warmup},
    }
    if record.study.curve_points:
        training["evaluate_every"] = max(1, plan.steps // record.study.curve_points)
    if own.begins_from:
        training["init_from"] = record.origin
    if threads and not shared.threads:
        training["threads"] = threads
    return resolve(base=config, overrides={"seed": seed, "training": training})


def run_cell(
    folder: Path,
    record: StudyRecord,
    cell: str,
    seed: int,
    preparation: Preparation,
    progress: Progress,
    *,
    threads: int = 0,
) -> Measurement:
    """Train the cell with the seed, or what is left of it, and measure it.

    Training that stops because numbers are no longer finite is an outcome of the study, not
    the end of it: the measurement says so.

    Raises:
        Interrupted: when a signal stopped it; it can go on.
        TrainingStopped: when the disk cannot be written.
        CorpusError, DataError, RunError: when its text or its folder are not as they were.
    """
    config = cell_config(record, cell, seed, threads=threads)
    prepared = preparation.of(config)
    run_folder = RunFolder(run_path(folder, cell, seed))
    failed = ""
    try:
        train_prepared(run_folder, prepared, CellProgress(progress))
    except TrainingStopped as stop:
        if isinstance(stop.__cause__, OSError):
            raise
        failed = str(stop)
    return _measured(Run(run_folder, "latest"), record, cell, prepared, failed)


def train_prepared(folder: RunFolder, prepared: Prepared, listener: Listener) -> None:
    """Train the run at ``folder`` on a text that is read already, or go on with it."""
    if folder.is_run():
        resume(folder.path, listener=listener)
        return
    config = prepared.config
    with new_folder(folder.path) as begun:
        write_settings(begun, config, Manifest(created=now()))
    with run_lock(folder.path):
        record_data(folder, config, prepared.split, prepared.tokenizer)
        begin_from_origin(folder, config, prepared.tokenizer, listener)
        equipment = choose_equipment(config)
        run_session(make_loop(folder, config, prepared.store, equipment, listener))


def _measured(
    run: Run, record: StudyRecord, cell: str, prepared: Prepared, failed: str
) -> Measurement:
    config = prepared.config
    state = run.checkpoint.state() if run.checkpoints() else None
    examples = state.examples_seen if state else 0
    facts = {
        "cell": cell,
        "seed": config.seed,
        "steps": state.step if state else 0,
        "batch_size": config.training.batch_size,
        "examples": examples,
        "tokens": state.tokens_seen if state else 0,
        "epochs": examples / make_batches(config, prepared.store).examples_per_epoch,
        "training_seconds": round(state.seconds, 3) if state else 0.0,
        "parameters": run.checkpoint.parameter_count() if state else 0,
        "failed": failed,
        "curve": curve_of(run),
    }
    if failed:
        return Measurement(**facts)
    model = run.to(choose_device(config.training.device)).model
    byte_lengths = torch.tensor(run.tokenizer.byte_lengths())
    found = {
        name: evaluate(model, windows, byte_lengths)
        for name, windows in validation_windows(
            config,
            prepared,
            sample=record.evaluated_tokens,
            seed=record.settings.seed,
            measures=[measure.name for measure in record.measures],
        ).items()
    }
    running, lines = found["running_text"], found.get("lines")
    return Measurement(
        **facts,
        lines=lines.bits_per_byte if lines else None,
        running_text=running.bits_per_byte,
        lines_tokens=lines.tokens if lines else 0,
        running_text_tokens=running.tokens,
        guessing=math.log2(run.tokenizer.vocab_size) * running.tokens / max(1, running.bytes),
    )


def _micro(asked: int, batch_size: int) -> int:
    return asked if asked < batch_size else 0
