"""When a step does not fit into memory: how much of it would? It is tried, not guessed.

24 windows at once   too much
12                   too much
 6                   fits          "set training.micro_batch_size=6"
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from hornbook.data import Batch
from hornbook.runs.memory import is_out_of_memory
from hornbook.targets import IGNORED_TARGET


@dataclass(frozen=True, slots=True)
class Fitting:
    """What was tried.

    Attributes:
        refused: numbers of windows that did not fit, largest first.
        fits: the first that did, or ``None``.
    """

    refused: tuple[int, ...]
    fits: int | None

    def __str__(self) -> str:
        """For a person.

        >>> str(Fitting((24, 12), 6)), str(Fitting((2, 1), None))
        ('24 and 12 windows at once did not fit, 6 do', '2 and 1 windows at once did not fit')
        """
        refused = " and ".join(map(str, self.refused))
        text = f"{refused} window{'' if self.refused == (1,) else 's'} at once did not fit"
        return text if self.fits is None else f"{text}, {self.fits} do{'es' * (self.fits == 1)}"


def find_fitting(windows: int, attempt: Callable[[int], None]) -> Fitting:
    """Halve the number of windows until ``attempt`` does not run out of memory.

    Args:
        windows: what was refused already.
        attempt: does the work with so many; any other error than of memory passes through.

    >>> def up_to_eight(windows):
    ...     if windows > 8:
    ...         raise MemoryError
    >>> find_fitting(24, up_to_eight)
    Fitting(refused=(24, 12), fits=6)
    """
    refused = [windows]
    while refused[-1] > 1:
        fewer = refused[-1] // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        try:
            attempt(fewer)
            return Fitting(tuple(refused), fewer)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        refused.append(fewer)
    return Fitting(tuple(refused), None)


def first_rows(batch: Batch, count: int) -> Batch:
    """The first ``count`` rows of a batch."""
    targets = batch.targets[:count]
    return Batch(
        batch.tokens[:count],
        targets,
        int((targets != IGNORED_TARGET).sum()),
        None if batch.positions is None else batch.positions[:count],
        None if batch.segments is None else batch.segments[:count],
    )
