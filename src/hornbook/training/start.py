"""What a person asks for: a new run, an old one continued, or a fork of it.

    run = train("text.txt", preset="tiny", model={"layers": 3})
    run = resume(run.path, overrides=["training.steps=2000"])
    run = fork("runs/text-tiny@400", overrides=["training.learning_rate=1e-4"])

All three end in the same place: a run folder that holds its settings, and ``_continue``,
which brings tokenizer and tokens up to date and trains from the newest checkpoint.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hornbook.durable import file_checksum
from hornbook.errors import RunError
from hornbook.inspection import write_report
from hornbook.listener import SILENT, Listener
from hornbook.optimization import load_optimizer_tensors, optimizer_tensors
from hornbook.runs.assembly import (
    find_store,
    fingerprints,
    make_batches,
    make_model,
    make_optimizer,
    make_store,
    make_tokenizer,
    read_corpus,
)
from hornbook.runs.checkpoints import list_checkpoints, save_checkpoint
from hornbook.runs.config import RunConfig
from hornbook.runs.folder import RunFolder, fresh_run_path, open_folder
from hornbook.runs.lock import run_lock
from hornbook.runs.manifest import Manifest, Origin, Session, hardware, now, software
from hornbook.runs.resolution import check, differences, resolve
from hornbook.runs.run import Run, open_run
from hornbook.training.devices import choose_device
from hornbook.training.loop import Outcome, TrainingLoop

Overrides = Sequence[str] | Mapping[str, Any]

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
    "training.device",
    "sampling.",
)
"""Settings that a resumed run may change: they alter how long, how often and where, never
what is learned from which example. The text behind ``corpus.files`` must be the same."""


class Interrupted(RunError):  # noqa: N818 - it says what happened
    """A signal ended training at a step boundary, with a checkpoint.

    Attributes:
        run: the run, ready to be resumed.
        outcome: the step reached and the signal.
    """

    def __init__(self, run: Run, outcome: Outcome) -> None:
        self.run, self.outcome = run, outcome
        super().__init__(
            f"Stopped at step {outcome.step} with a checkpoint. Go on with: hornbook train "
            f"--resume {run.path}"
        )


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
    wanted = resolve(preset=preset, file=Path(config) if config else None, overrides=overrides)
    if settings:
        wanted = resolve(base=wanted, overrides=settings)
    if corpus:
        wanted = resolve(base=wanted, overrides={"corpus.files": tuple(map(str, corpus))})
    device = choose_device(wanted.training.device)
    if out is not None:
        _refuse_foreign(Path(out))
    wanted, split = read_corpus(wanted, listener=listener)
    path = Path(out) if out is not None else fresh_run_path(wanted.corpus.files[0], preset)
    folder = RunFolder(path)
    if folder.is_run():
        return _go_on(folder, wanted, listener)
    _begin(folder, wanted, Manifest(created=now(), preset=preset))
    with run_lock(path):
        try:
            tokenizer = make_tokenizer(wanted, split, listener=listener)
            store = make_store(split, tokenizer, listener=listener)
            make_batches(wanted, store)
        except Exception:
            shutil.rmtree(path, ignore_errors=True)  # nothing was trained yet
            raise
        _record_data(folder, wanted, split, tokenizer)
        return _train(folder, wanted, device, store, listener)


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
    folder = open_folder(path)
    return _go_on(folder, resolve(base=folder.read_config(), overrides=overrides), listener)


def fork(
    address: str,
    *,
    out: Path | str | None = None,
    overrides: Overrides = (),
    listener: Listener = SILENT,
) -> Run:
    """Begin a new run from a checkpoint of another, with changed settings.

    The fork keeps the parent's tokenizer, weights, optimizer state, place in the data and
    metrics up to that step; its manifest lists every setting that changed.

    Args:
        address: ``RUN@STEP`` (or ``RUN@best``, ``RUN@latest``, ``RUN``: the newest).
        out: the new run's folder; a free one beside the parent unless given.
        overrides: settings to change. The tokenizer's cannot, and the model's only where every
            weight keeps its shape.
        listener: who watches.
    """
    parent = open_run(address if "@" in address else f"{address}@latest")
    checkpoint = parent.checkpoint
    config = resolve(base=parent.config, overrides=overrides)
    changed = differences(parent.config, config)
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
    device = choose_device(config.training.device)
    checkpoint.verify()
    model = make_model(config, parent.tokenizer)
    checkpoint.load_model(model)
    optimizer = make_optimizer(config, model)
    load_optimizer_tensors(optimizer, model, checkpoint.optimizer_tensors())
    same_data = not any(key.startswith("corpus.") or key == "seed" for key in changed)
    if same_data:
        store, manifest = (
            find_store(parent.folder, config, parent.manifest, listener=listener),
            (parent.manifest),
        )
    else:
        config, split = read_corpus(config, listener=listener)
        store = make_store(split, parent.tokenizer, listener=listener)
        manifest = parent.manifest.model_copy(
            update={
                "fingerprints": fingerprints(split, parent.tokenizer),
                "split": split.facts.to_json(),
            }
        )
    make_batches(config, store)
    folder = RunFolder(Path(out) if out is not None else _free_beside(parent.path, checkpoint.step))
    _refuse_foreign(folder.path)
    if folder.is_run():
        raise RunError(f"{folder.path} is a run already; name another folder with --out.")
    origin = Origin(run=parent.name, step=checkpoint.step, changed=changed)
    manifest = manifest.model_copy(
        update={"created": now(), "forked_from": origin, "sessions": (), "settings": {}}
    )
    _begin(folder, config, manifest)
    with run_lock(folder.path):
        shutil.copyfile(parent.folder.tokenizer_file, folder.tokenizer_file)
        for name in ("metrics", "samples"):
            for entry in getattr(parent.folder, name).entries():
                if entry["step"] <= checkpoint.step:
                    getattr(folder, name).append(entry)
        state = checkpoint.state()
        if state.best is not None and state.best["step"] != checkpoint.step:
            state.best = None  # those weights stay with the parent
        save_checkpoint(folder.path, model, optimizer_tensors(optimizer, model), state)
        for key, (old, new) in changed.items():
            listener.notice(f"changed: {key} from {old} to {new}")
        return _train(folder, config, device, store, listener)


def _go_on(folder: RunFolder, config: RunConfig, listener: Listener) -> Run:
    """Resume the run at ``folder`` under ``config``, which may differ where that is harmless."""
    device = choose_device(config.training.device)
    with run_lock(folder.path):
        manifest = folder.read_manifest()
        recorded = check(dict(manifest.settings))
        changed = differences(recorded, config)
        refused = {key: values for key, values in changed.items() if not _changeable(key)}
        if refused:
            lines = "\n".join(
                f"  {key}: the run has {old}, asked for {new}"
                for key, (old, new) in refused.items()
            )
            raise RunError(
                f"{folder.path} cannot go on with other settings than it was trained with:\n"
                f"{lines}\nTo train on from it with these, fork it: hornbook train --from "
                f"{folder.path}"
            )
        if manifest.fingerprints is None:  # it was killed before its first step
            config, split = read_corpus(config, listener=listener)
            tokenizer = make_tokenizer(config, split, listener=listener)
            store = make_store(split, tokenizer, listener=listener)
            _record_data(folder, config, split, tokenizer)
        else:
            store = find_store(folder, config, manifest, listener=listener)
        for key, (old, new) in changed.items():
            listener.notice(f"changed: {key} from {old} to {new}")
        return _train(folder, config, device, store, listener, changed)


def _train(
    folder: RunFolder,
    config: RunConfig,
    device: torch.device,
    store: Any,
    listener: Listener,
    changed: Mapping[str, tuple[Any, Any]] | None = None,
) -> Run:
    """Run the loop; the caller holds the lock, and the folder has a tokenizer."""
    run = Run(folder)
    loop = TrainingLoop(
        folder, config, folder.read_tokenizer(), make_batches(config, store), device, listener
    )
    done = list_checkpoints(folder.path)
    begun_at = done[-1].step if done else 0
    if begun_at >= loop.last_step:
        listener.notice(
            f"{folder.path} is finished at step {begun_at}; give it more with training.steps=…"
        )
        return run
    session = Session(
        started=now(),
        from_step=begun_at,
        software=software(),
        hardware=hardware(str(device)),
        changed=dict(changed or {}),
    )
    manifest = folder.read_manifest()
    folder.write_config(config)
    manifest.model_copy(
        update={
            "settings": config.model_dump(mode="json"),
            "sessions": (*manifest.sessions, session),
        }
    ).write(folder.path)
    outcome = loop.run()
    write_report(run)
    if outcome.signal is not None:
        raise Interrupted(run, outcome)
    return run


def _begin(folder: RunFolder, config: RunConfig, manifest: Manifest) -> None:
    """Make the folder with its settings, so that it can be resumed from now on."""
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        manifest = manifest.model_copy(update={"settings": config.model_dump(mode="json")})
        manifest.write(folder.path)
        folder.write_config(config)
    except OSError as error:
        raise RunError(
            f"The run's folder {folder.path} cannot be written: {error.strerror or error}. Name "
            "another with --out."
        ) from error


def _record_data(folder: RunFolder, config: RunConfig, split: Any, tokenizer: Any) -> None:
    """Write the tokenizer and say what the run is trained on."""
    tokenizer.save(folder.tokenizer_file)
    manifest = folder.read_manifest()
    manifest.model_copy(
        update={
            "settings": config.model_dump(mode="json"),
            "fingerprints": fingerprints(split, tokenizer),
            "split": split.facts.to_json(),
            "tokenizer_checksum": file_checksum(folder.tokenizer_file),
        }
    ).write(folder.path)


def _refuse_foreign(path: Path) -> None:
    """Refuse a folder that holds something else than a run."""
    if RunFolder(path).is_run() or not os.path.lexists(path):
        return
    if not path.is_dir():
        raise RunError(f"{path} exists and is not a folder; name another with --out.")
    if any(path.iterdir()):
        raise RunError(
            f"{path} exists, is not empty and is not a run; name another folder with --out."
        )


def _changeable(key: str) -> bool:
    return any(key.startswith(name) if name.endswith(".") else key == name for name in CHANGEABLE)


def _free_beside(parent: Path, step: int) -> Path:
    path, number = parent.with_name(f"{parent.name}-from-{step}"), 2
    while path.exists():
        path, number = parent.with_name(f"{parent.name}-from-{step}-{number}"), number + 1
    return path
