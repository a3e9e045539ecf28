"""A scored text for a person's eye: coloured by how many bits each token was a surprise.

the stone bird zings        "z" was no likely letter: it stands on red
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from hornbook.cli.pieces import shown
from hornbook.cli.screen import visible

if TYPE_CHECKING:
    from hornbook.generation import Score

LN_2 = math.log(2)
"""Nats in a bit."""
SHADES = (
    (1.0, ""),
    (2.0, "black on white"),
    (4.0, "black on bright_yellow"),
    (8.0, "black on yellow"),
    (12.0, "white on red"),
    (math.inf, "white on magenta"),
)
"""Up to how much surprise each style reaches [bits]."""


def shade(bits: float) -> str:
    """The style of a token by its surprise.

    >>> shade(0.5), shade(3.0)
    ('', 'black on bright_yellow')
    """
    return next((style for limit, style in SHADES if bits < limit), SHADES[-1][1])


def legend() -> Text:
    """What the colours mean, in a line."""
    line = Text().append("bits of surprise  ", "dim")
    before = 0.0
    for limit, style in SHADES:
        words = f" {before:g} to {limit:g} " if limit < math.inf else f" {before:g} and more "
        line.append(words, style).append(" ")
        before = limit
    return line


def coloured(scored: Score, first: int | None = None) -> Text:
    """The text of the first tokens (all unless given), each on the colour of its surprise."""
    text = Text()
    for words, bits in readable_pieces(scored, first):
        text.append(visible(words), shade(bits))
    return text


def readable_pieces(scored: Score, first: int | None = None) -> Iterator[tuple[str, float]]:
    """Text and surprise [bits] of each token; tokens that share a character stand together."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    bits = 0.0
    for piece, log_probability in zip(
        scored.pieces[:first], scored.log_probabilities[:first].tolist(), strict=True
    ):
        bits -= log_probability / LN_2
        words = decoder.decode(piece)
        if words:
            yield words, bits
            bits = 0.0
    if rest := decoder.decode(b"", final=True):
        yield rest, bits


def token_lines(scored: Score, first: int | None = None) -> Iterator[str]:
    """A heading, and a line for each of the first tokens: how likely it was, and what it is."""
    yield f"{'bits':>7}  {'probability':>11}  {'rank':>6}  {'id':>6}  token"
    columns = (
        scored.pieces[:first],
        scored.ids[:first].tolist(),
        scored.log_probabilities[:first].tolist(),
        scored.ranks[:first].tolist(),
    )
    for piece, token, nats, rank in zip(*columns, strict=True):
        numbers = f"{-nats / LN_2:7.2f}  {math.exp(nats):11.6f}  {rank:6}  {token:6}"
        yield f"{numbers}  {shown(piece)}"
