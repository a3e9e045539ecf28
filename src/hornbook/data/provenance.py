"""Which documents the examples of a batch were cut from, so that a person can look at them.

    stream of documents  0 0 0 | 1 1 | 2 2 2 2 | …        window of 4 tokens from place 3
    inputs and targets         ^ ^ ^ ^ ^                   documents 1 to 2

Documents are numbered from 0 as they stand on the training side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hornbook.data.batches import TrainingBatches
from hornbook.data.consecutive import ConsecutiveBatches
from hornbook.data.packed_batches import PackedBatches
from hornbook.data.windows import LineWindows

MANY = 8
"""Stretches of documents that are told of one batch."""

Documents = list[tuple[int, int]]
"""The first and the last document of each stretch of neighbours."""


def documents_of_batch(
    batches: TrainingBatches | ConsecutiveBatches | PackedBatches, first_example: int, size: int
) -> Documents:
    """The documents in examples ``first_example`` up to ``first_example + size`` of the run."""
    if isinstance(batches, PackedBatches):
        indices = batches.order.examples(first_example, size)
        return stretches(batches.windows.documents(batches.windows.row_pieces(indices).begins))
    indices = batches.order.examples(first_example, size)
    if isinstance(batches, TrainingBatches) and batches.deal is not None:
        indices = batches.deal.training_windows(indices)
    windows = batches.windows
    if isinstance(windows, LineWindows):
        return stretches(windows.places(indices).lines)
    if isinstance(batches, TrainingBatches):
        places = np.arange(first_example, first_example + size, dtype=np.int64)
        starts = batches.stream_starts(windows, indices, places)
    else:
        starts = windows.starts(indices)
    ends = np.asarray(batches.sequence.document_ends).astype(np.int64)
    first = np.searchsorted(ends, starts, side="right")
    # The last target stands one place behind the last input.
    last = np.searchsorted(ends, starts + windows.context_length, side="right")
    spans = (np.arange(a, b + 1) for a, b in zip(first, last, strict=True))
    return stretches(np.concatenate(list(spans)))


def in_words(documents: Documents) -> str:
    """For a person; of many stretches only the first.

    >>> in_words([(3, 5), (7, 7)])
    '3–5, 7'
    """
    texts = [f"{first}" if first == last else f"{first}–{last}" for first, last in documents]
    more = f" and {len(texts) - MANY:,} more stretches" if len(texts) > MANY else ""
    return ", ".join(texts[:MANY]) + more


def stretches(numbers: NDArray[np.int64]) -> Documents:
    """Numbers as stretches of neighbours, in order and without doubles.

    >>> stretches(np.array([7, 3, 4, 4, 5]))
    [(3, 5), (7, 7)]
    """
    unique = np.unique(numbers)
    cuts = np.flatnonzero(np.diff(unique) > 1)
    firsts = unique[np.concatenate(([0], cuts + 1))] if len(unique) else unique
    lasts = unique[np.concatenate((cuts, [len(unique) - 1]))] if len(unique) else unique
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))
