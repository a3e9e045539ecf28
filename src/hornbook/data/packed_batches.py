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

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hornbook.data.batch import Batch
from hornbook.data.order import ExampleOrder
from hornbook.data.packing import PackedWindows, RowPieces
from hornbook.data.positions import WINDOW_POSITIONS, Positions
from hornbook.data.token_store import TokenSequence
from hornbook.targets import IGNORED_TARGET, PADDING_SEGMENT


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
    """

    sequence: TokenSequence
    windows: PackedWindows
    order: ExampleOrder
    pad: int
    positions: Positions = WINDOW_POSITIONS
    reset_positions: bool = True

    def batch(self, first_example: int, size: int) -> Batch:
        """Examples ``first_example`` up to ``first_example + size`` of the run."""
        found = self.windows.row_pieces(self.order.examples(first_example, size))
        examples = np.arange(first_example, first_example + size, dtype=np.int64)
        length = self.windows.context_length
        fills = np.bincount(found.rows, weights=found.lengths).astype(np.int64)
        columns = np.arange(length, dtype=np.int64)
        real = columns < fills[:, None]
        # Rows are filled from the left, so the tokens of all pieces lie in ``real`` in order.
        places = _spread(found.begins - found.columns, found, real) + columns
        targets = np.where(real, self.sequence.take(np.where(real, places, 0)), IGNORED_TARGET)
        before = np.where(real & (places > 0), places, len(self.sequence)) - 1
        tokens = np.where(real, self.sequence.take(before), self.pad)
        segments = np.where(real, _spread(found.numbers, found, real), PADDING_SEGMENT)
        positions = self._positions(found, examples, real)
        return Batch(
            torch.from_numpy(tokens),
            torch.from_numpy(targets),
            int(fills.sum()),
            None if positions is None else torch.from_numpy(positions),
            torch.from_numpy(segments),
        )

    def _positions(
        self, found: RowPieces, examples: NDArray[np.int64], real: NDArray[np.bool_]
    ) -> NDArray[np.int64] | None:
        if not self.reset_positions:
            return self.positions.within_rows(examples, self.windows.context_length)
        documents = self.windows.documents(found.begins)
        ends = self.windows.document_ends
        origins = np.where(documents > 0, ends[documents - 1].astype(np.int64), 0)
        begins = self.positions.begins(found.begins - origins, examples[found.rows])
        columns = np.arange(self.windows.context_length, dtype=np.int64)
        return np.where(real, _spread(begins - found.columns, found, real) + columns, 0)


def _spread(
    values: NDArray[np.int64], found: RowPieces, real: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Write the number of each piece into all places that it fills: [batch, time] ``int64``."""
    spread = np.zeros(real.shape, dtype=np.int64)
    spread[real] = np.repeat(values, found.lengths)
    return spread
