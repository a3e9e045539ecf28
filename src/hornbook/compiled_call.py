"""A function, compiled where that works, and as it is where it does not.

``torch.compile`` turns a function's operations into a few fused kernels. It needs a compiler of its
own (Triton on CUDA, a C++ compiler on a CPU) and can fail in many ways. None of them may end a run
or a text: what failed is computed again without it, and so is all that follows.

    call      1         2         3
              compile   compiled  compiled
              fails ──► eager     eager        "compiling failed (…); training goes on without"
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from hornbook.listener import Listener

BACKEND = "inductor"
"""Which of PyTorch's compilers."""

MOST_SHAPES = 64
"""Shapes of arguments that are compiled; the others run as they are."""


class CompiledCall:
    """Calls a function or a module: compiled, until that has failed once.

    Args:
        function: what is called.
        compiled: whether to compile.
        dynamic: whether a kernel may serve several shapes; see ``torch.compile``.
        what: what goes on without, for a person.
        listener: told why compiling failed.

    Attributes:
        compiled: whether calls are compiled, still.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        compiled: bool,
        dynamic: bool | None = False,
        what: str = "training",
        listener: Listener,
    ) -> None:
        self._function, self._what, self._listener = function, what, listener
        self._call: Any = function
        self.compiled = False
        if compiled:
            try:
                self._call = torch.compile(function, backend=BACKEND, dynamic=dynamic)
                self.compiled = True
            except Exception as error:  # such as a version of Python that is not supported
                self._tell(error)

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return self._call(*arguments)

    def go_on_without(self, error: Exception) -> bool:
        """After an ``error`` in a call: whether it may be tried again, now without compiling."""
        if not self.compiled:
            return False
        self.stop_compiling()
        self._tell(error)
        return True

    def stop_compiling(self) -> None:
        """From now on call the function as it is."""
        self._call, self.compiled = self._function, False

    def _tell(self, error: Exception) -> None:
        self._listener.notice(
            f"compiling failed ({reason_of(error)}); {self._what} goes on without"
        )


@contextmanager
def compiler_in_use(*, compiled: bool) -> Iterator[None]:
    """Within it, as many shapes are compiled as a batch that grows may have."""
    if not compiled:
        yield
        return
    from torch._dynamo import config as dynamo  # takes a second to import

    with (
        dynamo.patch(recompile_limit=MOST_SHAPES),  # pyright: ignore[reportAttributeAccessIssue]
        warnings.catch_warnings(),
    ):
        # It sees through functions that remember what they gave; ours always give the same.
        warnings.filterwarnings("ignore", message=".*functools.lru_cache.*")
        yield


def reason_of(error: BaseException) -> str:
    """The first line that says something, of the error that caused the others.

    >>> try:
    ...     raise RuntimeError("backend failed") from OSError("no compiler: g++ was not found")
    ... except RuntimeError as error:
    ...     reason_of(error)
    'OSError: no compiler: g++ was not found'
    """
    cause: BaseException = error
    while True:
        inner = getattr(cause, "inner_exception", None) or cause.__cause__
        if not isinstance(inner, BaseException):
            break
        cause = inner
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    first = lines[0] if lines else "no words"
    return f"{type(cause).__name__}: {first[:200]}"
