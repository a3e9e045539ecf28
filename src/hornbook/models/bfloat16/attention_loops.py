"""Attention of short rows, forwards and backwards, as loops over one head after the other.

Products go by ``tiles``; those that lie in the future as a whole are left out. Rows are padded with
zeros to a multiple of 32.
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined, summing_kernel
from hornbook.models.bfloat16.choice import COLUMNS, ROWS
from hornbook.models.bfloat16.scalars import power_of_two, rounded, widened
from hornbook.models.bfloat16.tiles import room, tile, turn, weave

_ONE, _ZERO = np.float32(1), np.float32(0)
_LOG2_E = np.float32(1.4426950408889634)


def padded(time: int) -> int:
    """The length that a row of ``time`` tokens has in the loops.

    >>> padded(64), padded(21)
    (64, 32)
    """
    return -(-time // COLUMNS) * COLUMNS


@summing_kernel
def attend(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    scale: np.float32,
    weights: np.ndarray,
    weight_pairs: np.ndarray,
    out: np.ndarray,
) -> None:
    """Let each query take from the keys up to its own.

    Args:
        query: [batch, heads, time, size / 2] ``int32``: pairs of bfloat16.scalars.
        key: [batch, kv_heads, time, size / 2], as query.
        value: [batch, kv_heads, time, value_size / 2], as query.
        scale: what scores are multiplied with.
        weights: [batch, heads, rows, rows] ``int16``, with ``rows = padded(time)``: written.
        weight_pairs: the same memory as ``int32``, [batch, heads, rows, rows / 2].
        out: [batch, time, heads, value_size] ``int16``: written.
    """
    batch, heads, time, half = query.shape
    groups, half_value, rows = key.shape[1], value.shape[3], weights.shape[2]
    asked, keys = _zeros(rows, half), _zeros(half, rows)
    values = _zeros(rows // 2, 2 * half_value)
    scores, taken = _sums(rows, rows), _sums(rows, 2 * half_value)
    for row in range(batch):
        for head in range(heads):
            group = head * groups // heads
            if head * groups % heads == 0:
                turn(key[row, group], keys)
                weave(value[row, group], values)
            asked[:time] = query[row, head]
            _visible_scores(asked, keys, scores)
            _softmax(scores, scale * _LOG2_E, time, weights[row, head])
            _of_earlier(weight_pairs[row, head], values, taken)
            _write(taken, out[row, :, head])


@summing_kernel
def attend_backwards(
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    gradient: np.ndarray,
    scale: np.float32,
    weights: np.ndarray,
    weight_pairs: np.ndarray,
    for_query: np.ndarray,
    for_key: np.ndarray,
    for_value: np.ndarray,
) -> None:
    """The gradients of what ``attend`` computed from.

    Args:
        query, key, value, scale, weights, weight_pairs: as ``attend`` had and left them.
        gradient: [batch, heads, time, value_size / 2] ``int32``, pairs of bfloat16.scalars.
        for_query: [batch, time, heads, size] ``int16``: written.
        for_key: [batch, time, kv_heads, size] ``int16``: written.
        for_value: [batch, time, kv_heads, value_size] ``int16``: written.
    """
    batch, heads, time, half = query.shape
    groups, half_value, rows = key.shape[1], value.shape[3], weights.shape[2]
    given, values = _zeros(rows, half_value), _zeros(half_value, rows)
    woven_keys, woven_query = _zeros(rows // 2, 2 * half), _zeros(rows // 2, 2 * half)
    woven_given, woven = _zeros(rows // 2, 2 * half_value), _zeros(rows // 2, rows)
    score_pairs = _zeros(rows, rows // 2)
    by_scores = score_pairs.view(np.int16)
    by_weights = _sums(rows, rows)
    by_query, by_key, part_of_key = (
        _sums(rows, 2 * half),
        _sums(rows, 2 * half),
        _sums(rows, 2 * half),
    )
    by_value, part_of_value = _sums(rows, 2 * half_value), _sums(rows, 2 * half_value)
    for row in range(batch):
        for head in range(heads):
            group = head * groups // heads
            if head * groups % heads == 0:
                turn(value[row, group], values)
                weave(key[row, group], woven_keys)
                by_key[:] = _ZERO
                by_value[:] = _ZERO
            given[:time] = gradient[row, head]
            _visible_scores(given, values, by_weights)
            _softmax_backwards(weights[row, head], by_weights, scale, time, by_scores)
            _of_earlier(score_pairs, woven_keys, by_query)
            _write(by_query, for_query[row, :, head])
            weave(query[row, head], woven_query)
            weave(score_pairs, woven)
            _of_later(woven.T, woven_query, part_of_key)
            by_key += part_of_key
            weave(gradient[row, head], woven_given)
            weave(weight_pairs[row, head], woven)
            _of_later(woven.T, woven_given, part_of_value)
            by_value += part_of_value
            if (head + 1) * groups % heads == 0:
                _write(by_key, for_key[row, :, group])
                _write(by_value, for_value[row, :, group])


@inlined
def _zeros(rows: int, columns: int) -> np.ndarray:
    """[rows, columns] ``int32``."""
    numbers = room(rows * columns)
    numbers[:] = np.int32(0)
    return numbers.reshape((rows, columns))


@inlined
def _sums(rows: int, columns: int) -> np.ndarray:
    """[rows, columns] ``float32`` of any value."""
    return room(rows * columns).view(np.float32).reshape((rows, columns))


@inlined
def _visible_scores(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """The products of each row with the columns up to its own, and some more."""
    for row in range(0, out.shape[0], ROWS):
        for column in range(0, row + ROWS, COLUMNS):
            tile(left, row, right, column, 0, left.shape[1], out, row, column)


@inlined
def _of_earlier(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """The product where row i of ``left`` holds nothing behind place i."""
    for row in range(0, out.shape[0], ROWS):
        for column in range(0, out.shape[1], COLUMNS):
            tile(left, row, right, column, 0, (row + ROWS) // 2, out, row, column)


@inlined
def _of_later(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """The product where row i of ``left`` holds nothing before place i."""
    for row in range(0, out.shape[0], ROWS):
        for column in range(0, out.shape[1], COLUMNS):
            tile(left, row, right, column, row // 2, left.shape[1], out, row, column)


@inlined
def _softmax(scores: np.ndarray, factor: np.float32, time: int, weights: np.ndarray) -> None:
    """Row i becomes 2^(factor score) of its first i + 1 scores, divided by their sum."""
    for row in range(time):
        line, out = scores[row], weights[row]
        seen = row + 1
        highest = line[0]
        for j in range(1, seen):
            if line[j] > highest:
                highest = line[j]
        total = _ZERO
        for j in range(seen):
            line[j] = power_of_two((line[j] - highest) * factor)
            total += line[j]
        share = _ONE / total
        for j in range(seen):
            out[j] = rounded(line[j] * share)
        out[seen:] = np.int16(0)
    weights[time:] = np.int16(0)


@inlined
def _softmax_backwards(
    weights: np.ndarray, gradient: np.ndarray, scale: np.float32, time: int, out: np.ndarray
) -> None:
    """The gradient of the scores from that of the weights; nothing is written for the unseen."""
    for row in range(time):
        weight, line, found = weights[row], gradient[row], out[row]
        along = _ZERO
        for j in range(row + 1):
            along += widened(weight[j]) * line[j]
        for j in range(row + 1):
            found[j] = rounded(widened(weight[j]) * (line[j] - along) * scale)


@inlined
def _write(sums: np.ndarray, out: np.ndarray) -> None:
    """The first rows, rounded."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = rounded(sums[i, j])
