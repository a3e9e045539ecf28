"""Where hornbook keeps what it can get again: downloaded corpora, spooled input, prepared data."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder for everything that may be deleted at any time; it may not exist yet.

    ``HORNBOOK_CACHE`` names it; without it, ``hornbook`` inside ``XDG_CACHE_HOME``; without
    that, ``~/.cache/hornbook``. An empty variable counts as not set.
    """
    named = os.environ.get("HORNBOOK_CACHE")
    if named:
        return Path(named).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    parent = Path(shared).expanduser() if shared else Path.home() / ".cache"
    return (parent / "hornbook").absolute()
