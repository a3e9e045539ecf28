"""Where compiled kernels lie: known without importing a compiler."""

from __future__ import annotations

import hashlib
import sys
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from hornbook.cache import cache_folder


@lru_cache(maxsize=8)
def kernel_folder(sources: Path) -> Path:
    """Return the folder for the kernels of one source folder, as it stands now.

    Its name is a checksum of every source file there, of how kernels are made, and of the
    versions of Numba and Python; so code that was compiled from anything else lies elsewhere.
    """
    digest = hashlib.sha256(f"{version('numba')} {sys.version}".encode())
    for path in [Path(__file__).with_name("kernels.py"), *sorted(sources.glob("*.py"))]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return cache_folder() / "kernels" / f"{sources.name}-{digest.hexdigest()[:24]}"
