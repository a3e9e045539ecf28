"""The two halves of a layer for one row, each in one kernel.

Who writes one text has one row, and a small model's layer then takes some microseconds of
arithmetic and a hundred of calls: twenty operations, each of which looks at its tensors, asks for
memory and hands them on. A kernel has one call:

    attention_row     x ─► norm ─► product ─► heads ─► norm, turn ─┬─► queries ──┐
                      │                                            └─► cache ─► attention
                      + ◄──────────────────── product ◄─────────────────────────┘
    feedforward_row   x ─► norm ─► product ─► bend ─► product ─► + x

    one thread of a Zen 4, GPT-2's form, 4 layers of 128 [µs a token]       20 tokens    900 tokens
                                           operation by operation           605          981
                                           these kernels                    125          295

It is the arithmetic of ``Block`` and ``Attention``, tested against them. The small kernels are
parts of the large ones.
"""

from __future__ import annotations

import math

import numpy as np

from hornbook.kernels import summing_kernel
from hornbook.models.exponentials import (
    error_function,
    exponential,
    hyperbolic_tangent,
    logistic,
)
from hornbook.models.one_row import Floats, float_row
from hornbook.models.register_sums import (
    LANES,
    add_weighted_16,
    add_weighted_32,
    add_weighted_64,
    dot_product,
)

NORM_KINDS = {"none": 0, "layernorm": 1, "rmsnorm": 2}
"""The numbers by which kernels know norms."""

BEND_KINDS = {"gelu": 0, "gelu_tanh": 1, "silu": 2, "relu2": 3, "geglu": 0, "swiglu": 2}
"""The numbers by which kernels know the bends of the feed-forward part."""


# Plain tuples and no named ones: a kernel takes 1.2 microseconds to unpack these, and 4.2 those.

Norm = tuple[int, float, Floats, Floats]
"""Which norm, out of ``NORM_KINDS``; what it adds to the mean square; its gain [width], ones where
there is none; what it adds [width], zeros where that is nothing."""

Map = tuple[Floats, Floats]
"""A linear map's weight [outputs, inputs], and its bias [outputs], zeros where there is none."""

AttentionParts = tuple[Norm, Map, Norm, Norm, float, Map]
"""The norm before; to queries, keys and values of all heads; norms of each query and key; what
scores are multiplied by, the root of the head's size counted in; back to the residual."""

FeedForwardParts = tuple[Norm, Map, int, bool, Map]
"""The norm before; to the inner width, or to the gate and what it lets through; which bend, out of
``BEND_KINDS``; whether there is a gate; back to the residual."""


@summing_kernel
def norm_row(x: Floats, norm: Norm, out: Floats) -> None:
    """A norm of one vector.

    Args:
        x: [width].
        norm: which, and what it has learned.
        out: [width], where the result goes; may be ``x``.

    >>> out, learned = np.empty(2, np.float32), (np.ones(2, np.float32), np.zeros(2, np.float32))
    >>> norm_row(np.float32([3, 1]), (NORM_KINDS["layernorm"], 0.0, *learned), out)
    >>> out.tolist()
    [1.0, -1.0]
    """
    (kind, epsilon, gain, shift), width = norm, len(x)
    mean, square = np.float32(0), np.float32(0)
    if kind == 1:
        for place in range(width):
            mean += x[place]
        mean /= np.float32(width)
    factor = np.float32(1)
    if kind != 0:
        for place in range(width):
            square += (x[place] - mean) * (x[place] - mean)
        factor = np.float32(1 / math.sqrt(square / width + epsilon))
    for place in range(width):
        out[place] = (x[place] - mean) * factor * gain[place] + shift[place]


@summing_kernel
def turn_row(head: Floats, cosines: Floats, sines: Floats) -> None:
    """Turn the pairs of one head in place; see ``rotary.rotate``.

    Args:
        head: [head_size].
        cosines: [pairs] for its place, none where nothing is turned.
        sines: [pairs].

    >>> head = np.float32([1, 0, 5])
    >>> turn_row(head, np.float32([0]), np.float32([1]))
    >>> head.tolist()
    [0.0, 1.0, 5.0]
    """
    pairs = len(cosines)
    for pair in range(pairs):
        first, second = head[pair], head[pairs + pair]
        head[pair] = first * cosines[pair] - second * sines[pair]
        head[pairs + pair] = second * cosines[pair] + first * sines[pair]


@summing_kernel
def attend_row(
    query: Floats, keys: Floats, values: Floats, seen: tuple[int, int], scale: float, out: Floats
) -> None:
    """What one query takes.

    Args:
        query: [head_size].
        keys: [room, head_size].
        values: [room, head_size].
        seen: the first and the last place of these that it sees.
        scale: what scores are multiplied by.
        out: [head_size] zeros, where the result goes.

    >>> out, keys = np.zeros(2, np.float32), np.eye(2, dtype=np.float32)
    >>> attend_row(np.float32([0, 0]), keys, np.float32([[1, 3], [2, 5]]), (0, 1), 1.0, out)
    >>> out.tolist()
    [1.5, 4.0]
    """
    first, last = seen
    size, count = len(query), last + 1 - first
    scores = np.empty(count, np.float32)
    asked, stride = query.ctypes.data, 4 * size
    key, value = keys.ctypes.data + first * stride, values.ctypes.data + first * stride
    whole = size // LANES * LANES
    largest = np.float32(-np.inf)
    for token in range(count):
        score = dot_product(asked, key + token * stride, size // LANES)
        for place in range(whole, size):
            score += query[place] * keys[first + token, place]
        scores[token] = score * np.float32(scale)
        largest = max(largest, scores[token])
    total = np.float32(0)
    for token in range(count):
        scores[token] = exponential(scores[token] - largest)
        total += scores[token]
    for token in range(count):
        scores[token] /= total
    place = 0
    while place + LANES <= size:
        to, of = out.ctypes.data + 4 * place, value + 4 * place
        if place + 4 * LANES <= size:
            add_weighted_64(scores.ctypes.data, of, stride, count, to)
            place += 4 * LANES
        elif place + 2 * LANES <= size:
            add_weighted_32(scores.ctypes.data, of, stride, count, to)
            place += 2 * LANES
        else:
            add_weighted_16(scores.ctypes.data, of, stride, count, to)
            place += LANES
    for token in range(count):
        for place in range(whole, size):
            out[place] += scores[token] * values[first + token, place]


@summing_kernel
def bend_all(x: Floats, kind: int, out: Floats) -> None:
    """The bend between the two products of the feed-forward part; see ``feedforward.BENDS``.

    Args:
        x: [width].
        kind: which, out of ``BEND_KINDS``.
        out: [width], where the result goes; may be ``x``.

    >>> out = np.empty(2, np.float32)
    >>> bend_all(np.float32([-1, 3]), BEND_KINDS["relu2"], out)
    >>> out.tolist()
    [0.0, 9.0]
    """
    half, one = np.float32(0.5), np.float32(1)
    if kind == 0:
        for place in range(len(x)):
            inner = x[place] * np.float32(math.sqrt(0.5))
            out[place] = half * x[place] * (one + error_function(inner))
    elif kind == 1:
        for place in range(len(x)):
            cube = np.float32(0.044715) * x[place] * x[place] * x[place]
            inner = np.float32(math.sqrt(2 / math.pi)) * (x[place] + cube)
            out[place] = half * x[place] * (one + hyperbolic_tangent(inner))
    elif kind == 2:
        for place in range(len(x)):
            out[place] = x[place] * logistic(x[place])
    else:
        for place in range(len(x)):
            number = np.float32(0) if x[place] < 0 else x[place]
            out[place] = number * number


@summing_kernel
def attention_row(
    x: Floats,
    parts: AttentionParts,
    cosines: Floats,
    sines: Floats,
    keys: Floats,
    values: Floats,
    first: int,
    own: int,
) -> None:
    """Attention of one new token, with the norm before it.

    Args:
        x: [d_model] the residual, to which the result is added.
        parts: what it is made of.
        cosines: [pairs] that turn queries and keys to the token's place; none without rotary.
        sines: [pairs].
        keys: [rows, kv_heads, room, head_size] the cache, in whose first row the token's keys are
            written.
        values: [rows, kv_heads, room, head_size], the same of its values.
        first: the first place of the cache that the token sees.
        own: its own place there, the last one that it sees.
    """
    norm, (qkv, qkv_bias), query_norm, key_norm, scale, (output, output_bias) = parts
    _, kv_heads, _, size = keys.shape
    heads = len(qkv) // size - 2 * kv_heads
    inner = np.empty(len(x), np.float32)
    norm_row(x, norm, inner)
    every = np.zeros((len(qkv) // size, size), np.float32)
    float_row(inner, qkv, qkv_bias, every.reshape(-1))
    for head in range(kv_heads):
        key = every[heads + head]
        norm_row(key, key_norm, key)
        turn_row(key, cosines, sines)
        for place in range(size):
            keys[0, head, own, place] = key[place]
            values[0, head, own, place] = every[heads + kv_heads + head, place]
    taken = np.zeros((heads, size), np.float32)
    for head in range(heads):
        query, group = every[head], head // (heads // kv_heads)
        norm_row(query, query_norm, query)
        turn_row(query, cosines, sines)
        attend_row(query, keys[0, group], values[0, group], (first, own), scale, taken[head])
    float_row(taken.reshape(-1), output, output_bias, x)


@summing_kernel
def feedforward_row(x: Floats, parts: FeedForwardParts) -> None:
    """The feed-forward part for one token, with the norm before it.

    Args:
        x: [d_model] the residual, to which the result is added.
        parts: what it is made of.
    """
    norm, (up, up_bias), bend, gated, (down, down_bias) = parts
    inner = np.empty(len(x), np.float32)
    norm_row(x, norm, inner)
    wide = np.zeros(len(up), np.float32)
    float_row(inner, up, up_bias, wide)
    width = down.shape[1]
    bend_all(wide[:width], bend, wide[:width])
    if gated:
        for place in range(width):
            wide[place] *= wide[width + place]
    float_row(wide[:width], down, down_bias, x)


@summing_kernel
def head_row(x: Floats, norm: Norm, head: Map) -> Floats:
    """The last norm and the head.

    Args:
        x: [d_model] the residual.
        norm: the last norm.
        head: to a score for each token.

    Returns:
        [1, vocab_size].
    """
    weight, bias = head
    inner = np.empty(len(x), np.float32)
    norm_row(x, norm, inner)
    out = np.zeros((1, len(weight)), np.float32)
    float_row(inner, weight, bias, out[0])
    return out
