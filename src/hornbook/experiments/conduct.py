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
from pathlib import Path

from hornbook.durable import remove_unfinished
from hornbook.errors import ConfigError, DataError, HornbookError, Problem, RunError
from hornbook.experiments.budget import (
    FEWEST_EVALUATED,
    Trial,
    parse_duration,
    plan_cell,
    tokens_in,
)
from hornbook.experiments.cells import run_cell
from hornbook.experiments.comparison import Comparison
from hornbook.experiments.outcome_files import write_outcome
from hornbook.experiments.preparation import Preparation
from hornbook.experiments.record import (
    StudyRecord,
    is_study,
    read_measurement,
    refuse_differences,
    write_measurement,
)
from hornbook.experiments.study import Study, find_study
from hornbook.experiments.trial import seconds_per_evaluated, try_cell
from hornbook.listener import SILENT, Listener
from hornbook.runs.config import RunConfig
from hornbook.runs.lock import run_lock
from hornbook.runs.resolution import Overrides, resolve
from hornbook.training import Interrupted, choose_device

DEFAULT_BUDGET = "10m"
DEFAULT_EVALUATED = 8192
"""Targets of each measure where a study has no budget."""


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
        listener: who watches.

    Raises:
        ConfigError: with everything that is wrong with the settings or the budget.
        CorpusError: when the text cannot be read.
        RunError: when ``out`` holds something else; each difference is named.
        StudyInterrupted: when a signal stopped it; it can go on.
    """
    began = time.monotonic()
    found = find_study(study) if isinstance(study, str) else study
    _refuse_numbers(seeds, budget, tokens)
    settings = found.base(file=Path(config) if config else None, overrides=overrides)
    if corpus:
        settings = resolve(base=settings, overrides={"corpus.files": tuple(map(str, corpus))})
    choose_device(settings.training.device)
    preparation = Preparation(listener)
    settings = _with_corpus(settings, preparation)
    wish = {"study": found, "settings": settings, "seeds": seeds, "budget": budget}
    folder = Path(out) if out is not None else _usual_folder(found, settings, wish, tokens)
    if is_study(folder):
        record = StudyRecord.read(folder)
        refuse_differences(folder, record, **wish, tokens=tokens)
        if seeds > record.seeds:
            record = record.model_copy(update={"seeds": seeds})
    else:
        _refuse_foreign(folder)
        budget = None if tokens is not None else budget or DEFAULT_BUDGET
        record = plan_study(
            found,
            settings,
            seeds=seeds,
            budget=budget,
            tokens=tokens,
            began=began,
            preparation=preparation,
            listener=listener,
        )
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(folder):
        record.write(folder)
        return _conduct(folder, record, preparation, listener)


def resume_study(folder: Path | str, *, listener: Listener = SILENT) -> Comparison:
    """Go on with a study where it stopped; one that is finished is only compared again.

    Raises:
        RunError: when ``folder`` holds no study, or its text has changed.
        StudyInterrupted: when a signal stopped it again.
    """
    place = Path(folder)
    record = StudyRecord.read(place)
    with run_lock(place):
        return _conduct(place, record, Preparation(listener), listener)


def plan_study(
    study: Study,
    settings: RunConfig,
    *,
    seeds: int,
    budget: str | None,
    tokens: int | None,
    began: float,
    preparation: Preparation,
    listener: Listener = SILENT,
) -> StudyRecord:
    """Try every cell for a few steps and settle how long all of them are trained.

    Args:
        study: what is compared.
        settings: what its cells share.
        seeds: runs of each cell.
        budget: the time for all of it, or ``None``.
        tokens: targets for each cell, where there is no budget.
        began: when the study's time began, by ``time.monotonic``.
        preparation: makes the texts.
        listener: who watches.

    Raises:
        ConfigError, DataError: when fewer than two cells can be trained; the reasons are named.
    """
    trials: dict[str, Trial] = {}
    left_out: dict[str, HornbookError] = {}
    evaluating = 0.0
    with listener.progress("trying", total=len(study.cells), unit="cells") as progress:
        for cell in study.cells:
            try:
                config = study.cell_config(settings, cell.name)
                prepared = preparation.of(config)
                trials[cell.name] = try_cell(prepared.config, prepared)
                evaluating = evaluating or seconds_per_evaluated(prepared.config, prepared)
            except (ConfigError, DataError) as error:
                left_out[cell.name] = error
            progress.advance(1)
    if len(trials) < 2:
        raise _too_few(study, left_out)
    evaluated = DEFAULT_EVALUATED
    if budget is not None:
        left = parse_duration(budget) - (time.monotonic() - began)
        tokens, evaluated = tokens_in(left, list(trials.values()), seeds, evaluating)
        if evaluated < FEWEST_EVALUATED:
            listener.notice(
                f"--budget {budget} is short here: {tokens:,} tokens for each run, and "
                f"{evaluated:,} of each measure; only large differences can show"
            )
    assert tokens is not None, "a study has a budget or a number of tokens"
    split = preparation.of(settings).split
    return StudyRecord(
        study=study,
        settings=settings,
        seeds=seeds,
        budget=budget or "",
        tokens=tokens,
        evaluated_tokens=evaluated,
        corpus_fingerprint=split.facts.corpus_fingerprint,
        same_initial_weights=len({trial.initial_weights for trial in trials.values()}) == 1,
        plan={name: plan_cell(tokens, trial) for name, trial in trials.items()},
        left_out={name: " ".join(str(error).split()) for name, error in left_out.items()},
    )


def _conduct(
    folder: Path, record: StudyRecord, preparation: Preparation, listener: Listener
) -> Comparison:
    """Run what is not finished, and write what all of it comes to."""
    for place in (folder, folder / "cells", folder / "measurements"):
        remove_unfinished(place)
    try:
        _check_text(folder, record, preparation)
        _announce(record, listener)
        todo = [(cell, seed) for seed in record.seed_numbers for cell in record.cells]
        for number, (cell, seed) in enumerate(todo, start=1):
            if read_measurement(folder, cell, seed) is not None:
                continue
            title = f"{number} of {len(todo)}, {cell}, seed {seed}"
            with listener.progress(title, total=record.plan[cell].steps, unit="steps") as progress:
                found = run_cell(folder, record, cell, seed, preparation, progress)
            write_measurement(folder, found)
            listener.notice(f"{title}: {_in_words(found.lines, found.running_text)}")
        comparison = Comparison.read(folder, record)
        write_outcome(comparison)
        return comparison
    except Interrupted as stop:
        raise StudyInterrupted(folder, stop.outcome.signal or signal.SIGINT) from stop
    except KeyboardInterrupt as stop:
        raise StudyInterrupted(folder, signal.SIGINT) from stop


def _announce(record: StudyRecord, listener: Listener) -> None:
    for name, reason in record.left_out.items():
        listener.notice(f"{name} is left out: {reason}")
    steps = sorted(plan.steps for plan in record.plan.values())
    span = f"{steps[0]:,}" if steps[0] == steps[-1] else f"{steps[0]:,} to {steps[-1]:,}"
    listener.notice(
        f"{len(record.plan)} cells, seeds: {record.seeds}, {record.tokens:,} tokens each "
        f"({span} steps); {record.evaluated_tokens:,} tokens evaluated by each measure"
    )


def _in_words(lines: float | None, running: float | None) -> str:
    if lines is None or running is None:
        return "stopped early"
    return f"{lines:.3f} and {running:.3f} bits per byte (lines by themselves, running text)"


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


def _refuse_numbers(seeds: int, budget: str | None, tokens: int | None) -> None:
    problems = []
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


def _usual_folder(study: Study, settings: RunConfig, wish: dict, tokens: int | None) -> Path:
    """The first folder under ``studies/`` that is free, or holds this very study."""
    stem = Path(settings.corpus.files[0]).name.split(".")[0]
    name = re.sub(r"[^a-z0-9]+", "-", f"{study.name}-{stem}".lower()).strip("-") or "study"
    path, number = Path("studies") / name, 1
    while path.exists():
        try:
            refuse_differences(path, StudyRecord.read(path), **wish, tokens=tokens)
            return path
        except RunError:
            number += 1
            path = Path("studies") / f"{name}-{number}"
    return path


def _too_few(study: Study, left_out: dict[str, HornbookError]) -> HornbookError:
    """What to raise when there is nothing to compare."""
    errors = list(left_out.values())
    if len(errors) == len(study.cells) and len({str(error) for error in errors}) == 1:
        return errors[0]
    reasons = "\n".join(f"  {name}: {error}" for name, error in left_out.items())
    return DataError(
        f"Of the study {study.name} fewer than two cells can be trained on this text:\n{reasons}"
    )
