"""The two halves of a layer for a few rows that lie across, each in one kernel.

    attention_rows     x ─► norm ─► product ─► heads ─► norm, turn ─┬─► queries ──┐
                       │                                            └─► cache ─► attention
                       + ◄──────────────────── product ◄─────────────────────────┘
    feedforward_rows   x ─► norm ─► product ─► bend ─► product ─► + x

It is ``one_row_block`` with a vector of lanes wherever that has a number (``few_rows``), but for
attention itself: each row looks at keys and values of its own, so there it is taken out of its lane
and put back after.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hornbook.kernels import summing_kernel
from hornbook.models.few_rows import LANES, add_product
from hornbook.models.one_row import Floats
from hornbook.models.one_row_block import (
    AttentionParts,
    FeedForwardParts,
    Map,
    Norm,
    attend_row,
    bend_all,
)


@summing_kernel
def norm_lanes(x: Floats, norm: Norm, out: Floats) -> None:
    """A norm of each lane.

    Args:
        x: [width, LANES].
        norm: which, and what it has learned.
        out: [width, LANES], where the result goes; may be ``x``.

    >>> from hornbook.models.one_row_block import NORM_KINDS
    >>> lanes, ones = np.zeros((2, LANES), np.float32), np.ones(2, np.float32)
    >>> lanes[:, 0], lanes[:, 1] = (3, 1), (0, 8)
    >>> norm_lanes(lanes, (NORM_KINDS["layernorm"], 0.0, ones, 0 * ones), lanes)
    >>> lanes[:, :2].tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    (kind, epsilon, gain, shift), width = norm, len(x)
    mean, factor = np.zeros(LANES, np.float32), np.ones(LANES, np.float32)
    if kind == 1:
        for place in range(width):
            for lane in range(LANES):
                mean[lane] += x[place, lane]
        for lane in range(LANES):
            mean[lane] /= np.float32(width)
    if kind != 0:
        square = np.zeros(LANES, np.float32)
        for place in range(width):
            for lane in range(LANES):
                square[lane] += (x[place, lane] - mean[lane]) * (x[place, lane] - mean[lane])
        for lane in range(LANES):
            factor[lane] = np.float32(1 / math.sqrt(square[lane] / width + epsilon))
    for place in range(width):
        for lane in range(LANES):
            out[place, lane] = (x[place, lane] - mean[lane]) * factor[lane] * gain[place]
            out[place, lane] += shift[place]


@summing_kernel
def normed(x: Floats, norm: Norm) -> Floats:
    """A norm of all rows: [groups, width, LANES] to the same shape.

    >>> from hornbook.models.one_row_block import NORM_KINDS
    >>> ones = np.ones(2, np.float32)
    >>> nothing = NORM_KINDS["none"], 0.0, ones, 0 * ones
    >>> normed(np.full((3, 2, LANES), 7, np.float32), nothing)[2, 1, 0]
    np.float32(7.0)
    """
    out = np.empty(x.shape, np.float32)
    for group in range(len(x)):
        norm_lanes(x[group], norm, out[group])
    return out


@summing_kernel
def turn_lanes(head: Floats, cosines: Floats, sines: Floats) -> None:
    """Turn the pairs of one head in place, each lane to its own position; see ``rotary.rotate``.

    Args:
        head: [head_size, LANES].
        cosines: [pairs, LANES], none where nothing is turned.
        sines: [pairs, LANES].

    >>> head = np.repeat(np.float32([[1], [0], [5]]), LANES, axis=1)
    >>> turn_lanes(head, np.zeros((1, LANES), np.float32), np.ones((1, LANES), np.float32))
    >>> head[:, 7].tolist()
    [0.0, 1.0, 5.0]
    """
    pairs = len(cosines)
    for pair in range(pairs):
        for lane in range(LANES):
            first, second = head[pair, lane], head[pairs + pair, lane]
            cosine, sine = cosines[pair, lane], sines[pair, lane]
            head[pair, lane] = first * cosine - second * sine
            head[pairs + pair, lane] = second * cosine + first * sine


@summing_kernel
def attention_rows(
    x: Floats,
    parts: AttentionParts,
    cosines: Floats,
    sines: Floats,
    keys: Floats,
    values: Floats,
    firsts: NDArray[np.int64],
    own: int,
) -> None:
    """Attention of one new token of each row, with the norm before it.

    Args:
        x: [groups, d_model, LANES] the residual, to which the result is added.
        parts: what it is made of.
        cosines: [groups, pairs, LANES] that turn queries and keys to each row's place; no pairs
            without rotary.
        sines: [groups, pairs, LANES].
        keys: [reserved rows, kv_heads, room, head_size] the cache, where the tokens' keys are
            written.
        values: [reserved rows, kv_heads, room, head_size], the same of their values.
        firsts: [rows] the first place of the cache that each token sees.
        own: their own place there, the last one that they see.
    """
    norm, (qkv, qkv_bias), query_norm, key_norm, scale, (output, output_bias) = parts
    _, kv_heads, _, size = keys.shape
    heads, rows = len(qkv) // size - 2 * kv_heads, len(firsts)
    groups, inner = len(x), normed(x, norm)
    every = np.zeros((groups, len(qkv), LANES), np.float32)
    add_product(inner, rows, qkv, qkv_bias, every)
    for group in range(groups):
        for head in range(heads + kv_heads):
            lanes = every[group, head * size : (head + 1) * size]
            norm_lanes(lanes, query_norm if head < heads else key_norm, lanes)
            turn_lanes(lanes, cosines[group], sines[group])
    taken = np.zeros((groups, heads * size, LANES), np.float32)
    query, found = np.empty(size, np.float32), np.empty(size, np.float32)
    for row in range(rows):
        group, lane = row // LANES, row % LANES
        for head in range(kv_heads):
            key, value = (heads + head) * size, (heads + kv_heads + head) * size
            for place in range(size):
                keys[row, head, own, place] = every[group, key + place, lane]
                values[row, head, own, place] = every[group, value + place, lane]
        for head in range(heads):
            for place in range(size):
                query[place], found[place] = every[group, head * size + place, lane], 0
            kept = head // (heads // kv_heads)
            seen = (firsts[row], own)
            attend_row(query, keys[row, kept], values[row, kept], seen, scale, found)
            for place in range(size):
                taken[group, head * size + place, lane] = found[place]
    add_product(taken, rows, output, output_bias, x)


@summing_kernel
def feedforward_rows(x: Floats, rows: int, parts: FeedForwardParts) -> None:
    """The feed-forward part for one token of each row, with the norm before it.

    Args:
        x: [groups, d_model, LANES] the residual, to which the result is added.
        rows: how many there are.
        parts: what it is made of.
    """
    norm, (up, up_bias), bend, gated, (down, down_bias) = parts
    groups, inner = len(x), normed(x, norm)
    wide = np.zeros((groups, len(up), LANES), np.float32)
    add_product(inner, rows, up, up_bias, wide)
    kept = down.shape[1]
    bent = np.empty((groups, kept, LANES), np.float32)
    for group in range(groups):
        bend_all(wide[group, :kept].reshape(-1), bend, bent[group].reshape(-1))
        if gated:
            for place in range(kept):
                for lane in range(LANES):
                    bent[group, place, lane] *= wide[group, kept + place, lane]
    add_product(bent, rows, down, down_bias, x)


@summing_kernel
def head_rows(x: Floats, rows: int, norm: Norm, head: Map) -> Floats:
    """The last norm and the head.

    Args:
        x: [groups, d_model, LANES] the residual.
        rows: how many there are.
        norm: the last norm.
        head: to a score for each token.

    Returns:
        [rows, vocab_size].
    """
    weight, bias = head
    groups, inner = len(x), normed(x, norm)
    scores = np.zeros((groups, len(weight), LANES), np.float32)
    add_product(inner, rows, weight, bias, scores)
    out, vocab = np.empty((rows, len(weight)), np.float32), len(weight)
    # A few tokens at a time, whose lanes stay in the nearest cache until all rows have theirs.
    for begin in range(0, vocab, LANES):
        for row in range(rows):
            for token in range(begin, min(begin + LANES, vocab)):
                out[row, token] = scores[row // LANES, token, row % LANES]
    return out
