"""The transformer's weights before the first step.

    embeddings, matrices           normal, deviation 0.02 (Radford et al., 2019: GPT-2)
    what writes into the residual  a layer's last matrices: normal, deviation 0.02 / √(2 × layers),
                                   so that the sum over all layers begins with the same size at any
                                   depth (the same, section 2.3); zero under ``zero_init``
    head                           the embedding, or normal; zero under ``zero_init_head``
    gains                          one; but where a norm stands on what a layer gives, its gain is
                                   what writes: 0.02 / √(2 × layers), or zero
    biases, token shifts           zero
    tables of pairs, runs, values     zero, so that what never occurs adds nothing
    input skip                     one for the residual, zero for the embedding

A switch that adds weights draws nothing for them. So two models that differ in such a switch
begin with the same weights everywhere else, and compute the same before the first step.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from hornbook.models.transformer_config import TransformerConfig

WEIGHT_DEVIATION = 0.02

LAST_MATRICES = ("attention.output.weight", "feedforward.down.weight")
# Gains of one in a sandwich begin with layers that drown the embedding. The preset tiny after 200
# steps, one seed: 4.93 with gains of one, 4.33 with 0.01 (norms before: 4.66); with 6 layers and
# ``embedding_norm`` 4.41 and 4.28.
LAST_GAINS = "output_norm.weight"
BEGINS_AT_ZERO = ("bias", "_shift.weight", "bigram_embedding.weight")
TABLES_AT_ZERO = ("run_embeddings.", "value_embeddings.")


def initialise_transformer(
    model: nn.Module, config: TransformerConfig, generator: torch.Generator
) -> None:
    """Draw the weights of ``model`` from ``generator``, in the order of their names."""
    writing = 0.0 if config.zero_init else WEIGHT_DEVIATION / math.sqrt(2 * config.layers)
    normed = config.norm_position == "both"
    for name, parameter in model.named_parameters():
        if name.endswith("input_skip.weight"):
            with torch.no_grad():
                parameter.copy_(torch.tensor([1.0, 0.0]))
        elif name.endswith(BEGINS_AT_ZERO) or name.startswith(TABLES_AT_ZERO):
            nn.init.zeros_(parameter)
        elif name.endswith(LAST_GAINS):
            nn.init.constant_(parameter, writing)
        elif parameter.ndim < 2:
            nn.init.ones_(parameter)
        else:
            writes = name.endswith(LAST_MATRICES) and not normed
            deviation = writing if writes else WEIGHT_DEVIATION
            # Drawn even where it is not wanted, so that all that follows is as without.
            nn.init.normal_(parameter, std=deviation, generator=generator)
            if config.zero_init_head and name == "output_head.weight":
                nn.init.zeros_(parameter)
