"""Files and folders that are whole or absent, whatever happens to the power.

Everything is written aside, flushed to the disk, and renamed into its place in one step.

    write_durably(Path("run.toml"), b"seed = 1\\n")

    with durable_folder(Path("checkpoints/step-00000500")) as aside:
        (aside / "model.safetensors").write_bytes(weights)
    # the folder appears under its name only here, complete
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ASIDE = ".aside-"
"""Names that start with this are unfinished work of a process; see ``remove_unfinished``."""
ABANDONED_AFTER = 3600.0
"""Unfinished work that nobody has written to for so long is a killed process's [seconds]."""


def write_durably(path: Path, content: bytes) -> None:
    """Replace the file at ``path`` by ``content``: a reader sees the old bytes or the new.

    Raises:
        OSError: when the disk is full or the folder cannot be written; the old file stays.
    """
    aside = path.with_name(f"{ASIDE}{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def durable_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; on success it becomes ``path`` in one rename.

    A folder already at ``path`` is replaced. On any exception the unfinished folder is
    removed and ``path`` is left as it was.

    Raises:
        OSError: when the disk is full or the place cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{ASIDE}{path.name}-{uuid.uuid4().hex[:8]}")
    aside.mkdir()
    try:
        yield aside
        for item in sorted(aside.rglob("*")):
            if item.is_file():
                sync_file(item)
            else:
                sync_folder(item)
        sync_folder(aside)
        if path.exists():
            replaced = path.with_name(f"{ASIDE}replaced-{uuid.uuid4().hex[:8]}")
            os.replace(path, replaced)
            os.replace(aside, path)
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            os.replace(aside, path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    sync_folder(path.parent)


def remove_unfinished(folder: Path, *, idle_seconds: float = 0.0) -> None:
    """Delete what a killed process left half-written directly inside ``folder``.

    Args:
        folder: where to look; it need not exist.
        idle_seconds: spare what was written to more recently than that. Leave it at 0 only
            while holding a lock that keeps other writers out of ``folder``.
    """
    if not folder.is_dir():
        return
    for item in folder.iterdir():
        if item.name.startswith(ASIDE) and time.time() - _last_written(item) >= idle_seconds:
            if item.is_dir():
                shutil.rmtree(item, ignore_errors=True)
            else:
                item.unlink(missing_ok=True)


def _last_written(item: Path) -> float:
    """When a file, or anything inside a folder, was last written [seconds since 1970]."""
    times = [0.0]
    for path in (item, *item.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # its owner may be at work on it
            times.append(path.stat().st_mtime)
    return max(times)


def sync_file(path: Path) -> None:
    """Flush a finished file's content to the disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Flush a folder's list of names to the disk, where the system can do so."""
    if os.name == "nt":  # Windows has no handle on a folder that could be flushed
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_checksum(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal, read in bounded memory."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
