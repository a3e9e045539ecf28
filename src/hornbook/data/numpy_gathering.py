"""Batches gathered by NumPy, every place of every row at once; ``kernel_gathering`` is faster.

Places of the line that a window by line shows, with ``·`` for padding:

    places      -1    0    1    2    3    4          line    <s>  f  g  </s>     4 tokens
    tokens       ·  <s>    f    g  </s>   ·
    inputs       ·  <s>    f    g    ·               all but the last place, </s> not shown
    targets           ·    f    g  </s>   ·          one place later; counts where both are real
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from hornbook.data.batch import Batch
from hornbook.data.order import ExampleOrder
from hornbook.data.packing import PackedWindows, RowPieces
from hornbook.data.positions import Positions
from hornbook.data.token_store import LineIds, TokenSequence
from hornbook.data.windows import LineWindows
from hornbook.targets import IGNORED_TARGET, PADDING_SEGMENT


def examples(order: ExampleOrder, first: int, number: int) -> NDArray[np.int64]:
    """The examples at places ``first`` up to ``first + number`` of the run: [number]."""
    return order.examples(first, number)


def stream_rows(
    sequence: TokenSequence, starts: NDArray[np.int64], length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Inputs and targets of windows over a stream: two arrays [batch, length] ``int64``.

    Raises:
        IndexError: when a window or its last target would leave the sequence.
    """
    rows = sequence.rows(starts, length + 1)
    return rows[:, :-1].astype(np.int64), rows[:, 1:].astype(np.int64)


def line_batch(
    sequence: TokenSequence,
    windows: LineWindows,
    indices: NDArray[np.int64],
    line_ids: LineIds,
    positions: Positions,
    examples: NDArray[np.int64],
) -> Batch:
    """Gather windows by line, with start tokens and padding around what the store holds.

    A target counts where it and its input are both tokens of the line. Padding before a line is
    a segment of its own. Padding behind a line needs none, since no token sees what comes later.

    Args:
        sequence: the tokens.
        windows: which tokens make a window.
        indices: [batch] the windows to gather.
        line_ids: the ids that the store does not hold.
        positions: what position numbers mean.
        examples: [batch] the place of each example in the run.
    """
    at, length = windows.places(indices), windows.context_length
    places = at.starts[:, None] + np.arange(length + 1, dtype=np.int64)
    real = (places >= 0) & (places < at.lengths[:, None])
    stored = np.where(real & (places > 0), at.origins[:, None] + places, 0)
    tokens = np.where(real, sequence.take(stored), line_ids.pad)
    tokens[places == 0] = line_ids.start
    targets = np.where(real[:, :-1] & real[:, 1:], tokens[:, 1:], IGNORED_TARGET)
    inputs = tokens[:, :-1].copy()
    if not windows.shows_end:
        inputs[places[:, :-1] == at.lengths[:, None] - 1] = line_ids.pad
    numbers = segments = None
    if positions.meaning != "window" or (at.starts < 0).any():
        numbers = torch.from_numpy(positions.within_lines(at.starts, examples, length))
    if (at.starts < 0).any():
        segments = torch.from_numpy(np.where(places[:, :-1] < 0, PADDING_SEGMENT, 0))
    return Batch(
        torch.from_numpy(inputs),
        torch.from_numpy(targets),
        int((targets != IGNORED_TARGET).sum()),
        numbers,
        segments,
    )


def packed_rows(
    sequence: TokenSequence, windows: PackedWindows, indices: NDArray[np.int64], pad: int
) -> tuple[NDArray[np.int64], int]:
    """Gather packed rows; see ``packed_batches`` for what stands in them.

    Args:
        sequence: the tokens.
        windows: which tokens stand in which row.
        indices: [batch] the rows to gather.
        pad: the id of places that hold no token.

    Returns:
        [4, batch, time] ``int64`` tokens, targets, segments and places in the document's part (0
        where there is none), and how many targets count.
    """
    found = windows.row_pieces(indices)
    fills = np.bincount(found.rows, weights=found.lengths).astype(np.int64)
    columns = np.arange(windows.context_length, dtype=np.int64)
    real = columns < fills[:, None]
    # Rows are filled from the left, so the tokens of all pieces lie in ``real`` in order.
    places = spread(found.begins - found.columns, found, real) + columns
    targets = np.where(real, sequence.take(np.where(real, places, 0)), IGNORED_TARGET)
    before = np.where(real & (places > 0), places, len(sequence)) - 1
    tokens = np.where(real, sequence.take(before), pad)
    segments = np.where(real, spread(found.numbers, found, real), PADDING_SEGMENT)
    numbers = np.where(real, columns - spread(found.columns, found, real), 0)
    return np.stack([tokens, targets, segments, numbers]), int(fills.sum())


def spread(
    values: NDArray[np.int64], found: RowPieces, real: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Write the number of each piece into all places that it fills: [batch, time] ``int64``."""
    everywhere = np.zeros(real.shape, dtype=np.int64)
    everywhere[real] = np.repeat(values, found.lengths)
    return everywhere
