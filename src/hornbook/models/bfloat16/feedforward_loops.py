"""A block's feed-forward with all that stands around it: norm, up, GELU, down, and the sum.

    x ──┬──────────────────────────────── + ──► out
        └─ norm ─ up ─ bend ─ down ───────┘

``BLOCK`` tokens go all the way before the next ones begin, so that what stands between two products
never leaves the cache; on the way back the same, with the gradients of both weights as sums that
grow from block to block.
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined, summing_kernel
from hornbook.models.bfloat16.choice import COLUMNS, ROWS
from hornbook.models.bfloat16.norm_parts import normalise, normalise_backwards
from hornbook.models.bfloat16.panels import (
    add_product,
    multiply,
    panel_room,
    turned_panels,
    weave_rows,
    woven_panels,
)
from hornbook.models.bfloat16.scalars import rounded, widened
from hornbook.models.bfloat16.tiles import room, tile

BLOCK = 64
"""Tokens that go together."""

_HALF, _ONE, _TWO = np.float32(0.5), np.float32(1), np.float32(2)
# Beyond 4.5 GELU is 0 or x within 2e-5, and its slope 0 or 1 within 8e-5. Up to there, with
# t = 2 (x / 4.5)² - 1, both are polynomials: Φ(x) = 1/2 + x p(t), off by at most 8e-7, and the
# density of the normal distribution q(t), which makes the slope Φ(x) + x q(t), off by 1.2e-5.
_FAR = np.float32(4.5)
_SQUEEZED = np.float32(2 / 4.5**2)
_P = tuple(
    np.float32(c)
    for c in (
        1.569050877e-01,
        -7.719228209e-02,
        5.469175168e-02,
        -4.013447599e-02,
        2.837208021e-02,
        -1.891482222e-02,
        1.115702190e-02,
        -5.413261379e-03,
        3.079239245e-03,
        -2.259155763e-03,
        8.193307650e-04,
    )
)
_Q = tuple(
    np.float32(c)
    for c in (
        2.526456428e-03,
        -1.282091499e-02,
        3.229563909e-02,
        -5.378758097e-02,
        6.952756154e-02,
        -7.492234535e-02,
        5.860434261e-02,
        -3.079838229e-02,
        2.538148075e-02,
        -2.710356722e-02,
        1.111572303e-02,
    )
)
_P0, _P1, _P2, _P3, _P4, _P5, _P6, _P7, _P8, _P9, _P10 = _P
_Q0, _Q1, _Q2, _Q3, _Q4, _Q5, _Q6, _Q7, _Q8, _Q9, _Q10 = _Q


@summing_kernel
def feed_forward(
    x: np.ndarray,
    gain: np.ndarray,
    epsilon: np.float32,
    up: np.ndarray,
    down: np.ndarray,
    facts: np.ndarray,
    normed: np.ndarray,
    normed_pairs: np.ndarray,
    bent: np.ndarray,
    bent_pairs: np.ndarray,
    slopes: np.ndarray,
    out: np.ndarray,
) -> None:
    """``x + down(gelu(up(norm(x))))``.

    Args:
        x: [rows, width] ``float32``; ``rows`` is a multiple of 4.
        gain: [width] ``float32``, of the norm.
        epsilon: of the norm.
        up: [inner, width] ``float32``.
        down: [width, inner] ``float32``.
        facts: [rows, 2] ``float32``: written, see ``normalise``.
        normed: [rows, width] bfloat16 as ``int16``: written.
        normed_pairs: the same memory as ``int32``.
        bent: [rows, inner] bfloat16 as ``int16``: written, what the GELU gave.
        bent_pairs: the same memory as ``int32``.
        slopes: [rows, inner] bfloat16 as ``int16``: written, the GELU's slopes.
        out: [rows, width] ``float32``: written.
    """
    ups, downs = turned_panels(up), turned_panels(down)
    sums = room(BLOCK * COLUMNS).view(np.float32).reshape((BLOCK, COLUMNS))
    for first in range(0, x.shape[0], BLOCK):
        part = slice(first, min(first + BLOCK, x.shape[0]))
        normalise(x[part], gain, epsilon, facts[part], normed[part])
        left = normed_pairs[part]
        for number in range(ups.shape[0]):
            for row in range(0, left.shape[0], ROWS):
                tile(left, row, ups[number], 0, 0, left.shape[1], sums, row, 0)
            _bend(sums, left.shape[0], bent[part], slopes[part], number * COLUMNS)
        multiply(bent_pairs[part], downs, out[part])
        out[part] += x[part]


@summing_kernel
def feed_forward_backwards(
    gradient: np.ndarray,
    x: np.ndarray,
    gain: np.ndarray,
    up: np.ndarray,
    down: np.ndarray,
    facts: np.ndarray,
    normed_pairs: np.ndarray,
    bent_pairs: np.ndarray,
    slopes: np.ndarray,
    for_x: np.ndarray,
    for_gain: np.ndarray,
    for_up: np.ndarray,
    for_down: np.ndarray,
) -> None:
    """The gradients of ``feed_forward``.

    Args:
        gradient: [rows, width] ``float32``.
        x, gain, up, down, facts, normed_pairs, bent_pairs, slopes: as ``feed_forward`` left them.
        for_x: [rows, width] ``float32``: written.
        for_gain: [width] ``float32``: added to.
        for_up: [inner, width] ``float32``: added to.
        for_down: [width, inner] ``float32``: added to.
    """
    (rows, width), inner = x.shape, up.shape[0]
    ups, downs = woven_panels(up), woven_panels(down)
    sums = room(BLOCK * COLUMNS).view(np.float32).reshape((BLOCK, COLUMNS))
    by_norm = room(BLOCK * width).view(np.float32).reshape((BLOCK, width))
    given_pairs = room(BLOCK * width // 2).reshape((BLOCK, width // 2))
    bend_pairs = room(BLOCK * inner // 2).reshape((BLOCK, inner // 2))
    given, by_bend = given_pairs.view(np.int16), bend_pairs.view(np.int16)
    for first in range(0, rows, BLOCK):
        part = slice(first, min(first + BLOCK, rows))
        count = part.stop - first
        _round(gradient[part], given)
        for number in range(downs.shape[0]):
            for row in range(0, count, ROWS):
                tile(given_pairs, row, downs[number], 0, 0, width // 2, sums, row, 0)
            _bend_backwards(sums, slopes[part], by_bend, number * COLUMNS)
        multiply(bend_pairs[:count], ups, by_norm)
        normalise_backwards(
            x[part], gain, facts[part], by_norm, gradient[part], for_x[part], for_gain
        )
        woven_given, woven_bend = panel_room(count, width), panel_room(count, inner)
        woven_normed, woven_bent = panel_room(count, width), panel_room(count, inner)
        weave_rows(given_pairs[:count], woven_given)
        weave_rows(bent_pairs[part], woven_bent)
        add_product(woven_given, woven_bent, for_down)
        weave_rows(bend_pairs[:count], woven_bend)
        weave_rows(normed_pairs[part], woven_normed)
        add_product(woven_bend, woven_normed, for_up)


@inlined
def _bend(sums: np.ndarray, count: int, bent: np.ndarray, slopes: np.ndarray, column: int) -> None:
    """GELU of the first rows, and its slopes, to columns of the others."""
    for i in range(count):
        line = sums[i]
        found, slope = bent[i, column : column + COLUMNS], slopes[i, column : column + COLUMNS]
        for j in range(COLUMNS):
            x = line[j]
            near = _FAR if x > _FAR else x
            near = -_FAR if near < -_FAR else near
            t = near * near * _SQUEEZED - _ONE
            p = _P7 + t * (_P8 + t * (_P9 + t * _P10))
            p = _P0 + t * (_P1 + t * (_P2 + t * (_P3 + t * (_P4 + t * (_P5 + t * (_P6 + t * p))))))
            q = _Q7 + t * (_Q8 + t * (_Q9 + t * _Q10))
            q = _Q0 + t * (_Q1 + t * (_Q2 + t * (_Q3 + t * (_Q4 + t * (_Q5 + t * (_Q6 + t * q))))))
            below = _HALF + near * p
            found[j] = rounded(x * below)
            slope[j] = rounded(below + near * q)


@inlined
def _bend_backwards(sums: np.ndarray, slopes: np.ndarray, out: np.ndarray, column: int) -> None:
    for i in range(slopes.shape[0]):
        line, slope = sums[i], slopes[i, column : column + COLUMNS]
        found = out[i, column : column + COLUMNS]
        for j in range(COLUMNS):
            found[j] = rounded(line[j] * widened(slope[j]))


@inlined
def _round(numbers: np.ndarray, out: np.ndarray) -> None:
    """The first rows of ``out`` become all of ``numbers`` in bfloat16."""
    for i in range(numbers.shape[0]):
        line, found = numbers[i], out[i]
        for j in range(len(line)):
            found[j] = rounded(line[j])
