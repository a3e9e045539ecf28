"""Batches whose rows go on where they stopped, for models that carry a state from step to step.

The stream is dealt out to the rows of a batch, and every row reads its own stretch from front
to back, a window a step (truncated back-propagation through time, Williams and Peng, 1990):

    stream of 7 windows, 2 rows      row 0    0 1 2        row 1    3 4 5        left over: 6
    batch of step 0: 0, 3            batch of step 1: 1, 4               batch of step 2: 2, 5

Which windows are left over, fewer than there are rows, changes from epoch to epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hornbook.data.batch import Batch
from hornbook.data.token_store import TokenSequence
from hornbook.data.windows import StreamWindows
from hornbook.errors import DataError
from hornbook.randomness import stream_seed


@dataclass(frozen=True, slots=True)
class ConsecutiveOrder:
    """An endless order of windows: place k of the run belongs to row ``k % rows``.

    Attributes:
        windows: how many there are.
        rows: examples in one step.
        seed: picks which windows an epoch leaves over.

    Raises:
        DataError: when there are fewer windows than rows.

    >>> order = ConsecutiveOrder(windows=6, rows=2, seed=1)
    >>> order.examples(0, 2).tolist(), order.examples(2, 2).tolist(), order.examples(4, 2).tolist()
    ([0, 3], [1, 4], [2, 5])
    """

    windows: int
    rows: int
    seed: int

    def __post_init__(self) -> None:
        if self.windows < self.rows:
            raise DataError(
                f"training.carry_state=true reads training.batch_size={self.rows} windows side by "
                f"side, but the training side has {self.windows:,}. Use a batch_size of at most "
                f"{self.windows}, a smaller context_length, or more text."
            )

    @property
    def count(self) -> int:
        """Examples in an epoch."""
        return self.windows // self.rows * self.rows

    def examples(self, first: int, number: int) -> NDArray[np.int64]:
        """The windows used at places ``first`` up to ``first + number`` of the whole run."""
        steps, rows = np.divmod(np.arange(first, first + number, dtype=np.int64), self.rows)
        per_row = self.windows // self.rows
        epochs, within = np.divmod(steps, per_row)
        return self._first_windows(epochs) + rows * per_row + within

    def begins(self, first: int, number: int) -> NDArray[np.bool_]:
        """Whether a row starts its stretch at each of these places of the run: [number] bool."""
        steps = np.arange(first, first + number, dtype=np.int64) // self.rows
        return steps % (self.windows // self.rows) == 0

    def _first_windows(self, epochs: NDArray[np.int64]) -> NDArray[np.int64]:
        choices = self.windows - self.count + 1
        found = {
            int(e): stream_seed(self.seed, "data", int(e)) % choices for e in np.unique(epochs)
        }
        return np.array([found[int(epoch)] for epoch in epochs], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class ConsecutiveBatches:
    """The examples of training by their place in the run, with the documents in them told apart.

    The end token belongs to the document behind it: the first thing that is read of a document is
    the end of the one before, as it is when a sample begins with nothing.

    Attributes:
        sequence: the tokens.
        windows: windows that touch and do not overlap.
        order: which window comes when.
    """

    sequence: TokenSequence
    windows: StreamWindows
    order: ConsecutiveOrder

    def batch(self, first_example: int, size: int) -> Batch:
        """Examples ``first_example`` up to ``first_example + size`` of the run.

        Segments are the numbers of documents within the whole stream.
        """
        starts = self._starts(first_example, size)
        length = self.windows.context_length
        tokens = self.sequence.gather(starts, length + 1)
        segments = self._documents(starts[:, None] + np.arange(length, dtype=np.int64))
        return Batch(
            torch.from_numpy(tokens[:, :-1].copy()),
            torch.from_numpy(tokens[:, 1:].copy()),
            size * length,
            segments=torch.from_numpy(segments),
        )

    def goes_on(self, first_example: int, size: int) -> torch.Tensor:
        """Whether the state of each row goes on from the step before: [size] bool.

        It does not where a document begins with the window, or the row with its stretch.
        """
        starts = self._starts(first_example, size)
        begins = self.order.begins(first_example, size)
        same = self._documents(starts) == self._documents(np.maximum(starts - 1, 0))
        return torch.from_numpy(same & ~begins)

    def _starts(self, first_example: int, size: int) -> NDArray[np.int64]:
        return self.windows.starts(self.order.examples(first_example, size))

    def _documents(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of the document at each place of the stream."""
        # The end token of document d stands at document_ends[d] - 1, and counts as d + 1.
        ends = self.sequence.document_ends
        return np.searchsorted(ends, (places + 1).astype(ends.dtype), side="right")
