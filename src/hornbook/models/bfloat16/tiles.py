"""A tile of a product: 4 rows and 32 columns, whose 128 sums stay in eight registers.

The processor wants the two pairs that it multiplies beside each other in 32 bits:

    left     [rows, pairs]        (a₀, a₁) (a₂, a₃) …     of each row
    right    [pairs, columns]     (b₀, b₁) of each column, (b₂, b₃) of each column, …

A matrix whose rows are contracted lies so already, and is turned to stand on the right (``turn``).
Where columns are contracted, two rows are woven into one (``weave``).

    a b c d         turned    ab ef         woven    ae bf cg dh
    e f g h                   cd gh
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined
from hornbook.models.bfloat16.lanes import (
    COUNT,
    add_products,
    load_pairs,
    load_sums,
    no_pairs,
    no_sums,
    spread_pair,
    store_pairs,
    store_sums,
    woven_first,
    woven_last,
)

# 8 sums hide the six cycles that one addition takes, and a tile of more rows would not be quicker:
# 220 of about 230 billion operations a second at 3.6 GHz are reached (oneDNN: 140 to 205 for the
# products of a model 128 wide).


@inlined
def tile(
    left: np.ndarray,
    row: int,
    right: np.ndarray,
    column: int,
    first: int,
    last: int,
    out: np.ndarray,
    out_row: int,
    out_column: int,
) -> None:
    """Sum the products over the pairs from ``first`` to before ``last``, and write them.

    Args:
        left: [rows, pairs] ``int32``.
        row: of ``left``, the first of four.
        right: [pairs, columns] ``int32``.
        column: of ``right``, the first of 32.
        first: pair.
        last: pair.
        out: ``float32``, or bfloat16 as ``int16``.
        out_row: where the first sum is written.
        out_column: where the first sum is written.
    """
    a, b, c, d = no_sums(), no_sums(), no_sums(), no_sums()
    e, f, g, h = no_sums(), no_sums(), no_sums(), no_sums()
    for pair in range(first, last):
        x, y = load_pairs(right, pair, column), load_pairs(right, pair, column + COUNT)
        one = spread_pair(left, row, pair)
        a, b = add_products(a, one, x), add_products(b, one, y)
        one = spread_pair(left, row + 1, pair)
        c, d = add_products(c, one, x), add_products(d, one, y)
        one = spread_pair(left, row + 2, pair)
        e, f = add_products(e, one, x), add_products(f, one, y)
        one = spread_pair(left, row + 3, pair)
        g, h = add_products(g, one, x), add_products(h, one, y)
    beside = out_column + COUNT
    store_sums(out, out_row, out_column, a)
    store_sums(out, out_row, beside, b)
    store_sums(out, out_row + 1, out_column, c)
    store_sums(out, out_row + 1, beside, d)
    store_sums(out, out_row + 2, out_column, e)
    store_sums(out, out_row + 2, beside, f)
    store_sums(out, out_row + 3, out_column, g)
    store_sums(out, out_row + 3, beside, h)


@inlined
def add_tile(
    left: np.ndarray, row: int, right: np.ndarray, out: np.ndarray, out_row: int, out_column: int
) -> None:
    """Add the products over all pairs to a tile of ``out``, which is ``float32``.

    The arguments are those of ``tile``; ``right`` has 32 columns.
    """
    beside = out_column + COUNT
    a, b = load_sums(out, out_row, out_column), load_sums(out, out_row, beside)
    c, d = load_sums(out, out_row + 1, out_column), load_sums(out, out_row + 1, beside)
    e, f = load_sums(out, out_row + 2, out_column), load_sums(out, out_row + 2, beside)
    g, h = load_sums(out, out_row + 3, out_column), load_sums(out, out_row + 3, beside)
    for pair in range(right.shape[0]):
        x, y = load_pairs(right, pair, 0), load_pairs(right, pair, COUNT)
        one = spread_pair(left, row, pair)
        a, b = add_products(a, one, x), add_products(b, one, y)
        one = spread_pair(left, row + 1, pair)
        c, d = add_products(c, one, x), add_products(d, one, y)
        one = spread_pair(left, row + 2, pair)
        e, f = add_products(e, one, x), add_products(f, one, y)
        one = spread_pair(left, row + 3, pair)
        g, h = add_products(g, one, x), add_products(h, one, y)
    store_sums(out, out_row, out_column, a)
    store_sums(out, out_row, beside, b)
    store_sums(out, out_row + 1, out_column, c)
    store_sums(out, out_row + 1, beside, d)
    store_sums(out, out_row + 2, out_column, e)
    store_sums(out, out_row + 2, beside, f)
    store_sums(out, out_row + 3, out_column, g)
    store_sums(out, out_row + 3, beside, h)


@inlined
def turn(pairs: np.ndarray, out: np.ndarray) -> None:
    """[n, m] to the first n columns of [m, ...]."""
    for i in range(pairs.shape[0]):
        for j in range(pairs.shape[1]):
            out[j, i] = pairs[i, j]


@inlined
def weave(pairs: np.ndarray, out: np.ndarray) -> None:
    """Neighbours in a row, [n, m / 2], to neighbours in a column, the first rows of [..., m].

    A last row without a partner is woven with zeros. ``m`` is a multiple of 32.
    """
    count = pairs.shape[0]
    for i in range(count // 2):
        for j in range(0, pairs.shape[1], COUNT):
            upper, lower = load_pairs(pairs, 2 * i, j), load_pairs(pairs, 2 * i + 1, j)
            store_pairs(out, i, 2 * j, woven_first(upper, lower))
            store_pairs(out, i, 2 * j + COUNT, woven_last(upper, lower))
    if count % 2:
        for j in range(0, pairs.shape[1], COUNT):
            upper = load_pairs(pairs, count - 1, j)
            store_pairs(out, count // 2, 2 * j, woven_first(upper, no_pairs()))
            store_pairs(out, count // 2, 2 * j + COUNT, woven_last(upper, no_pairs()))


@inlined
def room(count: int) -> np.ndarray:
    """[count] ``int32`` of any value that begin at the border of a cache line.

    Sixteen numbers that lie in two lines take twice as long to load.
    """
    memory = np.empty(count + COUNT, np.int32)
    skipped = (-(memory.ctypes.data // 4)) % COUNT
    return memory[skipped : skipped + count]
