"""Rows of a batch, and the attention mask of one, as an SVG.

    title, and what is drawn
    row 0 ...
    ┌───┐┌──────┐┌─────┐
    │<s>││ In   ││ the │ ...      tokens in the colour of their document
    └───┘└──────┘└─────┘
      0      1      2             positions
     In     the   begin           targets
    mask
      █
      ██        segment 1
        █
        ██      segment 2

All measures are points of 1/72 inch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hornbook.inspection import svg
from hornbook.inspection.lines import cells, shortened
from hornbook.inspection.segment_colours import hue_of
from hornbook.inspection.window_picture import DrawnRow, DrawnToken

WIDTH, MARGIN = 960.0, 24.0
NAMES = 64.0
"""The column that says what a line is."""
TOKEN_SIZE, SMALL_SIZE = 12.0, 9.0
TOKEN_HEIGHT = 20.0
LINE_HEIGHT = 58.0
"""From one line of tokens to the next, with positions and targets between."""
GAP = 3.0
LONGEST = 24
"""Of a token's text, so much is drawn [cells]."""
LARGEST_PLACE = 12.0
MASK_ROOM = 620.0
"""The most that a mask takes, however many places it has."""
READABLE = 8.0
"""Text smaller than this is left out."""
NAMED_LEFT = 120.0
"""The column of the tokens beside a mask."""
LONGEST_BESIDE = 22
"""Of a token's text, so much is drawn beside a mask [cells]."""
NOTHING = "#eef0f3"


def windows_svg(
    title: str,
    facts: str,
    rows: Sequence[DrawnRow],
    masked: tuple[DrawnRow, NDArray[np.bool_]] | None = None,
) -> str:
    """The picture as the text of a file.

    Args:
        title: what the batch is from.
        facts: how it was made, in one line.
        rows: what is drawn.
        masked: a row and its mask, [time, time] ``bool``: whether the token of a line sees that
            of a column.
    """
    body = [svg.words(MARGIN, 34, shortened(title, 84), size=15)]
    body.append(svg.words(MARGIN, 52, facts, size=10, fill=svg.MUTED))
    top = 84.0
    for row in rows:
        body.append(svg.words(MARGIN, top, f"row {row.number}", size=11))
        parts, height = _row(row, top + 10)
        body.extend(parts)
        top += height + 30
    if masked is not None:
        body.append(svg.words(MARGIN, top, f"attention mask of row {masked[0].number}", size=11))
        what = "a line is a token; filled are the tokens that it sees"
        body.append(svg.words(MARGIN + 190, top, what, size=SMALL_SIZE, fill=svg.MUTED))
        parts, height = _mask(*masked, top + 30)
        body.extend(parts)
        top += height + 40 + MARGIN
    return svg.picture(WIDTH, top - 10, f"{title}: {facts}", body)


def _row(row: DrawnRow, top: float) -> tuple[list[str], float]:
    """The tokens of a row, on as many lines as they need; and how high that is."""
    parts: list[str] = []
    left, line = MARGIN + NAMES, 0
    for place, token in enumerate(row.tokens):
        width = _token_width(token)
        if left + width > WIDTH - MARGIN and left > MARGIN + NAMES:
            left, line = MARGIN + NAMES, line + 1
        if left == MARGIN + NAMES:
            parts.extend(_names(top + line * LINE_HEIGHT))
        parts.extend(_token(token, place, left, top + line * LINE_HEIGHT, width))
        left += width + GAP
    return parts, (line + 1) * LINE_HEIGHT


def _names(top: float) -> Iterator[str]:
    for below, name in ((14, "tokens"), (31, "positions"), (44, "targets")):
        yield svg.words(MARGIN, top + below, name, size=SMALL_SIZE, fill=svg.MUTED)


def _token_width(token: DrawnToken) -> float:
    size = svg.MONO_CELL * TOKEN_SIZE * cells(_cut(token.text)) if token.segment else 0.0
    below = max(len(str(token.position)), cells(_cut(token.target or "")))
    return max(size, svg.MONO_CELL * SMALL_SIZE * below) + 8


def _token(token: DrawnToken, place: int, left: float, top: float, width: float) -> Iterator[str]:
    hue, middle = hue_of(token.segment), left + width / 2
    fill = hue.deep if place % 2 else hue.light
    yield svg.box(left, top, width, TOKEN_HEIGHT, fill, round_by=3)
    if token.segment is None:
        return

    def centred(below: float, text: str, size: float, colour: str) -> str:
        return svg.words(
            middle, top + below, text, size=size, fill=colour, kind="mono", anchor="middle"
        )

    yield centred(14, _cut(token.text), TOKEN_SIZE, svg.INK)
    yield centred(31, str(token.position), SMALL_SIZE, hue.strong)
    yield centred(44, _cut(token.target or "–"), SMALL_SIZE, svg.MUTED)


def _cut(text: str) -> str:
    return shortened(text, LONGEST)


def _mask(row: DrawnRow, mask: NDArray[np.bool_], top: float) -> tuple[list[str], float]:
    """The mask, a square of squares, each document in its colour; and how high that is."""
    side = min(LARGEST_PLACE, MASK_ROOM / len(mask))
    left = MARGIN + (NAMED_LEFT if side >= READABLE else 0)
    whole = side * len(mask)
    parts = [svg.box(left, top, whole, whole, NOTHING)]
    named = numbered = -READABLE * 2
    for segment in row.segments():
        colour = hue_of(segment.number).strong
        lines = mask[segment.first : segment.stop]
        parts.append(svg.path(_filled(lines, segment.first, left, top, side), fill=colour))
        place = segment.first * side
        if segment.first:
            across = f"M{svg.number(left)} {svg.number(top + place)}h{svg.number(whole)}"
            down = f"M{svg.number(left + place)} {svg.number(top)}v{svg.number(whole)}"
            parts.append(svg.path(across + down, stroke=svg.MUTED, dashed=True))
        if place - named >= READABLE * 1.5:
            named = place
            at = left + whole + 10, top + place + SMALL_SIZE
            parts.append(svg.words(*at, segment.described, size=SMALL_SIZE, fill=colour))
        if segment.number is not None and place - numbered >= READABLE * 1.5:
            numbered = place
            at = left + place + 1, top - 5
            parts.append(svg.words(*at, str(segment.number), size=SMALL_SIZE, fill=colour))
    if side >= READABLE:
        parts.extend(_lines_named(row, left - 6, top, side))
    return parts, whole


def _lines_named(row: DrawnRow, right: float, top: float, side: float) -> Iterator[str]:
    """The token of each line, beside it."""
    for place, token in enumerate(row.tokens):
        if token.segment is not None:
            base = top + (place + 0.5) * side + 3
            text = shortened(token.text, LONGEST_BESIDE)
            yield svg.words(
                right, base, text, size=READABLE, kind="mono", anchor="end", fill=svg.MUTED
            )


def _filled(lines: NDArray[np.bool_], first: int, left: float, top: float, side: float) -> str:
    """The places that are seen, as a path: one rectangle for each run of them within a line."""
    edges = np.diff(np.pad(lines, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    begins, stops = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return "".join(
        f"M{svg.number(left + begin * side)} {svg.number(top + (first + line) * side)}"
        f"h{svg.number((stop - begin) * side)}v{svg.number(side)}"
        f"h{svg.number((begin - stop) * side)}z"
        for (line, begin), (_, stop) in zip(begins.tolist(), stops.tolist(), strict=True)
    )
