"""Memory that a step gives back is kept for the next step, instead of fetched anew.

A step makes and frees the same tensors over and over. The C library of Linux gives large ones back
to the system at once, and takes them from it again, as pages that the system first fills with
zeros; a step of the preset small fetches some ten thousand so. Told to keep what it has, it hands
out the same pages again:

    one thread of a Zen 4, ms a step            given back    kept
    1 layer of 64, tables of 1.3 million              22.8    22.0
    4 layers of 128, nanoGPT's recipe                 41.6    39.3
    2 layers of 128, tables of 8.4 million             108      88

Other systems, and Linux with another C library (musl), keep their ways.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# From glibc's <malloc.h>. Once it was told anything, glibc no longer adapts itself, so afterwards
# it is told what it comes to in a process that has freed a tensor of 32 MB. With the values that it
# begins with, each tensor above 128 kB would be fetched anew for ever: a step of nanoGPT's recipe
# took 71 ms and thousands of pages instead of 61 ms and none.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_AFTERWARDS = {_TRIM_THRESHOLD: 64 << 20, _TOP_PAD: 0, _MMAP_THRESHOLD: 32 << 20}
_KEEPING = {_TRIM_THRESHOLD: (1 << 31) - 1, _TOP_PAD: 64 << 20, _MMAP_THRESHOLD: 1 << 30}


@contextmanager
def memory_kept() -> Iterator[bool]:
    """Within it the process keeps what it frees; afterwards all of it goes back to the system.

    Yields:
        whether that is so here.
    """
    library = _c_library()
    kept = library is not None and _set(library, _KEEPING)
    try:
        yield kept
    finally:
        if kept and library is not None:
            _set(library, _AFTERWARDS)
            library.malloc_trim(0)


def can_keep_memory() -> bool:
    """Whether ``memory_kept`` does anything here."""
    return _c_library() is not None


def _c_library() -> Any | None:
    """The C library, if it is one that can be told; glibc is."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


def _set(library: Any, values: dict[int, int]) -> bool:
    return all(library.mallopt(name, value) == 1 for name, value in values.items())
