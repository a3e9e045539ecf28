"""An attention mask on the screen: which tokens each token of a row sees.

A line is a token, and to its left stand the tokens that it sees. Documents side by side in one
row make a saw; each tooth is a document:

            1   2
    the     # . . . .  segment 1: places 0 to 1
    end     # # . . .
    a       . . # . .  segment 2: places 2 to 4
    river   . . # # .
    sings   . . # # #

On a narrow screen two lines are drawn in one, ``▀`` and ``▄`` being half a line each. What is too
wide even then is drawn coarser: a sign stands for a square of places, and is set if one of them is
seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from hornbook.cli.columns import INDENT
from hornbook.cli.signs import Signs
from hornbook.cli.window_drawing import FAINT, HEADING, token_text
from hornbook.inspection.segment_colours import hue_of
from hornbook.inspection.window_picture import DrawnRow

Mask = NDArray[np.bool_]

NAME_WIDTH = 12
"""Columns for the text of a token beside its line [characters]."""
LABEL_WIDTH = 30
"""Columns that the name of a segment needs behind its first line [characters]."""


def mask_lines(row: DrawnRow, mask: Mask, width: int, signs: Signs) -> Iterator[Text]:
    """Yield the lines that draw a mask.

    Args:
        row: whose mask it is.
        mask: [time, time] ``bool``, whether the token of a line sees that of a column.
        width: the columns of the screen [characters].
        signs: what the screen can show.
    """
    yield Text(f"\nmask of row {row.number}", HEADING).append(
        ": a line is a token; filled are the tokens that it sees\n", FAINT
    )
    room = width - len(INDENT) - LABEL_WIDTH
    if NAME_WIDTH + 1 + 2 * len(mask) <= room:
        yield from _large(row, mask, signs)
        return
    coarse = max(-(-len(mask) // max(room, 1)), 1)
    if coarse > 1:
        yield Text(f"{INDENT}a sign stands for {coarse} x {coarse} places\n", FAINT)
    yield from _small(row, coarser(mask, coarse), coarse, signs)


def coarser(mask: Mask, factor: int) -> Mask:
    """A smaller mask, in which a place is set if one of ``factor`` times ``factor`` was.

    >>> coarser(np.eye(3, dtype=bool), 2).astype(int).tolist()
    [[1, 0], [0, 1]]
    """
    begins = np.arange(0, len(mask), factor)
    return np.logical_or.reduceat(np.logical_or.reduceat(mask, begins, axis=0), begins, axis=1)


def _large(row: DrawnRow, mask: Mask, signs: Signs) -> Iterator[Text]:
    """A line for each token, with its text; a place is two columns wide, so that it is square."""
    names = {segment.first: segment for segment in row.segments()}
    yield _numbers(row, len(INDENT) + NAME_WIDTH + 1, 2, 1)
    for place, token in enumerate(row.tokens):
        hue = hue_of(token.segment).strong
        padding = token.segment is None
        text = signs.padding if padding else token_text(token.text, NAME_WIDTH, signs)
        line = Text(INDENT).append(text, FAINT if padding else "")
        line.append(" " * (NAME_WIDTH + 1 - cell_len(text)))
        for seen in mask[place]:
            wide = signs.seen * 2 if signs.upper else f"{signs.seen} "
            line.append(wide if seen else f"{signs.unseen} ", hue if seen else FAINT)
        if place in names:
            line.append(f" {names[place].described}", hue)
        yield line


def _small(row: DrawnRow, mask: Mask, coarse: int, signs: Signs) -> Iterator[Text]:
    """Two lines of the mask in one, or one where the encoding has no half signs."""
    together = 2 if signs.upper else 1
    hues = [hue_of(row.tokens[place * coarse].segment).strong for place in range(len(mask))]
    yield _numbers(row, len(INDENT), 1, coarse)
    for first in range(0, len(mask), together):
        lines = mask[first : first + together]
        line = Text(INDENT)
        for column in range(len(mask)):
            line.append(*_sign([bool(each[column]) for each in lines], hues[first:], signs))
        begin, stop = first * coarse, (first + together) * coarse
        begun = [segment for segment in row.segments() if begin <= segment.first < stop]
        if begun:
            more = f" and {len(begun) - 1} more" if len(begun) > 1 else ""
            line.append(f" {begun[0].described}{more}", hue_of(begun[0].number).strong)
        yield line


def _sign(seen: list[bool], hues: Sequence[str], signs: Signs) -> tuple[str, str]:
    """The sign for one place of a line, or for two places one above the other; and its colour."""
    if not any(seen):
        return signs.unseen, FAINT
    if all(seen) and (len(seen) == 2 or not signs.upper):
        return signs.seen, hues[0]
    return (signs.upper, hues[0]) if seen[0] else (signs.lower, hues[1])


def _numbers(row: DrawnRow, indent: int, wide: int, coarse: int) -> Text:
    """The numbers of the segments, each over the first place of its own."""
    line = Text(" " * indent)
    for segment in row.segments():
        if segment.number is None:
            continue
        column = indent + segment.first // coarse * wide
        if column >= line.cell_len:
            line.append(" " * (column - line.cell_len))
            line.append(f"{segment.number} ", hue_of(segment.number).strong)
    return line
