"""Is everything in a run as it was written? Every checksum, every line, every part."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hornbook.data import TokenStore
from hornbook.durable import file_checksum
from hornbook.errors import HornbookError, RunError
from hornbook.listener import SILENT, Listener
from hornbook.runs.checkpoints import Checkpoint, list_checkpoints
from hornbook.runs.folder import RunFolder, open_folder
from hornbook.runs.journal import Journal
from hornbook.runs.resolution import check, differences


def verify_run(path: Path | str, *, listener: Listener = SILENT) -> list[str]:
    """Check every file of the run at ``path`` against what was written.

    Returns:
        the names of what was checked, in order.

    Raises:
        RunError: naming everything that is damaged, not only the first.
    """
    folder = open_folder(path)
    checks: dict[str, Callable[[], None]] = {
        "manifest.json and run.toml": lambda: _verify_settings(folder),
        "tokenizer.json": lambda: _verify_tokenizer(folder),
    }
    for journal in folder.journals:
        if journal.path.exists():
            checks[journal.path.name] = partial(_verify_journal, journal)
    for checkpoint in list_checkpoints(folder.path):
        checks[f"checkpoints/{checkpoint.folder.name}"] = partial(_verify_checkpoint, checkpoint)
    if folder.data.is_dir():
        checks["data"] = lambda: TokenStore.open(folder.data).verify()
    problems = []
    with listener.progress("verifying", total=len(checks), unit="parts") as progress:
        for name, run_check in checks.items():
            try:
                run_check()
            except HornbookError as error:
                problems.append(f"  {name}: {error}")
            progress.advance(1)
    if problems:
        raise RunError(f"{path} is damaged:\n" + "\n".join(problems))
    return list(checks)


def _verify_settings(folder: RunFolder) -> None:
    recorded = check(dict(folder.read_manifest().settings))
    changed = differences(recorded, folder.read_config())
    if changed:
        raise RunError(
            "run.toml was changed since training last began: "
            + ", ".join(f"{key} from {old} to {new}" for key, (old, new) in changed.items())
        )


def _verify_tokenizer(folder: RunFolder) -> None:
    expected = folder.read_manifest().tokenizer_checksum
    if expected is None:  # the run was stopped before it had one
        return
    if not folder.tokenizer_file.is_file():
        raise RunError("the file is missing")
    found = file_checksum(folder.tokenizer_file)
    if found != expected:
        raise RunError(f"its SHA-256 is {found[:12]}… but {expected[:12]}… was written")


def _verify_checkpoint(checkpoint: Checkpoint) -> None:
    try:
        checkpoint.verify()
    except RunError:
        if checkpoint.folder.exists():  # else the run is in training and has deleted it
            raise


def _verify_journal(journal: Journal) -> None:
    before = -1
    lines = journal.path.read_bytes().split(b"\n")[:-1]
    for number, line in enumerate(lines, start=1):
        try:
            step = json.loads(line)["step"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"line {number} is damaged ({error})") from error
        if step <= before:
            raise RunError(f"line {number} is about step {step}, after one about step {before}")
        before = step
