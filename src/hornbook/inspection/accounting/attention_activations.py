"""What attention keeps for the backward pass: queries, keys, values, and perhaps its weights.

A fused kernel ("SDPA") keeps what it read, what it made and one number a query, and computes the
matrix of weights again; a kernel that is not fused keeps that matrix, which grows with the square
of the window:

    fused           queries, keys, values, result     B × T × (2 × H + 2 × K) × h + B × T × H
    materialised    queries, keys, values, weights    … + B × H × T × T
"""

from __future__ import annotations

from collections.abc import Iterator

from hornbook.inspection.accounting.execution import LONG, Execution
from hornbook.inspection.accounting.parameters import Count, Part
from hornbook.inspection.accounting.quantity import NOTHING, Quantity, quantity
from hornbook.inspection.accounting.sizes import Sizes
from hornbook.models import TransformerConfig
from hornbook.models.window_pairs import longest_square

_PART: Part = "attention"


def attention_kept(
    config: TransformerConfig, s: Sizes, how: Execution, layer: int
) -> Iterator[Count]:
    """What the attention of one layer keeps, from its input to the input of its last product."""
    by_pairs = _by_pairs(config, s, layer)
    span = 2 * quantity(config.windows[layer]) if by_pairs else s.T
    latent = config.attention == "mla"
    yield from _made_by_latents(config, s, how) if latent else _made(config, s, how)
    if how.short_rows(s, span.value):
        yield from _short_rows(config, s, layer, span)
    elif how.keeps_weights(s, span.value):
        yield from _materialised(config, s, how, span)
    else:
        yield from _fused(config, s, how, layer)
    turned = config.positions == "rotary" or config.qk_norm
    copies = how.short and how.device == "cpu"
    # The result has its tokens in the order of the queries, and is copied where that is not the
    # order of the rows.
    if turned or copies or by_pairs or how.keeps_weights(s, span.value):
        yield Count(_PART, "input of the last product", s.tokens * s.d * how.width)


def _made(config: TransformerConfig, s: Sizes, how: Execution) -> Iterator[Count]:
    """Of the product that makes queries, keys and values, and of their norms."""
    columns = (s.H + 2 * s.K) * s.h
    yield Count(_PART, "input of the first product", s.tokens * s.d * how.width)
    if how.short:
        yield Count(_PART, "short copies of weights", (s.d * columns + s.d * s.d) * how.width)
    if config.qk_norm:
        yield from _head_norms(config, s, how, (s.H + s.K) * s.h, s.H + s.K)


def _head_norms(
    config: TransformerConfig, s: Sizes, how: Execution, width: Quantity, count: Quantity
) -> Iterator[Count]:
    """Of norms of heads: ``count`` vectors a token, ``width`` numbers together."""
    # In float32 the input is where the product put it; short numbers have a long copy.
    normed = width if how.short or (config.norm_gain and not how.fused_norms) else NOTHING
    yield Count("norms", "of queries and keys", s.tokens * (normed + count) * LONG)


def _made_by_latents(config: TransformerConfig, s: Sizes, how: Execution) -> Iterator[Count]:
    n, width = s.tokens, how.width
    # In float32 both products read one tensor; in short numbers each has its own copy.
    reads = 2 if how.short else 1
    yield Count(_PART, "input of the first products", reads * n * s.d * width)
    normed = NOTHING if how.fused_norms or not config.norm_gain else s.c
    if s.q.value:
        of_queries = s.q + 1 + (s.q if normed.value else NOTHING)
        yield Count(_PART, "latents of queries", n * s.q * width)
        yield Count("norms", "of latents of queries", n * of_queries * LONG)
    as_made = s.c if how.short else s.r + s.c
    yield Count("norms", "of latents", n * (as_made + normed + 1) * LONG)
    yield Count(_PART, "latents as read", n * (s.c if how.short else s.r + s.c) * width)
    columns = _latent_columns(s)
    if how.short:
        first = s.d * s.q + s.q * s.d if s.q.value else s.d * s.d
        weights = first + s.d * (s.r + s.c) + s.c * columns + s.d * s.d
        yield Count(_PART, "short copies of weights", weights * width)
    if config.qk_norm:
        yield from _head_norms(config, s, how, s.d + s.r, s.H + 1)
        if not how.short:
            yield Count(_PART, "queries as made", n * s.d * width)


def _latent_columns(s: Sizes) -> Quantity:
    """Numbers that are made of a latent: what keys say by content, and values."""
    return s.H * (s.h - s.r) + s.d


def _short_rows(config: TransformerConfig, s: Sizes, layer: int, span: Quantity) -> Iterator[Count]:
    """Of ``models.short_attention``, which keeps short copies of all that it reads."""
    latent = config.attention == "mla"
    keys = s.H if latent else s.K
    times = 1 if span is s.T else 2
    yield Count(_PART, "queries and keys", s.tokens * ((s.H + times * keys) * s.h) * 2)
    own = layer in config.value_layers
    if (s.B.value == 1 or s.K.value == 1) and times == 1 and not own:
        columns = _latent_columns(s) if latent else (s.H + 2 * s.K) * s.h
        yield Count(_PART, "values, as made with the rest", s.tokens * columns * 2)
    else:
        yield Count(_PART, "values", times * s.tokens * (keys * s.h) * 2)
    yield Count(_PART, "weights", s.B * s.H * s.T * span * 2)


def _materialised(
    config: TransformerConfig, s: Sizes, how: Execution, span: Quantity
) -> Iterator[Count]:
    """Of a softmax that is written out; groups of heads that share keys get copies of their own."""
    capped = config.attention_softcap > 0
    dropped = config.attention_dropout > 0
    width = how.width if how.device == "cuda" or capped else LONG
    times = 3 if span is s.T else 5
    yield Count(_PART, "queries, keys, values", s.tokens * (times * s.H * s.h) * width)
    square = s.B * s.H * s.T * span
    if capped:
        last = how.width if how.short else 0  # the weights once more, as the product reads them
        yield Count(_PART, "scores and weights", square * (2 * LONG + last))
    else:
        yield Count(_PART, "weights", (3 if dropped else 1) * square * width)
    if capped:
        yield Count(_PART, "mask", s.T * span)
    if capped and dropped:
        yield Count(_PART, "dropped weights", square * LONG)


def _fused(config: TransformerConfig, s: Sizes, how: Execution, layer: int) -> Iterator[Count]:
    """Of a kernel that never has all weights in memory."""
    latent = config.attention == "mla"
    n, keys = s.tokens, s.H if latent else s.K
    width = how.width if how.device == "cuda" else LONG
    window, by_pairs = config.windows[layer], _by_pairs(config, s, layer)
    copies = how.short and how.device == "cpu"
    turned = config.positions == "rotary" or config.qk_norm or copies
    own_values = layer in config.value_layers
    scaled = config.attention_scale != 1
    if turned or scaled or latent:
        yield Count(_PART, "queries", n * (s.H * s.h) * width)
    if turned:
        yield Count(_PART, "keys", n * (keys * s.h) * width)
    if copies or own_values:
        yield Count(_PART, "values", n * (keys * s.h) * width)
    if not copies and (not own_values or not turned or config.qk_norm):
        columns = _latent_columns(s) if latent else (s.H + 2 * s.K) * s.h
        yield Count(_PART, "keys and values as made", n * columns * how.width)
    if by_pairs:  # keys and values of a piece, and those of the piece before
        yield Count(_PART, "pairs of pieces", n * ((s.H + 4 * keys) * s.h) * width)
    yield Count(_PART, "result", n * s.d * width)
    yield Count(_PART, "sums of weights", s.B * s.H * s.T * LONG)
    if how.keeps_mask(s):
        yield Count(_PART, "mask", s.B * s.T * s.T * width)
    elif config.positions == "alibi":
        yield Count(_PART, "mask", s.H * s.T * s.T * width)
    elif window and s.T.value > window and not by_pairs:
        yield Count(_PART, "mask", s.T * s.T * width)


def _by_pairs(config: TransformerConfig, s: Sizes, layer: int) -> bool:
    """Whether a layer goes through the row a window at a time (``models.window_pairs``)."""
    window = config.windows[layer]
    return 0 < window < s.T.value and s.T.value >= longest_square(window)
