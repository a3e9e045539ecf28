"""How many numbers a model learns, part by part, by formula and without building it.

    tiny            V = 512, d = 32, L = 2, H = K = 2, h = 16, F = 88
    embedding       V × d                          16,384
    attention       L × d × (H + 2 × K) × h         6,144     queries, keys, values
                    L × d × d                       2,048     output
    feed-forward    L × d × 2 × F                  11,264     gate and up
                    L × F × d                       5,632     down
    norms           5 × d                             160
    head            0                                         the embedding's

Tests build every preset and every choice of the family on PyTorch's ``meta`` device, where tensors
have shapes and no memory, and compare.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from hornbook.inspection.accounting.quantity import NOTHING, Quantity, quantity
from hornbook.inspection.accounting.sizes import GATES, Sizes
from hornbook.models import RecurrentConfig, TransformerConfig
from hornbook.models.embeddings import default_buckets
from hornbook.models.feedforward import GATED

Part = Literal["embedding", "attention", "feed-forward", "recurrent", "norms", "head", "other"]
PARTS: tuple[Part, ...] = (
    "embedding",
    "attention",
    "feed-forward",
    "recurrent",
    "norms",
    "head",
    "other",
)


class Count(NamedTuple):
    """A line of an account: of which part, of what, and how many."""

    part: Part
    what: str
    amount: Quantity


def parameters(sizes: Sizes) -> list[Count]:
    """What a model learns, without lines of nothing; a tied head counts once, as the embedding.

    >>> tiny = TransformerConfig(layers=2, heads=2, d_model=32)
    >>> found = parameters(Sizes.of(tiny, vocab_size=512, context_length=16))
    >>> sum(count.amount.value for count in found)
    41632
    >>> found[0].amount.formula
    'V × d'
    """
    config = sizes.config
    if isinstance(config, TransformerConfig):
        found = _of_transformer(config, sizes)
    elif isinstance(config, RecurrentConfig):
        found = _of_recurrent(config, sizes)
    else:
        found = iter([Count("head", "table of pairs", sizes.V * sizes.V)])
    return [count for count in found if count.amount.value]


def _of_transformer(config: TransformerConfig, sizes: Sizes) -> Iterator[Count]:
    c, s = config, sizes
    yield Count("embedding", "token", s.V * s.d)
    if c.positions == "learned":
        yield Count("embedding", "position", s.P * s.d)
    if c.bigram_features:
        rows = c.bigram_buckets or default_buckets(s.V.value)
        yield Count("embedding", "pairs of tokens", (quantity(rows) + 1) * s.d)
    if c.ngram_lengths:
        rows = len(c.ngram_lengths) * (quantity(c.ngram_rows) + 1)
        yield Count("embedding", "runs of tokens", rows * s.d)
    if c.value_layers:
        tables = len(c.value_layers) * s.V * s.K * s.h
        yield Count("embedding", "of values", tables)
    yield from _of_latent_attention(c, s) if c.attention == "mla" else _of_attention(c, s)
    gates = 2 if c.feedforward in GATED else 1
    up = "gate and up" if gates == 2 else "up"
    yield Count("feed-forward", up, s.L * s.d * (gates * s.F))
    yield Count("feed-forward", "down", s.L * s.F * s.d)
    if c.bias:
        yield Count("feed-forward", "biases", s.L * (gates * s.F + s.d))
    yield Count("norms", "gains", quantity(_norms(c)) * s.d if _norm_width(c) else NOTHING)
    if _norm_width(c) == 2:
        yield Count("norms", "biases", quantity(_norms(c)) * s.d)
    if c.attention == "multihead" and c.qk_norm and c.norm_gain:
        yield Count("norms", "of queries and keys", s.L * (2 * s.h))
    if c.attention == "mla" and c.norm_gain:
        yield Count("norms", "of latents", s.L * (s.c + s.q))
        if c.qk_norm:
            yield Count("norms", "of queries and rotary keys", s.L * (s.h + s.r))
    if c.token_shift:
        yield Count("other", "token shift", (2 * s.L + 1) * s.d)
    if c.input_skip:
        yield Count("other", "input skip", 2 * s.L)
    yield Count("head", "logits", NOTHING if c.tied_head else s.V * s.d)


def _of_attention(config: TransformerConfig, s: Sizes) -> Iterator[Count]:
    columns = s.H + 2 * s.K
    yield Count("attention", "queries, keys, values", s.L * s.d * columns * s.h)
    yield Count("attention", "output", s.L * s.d * s.d)
    if config.bias:
        yield Count("attention", "biases", s.L * (columns * s.h + s.d))


def _of_latent_attention(config: TransformerConfig, s: Sizes) -> Iterator[Count]:
    if s.q.value:
        yield Count("attention", "queries, down", s.L * s.d * s.q)
        yield Count("attention", "queries, up", s.L * s.q * s.d)
    else:
        yield Count("attention", "queries", s.L * s.d * s.d)
    yield Count("attention", "rotary key and latent", s.L * s.d * (s.r + s.c))
    yield Count("attention", "latent to keys and values", s.L * s.c * (s.H * (s.h - s.r) + s.d))
    yield Count("attention", "output", s.L * s.d * s.d)
    if config.bias:
        yield Count("attention", "biases", s.L * (s.q + s.r + s.c + s.d))


def _norms(config: TransformerConfig) -> int:
    """How many norms of a token's vector there are."""
    a_layer = 4 if config.norm_position == "both" else 2
    last = 0 if config.norm_position == "after" else 1
    return a_layer * config.layers + last + int(config.embedding_norm)


def _norm_width(config: TransformerConfig) -> int:
    """Numbers that a norm learns for each channel."""
    if config.norm == "none" or not config.norm_gain:
        return 0
    return 2 if config.norm == "layernorm" and config.bias else 1


def _of_recurrent(config: RecurrentConfig, s: Sizes) -> Iterator[Count]:
    gates = quantity(GATES[config.kind])
    yield Count("embedding", "token", s.V * s.d)
    yield Count("recurrent", "from the layer below", s.L * (gates * s.d) * s.d)
    yield Count("recurrent", "from the token before", s.L * (gates * s.d) * s.d)
    yield Count("recurrent", "biases", s.L * (gates * 2) * s.d)
    yield Count("head", "logits", NOTHING if config.tied_head else s.V * s.d)
