"""A model and a prompt in, text out, a token at a time.

Read in this order: ``rules`` (which tokens may come next, and which one does),
``text_stream`` (bytes into text that is certain), ``sampler`` (the one loop), ``scoring`` (how
likely a given text is).
"""

from hornbook.generation.rules import SamplingConfig, next_token_probabilities
from hornbook.generation.sampler import Piece, Sample, generate, generate_tokens, stream
from hornbook.generation.scoring import Score, score
from hornbook.generation.text_stream import TextStream

__all__ = [
    "Piece",
    "Sample",
    "SamplingConfig",
    "Score",
    "TextStream",
    "generate",
    "generate_tokens",
    "next_token_probabilities",
    "score",
    "stream",
]
