"""What the forward pass keeps for the backward pass, part by part.

The gradient of an operation needs some of what it read or made: a product its input, a norm its
input and the size that it divided by, a bend its input. All of that stays in memory until the
backward pass comes by. For one layer in today's form, in float32 on a CPU, for B × T tokens:

    norms          2 × (x, 1 / size of x, x / size)        2 × B × T × (2 × d + 1) × 4 bytes
    attention      its input, queries, keys and values      …
    feed-forward   its input, gate and up, what is bent, the input of the last product

Tests hold the sum against what PyTorch's graph really keeps (``saved_tensors_hooks``), for every
choice of the family. The residual stream itself is kept by the norms that read it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hornbook.inspection.accounting.attention_activations import attention_kept
from hornbook.inspection.accounting.execution import LONG, Execution
from hornbook.inspection.accounting.parameters import Count, Part
from hornbook.inspection.accounting.quantity import Quantity, quantity, total
from hornbook.inspection.accounting.sizes import GATES, Sizes
from hornbook.models import RecurrentConfig, TransformerConfig
from hornbook.models.feedforward import GATED
from hornbook.optimization.model_loss import FEWEST_ROWS, LOGITS_AT_ONCE

ROW_ID = 8
"""Bytes of the number of a row in a table (``int64``)."""


def activations(sizes: Sizes, how: Execution) -> list[Count]:
    """Everything that is kept for one micro-batch, in bytes.

    >>> tiny = TransformerConfig(layers=2, heads=2, d_model=32)
    >>> kept = activations(Sizes.of(tiny, vocab_size=512, context_length=16), Execution())
    >>> [(count.what, count.amount.value) for count in kept if count.part == "head"]
    [('input of the product', 2048), ('probabilities', 32768)]
    """
    found = [*kept_before_layers(sizes, how)]
    layers = [kept_in_layer(sizes, how, layer) for layer in range(sizes.L.value)]
    counted = Counter(count for layer in layers for count in layer)
    for (part, what, amount), times in counted.items():
        every = sizes.L if times == sizes.L.value else quantity(times)
        found.append(Count(part, what, every * amount))
    found += kept_after_layers(sizes, how)
    return [count for count in found if count.amount.value]


def kept_before_layers(sizes: Sizes, how: Execution) -> list[Count]:
    """Of embeddings and what is done to them."""
    config = sizes.config
    found: list[Count] = []
    if isinstance(config, TransformerConfig):
        c, n = config, sizes.tokens
        rows = int(c.bigram_features) + len(c.ngram_lengths)
        found.append(Count("embedding", "rows of the tables", n * (rows * ROW_ID)))
        if c.embedding_norm:
            found += _norm(sizes, how, 1, sizes.d)
        if c.token_shift:
            found.append(Count("other", "the tokens before", n * sizes.d * LONG))
        found += _dropout(sizes, how, config.dropout, LONG)
    elif isinstance(config, RecurrentConfig):
        found += _dropout(sizes, how, config.dropout, LONG)
    return [count for count in found if count.amount.value]


def kept_in_layer(sizes: Sizes, how: Execution, layer: int) -> list[Count]:
    """Of one layer, the ``layer``-th."""
    config = sizes.config
    if isinstance(config, TransformerConfig):
        found = [*_of_block(config, sizes, how, layer)]
    elif isinstance(config, RecurrentConfig):
        found = [*_of_recurrent(config, sizes, how)]
    else:
        found = []
    return [count for count in found if count.amount.value]


def kept_after_layers(sizes: Sizes, how: Execution) -> list[Count]:
    """Of the last norm, the head and the loss."""
    config, s = sizes.config, sizes
    found: list[Count] = []
    if not isinstance(config, TransformerConfig | RecurrentConfig):
        return [Count("head", "probabilities", s.tokens * s.V * LONG)]
    if isinstance(config, TransformerConfig) and config.norm_position != "after":
        found += _norm(s, how, 1, s.d)
    found.append(Count("head", "input of the product", s.tokens * s.d * how.width))
    if in_chunks(s, how):
        found.append(Count("head", "gradients of the loss", (s.tokens * s.d + s.V * s.d) * LONG))
        return [count for count in found if count.amount.value]
    if how.short or s.missing:  # a copy, shorter or filled up with zeros or both
        found.append(Count("head", "copy of the weight", (s.V + s.missing) * s.d * how.width))
    if getattr(config, "output_softcap", 0.0):
        found.append(Count("head", "capped logits", s.tokens * s.V * how.width))
    found.append(Count("head", "probabilities", s.tokens * s.V * LONG))
    return [count for count in found if count.amount.value]


def in_chunks(sizes: Sizes, how: Execution) -> bool:
    """Whether head and loss are computed a chunk at a time (``optimization.chunked_loss``)."""
    return sizes.tokens.value > chunk_rows(sizes, how)


def chunk_rows(sizes: Sizes, how: Execution) -> int:
    """Tokens whose logits may stand in memory at once."""
    numbers = LOGITS_AT_ONCE.get(how.device, LOGITS_AT_ONCE["cpu"])
    return max(FEWEST_ROWS, numbers // sizes.V.value)


def bytes_of(counts: list[Count]) -> int:
    """All of them together."""
    return total(count.amount for count in counts)


def _of_block(config: TransformerConfig, s: Sizes, how: Execution, layer: int) -> Iterator[Count]:
    c, n = config, s.tokens
    yield from _norm(s, how, 4 if c.norm_position == "both" else 2, s.d)
    if c.input_skip:
        yield Count("other", "the residual before the skip", n * s.d * LONG)
    if c.token_shift:
        yield Count("other", "the tokens before", 2 * n * s.d * LONG)
    yield from attention_kept(c, s, how, layer)
    yield from _of_feedforward(c, s, how)
    yield from _dropout(s, how, c.dropout, how.width, 2)


def _of_feedforward(c: TransformerConfig, s: Sizes, how: Execution) -> Iterator[Count]:
    part: Part = "feed-forward"
    n, width = s.tokens, how.width
    gates = 2 if c.feedforward in GATED else 1
    yield Count(part, "input of the first product", n * s.d * width)
    if gates == 2:
        yield Count(part, "gate and up", n * (2 * s.F) * width)
        yield Count(part, "the bent gate", n * s.F * width)
    else:
        yield Count(part, "what is bent", n * s.F * width)
    yield Count(part, "input of the last product", n * s.F * width)
    if how.short:
        weights = (gates + 1) * s.d * s.F
        yield Count(part, "short copies of weights", weights * width)


def _of_recurrent(config: RecurrentConfig, s: Sizes, how: Execution) -> Iterator[Count]:
    if how.device == "cuda":
        each = _CUDNN[config.kind] * how.width
    else:
        each = (_SHORT_BYTES if how.short else _LONG_BYTES)[config.kind]
    yield Count("recurrent", "gates and hidden vectors", s.tokens * s.d * each)
    if how.short:
        weights = 2 * quantity(GATES[config.kind]) * s.d * s.d
        yield Count("recurrent", "short copies of weights", weights * how.width)
    width = LONG if config.kind == "gru" else how.width
    yield from _dropout(s, how, config.dropout, width)


# Bytes that a layer keeps for each token and number of its width, its input among them. Exact for
# rnn and gru, which are made of single operations; an LSTM's kernel has a room of its own, whose
# size was measured for widths of 64 to 256 and is right within a twentieth there.
_LONG_BYTES = {"rnn": 8, "gru": 32, "lstm": 72}
_SHORT_BYTES = {"rnn": 4, "gru": 18, "lstm": 50}
# cuDNN does not say what it keeps in the room that it reserves. Gates, cells, hidden vectors and
# the input must be in it: so many numbers.
_CUDNN = {"rnn": 3, "gru": 7, "lstm": 8}


def _norm(s: Sizes, how: Execution, count: int, width: Quantity) -> Iterator[Count]:
    """What ``count`` norms of vectors of ``width`` keep: input, size, and what they multiply."""
    config = s.config
    assert isinstance(config, TransformerConfig)
    if config.norm == "none":
        return
    times = quantity(count)
    if config.norm == "layernorm":
        numbers = width + 2
    elif config.norm_gain and not how.fused_norms:
        numbers = 2 * width + 1
    else:
        numbers = width + 1
    yield Count("norms", "input and size", times * s.tokens * numbers * LONG)


def _dropout(s: Sizes, how: Execution, share: float, width: int, count: int = 1) -> Iterator[Count]:
    if share:
        bytes_each = 1 if how.device == "cuda" else width
        yield Count("other", "what was dropped", count * s.tokens * s.d * bytes_each)
