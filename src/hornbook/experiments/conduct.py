"""A study from its question to its answer, and on again after it was interrupted.

    comparison = compare("windows", "akjv.txt", budget="10m")
    print(comparison.verdicts[0])
    comparison = resume_study("studies/windows-akjv")

Cells take turns: all of them with the first seed, then all with the second. So an interrupted
study has whole seeds to show, and what slows the machine for a while slows no single cell.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hornbook.durable import remove_unfinished
from hornbook.errors import ConfigError, Problem, RunError
from hornbook.experiments.budget import parse_duration
from hornbook.experiments.cell_work import CellWork
from hornbook.experiments.comparison import Comparison
from hornbook.experiments.decoding import plan_decoding, settings_of_run, train_subject
from hornbook.experiments.outcome_files import write_outcome
from hornbook.experiments.outcomes import Outcome, read_outcome_of, write_outcome_of
from hornbook.experiments.planning import plan_study
from hornbook.experiments.preparation import Preparation
from hornbook.experiments.record import StudyRecord, is_study, refuse_differences
from hornbook.experiments.study import Study
from hornbook.experiments.study_file import find_study
from hornbook.experiments.workers import WorkersStopped, work_in_processes
from hornbook.listener import SILENT, Listener, Progress
from hornbook.runs.config import RunConfig
from hornbook.runs.lock import run_lock
from hornbook.runs.resolution import Overrides, resolve
from hornbook.runs.run import open_run
from hornbook.training import Interrupted, choose_device
from hornbook.training.threads import physical_cores

DEFAULT_BUDGET = "10m"


class StudyInterrupted(RunError):  # noqa: N818 - it says what happened
    """A signal ended a study; what is finished is kept, and the rest can go on.

    Attributes:
        folder: the study's.
        signal: what interrupted it.
    """

    def __init__(self, folder: Path, number: signal.Signals) -> None:
        self.folder, self.signal = folder, number
        super().__init__(
            f"Stopped. Finished cells are kept; go on with: hornbook compare --resume {folder}"
        )


def compare(
    study: str | Study,
    *corpus: str | Path,
    seeds: int = 3,
    budget: str | None = None,
    tokens: int | None = None,
    out: Path | str | None = None,
    config: Path | str | None = None,
    overrides: Overrides = (),
    origin: Path | str | None = None,
    jobs: int = 1,
    listener: Listener = SILENT,
) -> Comparison:
    """Train every cell of a study with every seed, measure all the same way, and compare.

    Args:
        study: the name of one that comes with hornbook, the path of a TOML file, or a ``Study``.
        corpus: files, folders, globs, addresses or names of corpora.
        seeds: how often each cell is trained; three or more say something about the noise.
        budget: the time that all of it may take, such as ``"10m"`` (that, unless given).
        tokens: how many targets each cell is trained on, instead of a budget.
        out: the study's folder; one under ``studies/`` unless given. If it already holds this very
            study, that study goes on.
        config: a TOML file of settings laid over the study's own.
        overrides: ``key=value`` words, or a mapping, laid over the file.
        origin: a run, RUN or RUN@STEP, that cells begin from or, in a study of decoding, sample
            from.
        jobs: how many cells are trained at once, each in a process of its own with its share of
            the cores. A script needs ``if __name__ == "__main__":`` around the call then.
        listener: who watches.

    Raises:
        ConfigError: with everything that is wrong with the settings or the budget.
        CorpusError: when the text cannot be read.
        RunError: when ``out`` holds something else; each difference is named.
        StudyInterrupted: when a signal stopped it; it can go on.
    """
    began = time.monotonic()
    found = find_study(study) if isinstance(study, str) else study
    _refuse_numbers(seeds, budget, tokens, jobs)
    address = _fixed(origin, found)
    file = Path(config) if config else None
    if found.kind == "decoding" and address:
        settings = settings_of_run(found, address, file, overrides)
    else:
        settings = found.base(file=file, overrides=overrides)
    if corpus:
        settings = resolve(base=settings, overrides={"corpus.files": tuple(map(str, corpus))})
    choose_device(settings.training.device)
    preparation = Preparation(listener)
    settings = _with_corpus(settings, preparation)
    wish = {"study": found, "settings": settings, "seeds": seeds, "budget": budget}
    wish |= {"tokens": tokens, "origin": address}
    folder = Path(out) if out is not None else _usual_folder(found, settings, wish)
    if is_study(folder):
        record = StudyRecord.read(folder)
        refuse_differences(folder, record, **wish)
        if seeds > record.seeds:
            record = record.model_copy(update={"seeds": seeds})
    else:
        _refuse_foreign(folder)
        wish["budget"] = None if tokens is not None else budget or DEFAULT_BUDGET
        shared = {"began": began, "preparation": preparation, "listener": listener}
        if found.kind == "decoding":
            record = plan_decoding(**wish, **shared)
        else:
            record = plan_study(**wish, **shared, jobs=jobs, threads=_share(jobs))
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(folder):
        record.write(folder)
        return _conduct(folder, record, preparation, jobs, listener)


def resume_study(folder: Path | str, *, jobs: int = 1, listener: Listener = SILENT) -> Comparison:
    """Go on with a study where it stopped; one that is finished is only compared again.

    Raises:
        RunError: when ``folder`` holds no study, or its text has changed.
        StudyInterrupted: when a signal stopped it again.
    """
    _refuse_numbers(1, None, None, jobs)
    place = Path(folder)
    record = StudyRecord.read(place)
    with run_lock(place):
        return _conduct(place, record, Preparation(listener), jobs, listener)


def _conduct(
    folder: Path, record: StudyRecord, preparation: Preparation, jobs: int, listener: Listener
) -> Comparison:
    """Run what is not finished, and write what all of it comes to."""
    for place in (folder, folder / "cells", folder / "measurements"):
        remove_unfinished(place)
    with _told_as_interrupted(folder):
        _check_text(folder, record, preparation)
        _announce(record, listener)
        if record.study.kind == "decoding":
            train_subject(folder, record, preparation, listener)
        todo = _unfinished(folder, record, _share(jobs))
        if jobs == 1 or len(todo) < 2:
            for work in todo:
                with _shown(record, work, listener) as progress:
                    found = work.done(record, preparation, progress)
                _keep(record, work, found, listener)
        else:
            work_in_processes(
                record,
                todo,
                min(jobs, len(todo)),
                began=lambda work: _shown(record, work, listener),
                ended=lambda work, found: _keep(record, work, found, listener),
            )
        comparison = Comparison.read(folder, record)
        write_outcome(comparison)
        return comparison


@contextmanager
def _told_as_interrupted(folder: Path) -> Iterator[None]:
    try:
        yield
    except Interrupted as stop:
        raise StudyInterrupted(folder, stop.outcome.signal or signal.SIGINT) from stop
    except WorkersStopped as stop:
        raise StudyInterrupted(folder, stop.signal) from stop
    except KeyboardInterrupt as stop:
        raise StudyInterrupted(folder, signal.SIGINT) from stop


def _unfinished(folder: Path, record: StudyRecord, threads: int) -> list[CellWork]:
    """Every cell and seed without an outcome, or with a crash for one, seed by seed."""
    todo = []
    for seed in record.seed_numbers:
        for cell in record.cells:
            found = read_outcome_of(folder, record.study.kind, cell, seed)
            if found is None or found.crashed:
                todo.append(CellWork(folder, cell, seed, threads))
    return todo


def _shown(record: StudyRecord, work: CellWork, listener: Listener) -> Progress:
    if record.study.kind == "decoding":
        total, unit = record.study.cell_config(record.settings, work.cell).sampling.samples, "texts"
    else:
        total, unit = record.plan[work.cell].steps, "steps"
    return listener.progress(_title(record, work), total=total, unit=unit)


def _keep(record: StudyRecord, work: CellWork, found: Outcome, listener: Listener) -> None:
    write_outcome_of(work.folder, found)
    listener.notice(f"{_title(record, work)}: {_in_words(record, found)}")


def _title(record: StudyRecord, work: CellWork) -> str:
    place = (work.seed - record.settings.seed) * len(record.cells) + record.cells.index(work.cell)
    count = len(record.cells) * record.seeds
    return f"{place + 1} of {count}, {work.cell}, seed {work.seed}"


def _share(jobs: int) -> int:
    """The cores of each of several processes; 0, which is all, for one."""
    return max(1, physical_cores() // jobs) if jobs > 1 else 0


def _announce(record: StudyRecord, listener: Listener) -> None:
    for name, reason in record.left_out.items():
        listener.notice(f"{name} is left out: {reason}")
    count = f"{len(record.plan)} cells, seeds: {record.seeds}"
    if record.study.kind == "decoding":
        listener.notice(f"{count}, all sampled from {record.origin or 'one run'}")
        return
    steps = sorted(plan.steps for plan in record.plan.values())
    span = f"{steps[0]:,}" if steps[0] == steps[-1] else f"{steps[0]:,} to {steps[-1]:,}"
    listener.notice(
        f"{count}, {record.tokens:,} tokens each ({span} steps); {record.evaluated_tokens:,} "
        "tokens evaluated by each measure"
    )


def _in_words(record: StudyRecord, found: Outcome) -> str:
    if found.crashed:
        return f"crashed: {found.failed}"
    if found.failed:
        return "stopped early"
    parts = []
    for measure in record.measures:
        value = getattr(found, measure.name, None)
        if value is not None:
            parts.append(f"{measure.title} {measure.shown(value)}")
    return ", ".join(parts)


def _fixed(origin: Path | str | None, study: Study) -> str:
    """The given run as a place and a step that stay what they are.

    Raises:
        ConfigError: when the study has no use for it.
        RunError: when there is no such run or checkpoint.
    """
    if origin is None:
        return ""
    if study.kind != "decoding" and not study.needs_origin:
        raise ConfigError(
            [Problem("--from", f"is nothing that the study {study.name} begins from", str(origin))]
        )
    run = open_run(origin)
    return f"{run.path.resolve()}@{run.checkpoint.step}"


def _check_text(folder: Path, record: StudyRecord, preparation: Preparation) -> None:
    found = preparation.of(record.settings).split.facts.corpus_fingerprint
    if found != record.corpus_fingerprint:
        raise RunError(
            f"The text has changed since the study in {folder} began: its fingerprint was "
            f"{record.corpus_fingerprint[:12]}…, now it is {found[:12]}…. Put the original text "
            "back, or begin a new study with --out."
        )


def _with_corpus(settings: RunConfig, preparation: Preparation) -> RunConfig:
    """The settings with every ``auto`` of the corpus resolved, before a cell looks at it."""
    return settings.model_copy(update={"corpus": preparation.of(settings).config.corpus})


def _refuse_numbers(seeds: int, budget: str | None, tokens: int | None, jobs: int) -> None:
    problems = []
    if jobs < 1:
        problems.append(Problem("--jobs", "should be at least 1", str(jobs)))
    if seeds < 1:
        problems.append(Problem("--seeds", "should be at least 1; 3 show the noise", str(seeds)))
    if budget is not None and tokens is not None:
        problems.append(Problem("--tokens", "cannot be given with --budget", str(tokens)))
    if tokens is not None and tokens < 1:
        problems.append(Problem("--tokens", "should be at least 1", str(tokens)))
    if problems:
        raise ConfigError(problems)
    if budget is not None:
        parse_duration(budget)


def _refuse_foreign(folder: Path) -> None:
    if folder.is_dir() and not any(p for p in folder.iterdir() if p.name != ".lock"):
        return
    if folder.exists() or folder.is_symlink():
        raise RunError(f"{folder} exists and is no study; name another folder with --out.")


def _usual_folder(study: Study, settings: RunConfig, wish: dict) -> Path:
    """The first folder under ``studies/`` that is free, or holds this very study."""
    stem = Path(settings.corpus.files[0]).name.split(".")[0]
    name = re.sub(r"[^a-z0-9]+", "-", f"{study.name}-{stem}".lower()).strip("-") or "study"
    path, number = Path("studies") / name, 1
    while path.exists():
        try:
            refuse_differences(path, StudyRecord.read(path), **wish)
            return path
        except RunError:
            number += 1
            path = Path("studies") / f"{name}-{number}"
    return path
