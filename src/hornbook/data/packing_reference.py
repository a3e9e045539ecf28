"""Packing as a reader would do it with paper and scissors: a document and a row at a time.

Documents are lists of tokens, a row is a list of such lists. ``packing`` does the same with whole
arrays, and the tests hold the two together.

    for row in rows_of([[1, 2, 3], [4, 5]], context_length=4, packing="split"):
        print(row)
"""

from __future__ import annotations

from collections.abc import Sequence

from hornbook.data.packing import Packing

Row = list[list[int]]
"""The pieces of a row, each a list of the tokens that it predicts."""


def rows_of(documents: Sequence[Sequence[int]], context_length: int, packing: Packing) -> list[Row]:
    """Pack documents in the order given.

    >>> rows_of([[1, 2, 3], [4, 5, 6], [7]], context_length=4, packing="split")
    [[[1, 2, 3], [4]], [[5, 6], [7]]]
    >>> rows_of([[1, 2, 3], [4, 5, 6], [7]], context_length=4, packing="best_fit")
    [[[1, 2, 3], [7]], [[4, 5, 6]]]
    """
    if packing == "split":
        return _split(documents, context_length)
    pieces = [
        list(document[start : start + context_length])
        for document in documents
        for start in range(0, len(document), context_length)
    ]
    found = best_fit_rows([len(piece) for piece in pieces], context_length)
    rows: list[Row] = [[] for _ in range(max(found) + 1)]
    for piece, row in zip(pieces, found, strict=True):
        rows[row].append(piece)
    return rows


def best_fit_rows(lengths: Sequence[int], capacity: int) -> list[int]:
    """Best-fit decreasing, every row looked at for every piece.

    >>> best_fit_rows([2, 3, 5, 3, 2], capacity=6)
    [2, 1, 0, 1, 2]
    """
    spaces: list[int] = []
    since: list[int] = []  # when each row came to its space
    rows = [0] * len(lengths)
    for time, piece in enumerate(sorted(range(len(lengths)), key=lambda i: -lengths[i])):
        fitting = [row for row, space in enumerate(spaces) if space >= lengths[piece]]
        if not fitting:
            fitting = [len(spaces)]
            spaces.append(capacity)
            since.append(time)
        best = min(fitting, key=lambda row: (spaces[row], since[row]))
        spaces[best] -= lengths[piece]
        since[best] = time
        rows[piece] = best
    return rows


def _split(documents: Sequence[Sequence[int]], context_length: int) -> list[Row]:
    rows: list[Row] = [[]]
    for document in documents:
        rest = list(document)
        while rest:
            room = context_length - sum(map(len, rows[-1]))
            if room:
                rows[-1].append(rest[:room])
                rest = rest[room:]
            else:
                rows.append([])
    return rows
