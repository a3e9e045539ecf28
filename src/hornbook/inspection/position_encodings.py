"""How a model tells positions apart, as numbers to draw.

    learned      the table itself               cosine of the vectors of p and p + d
    sinusoidal   the table of waves             the same, for waves
    rotary       cos(angle) of every pair       how much of q·k is left when k stands d further on,
                                                for a query that looks for exactly that key

The last two are formulas, so likeness depends on the distance alone. Of a learned table it also
depends on where: the mean over all places is drawn, between the least and the most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornbook.inspection.embeddings import unit
from hornbook.models import LanguageModel, Transformer

MOST_POSITIONS = 1024
"""How many positions are drawn: the first ones."""


@dataclass(frozen=True)
class Likeness:
    """How alike two positions are, by their distance from 0 up; each [distances] ``float64``."""

    mean: NDArray[np.float64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]


@dataclass(frozen=True)
class PositionEncoding:
    """An encoding as a picture shows it.

    Attributes:
        what: the encoding in words.
        rows: what a column of the table counts.
        measure: what likeness is measured by.
        table: [positions, rows].
        likeness: by distance.
    """

    what: str
    rows: str
    measure: str
    table: NDArray[np.float32]
    likeness: Likeness


def position_encoding(model: LanguageModel) -> PositionEncoding | None:
    """The positions of a model; ``None`` where it has no encoding that could be drawn."""
    if not isinstance(model, Transformer):
        return None
    if model.rotary is not None:
        cosines = model.rotary.cosines[:MOST_POSITIONS].numpy()
        return PositionEncoding(
            f"rotary positions, {len(cosines):,} of them: cosine of each pair's angle",
            "pair of numbers in a head",
            "what is left of a product",
            cosines,
            likeness_of_turns(cosines),
        )
    table, kind = model.waves, "sinusoidal"
    if model.position_embedding is not None:
        table, kind = model.position_embedding.weight.detach(), "learned"
    if table is None:
        return None
    drawn = table[:MOST_POSITIONS].float().numpy()
    return PositionEncoding(
        f"{kind} positions, {len(drawn):,} vectors of {drawn.shape[1]:,} numbers",
        "number within the vector",
        "cosine of two vectors",
        drawn,
        likeness_of_vectors(drawn),
    )


def likeness_of_vectors(table: NDArray[np.float32]) -> Likeness:
    """Cosines of all pairs of rows that are as far apart.

    >>> found = likeness_of_vectors(np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32))
    >>> found.mean.tolist(), found.highest.tolist()
    ([1.0, 0.5, 0.0], [1.0, 1.0, 0.0])
    """
    directions = unit(table)
    cosines = (directions @ directions.T).astype(np.float64)
    apart = [np.diagonal(cosines, distance) for distance in range(len(cosines))]
    return Likeness(
        mean=np.array([float(found.mean()) for found in apart]),
        lowest=np.array([float(found.min()) for found in apart]),
        highest=np.array([float(found.max()) for found in apart]),
    )


def likeness_of_turns(cosines: NDArray[np.float32]) -> Likeness:
    """The mean cosine of all pairs at each position, which is how far they turned since 0.

    >>> likeness_of_turns(np.array([[1, 1], [0, 0.5]], dtype=np.float32)).mean.tolist()
    [1.0, 0.25]
    """
    mean = cosines.mean(axis=1, dtype=np.float64)
    return Likeness(mean, mean, mean)
