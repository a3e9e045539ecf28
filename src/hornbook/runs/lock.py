"""Only one process may train a run at a time; the system frees the lock if it dies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hornbook.errors import RunError


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the run at ``folder`` while the block runs.

    Raises:
        RunError: when another process holds it, or the folder cannot be written.
    """
    path = folder / ".lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error.strerror or error}.") from error
    try:
        try:
            _lock(handle)
        except OSError as error:
            raise RunError(
                f"{folder} is being trained by another process. Wait for it, or stop it."
            ) from error
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
