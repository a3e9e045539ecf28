"""Batches gathered ahead in a thread, so that a step never waits for its data.

    thread    gather 1 | gather 2 | gather 3 |        waits: two steps lie ready
    step                  1 · · · · · · · · · | 2 · · · · · · · · · | 3 …

A batch is a function of its place in the run, so what was gathered and never used is simply
gathered again after a resume, and training is the same with the thread as without.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from typing import cast

import torch

from hornbook.data.batch import Batch
from hornbook.data.overlap import read_ahead

READY = 2
"""Steps whose batches lie ready: one is taken while the next is gathered."""


class BatchLoader:
    """The batches of one step after another, already on their device; a context manager.

    Leaving the block ends the thread, whether training came to its end or an error did.

    Args:
        steps: the micro-batches of each step; only the thread reads it.
        device: where they are to be.
        ready: how many steps may be gathered before they are asked for.

    Attributes:
        waited: how long ``next_step`` has waited [seconds].

    >>> batch = Batch(torch.tensor([[1, 2]]), torch.tensor([[2, 3]]), real_targets=2)
    >>> with BatchLoader(iter([[batch], [batch]]), torch.device("cpu")) as loader:
    ...     len(loader.next_step())
    1
    """

    def __init__(
        self, steps: Iterator[list[Batch]], device: torch.device, ready: int = READY
    ) -> None:
        # Moving happens in the thread as well: to pin memory takes longer than to gather.
        moved = ([part.to(device) for part in parts] for parts in steps)
        self._ahead = cast(Generator[list[Batch]], read_ahead(moved, ready))
        self.waited = 0.0

    def next_step(self) -> list[Batch]:
        """The micro-batches of the next step.

        Raises:
            StopIteration: when there are no more steps.
            Exception: whatever gathering them raised.
        """
        began = time.perf_counter()
        try:
            return next(self._ahead)
        finally:
            self.waited += time.perf_counter() - began

    def __enter__(self) -> BatchLoader:
        return self

    def __exit__(self, *_: object) -> None:
        self._ahead.close()
