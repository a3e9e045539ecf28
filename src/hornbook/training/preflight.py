"""Everything that can be found out about a run before it is trained: ``hornbook train --check``.

    report = check_train("poems.txt", preset="tiny")
    [check.name for check in report.failed]          # [] when all is well

The run is made ready by the very code that makes it ready for training, down to its first
batch; but what would lie in its folder is written into one that is thrown away. What stays are
caches that training will use again: the tokens of the text, and a text that was fetched.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from hornbook.cache import cache_folder
from hornbook.corpora import CorpusSplit
from hornbook.durable import ABANDONED_AFTER, ASIDE, remove_unfinished
from hornbook.errors import CorpusError
from hornbook.inspection.accounting.peak import training_memory
from hornbook.listener import SILENT, Listener
from hornbook.optimization import optimizer_tensors
from hornbook.optimization.batch_ramp import examples_before
from hornbook.randomness import stream_seed
from hornbook.runs.assembly import read_corpus
from hornbook.runs.checkpoints import model_tensors
from hornbook.runs.config import TrainingConfig
from hornbook.runs.resolution import Overrides, resolve
from hornbook.training.expected_memory import expected_plan, lacking_memory
from hornbook.training.fork import forked
from hornbook.training.loop import TrainingLoop
from hornbook.training.preflight_check import Check, PreflightReport
from hornbook.training.preflight_data import counted_data, round_trip, tokens_for_each_parameter
from hornbook.training.preflight_loss import (
    beginning_of,
    cropped,
    first_loss,
    one_batch_is_learned,
)
from hornbook.training.preflight_machine import (
    MeasuredSteps,
    device_computes,
    finite_steps,
    memory_needed,
    place_is_ready,
    time_needed,
)
from hornbook.training.preflight_quick import ROWS, quick_part
from hornbook.training.preflight_sight import PROBES, future_is_hidden
from hornbook.training.preflight_steps import evaluation_seconds, trial_steps
from hornbook.training.session import Prepared
from hornbook.training.start import begun, folder_to_resume, gone_on, wanted_settings

AFFORDABLE = 4e11
"""What showing that nothing sees the future may cost [FLOP]."""
FEWEST_PROBES = 4
LEARNED_ROWS, LEARNED_COLUMNS = 2, 32
"""What is learned by heart [windows, tokens]."""
SAMPLED_TARGETS = 64
"""Windows in which real targets are counted."""


def check_train(
    *corpus: str | Path,
    preset: str | None = "small",
    config: Path | str | None = None,
    out: Path | str | None = None,
    overrides: Overrides = (),
    listener: Listener = SILENT,
    **settings: Any,
) -> PreflightReport:
    """Check a new run, or the one at ``out``; the arguments and errors are those of ``train``."""
    wanted = wanted_settings(corpus, preset, config, overrides, settings)
    path = Path(out) if out is not None else None
    with (
        _rehearsal_folder() as aside,
        begun(wanted, preset, path, listener, rehearsal=aside) as ready,
    ):
        return preflight(ready, listener)


def check_resume(
    path: Path | str, *, overrides: Overrides = (), listener: Listener = SILENT
) -> PreflightReport:
    """Check a run that is to go on; the arguments and errors are those of ``resume``."""
    folder = folder_to_resume(path)
    config = resolve(base=folder.read_config(), overrides=overrides)
    with (
        _rehearsal_folder() as aside,
        gone_on(folder, config, listener, rehearsal=aside) as ready,
    ):
        return preflight(ready, listener)


def check_fork(
    address: str,
    *,
    out: Path | str | None = None,
    overrides: Overrides = (),
    listener: Listener = SILENT,
) -> PreflightReport:
    """Check a fork; the arguments and errors are those of ``fork``."""
    path = Path(out) if out is not None else None
    with (
        _rehearsal_folder() as aside,
        forked(address, path, overrides, listener, rehearsal=aside) as ready,
    ):
        return preflight(ready, listener)


def preflight(ready: Prepared, listener: Listener = SILENT) -> PreflightReport:
    """All checks of a run; it must not be trained with the same objects afterwards.

    Args:
        ready: it, on one rank.
        listener: who watches.
    """
    began = time.monotonic()
    loop = ready.loop
    accelerators = [loop.device] if loop.device.type == "cuda" else []
    split = ready.split or _text_again(loop, listener)
    lacking = ""
    if not loop.model.closed_form:
        lacking = lacking_memory(loop.config, loop.equipment, loop.tokenizer.vocab_size)
    with torch.random.fork_rng(accelerators), loop.equipment.in_use():
        checks = (
            *_data_checks(loop, split),
            *_model_checks(loop, corner=bool(lacking)),
            *_machine_checks(loop, ready.place, lacking),
        )
    store = loop.batches.store.folder
    cached = store.absolute().is_relative_to(cache_folder())
    caches = (str(store),) if cached else ()
    return PreflightReport(str(ready.place), checks, time.monotonic() - began, caches)


@contextmanager
def _rehearsal_folder() -> Iterator[Path]:
    """A place in the cache, where there is room, for a folder that will be thrown away.

    The caller's stream of random numbers stays where it is.
    """
    cache = cache_folder()
    remove_unfinished(cache, idle_seconds=ABANDONED_AFTER)
    above = cache / f"{ASIDE}check-{stream_seed(time.time_ns(), 'check'):x}"
    above.mkdir(parents=True)
    try:
        with torch.random.fork_rng([]):  # modules draw weights before theirs are drawn by seed
            yield above / "run"
    finally:
        shutil.rmtree(above, ignore_errors=True)


def _text_again(loop: TrainingLoop, listener: Listener) -> CorpusSplit | None:
    """The text of a run that goes on, if it is still to be had."""
    try:
        return read_corpus(loop.config, listener=listener)[1]
    except CorpusError:
        return None


def _data_checks(loop: TrainingLoop, split: CorpusSplit | None) -> Iterator[Check]:
    plan, batches, tokenizer = loop.plan, loop.batches, loop.tokenizer
    steps = 1 if loop.model.closed_form else plan.steps
    examples = examples_before(steps, whole=plan.batch_size, ramp=plan.batch_ramp)
    windows, training = batches.examples_per_epoch, len(batches.store.training)
    if loop.model.closed_form:  # it reads the whole text once
        examples, seen, distinct = windows, training, training
    else:
        sample = batches.training.batch(0, min(SAMPLED_TARGETS, windows))
        seen = examples * sample.real_targets // len(sample.tokens)
        distinct = min(seen, training)
    yield counted_data(
        batches.store,
        windows=windows,
        validation_windows=None if batches.evaluation is None else len(batches.evaluation),
        examples=examples,
        batch_size=plan.batch_size,
        vocab_size=tokenizer.vocab_size,
    )
    yield tokens_for_each_parameter(seen, distinct, loop.model.parameter_count())
    if split is None:
        reason = "the text is not at hand any more; the tokens have their checksums"
        yield Check("round trip", "skip", reason)
    else:
        yield round_trip(split, batches.store, tokenizer)


def _model_checks(loop: TrainingLoop, *, corner: bool) -> Iterator[Check]:
    """Checks of the built model with its first weights, on its device.

    Args:
        loop: with the model.
        corner: whether only a part of the first batch has room.
    """
    if loop.newest is not None:
        loop.newest.load_model(loop.model)
    model, plan = loop.model, loop.plan
    model.to(loop.device).train()
    beginning = beginning_of(loop.folder.read_manifest(), loop.state)
    size = plan.micro_batch_size or plan.batch_size_at(loop.state.step)
    size = min(size, ROWS) if corner else size
    batch = loop.batches.training.batch(loop.state.examples_seen, size).to(loop.device)
    parameters = model.parameter_count()
    if corner:
        batch, beginning = quick_part(batch, parameters), beginning.of_corner
    time_ = batch.tokens.shape[1]
    affordable = int(AFFORDABLE / (6 * max(parameters, 1) * time_))
    probes = min(PROBES, max(affordable, FEWEST_PROBES))
    yield future_is_hidden(model, batch, probes=probes, precision=loop.equipment.precision)
    if model.closed_form:
        yield Check("first loss", "skip", "it counts before it is measured")
    else:
        yield first_loss(model, batch, beginning)
    few = cropped(batch, LEARNED_ROWS, LEARNED_COLUMNS)
    yield one_batch_is_learned(model, few)


def _machine_checks(loop: TrainingLoop, place: Path, lacking: str) -> Iterator[Check]:
    """Checks that take real steps; they change the model.

    Args:
        loop: with the model.
        place: where the run lies or will lie.
        lacking: why no step may be tried; nothing where one may.
    """
    yield device_computes(loop.equipment)
    checkpoint, estimated = _size(model_tensors(loop.model).values()), False
    if not loop.model.closed_form:
        plan = expected_plan(loop.config, loop.equipment, loop.tokenizer.vocab_size)
        expected = training_memory(plan)
        if lacking:
            step, evaluation, measured = None, 0.0, MeasuredSteps(refused=lacking)
        else:
            windows = loop.batches.evaluation
            evaluation = 0.0 if windows is None else evaluation_seconds(loop, windows)
            step, measured = trial_steps(loop)
        yield finite_steps(measured)
        yield memory_needed(measured, loop.device, expected.peak)
        yield _time_left(loop, measured, evaluation)
        if step is None:
            checkpoint, estimated = checkpoint + expected.optimizer, True
        else:
            checkpoint += _size(optimizer_tensors(step.optimizer, loop.model).values())
    yield place_is_ready(
        place,
        exists=place.is_dir(),
        checkpoint_bytes=checkpoint,
        checkpoints=_checkpoints_at_once(loop.plan, loop),
        estimated=estimated,
    )


def _time_left(loop: TrainingLoop, measured: MeasuredSteps, evaluation_seconds: float) -> Check:
    """How long the steps and measurements that are left will take."""
    plan = loop.plan
    left, every = max(plan.steps - loop.state.step, 0), plan.evaluate_every
    evaluates = left and loop.batches.evaluation is not None
    return time_needed(
        measured,
        steps=_whole_steps_left(plan, loop.state.examples_seen),
        evaluations=max(left // (every or left), 1) if evaluates else 0,
        evaluation_seconds=evaluation_seconds,
    )


def _size(tensors: Iterable[torch.Tensor]) -> int:
    """All that tensors hold [bytes]."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _whole_steps_left(plan: TrainingConfig, examples_seen: int) -> int:
    """Steps that are left, in steps of the whole batch."""
    examples = examples_before(plan.steps, whole=plan.batch_size, ramp=plan.batch_ramp)
    return max(0, -(-(examples - examples_seen) // plan.batch_size))


def _checkpoints_at_once(plan: TrainingConfig, loop: TrainingLoop) -> int:
    """How many checkpoints lie on the disk at most: kept ones, the best, and one being written."""
    if loop.model.closed_form:
        return 1
    best = int(loop.batches.evaluation is not None)
    left = max(plan.steps - loop.state.step, 1)
    every = [number for number in (plan.checkpoint_every, best * plan.evaluate_every) if number]
    written = sum(-(-left // number) for number in every) or 1
    return min(plan.keep_checkpoints + best + 1, written)
