"""Token ids in, scores for the next token out; each family behind one contract.

Read in this order: ``base`` (the contract and the idea of a state), ``bigram`` and
``bigram_counts`` (the two smallest language models there are), ``recurrent`` (plain RNN, GRU
and LSTM), then the transformer's parts as data meets them: ``linear``, ``embeddings``, ``ngrams``,
``positions`` and ``rotary``, ``norms``, ``previous_token``, ``attention`` or ``latent_attention``
with their ``kv_cache``, ``feedforward``, ``input_skip``, ``block``, ``head``, and ``transformer``,
which puts them together after ``transformer_config`` and begins with the weights of
``initialisation``. Which token sees which, and how well, is told in ``masks``, ``alibi``,
``soft_cap`` and ``sight``; that it costs no more than it must, in ``attention_paths``,
``window_pairs``, ``document_layout`` (CPU) and ``block_attention`` (CUDA). Which kernel computes it
in which numbers: ``products``, ``dot_product``, ``short_attention`` and ``hand_gradients``, by what
``processor`` knows of the machine.
``decode_step`` takes the step of one token quickly and ``compiled_step`` compiles it, ``quantised``
makes copies in fewer bits, ``undrawn`` models whose weights are about to be read.

Seven of the parts stand on their own: ``Linear``, ``Embedding``, ``RMSNorm``, ``SwiGLU``,
``Rotary``, ``Attention`` and ``Block``.
"""

from typing import Annotated

from pydantic import Field

from hornbook.models.attention import Attention
from hornbook.models.base import CarriedState, LanguageModel, State
from hornbook.models.bigram import Bigram, BigramConfig
from hornbook.models.bigram_counts import BigramCounts, BigramCountsConfig
from hornbook.models.block import Block
from hornbook.models.compiled_step import with_compiled_step
from hornbook.models.decode_step import NextStep, next_step
from hornbook.models.embeddings import Embedding
from hornbook.models.feedforward import SwiGLU
from hornbook.models.kv_cache import KVCache, LatentCache
from hornbook.models.linear import Linear
from hornbook.models.norms import RMSNorm
from hornbook.models.quantised import WeightKind, quantise
from hornbook.models.recurrent import (
    GRUConfig,
    LSTMConfig,
    Recurrent,
    RecurrentConfig,
    RNNConfig,
)
from hornbook.models.rotary import Rotary
from hornbook.models.transformer import Transformer
from hornbook.models.transformer_config import TransformerConfig
from hornbook.models.transformer_state import TransformerState

ModelConfig = Annotated[
    BigramCountsConfig | BigramConfig | RecurrentConfig | TransformerConfig,
    Field(discriminator="kind"),
]
"""The settings of any model; ``kind`` says which."""


def build_model(
    config: BigramCountsConfig | BigramConfig | RecurrentConfig | TransformerConfig,
    *,
    vocab_size: int,
    context_length: int,
    seed: int,
) -> LanguageModel:
    """Build the model that ``config`` describes, with its initial weights drawn from ``seed``.

    Args:
        config: the settings of one family.
        vocab_size: how many ids the tokenizer has.
        context_length: the most tokens that a window holds.
        seed: the seed of the ``init`` stream; the same seed gives the same weights.
    """
    import torch

    model: LanguageModel
    if isinstance(config, TransformerConfig):
        model = Transformer(config, vocab_size=vocab_size, context_length=context_length)
    elif isinstance(config, RecurrentConfig):
        model = Recurrent(config, vocab_size=vocab_size)
    elif isinstance(config, BigramConfig):
        model = Bigram(config, vocab_size=vocab_size)
    else:
        model = BigramCounts(config, vocab_size=vocab_size)
    model.initialise(torch.Generator().manual_seed(seed))
    return model


__all__ = [
    "Attention",
    "Bigram",
    "BigramConfig",
    "BigramCounts",
    "BigramCountsConfig",
    "Block",
    "CarriedState",
    "Embedding",
    "GRUConfig",
    "KVCache",
    "LSTMConfig",
    "LanguageModel",
    "LatentCache",
    "Linear",
    "ModelConfig",
    "NextStep",
    "RMSNorm",
    "RNNConfig",
    "Recurrent",
    "RecurrentConfig",
    "Rotary",
    "State",
    "SwiGLU",
    "Transformer",
    "TransformerConfig",
    "TransformerState",
    "WeightKind",
    "build_model",
    "next_step",
    "quantise",
    "with_compiled_step",
]
