"""A model and a prompt in, text out, a token at a time.

Read in this order: ``rules`` (which tokens may come next, and which one does),
``text_stream`` (bytes into text that is certain), ``decoder`` (rows of tokens that grow together),
``writer`` (the same with text), ``sampler`` (the one loop).
"""

from hornbook.generation.decoder import Decoder, Token
from hornbook.generation.rules import SamplingConfig, next_token_probabilities
from hornbook.generation.sampler import Sample, generate, generate_tokens, stream
from hornbook.generation.text_stream import TextStream
from hornbook.generation.writer import Line, Piece, Writer

__all__ = [
    "Decoder",
    "Line",
    "Piece",
    "Sample",
    "SamplingConfig",
    "TextStream",
    "Token",
    "Writer",
    "generate",
    "generate_tokens",
    "next_token_probabilities",
    "stream",
]
