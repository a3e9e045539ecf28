"""Packed rows gathered into tensors: several documents side by side, each with its own segment.

The documents ``a b </s>`` and ``d e f g </s>`` in a row of 10, of which 2 are left over:

    tokens      </s>   a    b  </s>   d    e    f    g    ·    ·
    targets       a    b  </s>   d    e    f    g  </s>   ·    ·
    segments      0    0    0    1    1    1    1    1   -1   -1
    positions     0    1    2    0    1    2    3    4    0    0

What is read first of a document is the end token, which stands before it in the joined text and
separates it from the one before; ``consecutive`` counts it the same way. So the targets of a
document are its tokens in the store, end token included, and its inputs those one place
earlier: every token is predicted once, and no place is lost to a separator. A part that goes on
with a document which was cut is read from the token before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from hornbook.data.batch import Batch
from hornbook.data.gathering import Gathering
from hornbook.data.numpy_gathering import spread
from hornbook.data.order import ExampleOrder
from hornbook.data.packing import PackedWindows
from hornbook.data.positions import WINDOW_POSITIONS, Positions
from hornbook.data.token_store import TokenSequence
from hornbook.targets import PADDING_SEGMENT


@dataclass(frozen=True, slots=True)
class PackedBatches:
    """The packed rows of training, by their place in the run.

    Attributes:
        sequence: the tokens.
        windows: which tokens stand in which row.
        order: in which order the rows come.
        pad: the id of places that hold no token.
        positions: what position numbers mean.
        reset_positions: whether they begin anew with every document of a row.
        gathering: who gathers.
    """

    sequence: TokenSequence
    windows: PackedWindows
    order: ExampleOrder
    pad: int
    positions: Positions = WINDOW_POSITIONS
    reset_positions: bool = True
    gathering: Gathering = field(default_factory=Gathering, compare=False, repr=False)

    def batch(self, first_example: int, size: int) -> Batch:
        """Examples ``first_example`` up to ``first_example + size`` of the run."""
        length = self.windows.context_length
        gather = self.gathering.by(size * length)
        indices = gather.examples(self.order, first_example, size)
        rows, real_targets = gather.packed_rows(self.sequence, self.windows, indices, self.pad)
        if self.reset_positions and self.positions.meaning == "window":
            tokens, targets, segments, positions = torch.from_numpy(rows).unbind()
            return Batch(tokens, targets, real_targets, positions, segments)
        tokens, targets, segments = torch.from_numpy(rows[:3]).unbind()
        examples = np.arange(first_example, first_example + size, dtype=np.int64)
        numbers = self._positions(indices, examples, rows[2] != PADDING_SEGMENT)
        positions = None if numbers is None else torch.from_numpy(numbers)
        return Batch(tokens, targets, real_targets, positions, segments)

    def _positions(
        self, indices: NDArray[np.int64], examples: NDArray[np.int64], real: NDArray[np.bool_]
    ) -> NDArray[np.int64] | None:
        if not self.reset_positions:
            return self.positions.within_rows(examples, self.windows.context_length)
        found = self.windows.row_pieces(indices)
        documents = self.windows.documents(found.begins)
        ends = self.windows.document_ends
        origins = np.where(documents > 0, ends[documents - 1].astype(np.int64), 0)
        begins = self.positions.begins(found.begins - origins, examples[found.rows])
        columns = np.arange(self.windows.context_length, dtype=np.int64)
        return np.where(real, spread(begins - found.columns, found, real) + columns, 0)
