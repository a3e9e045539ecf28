"""Hot loops compiled once and kept: Python functions that Numba turns into machine code.

    @kernel
    def total(numbers):
        ...

A kernel is compiled at its first call, which takes seconds, and kept in the cache folder, from
where the next process has it in a tenth of one. What is kept is never taken for anything else:

- The folder's name is a checksum of every source file beside the kernel's own, so that a change
  in a function that a kernel calls counts too (Numba alone looks at the kernel's file only).
- Numba itself keeps its version, Python's, and the processor's name and features in the index.
- A file that cannot be read is made again; a folder that cannot be written is done without.
- Compiled code is code: a folder that others may write to is not used.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.runtime import rtsys

from hornbook.kernel_folder import kernel_folder
from hornbook.listener import SILENT, Listener

P = ParamSpec("P")
R = TypeVar("R")

_COMPILING = threading.RLock()
"""Numba's compiler serves one thread at a time; waiting for it here keeps the order of notices."""

_KEPT_FOR = 60 * 24 * 3600
"""How long compiled code that nothing uses any more is kept [seconds]."""


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function a kernel: compiled, cached, and run without the interpreter's lock."""
    return _kept(function, numba.njit(nogil=True, boundscheck=False)(function))


def summing_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """A kernel that may add floats in another order than is written, many of them at once.

    The order is the same each time on one kind of processor. Division by zero is no error, as it is
    none for tensors.
    """
    allowed = {"reassoc", "contract", "nsz"}  # not that infinities and NaN were left out
    return _kept(
        function,
        numba.njit(nogil=True, boundscheck=False, fastmath=allowed, error_model="numpy")(function),
    )


def _kept(function: Callable[P, R], dispatcher: Any) -> Callable[P, R]:
    """Keep what is compiled; but for the reasons at the top, Numba's ``cache=True`` would do."""
    dispatcher._cache = _KernelCache(function)
    return cast(Callable[P, R], dispatcher)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function a part of kernels: compiled with each of them, never called from Python."""
    return cast(Callable[P, R], numba.njit(nogil=True, boundscheck=False)(function))


def inlined_arithmetic(function: Callable[P, R]) -> Callable[P, R]:
    """A part of kernels that computes with floats in the order that is written, whoever calls it.

    A product and a sum may be rounded once, together. Division by zero is no error: to look for it
    would keep a loop from being done many numbers at once.
    """
    options: Any = {"fastmath": {"contract"}, "error_model": "numpy"}
    return cast(Callable[P, R], numba.njit(nogil=True, boundscheck=False, **options)(function))


@contextmanager
def compiling(what: str, count: int, listener: Listener = SILENT) -> Iterator[None]:
    """Tell a listener what is being compiled, if anything was: ``count`` kernels for ``what``."""
    with _COMPILING:
        before, began = _KernelCache.compiled, time.perf_counter()
        yield
        made = _KernelCache.compiled - before
        if made:
            seconds = time.perf_counter() - began
            kept = "" if _KernelCache.refused is None else f" and not kept: {_KernelCache.refused}"
            listener.notice(
                f"{what}: {made} of {count} kernels compiled in {seconds:.0f} s, once for this "
                f"machine{kept}"
            )


class _KernelLocator(_CacheLocator):
    """Where the compiled form of one function lies."""

    def __init__(self, folder: Path, line: int) -> None:
        self._folder = folder
        self._line = line

    def get_cache_path(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return str(self._folder)

    def ensure_cache_path(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _only_ours(self._folder):
            raise OSError(f"{self._folder} may be written to by others")
        _remove_old(self._folder.parent)

    def get_source_stamp(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._folder.name

    def get_disambiguator(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _KernelLocator:
        return cls(kernel_folder(Path(py_file).parent), py_func.__code__.co_firstlineno)


class _KernelCacheImpl(CompileResultCacheImpl):
    _locator_classes = [_KernelLocator]  # noqa: RUF012 - the form Numba asks for


class _KernelCache(FunctionCache):
    """Numba's cache for one function, which neither reads nor writes what it should not."""

    _impl_class = _KernelCacheImpl

    compiled = 0
    """How many kernels this process has compiled."""

    refused: str | None = None
    """Why compiled code could not be kept, if it could not."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        if not _only_ours(Path(self.cache_path)):
            return None
        try:
            # Numba would bring all that its compiler knows first, 0.17 s, of which code that is
            # compiled already calls the counting of references alone.
            rtsys.initialize(target_context)
            with self._guard_against_spurious_io_errors():
                return self._load_overload(sig, target_context)
        except Exception:  # whatever a damaged file makes Numba raise, compiling mends it
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        _KernelCache.compiled += 1
        try:
            try:
                super().save_overload(sig, data)
            except OSError:
                raise
            except Exception:  # an index that is damaged: begin a new one
                self.flush()
                super().save_overload(sig, data)
        except OSError as error:
            _KernelCache.refused = error.strerror or str(error)


def _only_ours(folder: Path) -> bool:
    try:
        found = folder.stat()
    except OSError:
        return False
    if not hasattr(os, "getuid"):  # Windows guards a person's cache folder itself
        return True
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _remove_old(kernels: Path) -> None:
    """Delete the compiled code of versions that nothing has used for long."""
    for folder in kernels.iterdir():
        newest = max((path.stat().st_atime for path in folder.glob("*")), default=time.time())
        if time.time() - newest > _KEPT_FOR:
            for path in folder.glob("*.nb*"):
                path.unlink(missing_ok=True)
