"""From a study's question to its plan: a few steps of each cell, and then how long all train.

the trial       stream 9.1 ms a step, left_padded 9.4 ms a step with 42 rows
a budget        3 minutes for 2 cells with 3 seeds
the plan        310,000 targets each: 303 and 305 steps
"""

from __future__ import annotations

import time

from hornbook.errors import ConfigError, DataError, HornbookError, RunError
from hornbook.experiments.budget import (
    FEWEST_EVALUATED,
    Trial,
    parse_duration,
    plan_cell,
    tokens_in,
)
from hornbook.experiments.measures import chosen_measures
from hornbook.experiments.preparation import Preparation
from hornbook.experiments.record import StudyRecord
from hornbook.experiments.study import Study
from hornbook.experiments.trial import seconds_per_evaluated, tensors_alike, try_cell
from hornbook.listener import SILENT, Listener
from hornbook.runs.config import RunConfig

DEFAULT_EVALUATED = 8192
"""The most targets of each measure where a study has no budget."""
TRAINED_FOR_EVALUATED = 64
"""Targets trained on for each one that is evaluated, where there is no budget: an evaluated one
takes a window of its own."""
WORKER_SECONDS = 6.0
"""What a process of its own takes before its first step [seconds]."""


def plan_study(
    study: Study,
    settings: RunConfig,
    *,
    seeds: int,
    budget: str | None,
    tokens: int | None,
    began: float,
    preparation: Preparation,
    origin: str = "",
    jobs: int = 1,
    threads: int = 0,
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
        origin: the run that cells begin from; empty where none was given.
        jobs: how many cells are trained at once.
        threads: what each of them then computes with; 0 means all.
        listener: who watches.

    Raises:
        ConfigError, DataError: when fewer than two cells can be trained; the reasons are named.
    """
    trials, left_out, evaluating = _tried(study, settings, preparation, origin, threads, listener)
    if len(trials) < 2:
        raise _too_few(study, left_out)
    evaluated = evaluated_without_budget(tokens or 0)
    if budget is not None:
        left = parse_duration(budget) - (time.monotonic() - began)
        left -= WORKER_SECONDS if jobs > 1 else 0
        tokens, evaluated = tokens_in(left, list(trials.values()), seeds, evaluating, jobs=jobs)
        if evaluated < FEWEST_EVALUATED:
            listener.notice(
                f"--budget {budget} is short here: {tokens:,} tokens for each run, and "
                f"{evaluated:,} of each measure; only large differences can show"
            )
    assert tokens is not None, "a study has a budget or a number of tokens"
    drawn = [trial for name, trial in trials.items() if not study.cell(name).begins_from]
    common, alike = tensors_alike(drawn) if drawn else (0, 0)
    same = all(trial.initial_weights == drawn[0].initial_weights for trial in drawn)
    split = preparation.of(settings).split
    return StudyRecord(
        study=study,
        settings=settings,
        seeds=seeds,
        budget=budget or "",
        tokens=tokens,
        evaluated_tokens=evaluated,
        corpus_fingerprint=split.facts.corpus_fingerprint,
        same_initial_weights=same,
        tensors_in_common=common,
        tensors_alike=alike,
        origin=origin,
        plan={name: plan_cell(tokens, trial) for name, trial in trials.items()},
        left_out={name: " ".join(str(error).split()) for name, error in left_out.items()},
    )


def evaluated_without_budget(tokens: int) -> int:
    """How many targets to evaluate, where each cell is trained on so many.

    >>> [evaluated_without_budget(tokens) for tokens in (1_000, 250_000, 10_000_000)]
    [2048, 3906, 8192]
    """
    return max(FEWEST_EVALUATED, min(DEFAULT_EVALUATED, tokens // TRAINED_FOR_EVALUATED))


def _tried(
    study: Study,
    settings: RunConfig,
    preparation: Preparation,
    origin: str,
    threads: int,
    listener: Listener,
) -> tuple[dict[str, Trial], dict[str, HornbookError], float]:
    """What a few steps of each cell showed, why others have none, and seconds an evaluated target.

    A tokenizer with short tokens evaluates more windows for the same text, so the slowest counts.
    """
    trials: dict[str, Trial] = {}
    left_out: dict[str, HornbookError] = {}
    evaluating: dict[str, float] = {}
    with listener.progress("trying", total=len(study.cells), unit="cells") as progress:
        for cell in study.cells:
            try:
                config = study.cell_config(settings, cell.name)
                config = with_training(config, threads=threads)
                if cell.begins_from:
                    config = with_training(config, init_from=_given(origin))
                prepared = preparation.of(config)
                trials[cell.name] = try_cell(prepared.config, prepared)
                model = prepared.config.model.model_dump_json()
                if model not in evaluating:
                    measures = [one.name for one in chosen_measures(study.kind, study.measures)]
                    evaluating[model] = seconds_per_evaluated(prepared.config, prepared, measures)
            except (ConfigError, DataError, RunError) as error:
                left_out[cell.name] = error
            progress.advance(1)
    return trials, left_out, max(evaluating.values(), default=0.0)


def with_training(config: RunConfig, *, threads: int = 0, init_from: str = "") -> RunConfig:
    """The settings with a share of the cores, unless they name one, and with what to begin from."""
    plan = config.training
    changed = {"threads": plan.threads or threads, "init_from": init_from or plan.init_from}
    return config.model_copy(update={"training": plan.model_copy(update=changed)})


def _given(origin: str) -> str:
    if not origin:
        raise RunError("it begins from a run, and none was given; use --from RUN")
    return origin


def _too_few(study: Study, left_out: dict[str, HornbookError]) -> HornbookError:
    """What to raise when there is nothing to compare."""
    errors = list(left_out.values())
    if len(errors) == len(study.cells) and len({str(error) for error in errors}) == 1:
        return errors[0]
    reasons = "\n".join(f"  {name}: {error}" for name, error in left_out.items())
    return DataError(
        f"Of the study {study.name} fewer than two cells can be trained on this text:\n{reasons}"
    )
