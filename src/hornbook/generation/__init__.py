"""A model and a prompt in, text out, a token at a time.

Read in this order: ``rules`` (which tokens may come next, and which one does), ``row_rules`` and
``chooser`` (the same for rows with settings of their own), ``text_stream`` (bytes into text that
is certain), ``decoder`` (rows of tokens that grow together), ``writer`` (the same with text),
``sampler`` (the one loop), ``scoring`` (how likely a given text is).
"""

from hornbook.generation.beams import Beam, beam_search
from hornbook.generation.chooser import Alternative, Choice, Chooser
from hornbook.generation.contrastive import contrastive_search
from hornbook.generation.decoder import Decoder, Token
from hornbook.generation.sampler import Sample, generate, generate_tokens, stream
from hornbook.generation.sampling_config import SamplingConfig
from hornbook.generation.scoring import Score, score
from hornbook.generation.text_stream import TextStream
from hornbook.generation.vocabulary import Vocabulary, vocabulary_of
from hornbook.generation.writer import Line, Piece, Writer

__all__ = [
    "Alternative",
    "Beam",
    "Choice",
    "Chooser",
    "Decoder",
    "Line",
    "Piece",
    "Sample",
    "SamplingConfig",
    "Score",
    "TextStream",
    "Token",
    "Vocabulary",
    "Writer",
    "beam_search",
    "contrastive_search",
    "generate",
    "generate_tokens",
    "score",
    "stream",
    "vocabulary_of",
]
