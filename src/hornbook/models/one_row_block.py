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

from hornbook.kernels import inlined, summing_kernel
from hornbook.models.one_row import Floats, float_row

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
    size = len(query)
    scores = np.empty(last + 1, np.float32)
    largest = np.float32(-np.inf)
    for token in range(first, last + 1):
        score = np.float32(0)
        for place in range(size):
            score += query[place] * keys[token, place]
        scores[token] = score * np.float32(scale)
        largest = max(largest, scores[token])
    total = np.float32(0)
    for token in range(first, last + 1):
        scores[token] = math.exp(scores[token] - largest)
        total += scores[token]
    for token in range(first, last + 1):
        share = scores[token] / total
        for place in range(size):
            out[place] += share * values[token, place]


@inlined
def _bent(x: np.float32, kind: int) -> np.float32:
    """See ``feedforward.BENDS``."""
    if kind == 0:
        return np.float32(0.5) * x * (np.float32(1) + math.erf(x * np.float32(math.sqrt(0.5))))
    if kind == 1:
        inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
        return np.float32(0.5) * x * (np.float32(1) + math.tanh(inner))
    if kind == 2:
        return x / (np.float32(1) + math.exp(-x))
    return max(x, np.float32(0)) ** 2


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
        keys: [kv_heads, room, head_size] the cache, where the token's keys are written.
        values: [kv_heads, room, head_size], the same of its values.
        first: the first place of the cache that the token sees.
        own: its own place there, the last one that it sees.
    """
    norm, (qkv, qkv_bias), query_norm, key_norm, scale, (output, output_bias) = parts
    kv_heads, _, size = keys.shape
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
            keys[head, own, place] = key[place]
            values[head, own, place] = every[heads + kv_heads + head, place]
    taken = np.zeros((heads, size), np.float32)
    for head in range(heads):
        query, group = every[head], head // (heads // kv_heads)
        norm_row(query, query_norm, query)
        turn_row(query, cosines, sines)
        attend_row(query, keys[group], values[group], (first, own), scale, taken[head])
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
    for place in range(width):
        wide[place] = _bent(wide[place], bend)
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
