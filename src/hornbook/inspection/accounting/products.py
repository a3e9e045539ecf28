"""How much arithmetic a model does: every product of matrices, by formula.

A product of matrices [rows, inner] × [inner, columns] takes ``2 × rows × inner × columns``
floating-point operations. Nothing else is counted: norms, activations, softmax and look-ups are a
few of a hundred. For the transformer of 2 layers, 32 wide, over 16 tokens of a vocabulary of 512:

    queries, keys, values   L × 2 × T × d × (H + 2 × K) × h     196,608
    scores                  L × 2 × T × T × H × h                32,768
    weighted values         L × 2 × T × T × H × h                32,768
    …
    logits                  2 × T × d × V                       524,288

Scores are counted for every pair of tokens, also those that the mask or a window forbids and a
good kernel skips; so did Chowdhery et al. (2022, "PaLM", appendix B), and so does PyTorch's own
counter, which a test compares. A training step does three times the work of a forward pass: the
backward pass needs a product for the gradient of each of the two inputs. What activation
checkpointing computes again is not counted, because the model does not ask for it; nor are rows of
zeros with which a head is filled up (``model.vocab_multiple``).
"""

from __future__ import annotations

from collections.abc import Iterator

from hornbook.inspection.accounting.parameters import Count
from hornbook.inspection.accounting.quantity import Quantity, quantity, total
from hornbook.inspection.accounting.sizes import GATES, Sizes
from hornbook.models import LanguageModel, RecurrentConfig, TransformerConfig
from hornbook.models.feedforward import GATED

BACKWARD_PASSES = 2
"""Forward passes that a backward pass is worth."""


def products(sizes: Sizes) -> list[Count]:
    """Every product of the forward pass over one window, and its FLOPs.

    >>> tiny = TransformerConfig(layers=1, heads=2, d_model=32)
    >>> logits = products(Sizes.of(tiny, vocab_size=512, context_length=16))[-1]
    >>> logits.what, logits.amount.formula, logits.amount.value
    ('logits', '2 × T × d × V', 524288)
    """
    config = sizes.config
    if isinstance(config, TransformerConfig):
        return list(_of_transformer(config, sizes))
    if isinstance(config, RecurrentConfig):
        return list(_of_recurrent(config, sizes))
    return []


def forward_flops(sizes: Sizes) -> int:
    """FLOPs of the products of a forward pass over one window."""
    return total(count.amount for count in products(sizes))


def training_flops_per_token(model: LanguageModel, time: int) -> float:
    """FLOPs of a training step for each token, in rows of ``time`` tokens."""
    sizes = Sizes.of_model(model, context_length=time)
    return (1 + BACKWARD_PASSES) * forward_flops(sizes) / time


def _of_transformer(config: TransformerConfig, s: Sizes) -> Iterator[Count]:
    gates = 2 if config.feedforward in GATED else 1
    yield from _of_latent_attention(s) if config.attention == "mla" else _of_attention(s)
    up = "gate and up" if gates == 2 else "up"
    yield Count("feed-forward", up, s.L * _product(s, s.d, gates * s.F))
    yield Count("feed-forward", "down", s.L * _product(s, s.F, s.d))
    yield Count("head", "logits", _product(s, s.d, s.V))


def _of_attention(s: Sizes) -> Iterator[Count]:
    columns = (s.H + 2 * s.K) * s.h
    yield Count("attention", "queries, keys, values", s.L * _product(s, s.d, columns))
    yield from _looking(s)
    yield Count("attention", "output", s.L * _product(s, s.d, s.d))


def _of_latent_attention(s: Sizes) -> Iterator[Count]:
    if s.q.value:
        yield Count("attention", "queries, down", s.L * _product(s, s.d, s.q))
        yield Count("attention", "queries, up", s.L * _product(s, s.q, s.d))
    else:
        yield Count("attention", "queries", s.L * _product(s, s.d, s.d))
    yield Count("attention", "rotary key and latent", s.L * _product(s, s.d, s.r + s.c))
    columns = s.H * (s.h - s.r) + s.d
    yield Count("attention", "latent to keys and values", s.L * _product(s, s.c, columns))
    yield from _looking(s)
    yield Count("attention", "output", s.L * _product(s, s.d, s.d))


def _looking(s: Sizes) -> Iterator[Count]:
    """What has no weights: each token's query times every key, and what it finds times values."""
    yield Count("attention", "scores", s.L * _product(s, s.T, s.H * s.h))
    yield Count("attention", "weighted values", s.L * _product(s, s.T, s.H * s.h))


def _of_recurrent(config: RecurrentConfig, s: Sizes) -> Iterator[Count]:
    columns = quantity(GATES[config.kind]) * s.d
    yield Count("recurrent", "from the layer below", s.L * _product(s, s.d, columns))
    yield Count("recurrent", "from the token before", s.L * _product(s, s.d, columns))
    yield Count("head", "logits", _product(s, s.d, s.V))


def _product(s: Sizes, inner: Quantity, columns: Quantity) -> Quantity:
    """A row for each token of a window."""
    return 2 * s.T * inner * columns
