"""Whether the pass of a step is compiled (``CompiledCall``).

``torch.compile`` turns the forward and backward pass into a few fused kernels. It takes up to a
minute before the first step. Where it fails, the step is computed again without it, from the same
random numbers, and so are all that follow.

Every shape of batch is compiled for itself. A kernel for all shapes would be made when the second
shape comes, and a resumed run, which meets them at other steps, would round otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import torch

from hornbook.runs.config import RunConfig

FEWEST_STEPS = 1000
"""In a shorter run compiling takes longer than it saves."""


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
