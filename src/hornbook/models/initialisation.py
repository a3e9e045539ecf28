"""The transformer's weights before the first step.

    embeddings, matrices, head     normal, deviation 0.02 (Radford et al., 2019: GPT-2); embeddings
                                   with ``embedding_deviation`` where it is given
    what writes into the residual  a layer's last matrices: normal, deviation 0.02 / √(2 × layers),
                                   so that the sum over all layers begins with the same size at any
                                   depth (the same, section 2.3); zero under ``zero_init``
    head                           the embedding, where it is tied; zero under ``zero_init_head``
    gains                          one; but where a norm stands on what a layer gives, its gain is
                                   what writes: 0.02 / √(2 × layers), or zero
    biases, token shifts           zero
    tables of pairs, runs, values  zero, so that what never occurs adds nothing
    input skip                     one for the residual, zero for the embedding

Where norms stand after each sum, the residual has size 1 there, and matrices so small would add
nothing to it that could be seen. They then begin as the first transformer's (Vaswani et al., 2017),
with deviation 1 / √inputs, and embeddings with 0.5 / √d_model, which is 0.02 for GPT-2's width.

Every tensor is drawn from a stream of its own, named as the tensor is (``generator_of``). So two
models that differ in a switch begin with the same weights in all tensors that both have; and a
switch that adds a table or a shift, which begin at zero, changes nothing before the first step.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from hornbook.models.transformer_config import TransformerConfig
from hornbook.randomness import stream_seed

WEIGHT_DEVIATION = 0.02

LAST_MATRICES = ("attention.output.weight", "feedforward.down.weight")
# Gains of one in a sandwich begin with layers that drown the embedding. The preset tiny after 200
# steps, one seed: 4.93 with gains of one, 4.33 with 0.01 (norms before: 4.66); with 6 layers and
# ``embedding_norm`` 4.41 and 4.28.
LAST_GAINS = "output_norm.weight"
BEGINS_AT_ZERO = ("bias", "_shift.weight", "bigram_embedding.weight")
TABLES_AT_ZERO = ("run_embeddings.", "value_embeddings.")


def generator_of(generator: torch.Generator, name: str) -> torch.Generator:
    """The generator for one tensor: a pure function of the seed of ``generator`` and the name.

    >>> seeded = torch.Generator().manual_seed(1)
    >>> first = torch.rand(1, generator=generator_of(seeded, "head.weight"))
    >>> _ = torch.rand(5, generator=generator_of(seeded, "other.weight"))
    >>> torch.equal(first, torch.rand(1, generator=generator_of(seeded, "head.weight")))
    True
    """
    seed = stream_seed(generator.initial_seed(), name)
    return torch.Generator(generator.device).manual_seed(seed)


def initialise_transformer(
    model: nn.Module, config: TransformerConfig, generator: torch.Generator
) -> None:
    """Draw the weights of ``model``, each tensor from its stream under ``generator``."""
    for name, parameter in model.named_parameters():
        if name.endswith("input_skip.weight"):
            with torch.no_grad():
                parameter.copy_(torch.tensor([1.0, 0.0]))
        elif name.endswith(BEGINS_AT_ZERO) or name.startswith(TABLES_AT_ZERO):
            nn.init.zeros_(parameter)
        elif name.endswith(LAST_GAINS):
            nn.init.constant_(parameter, _writing_deviation(config))
        elif parameter.ndim < 2:
            nn.init.ones_(parameter)
        else:
            deviation = _deviation(name, parameter.shape[1], config)
            nn.init.normal_(parameter, std=deviation, generator=generator_of(generator, name))


def embedding_deviation(config: TransformerConfig) -> float:
    """How large the numbers of an embedding are at first."""
    if config.embedding_deviation:
        return config.embedding_deviation
    return 0.5 * config.d_model**-0.5 if config.norm_position == "after" else WEIGHT_DEVIATION


def _deviation(name: str, inputs: int, config: TransformerConfig) -> float:
    """Of a matrix of [outputs, inputs], or of an embedding."""
    last = name.endswith(LAST_MATRICES)
    if name.endswith("_embedding.weight"):
        return embedding_deviation(config)
    if name == "output_head.weight":
        return 0.0 if config.zero_init_head else WEIGHT_DEVIATION
    if config.norm_position == "after":
        # The preset small with this and a tied head: 4.72 after 150 steps, one seed (norms before:
        # 4.93); with deviations of 0.02 the loss never left the frequencies of tokens, 6.07.
        return 0.0 if last and config.zero_init else inputs**-0.5
    return (
        _writing_deviation(config)
        if last and config.norm_position == "before"
        else WEIGHT_DEVIATION
    )


def _writing_deviation(config: TransformerConfig) -> float:
    return 0.0 if config.zero_init else WEIGHT_DEVIATION / math.sqrt(2 * config.layers)
