"""A fork: a new run that begins at a checkpoint of another, under changed settings.

It keeps the parent's tokenizer, weights, optimizer state, place in the data and metrics up
to that step. Its manifest names the parent and lists every setting that changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from hornbook.data import TokenStore
from hornbook.durable import file_checksum
from hornbook.errors import RunError
from hornbook.listener import SILENT, Listener
from hornbook.models import CarriedState, LanguageModel
from hornbook.optimization import fitting_tensors, load_optimizer_tensors, optimizer_tensors
from hornbook.runs.assembly import (
    find_store,
    fingerprints,
    make_batches,
    make_optimizer,
    make_store,
    make_trainable,
    read_corpus,
)
from hornbook.runs.checkpoints import Checkpoint, save_checkpoint
from hornbook.runs.config import RunConfig
from hornbook.runs.folder import RunFolder
from hornbook.runs.lock import run_lock
from hornbook.runs.manifest import Manifest, Origin, now
from hornbook.runs.resolution import Overrides, differences, resolve
from hornbook.runs.run import Run, open_run
from hornbook.training.equipment import choose_equipment
from hornbook.training.following import follow
from hornbook.training.ranks import ALONE, Ranks, joined_ranks
from hornbook.training.session import (
    Changes,
    Prepared,
    make_loop,
    new_folder,
    refuse_taken,
    run_session,
    write_settings,
)
from hornbook.training.sharing import refuse_unshareable
from hornbook.training.start import restarted
from hornbook.training.tracking import refuse_missing_trackers

_ATTEMPTS = 5


def fork(
    address: str,
    *,
    out: Path | str | None = None,
    overrides: Overrides = (),
    listener: Listener = SILENT,
) -> Run:
    """Train on from a checkpoint of another run, in a folder of its own.

    Args:
        address: ``RUN@STEP`` (or ``RUN@best``, ``RUN@latest``; ``RUN`` is its newest).
        out: the new run's folder; a free one beside the parent unless given.
        overrides: settings to change. The tokenizer's cannot, and the model's only where
            every weight keeps its shape.
        listener: who watches.

    Raises:
        ConfigError: with everything that is wrong with the settings.
        RunError: when the checkpoint is missing or damaged, its weights do not fit the changed
            model, or ``out`` exists.
        Interrupted: when a signal stopped it; the fork can be resumed.
    """
    with joined_ranks() as ranks:
        if not ranks.is_first:
            return follow(ranks)
        path = Path(out) if out is not None else None
        before = restarted(ranks, listener)
        if before is not None:
            return before
        with forked(address, path, overrides, listener, ranks) as ready:
            return run_session(ready.loop, ready.changed)


@contextmanager
def forked(
    address: str,
    out: Path | None,
    overrides: Overrides,
    listener: Listener,
    ranks: Ranks = ALONE,
    rehearsal: Path | None = None,
) -> Iterator[Prepared]:
    """Make a new run ready at a checkpoint of another.

    The arguments are those of ``fork``; ``rehearsal`` is a folder to be made, in which all is
    written that belongs into the run's own.
    """
    parent = open_run(address if "@" in address else f"{address}@latest")
    config = resolve(base=parent.config, overrides=overrides)
    changed = differences(parent.config, config)
    refuse_unshareable(config, ranks)
    refuse_missing_trackers(config)
    equipment = choose_equipment(config, ranks)
    parent, checkpoint, model, optimizer = _loaded(parent, config, changed)

    config, manifest, store = _what_it_trains_on(parent, config, changed, listener)
    make_batches(config, store)

    place = out if out is not None else _free_beside(parent.path, checkpoint)
    refuse_taken(place)
    folder = RunFolder(rehearsal or place)
    with new_folder(folder.path) as begun:
        _inherit(begun, parent, checkpoint)
        state = checkpoint.state()
        same_data = manifest.fingerprints == parent.manifest.fingerprints
        if state.best is not None and not (same_data and state.best["step"] == checkpoint.step):
            state.best = None  # measured on other text, or on weights that stay with the parent
        tensors = optimizer_tensors(optimizer, model)
        save_checkpoint(begun.path, model, tensors, state, _carried(checkpoint, config, changed))
        inherited = {
            "created": now(),
            "forked_from": Origin(run=parent.name, step=checkpoint.step, changed=dict(changed)),
            "sessions": (),
            "tokenizer_checksum": file_checksum(begun.tokenizer_file),
        }
        write_settings(begun, config, manifest.model_copy(update=inherited))
    ranks.remember(folder.path)
    with run_lock(folder.path):
        rehearsed = rehearsal is not None
        try:
            loop = make_loop(folder, config, store, equipment, listener, rehearsed=rehearsed)
        except Exception:
            shutil.rmtree(folder.path, ignore_errors=True)  # nothing was trained yet
            raise
        yield Prepared(loop, place, changed)


def _loaded(
    parent: Run, config: RunConfig, changed: Changes
) -> tuple[Run, Checkpoint, LanguageModel, torch.optim.Optimizer]:
    """Weights and optimizer of the checkpoint to begin from.

    A parent that is being trained may delete the checkpoint while it is read; then its newest
    is looked for again.
    """
    for attempt in range(_ATTEMPTS):
        checkpoint = parent.checkpoint
        _refuse_impossible(config, changed, checkpoint)
        model = make_trainable(config, parent.tokenizer)
        try:
            checkpoint.verify()
            checkpoint.load_model(model)
            optimizer = make_optimizer(config, model)
            kept = fitting_tensors(optimizer, model, checkpoint.optimizer_tensors())
            load_optimizer_tensors(optimizer, model, kept)
            checkpoint.state()
            return parent, checkpoint, model, optimizer
        except RunError as error:
            if checkpoint.folder.exists() or attempt == _ATTEMPTS - 1:
                shapes = [key for key in changed if key.startswith(("model.", "context_length"))]
                if shapes:
                    raise RunError(
                        f"The parent's weights do not fit with {', '.join(shapes)} changed. {error}"
                    ) from error
                raise
            parent = open_run(f"{parent.path}@latest")
    raise AssertionError("the last attempt returns or raises")


def _refuse_impossible(config: RunConfig, changed: Changes, checkpoint: Checkpoint) -> None:
    frozen = [key for key in changed if key.startswith("tokenizer.")]
    if frozen:
        raise RunError(
            f"A fork keeps its parent's tokenizer, so {', '.join(frozen)} cannot change. Start a "
            "new run instead."
        )
    if config.training.steps <= checkpoint.step:
        raise RunError(
            f"The fork begins at step {checkpoint.step}, but training.steps="
            f"{config.training.steps}; set training.steps to more."
        )


def _what_it_trains_on(
    parent: Run, config: RunConfig, changed: Changes, listener: Listener
) -> tuple[RunConfig, Manifest, TokenStore]:
    """The parent's own tokens, or those of another text or split under its tokenizer."""
    if not any(key == "seed" or key.startswith("corpus.") for key in changed):
        config, store = find_store(parent.folder, config, parent.manifest, listener=listener)
        return config, parent.manifest, store
    config, split = read_corpus(config, listener=listener)
    trained_on = {
        "fingerprints": fingerprints(split, parent.tokenizer),
        "split": split.facts.to_json(),
    }
    store = make_store(split, parent.tokenizer, listener=listener)
    return config, parent.manifest.model_copy(update=trained_on), store


def _carried(checkpoint: Checkpoint, config: RunConfig, changed: Changes) -> CarriedState | None:
    """The parent's hidden states, if the fork's rows go on reading where the parent's stopped."""
    moving = ("seed", "context_length", "training.batch_size", "corpus.", "data.")
    if not config.training.carry_state or any(key.startswith(moving) for key in changed):
        return None
    return checkpoint.carried_state()


def _inherit(folder: RunFolder, parent: Run, checkpoint: Checkpoint) -> None:
    """Copy the parent's tokenizer, and its journals up to the checkpoint."""
    parent.tokenizer.save(folder.tokenizer_file)
    for theirs, ours in zip(parent.folder.journals, folder.journals, strict=True):
        for entry in theirs.entries():
            if entry["step"] <= checkpoint.step:
                ours.append(entry)


def _free_beside(parent: Path, checkpoint: Checkpoint) -> Path:
    name = f"{parent.resolve().name}-from-{checkpoint.step}"
    path, number = parent.with_name(name), 2
    while path.exists():
        path, number = parent.with_name(f"{name}-{number}"), number + 1
    return path
