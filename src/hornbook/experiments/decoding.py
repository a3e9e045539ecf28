"""A study of decoding: one run, and each cell a way to sample from it.

    the run         trained by the study, or given with --from
    a cell          settings of sampling: a temperature, a top-k, a top-p
    a seed          other draws from the same model; the same numbers of texts and tokens
    real-text       pieces of the validation text, as long as the samples: what to be like

No rule is better by itself: one that always takes the likeliest word repeats itself, one that
takes anything babbles. So cells are compared by how near they come to the real text.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from hornbook.errors import ConfigError, Problem, RunError
from hornbook.experiments.budget import RESERVE, RUN_SECONDS, parse_duration, plan_cell, tokens_in
from hornbook.experiments.cells import WARMUP_SHARE, CellProgress, train_prepared
from hornbook.experiments.outcomes import SampledTexts
from hornbook.experiments.planning import DEFAULT_EVALUATED, with_training
from hornbook.experiments.preparation import Preparation, Prepared
from hornbook.experiments.record import StudyRecord
from hornbook.experiments.sampled_texts import distinct, perplexity, repetition, words_of
from hornbook.experiments.study import REAL_TEXT, Study
from hornbook.experiments.trial import seconds_per_evaluated, try_cell
from hornbook.generation import SamplingConfig, generate
from hornbook.listener import SILENT, Listener, Progress
from hornbook.randomness import stream_seed
from hornbook.runs.assembly import make_model, opening_id
from hornbook.runs.config import RunConfig
from hornbook.runs.folder import RunFolder
from hornbook.runs.resolution import Overrides, differences, resolve
from hornbook.runs.run import Run, open_run
from hornbook.training import choose_device

EXAMPLE = 400
"""Characters of a text that are kept, to look at."""
GIVEN = ("sampling.", "corpus.", "seed", "training.device", "training.threads")
"""Settings that may be changed where the run is given."""


def plan_decoding(
    study: Study,
    settings: RunConfig,
    *,
    seeds: int,
    budget: str | None,
    tokens: int | None,
    began: float,
    preparation: Preparation,
    origin: str = "",
    listener: Listener = SILENT,
) -> StudyRecord:
    """Settle how long the run is trained, if it must be; the arguments are ``plan_study``'s.

    Raises:
        ConfigError: when the budget is too short for sampling and a few steps.
        RunError: when the validation text is shorter than a sample.
    """
    prepared = preparation.of(with_training(settings, init_from=origin))
    real_pieces(prepared, settings.sampling, settings.seed)
    if origin:
        tokens, evaluated, plan = 1, DEFAULT_EVALUATED, plan_cell(1, try_cell(settings, prepared))
    else:
        listener.notice("trying how fast the model trains and samples")
        trial, evaluated = try_cell(settings, prepared), DEFAULT_EVALUATED
        if budget is not None:
            sampling = _seconds_to_sample(study, settings, prepared) * seeds * len(study.cells)
            left = parse_duration(budget) - (time.monotonic() - began) - sampling
            if left < RUN_SECONDS:
                need = (sampling + RUN_SECONDS) / (1 - RESERVE) * 1.5 + 20
                raise ConfigError(
                    [
                        Problem(
                            "--budget",
                            f"is too short to sample from {len(study.cells)} cells with {seeds} "
                            f"seeds; give at least {need:.0f}s, or less of sampling.samples or "
                            "sampling.max_tokens",
                        )
                    ]
                )
            evaluating = seconds_per_evaluated(settings, prepared)
            tokens, evaluated = tokens_in(left, [trial], 1, evaluating)
        assert tokens is not None, "a study has a budget or a number of tokens"
        plan = plan_cell(tokens, trial)
    return StudyRecord(
        study=study,
        settings=settings,
        seeds=seeds,
        budget=budget or "",
        tokens=tokens,
        evaluated_tokens=evaluated,
        corpus_fingerprint=prepared.split.facts.corpus_fingerprint,
        same_initial_weights=True,
        origin=origin,
        plan={cell.name: plan for cell in study.cells},
        left_out={},
    )


def settings_of_run(
    study: Study, origin: str, file: Path | None, overrides: Overrides
) -> RunConfig:
    """The settings of a decoding study whose run is given: the run's, and the study's sampling.

    Raises:
        ConfigError: when something is to be changed that the run was trained with.
    """
    base = resolve(
        base=open_run(origin).config,
        overrides={"sampling": study.settings.get("sampling", {})},
    )
    settings = study.laid_over(base, file=file, overrides=overrides)
    problems = [
        Problem(key, f"is what {origin} was trained with, so it cannot be changed here")
        for key in differences(base, settings)
        if not key.startswith(GIVEN)
    ]
    if problems:
        raise ConfigError(problems)
    return settings


def train_subject(
    folder: Path, record: StudyRecord, preparation: Preparation, listener: Listener
) -> None:
    """Train the run that is sampled from, or what is left of it; a given one is left alone.

    Raises:
        Interrupted: when a signal stopped it; it can go on.
        TrainingStopped: when its numbers stopped being finite.
    """
    if record.origin:
        return
    plan = next(iter(record.plan.values()))
    settings = record.settings
    warmup = min(settings.training.schedule.warmup_steps, plan.steps // WARMUP_SHARE)
    training = {
        "steps": plan.steps,
        "batch_size": plan.batch_size,
        "schedule": {"warmup_steps": warmup},
    }
    prepared = preparation.of(resolve(base=settings, overrides={"training": training}))
    run_folder = RunFolder(_subject(folder))
    begun = Run(run_folder, "latest")
    if run_folder.is_run() and begun.checkpoints() and begun.checkpoint.step >= plan.steps:
        return
    title = "training the run to sample from"
    with listener.progress(title, total=plan.steps, unit="steps") as progress:
        train_prepared(run_folder, prepared, CellProgress(progress))


def sample_cell(
    folder: Path,
    record: StudyRecord,
    cell: str,
    seed: int,
    preparation: Preparation,
    progress: Progress,
    *,
    threads: int = 0,
) -> SampledTexts:
    """Sample the texts of a cell with a seed, or take real ones, and measure them.

    The arguments are those of ``run_cell``; ``progress`` counts texts.
    """
    settings = with_training(record.settings, init_from=record.origin, threads=threads)
    prepared = preparation.of(settings)
    run = open_run(record.origin) if record.origin else Run(RunFolder(_subject(folder)), "latest")
    run.to(choose_device(settings.training.device))
    opening = opening_id(run.config, run.tokenizer)
    rules = record.study.cell_config(record.settings, cell).sampling
    rules = rules.model_copy(update={"seed": stream_seed(seed, "sampling") % (1 << 31)})
    began = time.perf_counter()
    if cell == REAL_TEXT:
        ids = real_pieces(prepared, rules, seed)
        texts = [run.tokenizer.decode(piece) for piece in ids]
    else:
        samples = generate(run.model, run.tokenizer, "", rules, opening=opening)
        texts = [sample.text for sample in samples]
        ids = [np.asarray(run.tokenizer.encode(text), dtype=np.int64) for text in texts]
    seconds = time.perf_counter() - began
    progress.advance(len(texts))
    words = [words_of(text) for text in texts]
    surprise = perplexity(
        run.model,
        run.tokenizer,
        ids,
        context_length=run.config.context_length,
        opening=opening,
    )
    return SampledTexts(
        cell=cell,
        seed=seed,
        texts=len(texts),
        tokens=sum(map(len, ids)),
        distinct_1=distinct(words, 1),
        distinct_2=distinct(words, 2),
        repetition=repetition(words),
        perplexity=surprise if np.isfinite(surprise) else None,
        seconds=round(seconds, 3),
        example=texts[0][:EXAMPLE] if texts else "",
    )


def real_pieces(prepared: Prepared, rules: SamplingConfig, seed: int) -> list[np.ndarray]:
    """As many pieces of the validation text as there are samples, each as long: lists of ids.

    Raises:
        RunError: when the validation text is shorter than one.
    """
    sequence, length = prepared.store.validation, rules.max_tokens
    if len(sequence) < length + 1:
        raise RunError(
            f"The validation text has {len(sequence):,} tokens, fewer than a sample of "
            f"{length:,}. Use more text, or less of sampling.max_tokens."
        )
    draw = np.random.default_rng(stream_seed(seed, "evaluation"))
    starts = draw.integers(0, len(sequence) - length, size=rules.samples)
    return list(sequence.gather(np.asarray(starts, dtype=np.int64), length))


def _subject(folder: Path) -> Path:
    return folder / "cells" / "sampled-run"


def _seconds_to_sample(study: Study, settings: RunConfig, prepared: Prepared) -> float:
    """Time to sample and measure one cell with one seed, from a model that knows nothing yet."""
    model = make_model(settings, prepared.tokenizer).to(choose_device(settings.training.device))
    rules = study.cell_config(settings, study.cells[-1].name).sampling
    began = time.perf_counter()
    generate(model.eval(), prepared.tokenizer, "", rules, opening=opening_id(
        settings, prepared.tokenizer
    ))  # fmt: skip
    return 1.5 * (time.perf_counter() - began)
