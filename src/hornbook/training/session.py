"""One stretch of training in one process: what a new run, a resume and a fork share.

A run's folder appears with its settings inside (``new_folder``), so that it can be resumed
from that moment on; then it learns what it is trained on (``record_data``); then ``run_session``
trains it from its newest checkpoint. The caller holds the run's lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hornbook.corpora import CorpusSplit
from hornbook.data import PackedBatches, TokenStore, TrainingBatches
from hornbook.data.dealing import leak
from hornbook.data.token_store import Side
from hornbook.durable import durable_folder, file_checksum, remove_unfinished
from hornbook.errors import ConfigError, HornbookError, Problem, RunError
from hornbook.inspection import write_report
from hornbook.listener import Listener
from hornbook.runs.assembly import Batches, fingerprints, make_batches
from hornbook.runs.checkpoints import set_aside_newer
from hornbook.runs.config import RunConfig
from hornbook.runs.folder import RunFolder
from hornbook.runs.manifest import Manifest, Session, hardware, now, software
from hornbook.runs.run import Run
from hornbook.tokenizers import Tokenizer
from hornbook.training.equipment import Equipment
from hornbook.training.expected_memory import expect_memory
from hornbook.training.loop import Outcome, TrainingLoop

Changes = Mapping[str, tuple[Any, Any]]
"""Settings that differ from those of before: dotted key to (old, new)."""


class Interrupted(RunError):  # noqa: N818 - it says what happened
    """A signal ended training at a step boundary, with a checkpoint.

    Attributes:
        run: the run, ready to be resumed.
        outcome: the step reached and the signal.
    """

    on_every_rank = True

    def __init__(self, run: Run, outcome: Outcome) -> None:
        self.run, self.outcome = run, outcome
        super().__init__(
            f"Stopped at step {outcome.step} with a checkpoint. Go on with: hornbook train "
            f"--resume {run.path}"
        )


def refuse_foreign(path: Path) -> None:
    """Raise ``RunError`` if ``path`` holds something else than a run."""
    above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not above.is_dir():
        raise RunError(f"{above} is not a folder, so {path} cannot lie in it; see --out.")
    if RunFolder(path).is_run() or not os.path.lexists(path):
        return
    if not path.is_dir():
        raise RunError(f"{path} exists and is not a folder; name another with --out.")
    if any(path.iterdir()):
        raise RunError(
            f"{path} exists, is not empty and is not a run; name another folder with --out."
        )


def refuse_taken(path: Path) -> None:
    """Raise ``RunError`` if no new run can begin at ``path``."""
    refuse_foreign(path)
    if RunFolder(path).is_run():
        raise RunError(f"{path} is a run already; name another folder with --out.")


@contextmanager
def new_folder(path: Path) -> Iterator[RunFolder]:
    """Yield a run's folder to fill; it appears at ``path`` when the block ends, whole.

    Raises:
        RunError: when ``path`` holds something already, or cannot be written.
    """
    refuse_taken(path)
    try:
        with durable_folder(path) as aside:
            yield RunFolder(aside)
    except OSError as error:
        raise RunError(
            f"The run's folder {path} cannot be written: {error.strerror or error}. Name another "
            "with --out."
        ) from error


def write_settings(folder: RunFolder, config: RunConfig, manifest: Manifest) -> None:
    """Write ``run.toml`` and ``manifest.json`` with the same settings."""
    settings = config.model_dump(mode="json")
    folder.write_config(config)
    manifest.model_copy(update={"settings": settings}).write(folder.path)


def record_data(
    folder: RunFolder, config: RunConfig, split: CorpusSplit, tokenizer: Tokenizer
) -> None:
    """Write the tokenizer, and into the manifest what the run is trained on."""
    tokenizer.save(folder.tokenizer_file)
    trained_on = {
        "fingerprints": fingerprints(split, tokenizer),
        "split": split.facts.to_json(),
        "tokenizer_checksum": file_checksum(folder.tokenizer_file),
    }
    write_settings(folder, config, folder.read_manifest().model_copy(update=trained_on))


def make_loop(
    folder: RunFolder,
    config: RunConfig,
    store: TokenStore,
    equipment: Equipment,
    listener: Listener,
    from_step: int | None = None,
    *,
    rehearsed: bool = False,
) -> TrainingLoop:
    """The loop over a run that has its tokenizer, ready at its newest whole checkpoint.

    Args:
        folder: the run.
        config: its settings.
        store: its tokens.
        equipment: what to train with.
        listener: who watches.
        from_step: the checkpoint to begin from, 0 for none, where that is not to be looked for.
        rehearsed: whether it is only looked at; then a step may be too large for the memory.

    Raises:
        ConfigError: when a setting does not fit the vocabulary.
        DataError: when a side is too short for a single window.
        RunError: when model or step do not fit into memory, or no checkpoint is whole.
    """
    batches = make_batches(config, store)
    _tell_of_leak(batches, listener)
    if isinstance(batches.training, PackedBatches):
        listener.notice(batches.training.windows.summary)
    tokenizer = folder.read_tokenizer()
    _tell_of_unknown(store, tokenizer, listener)
    if config.sampling.top_k > tokenizer.vocab_size:
        problem = f"is larger than the vocabulary; use 0 to {tokenizer.vocab_size}"
        raise ConfigError([Problem("sampling.top_k", problem, str(config.sampling.top_k))])
    expect_memory(config, equipment, tokenizer.vocab_size, listener, rehearsed=rehearsed)
    return TrainingLoop(folder, config, tokenizer, batches, equipment, listener, from_step)


@dataclass(frozen=True)
class Prepared:
    """A stretch of training that may begin.

    Attributes:
        loop: ready.
        place: where the run lies; that of ``loop`` itself unless it is only rehearsed.
        changed: settings that differ from those of before.
        split: the text, where it was read just now.
    """

    loop: TrainingLoop
    place: Path
    changed: Changes = field(default_factory=dict)
    split: CorpusSplit | None = None


def _tell_of_leak(batches: Batches, listener: Listener) -> None:
    """Warn of windows on both sides that share tokens, and say how many."""
    training = batches.training
    if not isinstance(training, TrainingBatches) or training.deal is None:
        return
    share = leak(training.windows, training.deal)
    advice = "; data.split=text measures on new text" if share else ""
    listener.notice(
        f"split=window: {training.deal.held:,} of {training.deal.count:,} windows are kept for "
        f"validation, and {share:.1%} of their targets also stand in training windows{advice}"
    )


def _tell_of_unknown(store: TokenStore, tokenizer: Tokenizer, listener: Listener) -> None:
    """Warn where part of the text that is measured on is outside the vocabulary: say how much."""
    if tokenizer.unknown_id is None:
        return
    # Where windows are dealt to both sides, the training side holds the text of both.
    side: Side = "validation" if len(store.validation) else "training"
    tokens = store.side(side)
    unknown = sum(tokenizer.unknown_among(shard) for shard, _ in tokens.shards())
    if unknown:
        listener.notice(
            f"{unknown:,} of {len(tokens):,} {side} tokens are <?>, for text outside the "
            "vocabulary. Loss and bits per byte take each for a sign that was read, so they do not "
            'compare with those of another vocabulary; tokenizer.unknown="bytes" loses nothing'
        )


def run_session(loop: TrainingLoop, changed: Changes | None = None) -> Run:
    """Train from the newest checkpoint to the last step, and write the report.

    Of several ranks this is what the first does; the others ``follow``.

    Raises:
        Interrupted: when a signal stopped it.
        TrainingStopped: when it could not go on.
    """
    folder, listener = loop.folder, loop.listener
    run = Run(folder)
    for place in (folder.path, folder.path / "checkpoints"):
        remove_unfinished(place)
    begins_at = loop.state.step
    if begins_at >= loop.last_step:
        listener.notice(
            f"{folder.path} is finished at step {begins_at}; give it more with training.steps=…"
        )
        loop.equipment.ranks.announce(plan_of(loop, trains=False))
        return run
    for place in set_aside_newer(folder.path, begins_at):
        listener.notice(f"set aside: {place}")
    for key, (old, new) in (changed or {}).items():
        listener.notice(f"changed: {key} from {old} to {new}")
    listener.notice(f"trains on {loop.equipment}")
    with loop.equipment.in_use():
        _record_session(loop, changed or {})
        loop.equipment.ranks.announce(plan_of(loop, trains=True))
        outcome = loop.run()
    try:
        write_report(run)
    except HornbookError as error:  # the run itself is whole, and can be reported later
        listener.notice(f"no report was written: {error}")
    if outcome.signal is not None:
        raise Interrupted(run, outcome)
    return run


def plan_of(loop: TrainingLoop, *, trains: bool) -> dict[str, Any]:
    """What the other ranks must know of the loop that the first one is about to run."""
    return {
        "folder": str(loop.folder.path.absolute()),
        "config": loop.config.model_dump(mode="json"),
        "from_step": loop.state.step,
        "trains": trains,
    }


def _record_session(loop: TrainingLoop, changed: Changes) -> None:
    folder, config = loop.folder, loop.config
    session = Session(
        started=now(),
        from_step=loop.state.step,
        software=software(),
        hardware=hardware(str(loop.device)) | loop.equipment.facts(),
        changed=dict(changed),
    )
    manifest = folder.read_manifest()
    manifest = manifest.model_copy(update={"sessions": (*manifest.sessions, session)})
    try:
        write_settings(folder, config, manifest)
    except OSError as error:
        raise RunError(f"{folder.path} cannot be written: {error.strerror or error}.") from error
