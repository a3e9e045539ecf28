"""Who gathers a batch: NumPy at once, or compiled kernels where there is enough to gather.

    gathering = Gathering()
    gathering.by(tokens=4096)      # numpy_gathering: a small run never waits for a compiler
    gathering.prepare()            # ... unless it asks for one
    gathering.by(tokens=4096)      # kernel_gathering

Both give the same numbers to the bit, so a batch does not tell who gathered it. Numba is a
second to import and its kernels two to compile, once for a machine; NumPy gathers some 20
million tokens a second. So kernels come when NumPy has worked about as long as they would take.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from hornbook.data import numpy_gathering
from hornbook.data.batch import Batch
from hornbook.data.order import ExampleOrder
from hornbook.data.packing import PackedWindows
from hornbook.data.positions import Positions
from hornbook.data.token_store import LineIds, TokenSequence
from hornbook.data.windows import LineWindows
from hornbook.kernel_folder import kernel_folder

WORTH_LOADING, WORTH_COMPILING = 1 << 24, 1 << 26
"""How many tokens NumPy gathers before kernels are read from disk, or compiled."""


class Gatherer(Protocol):
    """What both modules can do; see ``numpy_gathering``."""

    def examples(self, order: ExampleOrder, first: int, number: int) -> NDArray[np.int64]:
        """The examples at these places of the run."""
        ...

    def stream_rows(
        self, sequence: TokenSequence, starts: NDArray[np.int64], length: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Inputs and targets of windows over a stream."""
        ...

    def line_batch(
        self,
        sequence: TokenSequence,
        windows: LineWindows,
        indices: NDArray[np.int64],
        line_ids: LineIds,
        positions: Positions,
        examples: NDArray[np.int64],
    ) -> Batch:
        """A batch of windows by line."""
        ...

    def packed_rows(
        self,
        sequence: TokenSequence,
        windows: PackedWindows,
        indices: NDArray[np.int64],
        pad: int,
    ) -> tuple[NDArray[np.int64], int]:
        """Tokens, targets, segments and places of packed rows, and how many targets count."""
        ...


class Gathering:
    """Counts what was gathered, and says who gathers next."""

    def __init__(self) -> None:
        self._tokens = 0
        self._gatherer: Gatherer = numpy_gathering
        self._prepared = False

    def by(self, tokens: int) -> Gatherer:
        """Who is to gather so many tokens now."""
        if not self._prepared:
            self._tokens += tokens
            if self._tokens > (WORTH_LOADING if kept() else WORTH_COMPILING):
                self.prepare()
        return self._gatherer

    def prepare(self) -> None:
        """Let kernels gather from now on; they are read or compiled at their first use."""
        self._gatherer = cast(Gatherer, import_module("hornbook.data.kernel_gathering"))
        self._prepared = True


def kept() -> bool:
    """Whether this machine has compiled these kernels as they stand, without loading any."""
    return any(kernel_folder(Path(__file__).parent).glob("kernel_gathering.*.nbi"))
