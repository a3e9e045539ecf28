"""What a person asks for first: a new run, or an old one continued.

    run = train("text.txt", preset="tiny", model={"layers": 3})
    run = resume(run.path, overrides=["training.steps=2000"])

``fork`` has a file of its own. All three end in ``session.run_session``. Started by torchrun, the
first rank does what is told here, and the others ``follow``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from hornbook.corpora import CorpusSplit
from hornbook.data import TokenStore
from hornbook.errors import RunError
from hornbook.listener import SILENT, Listener
from hornbook.runs.assembly import (
    find_store,
    make_store,
    make_tokenizer,
    read_corpus,
)
from hornbook.runs.checkpoints import list_checkpoints
from hornbook.runs.config import RunConfig
from hornbook.runs.folder import RunFolder, fresh_run_path, open_folder
from hornbook.runs.lock import run_lock
from hornbook.runs.manifest import Manifest, now
from hornbook.runs.resolution import Overrides, check, differences, resolve
from hornbook.runs.run import Run, split_address
from hornbook.training.equipment import choose_equipment
from hornbook.training.following import follow
from hornbook.training.ranks import ALONE, Ranks, joined_ranks
from hornbook.training.session import (
    Prepared,
    make_loop,
    new_folder,
    record_data,
    refuse_foreign,
    run_session,
    write_settings,
)
from hornbook.training.sharing import refuse_unshareable
from hornbook.training.tracking import refuse_missing_trackers
from hornbook.training.warm_start import begin_from_origin, borrowed_tokenizer, with_fixed_origin

CHANGEABLE = (
    "corpus.files",
    "training.steps",
    "training.micro_batch_size",
    "training.log_every",
    "training.evaluate_every",
    "training.checkpoint_every",
    "training.keep_checkpoints",
    "training.sample_every",
    "training.sample_prompt",
    "training.log_to",
    "training.device",
    "training.parallel",
    "training.precision",
    "training.tf32",
    "training.compile",
    "training.activation_checkpointing",
    "training.threads",
    "sampling.",
)
"""Settings that a resumed run may change: they alter how long, how often, where and with what
arithmetic, never what is learned from which example. The text behind ``corpus.files`` must be the
same."""


def train(
    *corpus: str | Path,
    preset: str | None = "small",
    config: Path | str | None = None,
    out: Path | str | None = None,
    overrides: Overrides = (),
    listener: Listener = SILENT,
    **settings: Any,
) -> Run:
    """Train a new model from raw text; returns the finished run.

    Args:
        corpus: files, folders, globs, addresses or names of corpora; none means the preset's.
        preset: the built-in settings to start from.
        config: a TOML file of settings laid over the preset.
        out: the run's folder; a free one under ``runs/`` unless given. If it already holds a
            run with these very settings, that run goes on.
        overrides: ``key=value`` words, or a mapping, laid over the file.
        listener: who watches.
        settings: groups of settings laid over everything, as in ``model={"layers": 3}``.

    Raises:
        ConfigError: with everything that is wrong with the settings.
        CorpusError: when the text cannot be read.
        RunError: when ``out`` exists and is not that run.
        Interrupted: when a signal stopped it; the run can be resumed.
    """
    with joined_ranks() as ranks:
        if not ranks.is_first:
            return follow(ranks)
        wanted = wanted_settings(corpus, preset, config, overrides, settings)
        path = Path(out) if out is not None else None
        before = restarted(ranks, listener)
        if before is not None:
            return before
        with begun(wanted, preset, path, listener, ranks) as ready:
            return run_session(ready.loop, ready.changed)


def wanted_settings(
    corpus: Sequence[str | Path],
    preset: str | None,
    config: Path | str | None,
    overrides: Overrides,
    settings: Mapping[str, Any],
) -> RunConfig:
    """The settings that the arguments of ``train`` ask for; raises ``ConfigError``."""
    wanted = resolve(preset=preset, file=Path(config) if config else None, overrides=overrides)
    if settings:
        wanted = resolve(base=wanted, overrides=settings)
    if corpus:
        wanted = resolve(base=wanted, overrides={"corpus.files": tuple(map(str, corpus))})
    return wanted


@contextmanager
def begun(
    wanted: RunConfig,
    preset: str | None,
    out: Path | None,
    listener: Listener,
    ranks: Ranks = ALONE,
    rehearsal: Path | None = None,
) -> Iterator[Prepared]:
    """Make a new run ready under resolved settings, or go on with the one that ``out`` is.

    The arguments are those of ``train``; ``rehearsal`` is a folder to be made, in which all is
    written that belongs into the run's own.
    """
    refuse_unshareable(wanted, ranks)
    refuse_missing_trackers(wanted)
    equipment = choose_equipment(wanted, ranks)
    wanted = with_fixed_origin(wanted)
    if out is not None:
        refuse_foreign(out)
    wanted, split = read_corpus(wanted, listener=listener)
    place = out if out is not None else fresh_run_path(wanted.corpus.files[0], preset)
    if RunFolder(place).is_run():
        with gone_on(RunFolder(place), wanted, listener, ranks, rehearsal) as ready:
            yield ready
        return
    folder = RunFolder(rehearsal or place)
    with new_folder(folder.path) as begun:
        write_settings(begun, wanted, Manifest(created=now(), preset=preset))
    ranks.remember(folder.path)
    with run_lock(folder.path):
        try:
            store = _tokenized(folder, wanted, split, listener)
            rehearsed = rehearsal is not None
            loop = make_loop(folder, wanted, store, equipment, listener, rehearsed=rehearsed)
        except Exception:
            shutil.rmtree(folder.path, ignore_errors=True)  # nothing was trained yet
            raise
        yield Prepared(loop, place, split=split)


def resume(path: Path | str, *, overrides: Overrides = (), listener: Listener = SILENT) -> Run:
    """Go on with a run from its newest checkpoint; a finished one can be given more steps.

    Args:
        path: the run's folder.
        overrides: settings to change; only those in ``CHANGEABLE`` may differ.
        listener: who watches.

    Raises:
        RunError: when settings, tokenizer or text do not match the run's; each is named.
        Interrupted: when a signal stopped it again.
    """
    with joined_ranks() as ranks:
        if not ranks.is_first:
            return follow(ranks)
        folder = folder_to_resume(path)
        config = resolve(base=folder.read_config(), overrides=overrides)
        with gone_on(folder, config, listener, ranks) as ready:
            return run_session(ready.loop, ready.changed)


def folder_to_resume(path: Path | str) -> RunFolder:
    """The run at ``path``; raises ``RunError`` if there is none, or a checkpoint is named."""
    place, checkpoint = split_address(str(path))
    if checkpoint not in {None, "latest"}:
        raise RunError(
            f"A run goes on from its newest checkpoint. To go on from {path} in a new run, "
            f"with this one left as it is: hornbook train --from {path}"
        )
    return open_folder(place)


def restarted(ranks: Ranks, listener: Listener) -> Run | None:
    """Go on with the run that this very job had begun before its launcher restarted it, if any."""
    path = ranks.remembered()
    if path is None or not RunFolder(path).is_run():
        return None
    folder = RunFolder(path)
    listener.notice(f"the job was restarted and goes on with {path}")
    with gone_on(folder, folder.read_config(), listener, ranks) as ready:
        return run_session(ready.loop, ready.changed)


@contextmanager
def gone_on(
    folder: RunFolder,
    config: RunConfig,
    listener: Listener,
    ranks: Ranks = ALONE,
    rehearsal: Path | None = None,
) -> Iterator[Prepared]:
    """Make the run at ``folder`` ready to go on under ``config``, where that may differ.

    The arguments are those of ``resume`` and ``begun``.
    """
    refuse_unshareable(config, ranks)
    refuse_missing_trackers(config)
    equipment = choose_equipment(config, ranks)
    place, lock = folder.path, run_lock(folder.path)
    if rehearsal is not None:
        folder, lock = _rehearsed(folder, rehearsal), rehearsed_lock(place)
    with lock:
        manifest = folder.read_manifest()
        changed = differences(check(dict(manifest.settings)), config)
        refused = {key: pair for key, pair in changed.items() if not _changeable(key)}
        if refused:
            lines = [f"  {key}: the run has {a}, asked for {b}" for key, (a, b) in refused.items()]
            raise RunError(
                "\n".join(
                    [
                        f"{folder.path} cannot go on with other settings than it was trained with:",
                        *lines,
                        "To train on from it with these, fork it: hornbook train --from "
                        f"{folder.path}",
                    ]
                )
            )
        if manifest.fingerprints is None:  # it was imported, or killed before its first step
            config, split = read_corpus(config, listener=listener)
            store = _tokenized(folder, config, split, listener)
        else:
            config, store = find_store(folder, config, manifest, listener=listener)
            begin_from_origin(folder, config, folder.read_tokenizer(), listener)
        rehearsed = rehearsal is not None
        loop = make_loop(folder, config, store, equipment, listener, rehearsed=rehearsed)
        yield Prepared(loop, place, changed)


def _rehearsed(folder: RunFolder, rehearsal: Path) -> RunFolder:
    """The run itself, where nothing is written into it before it goes on, or else a copy."""
    if folder.read_manifest().fingerprints is not None and list_checkpoints(folder.path):
        return folder
    shutil.copytree(folder.path, rehearsal)
    return RunFolder(rehearsal)


def rehearsed_lock(path: Path) -> AbstractContextManager[None]:
    """The lock of the run at ``path``, unless it was never locked, or cannot be from here."""
    return run_lock(path) if os.access(path / ".lock", os.W_OK) else nullcontext()


def _tokenized(
    folder: RunFolder, config: RunConfig, split: CorpusSplit, listener: Listener
) -> TokenStore:
    """The tokens of a run that has none yet; it then knows what it is trained on."""
    if folder.read_manifest().imported_from is not None:
        tokenizer = folder.read_tokenizer()
    else:
        tokenizer = borrowed_tokenizer(config, listener)
        if tokenizer is None:
            tokenizer = make_tokenizer(config, split, listener=listener)
    store = make_store(split, tokenizer, listener=listener)
    record_data(folder, config, split, tokenizer)
    begin_from_origin(folder, config, tokenizer, listener)
    return store


def _changeable(key: str) -> bool:
    return any(key.startswith(name) if name.endswith(".") else key == name for name in CHANGEABLE)
