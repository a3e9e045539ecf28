"""Weights and rows as what stands on the right of tiles: panels of 32 columns, each in one piece.

    turned      weight [n, m] for x weightᵀ:     [n / 32, m / 2, 32]
    woven       weight [n, m] for dy weight:     [m / 32, n / 2, 32]
    woven rows  x [rows, m] for dyᵀ x:           [m / 32, rows / 2, 32]

Weights are rounded to bfloat16 on the way.
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined
from hornbook.models.bfloat16.choice import COLUMNS, ROWS
from hornbook.models.bfloat16.lanes import COUNT
from hornbook.models.bfloat16.scalars import paired
from hornbook.models.bfloat16.tiles import add_tile, room, tile, weave


@inlined
def turned_panels(weight: np.ndarray) -> np.ndarray:
    """[n, m] ``float32`` to [n / 32, m / 2, 32]."""
    count, pairs = weight.shape[0] // COLUMNS, weight.shape[1] // 2
    panels = room(count * pairs * COLUMNS).reshape((count, pairs, COLUMNS))
    for number in range(count):
        for i in range(COLUMNS):
            row = weight[number * COLUMNS + i]
            for j in range(pairs):
                panels[number, j, i] = paired(row[2 * j], row[2 * j + 1])
    return panels


@inlined
def woven_panels(weight: np.ndarray) -> np.ndarray:
    """[n, m] ``float32`` to [m / 32, n / 2, 32]."""
    count, pairs = weight.shape[1] // COLUMNS, weight.shape[0] // 2
    panels = room(count * pairs * COLUMNS).reshape((count, pairs, COLUMNS))
    for i in range(pairs):
        for number in range(count):
            for j in range(COLUMNS):
                place = number * COLUMNS + j
                panels[number, i, j] = paired(weight[2 * i, place], weight[2 * i + 1, place])
    return panels


@inlined
def panel_room(rows: int, columns: int) -> np.ndarray:
    """Room for the woven panels of a matrix with that many rows, an even number, and columns."""
    count, pairs = columns // COLUMNS, rows // 2
    return room(count * pairs * COLUMNS).reshape((count, pairs, COLUMNS))


@inlined
def weave_rows(pairs: np.ndarray, panels: np.ndarray) -> None:
    """[rows, m / 2] ``int32`` to [m / 32, rows / 2, 32]."""
    # Some rows at a time, because that is how the matrix comes from memory.
    for first in range(0, pairs.shape[0], 2 * ROWS):
        for number in range(panels.shape[0]):
            part = pairs[first : first + 2 * ROWS, number * COUNT : (number + 1) * COUNT]
            weave(part, panels[number, first // 2 :])


@inlined
def multiply(left: np.ndarray, panels: np.ndarray, out: np.ndarray) -> None:
    """All rows of ``left``, [rows, pairs], with all panels; ``rows`` is a multiple of 4."""
    for number in range(panels.shape[0]):
        for row in range(0, left.shape[0], ROWS):
            tile(left, row, panels[number], 0, 0, left.shape[1], out, row, number * COLUMNS)


@inlined
def add_product(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """Add ``leftᵀ right`` of two woven matrices to ``out`` ``float32``."""
    for number in range(right.shape[0]):
        for group in range(left.shape[0]):
            turned = left[group].T
            for row in range(0, COLUMNS, ROWS):
                place = group * COLUMNS + row
                add_tile(turned, row, right[number], out, place, number * COLUMNS)
