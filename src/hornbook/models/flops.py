"""How much arithmetic a model does: every product, counted from the built model.

A product of matrices [rows, inner] × [inner, columns] takes ``2 × rows × inner × columns``
floating-point operations. Nothing else is counted: norms, activations, softmax and look-ups are a
few of a hundred. For the transformer of 2 layers, 32 wide, over 16 tokens of a vocabulary of 512:

    blocks.0.attention.qkv          2 × 16 × 32 × 96          98,304
    blocks.0.attention  (scores)    2 × 16 × 16 × 32 × 2      32,768
    …
    output_head                     2 × 16 × 32 × 512        524,288

Scores are counted for every pair of tokens, also those that the mask forbids and a good kernel
skips; so did Chowdhery et al. (2022, "PaLM", appendix B), and so does PyTorch's own counter, which
a test compares. A training step does three times the work of a forward pass: the backward pass
needs a product for the gradient of each of the two inputs. What activation checkpointing computes
again is not counted, because the model does not ask for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from hornbook.models.attention import Attention
from hornbook.models.base import LanguageModel
from hornbook.models.latent_attention import LatentAttention

TRAINING_PASSES = 3
"""Forward passes that a training step is worth: one forward, two backward."""


def forward_products(model: LanguageModel, time: int) -> Iterator[tuple[str, int]]:
    """Every part of ``model`` with products, and their FLOPs over one row of ``time`` tokens.

    >>> from hornbook.models import TransformerConfig, build_model
    >>> tiny = TransformerConfig(layers=1, heads=2, d_model=32)
    >>> model = build_model(tiny, vocab_size=512, context_length=16, seed=1)
    >>> dict(forward_products(model, 16))["output_head"]
    524288
    """
    for name, part in model.named_modules():
        if isinstance(part, nn.Linear):
            yield name, 2 * time * part.in_features * part.out_features
        elif isinstance(part, Attention | LatentAttention):
            yield name, 2 * (2 * time * time * part.heads * part.head_size)
        elif isinstance(part, nn.RNNBase):
            matrices = (weight for weight in part.parameters() if weight.ndim == 2)
            yield name, sum(2 * time * matrix.numel() for matrix in matrices)


def training_flops_per_token(model: LanguageModel, time: int) -> float:
    """FLOPs of a training step for each token, in rows of ``time`` tokens."""
    forward = sum(flops for _, flops in forward_products(model, time))
    return TRAINING_PASSES * forward / time
