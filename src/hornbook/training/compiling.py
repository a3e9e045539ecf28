"""The pass of a step, compiled where that works, and as it is where it does not.

``torch.compile`` turns the forward and backward pass into a few fused kernels. It needs a compiler
of its own (Triton on CUDA, a C++ compiler on a CPU), takes up to a minute before the first step,
and can fail in many ways. None of them may end a run: the step that failed is computed again
without it, from the same random numbers, and so are all that follow.

    steps    1         2         3
             compile   compiled  compiled
             fails ──► eager     eager        "compiling failed (…); training goes on without"

Every shape of batch is compiled for itself. A kernel for all shapes would be made when the second
shape comes, and a resumed run, which meets them at other steps, would round otherwise.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from hornbook.listener import Listener
from hornbook.runs.config import RunConfig

BACKEND = "inductor"
"""Which of PyTorch's compilers."""

FEWEST_STEPS = 1000
"""In a shorter run compiling takes longer than it saves."""

MOST_SHAPES = 64
"""Shapes of batches that are compiled; the others run as they are."""


@dataclass(frozen=True, slots=True)
class CompileChoice:
    """Whether to compile, and why, in words that can stand in brackets."""

    compiled: bool
    reason: str

    def __str__(self) -> str:
        """For a person.

        >>> str(CompileChoice(False, "as asked for"))
        'not compiled (as asked for)'
        """
        return f"{'compiled' if self.compiled else 'not compiled'} ({self.reason})"


def choose_compile(config: RunConfig, device: torch.device) -> CompileChoice:
    """Turn ``training.compile`` into a choice that can work.

    >>> choose_compile(RunConfig(), torch.device("cpu"))
    CompileChoice(compiled=False, reason='as asked for')
    """
    wanted = config.training.compile
    if wanted is False:
        return CompileChoice(False, "as asked for")
    obstacle = _obstacle(config, device)
    if obstacle:
        return CompileChoice(False, obstacle)
    if wanted is True:
        return CompileChoice(True, "as asked for")
    if device.type != "cuda":
        return CompileChoice(False, f"auto: seldom worth its time on {device.type}")
    if config.training.steps < FEWEST_STEPS:
        return CompileChoice(False, f"auto: not worth its time in {config.training.steps} steps")
    return CompileChoice(True, "auto: fewer and larger kernels")


def _obstacle(config: RunConfig, device: torch.device) -> str | None:
    """What stands against compiling, if anything that is known does."""
    if config.model.kind != "transformer":
        return f"model.kind={config.model.kind} runs in kernels that cannot be compiled"
    if device.type == "cuda" and find_spec("triton") is None:
        return "there is no Triton here, which makes kernels for CUDA"
    segmented = config.data.windows != "stream" or config.training.carry_state
    if device.type == "cpu" and segmented:
        windows = config.data.windows
        return f"data.windows={windows} gives every batch a shape of its own on a CPU"
    return None


class Pass:
    """Calls a module: compiled, until that has failed once.

    Args:
        module: what is called, such as a ``BatchLoss``.
        compiled: whether to compile.
        listener: told why compiling failed.
    """

    def __init__(self, module: nn.Module, *, compiled: bool, listener: Listener) -> None:
        self._module, self._listener = module, listener
        self._call: Any = module
        self.compiled = False
        if compiled:
            try:
                self._call = torch.compile(module, backend=BACKEND, dynamic=False)
                self.compiled = True
            except Exception as error:  # such as a version of Python that is not supported
                self._tell(error)

    def __call__(self, *arguments: Any) -> Any:
        """Call the module."""
        return self._call(*arguments)

    def go_on_without(self, error: Exception) -> bool:
        """After an ``error`` in a pass: whether it may be tried again, now without compiling."""
        if not self.compiled:
            return False
        self.stop_compiling()
        self._tell(error)
        return True

    def stop_compiling(self) -> None:
        """From now on call the module as it is."""
        self._call, self.compiled = self._module, False

    def _tell(self, error: Exception) -> None:
        self._listener.notice(f"compiling failed ({reason_of(error)}); training goes on without")


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
