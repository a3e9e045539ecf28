"""The tokens of a model on a plane, as a picture: near each other where their vectors are.

 ●·queen                names stand where there is room: first those that were asked for,
●·king                  then their neighbours, then the most frequent tokens
         ● ing   ●ed
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from hornbook.inspection import svg
from hornbook.inspection.embeddings import (
    KINDS,
    Neighbour,
    TokenVectors,
    all_neighbours,
    kinds_of_tokens,
    principal_plane,
    unit,
)
from hornbook.inspection.lines import cells, shortened
from hornbook.randomness import stream_seed
from hornbook.tokenizers import Tokenizer

MOST_POINTS = 2000
"""Tokens on a map unless asked otherwise: the most frequent ones."""
NEIGHBOURS = 8

_WIDTH, _HEIGHT, _MARGIN, _TOP = 900.0, 760.0, 28.0, 96.0
_NAME_SIZE, _MOST_NAMES, _LONGEST_NAME = 10.0, 220, 18


@dataclass(frozen=True)
class View:
    """A way to lay the tokens out on a plane.

    Attributes:
        name: of the way, with what should be known of it.
        places: [points, 2].
    """

    name: str
    places: NDArray[np.float64]


@dataclass(frozen=True)
class TokenMap:
    """Some tokens of a model on planes; every sequence has an entry for each point.

    Attributes:
        title, what: the run, and what the vectors are.
        tokens: their ids, the most frequent first.
        names: each as a person reads it.
        kinds: what each is made of; see ``KINDS``.
        counts: how often each occurred in training, ``None`` where that is not known.
        norms: the length of each vector.
        near: the points nearest to each by the angle of the whole vectors, and the cosines.
        views: the planes.
    """

    title: str
    what: str
    tokens: Sequence[int]
    names: Sequence[str]
    kinds: Sequence[str]
    counts: Sequence[int] | None
    norms: Sequence[float]
    near: Sequence[Sequence[Neighbour]]
    views: Sequence[View]


def token_map(
    title: str,
    vectors: TokenVectors,
    tokenizer: Tokenizer,
    names: Sequence[str],
    *,
    wanted: Sequence[int] = (),
    most: int = MOST_POINTS,
    seed: int = 0,
) -> TokenMap:
    """Lay tokens out.

    Args:
        title: of the map.
        vectors: of all tokens.
        tokenizer: whose tokens they are.
        names: [vocab_size] how a person reads each.
        wanted: tokens that must be on it; the most frequent ones are.
        most: how many tokens at most.
        seed: of the one view with random choices, UMAP.
    """
    known = vectors.known
    shown = np.array(list(dict.fromkeys([*wanted, *known[:most].tolist()])), dtype=np.int64)
    tokens: list[int] = shown.tolist()
    table = vectors.table[shown]
    contents = [tokenizer.token_bytes(token) for token in range(len(names))]
    kinds = kinds_of_tokens(contents, list(tokenizer.special_tokens.values()))
    # By their directions, as neighbours are: lengths tell how rare a token is, and little more.
    places, shares = principal_plane(unit(table))
    views = [View(f"PCA of the directions: {100 * sum(shares):.0f} % of the variance", places)]
    if importlib.util.find_spec("umap") is not None and len(shown) > NEIGHBOURS:
        views.append(View("UMAP of the directions", _umap(table, seed)))
    return TokenMap(
        title=title,
        what=vectors.what,
        tokens=tokens,
        names=[names[token] for token in tokens],
        kinds=[kinds[token] for token in tokens],
        counts=None if vectors.counts is None else vectors.counts[shown].tolist(),
        norms=np.linalg.norm(table, axis=1).tolist(),
        near=all_neighbours(table, NEIGHBOURS),
        views=views,
    )


def _umap(table: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """[tokens, 2] by UMAP (McInnes et al., 2018), the same for the same seed."""
    umap = import_module("umap")  # of nobody's extra: used where it happens to be installed
    state = stream_seed(seed, "umap", 0) % (1 << 32)
    found = umap.UMAP(n_components=2, random_state=state, n_jobs=1).fit_transform(unit(table))
    return np.asarray(found, dtype=np.float64)


def map_svg(shown: TokenMap, view: View, marked: Sequence[int] = ()) -> str:
    """A view as an SVG file.

    Args:
        shown: the map.
        view: one of its views.
        marked: ids of tokens that are drawn large, with their neighbours named.
    """
    spots = _spots(view.places)
    points = {token: point for point, token in enumerate(shown.tokens)}
    large = [points[token] for token in marked if token in points]
    return svg.picture(
        _WIDTH,
        _HEIGHT,
        f"{len(spots):,} tokens of {shown.title} on a plane",
        chain(_heading(shown, view), _points(shown, spots, large), _names(shown, spots, large)),
    )


def _spots(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places on the picture; one scale for both directions, so that distances stay true."""
    low, high = places.min(axis=0), places.max(axis=0)
    room = np.array([_WIDTH - 2 * _MARGIN - 60, _HEIGHT - _TOP - _MARGIN])
    scale = (room / np.maximum(high - low, 1e-9)).min()
    middle = np.array([_WIDTH / 2 - 20, _TOP + room[1] / 2])
    return middle + (places - (low + high) / 2) * scale * np.array([1.0, -1.0])


def _heading(shown: TokenMap, view: View) -> Iterator[str]:
    which = "" if shown.counts is None else "most frequent "
    yield svg.words(_MARGIN, 34, shortened(shown.title, 60), size=17)
    facts = f"the {len(shown.tokens):,} {which}tokens by {shown.what}  ·  {view.name}"
    yield svg.words(_MARGIN, 54, facts, size=11.5, fill=svg.MUTED)
    x = _MARGIN
    for kind, (colour, _) in KINDS.items():
        if kind in shown.kinds:
            yield svg.dot(x + 4, 73, 4, colour)
            yield svg.words(x + 13, 77, kind, size=11, fill=svg.MUTED)
            x += 13 + svg.MONO_CELL * 11 * len(kind) + 14


def _points(shown: TokenMap, spots: NDArray[np.float64], large: Sequence[int]) -> Iterator[str]:
    for point in reversed(range(len(spots))):  # the most frequent ones on top
        x, y = spots[point]
        colour = KINDS[shown.kinds[point]][0]
        yield svg.dot(x, y, 2.2, colour, opacity=0.5)
    for point in large:
        x, y = spots[point]
        yield svg.dot(x, y, 5, KINDS[shown.kinds[point]][0])


def _names(shown: TokenMap, spots: NDArray[np.float64], large: Sequence[int]) -> Iterator[str]:
    """The names for which there is room, none over another."""
    near = [neighbour.token for point in large for neighbour in shown.near[point]]
    order = dict.fromkeys([*large, *near, *range(len(spots))])
    taken: list[tuple[float, float, float, float]] = []
    for point in order:
        first = point in large
        size = _NAME_SIZE + 3 if first else _NAME_SIZE
        name = shortened(shown.names[point], _LONGEST_NAME)
        width, away = svg.MONO_CELL * 1.05 * size * cells(name), 7.0 if first else 3.5
        x, y = spots[point]
        for left, base in (
            (x + away, y + size / 3),
            (x - away - width, y + size / 3),
            (x - width / 2, y - away - 2),
            (x - width / 2, y + away + size),
        ):
            area = (left - 1, base - size, left + width, base + size / 3)
            inside = area[0] > 4 and area[2] < _WIDTH - 4 and area[3] < _HEIGHT - 4
            if inside and not any(_overlap(area, other) for other in taken):
                taken.append(area)
                kind = shown.kinds[point]
                colour = KINDS[kind][0] if first or point in near else svg.INK
                yield svg.words(left, base, name, size=size, fill=colour)
                break
        if len(taken) == _MOST_NAMES:
            return


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
