"""Pieces of a picture that stands alone, as SVG: no script, no font and nothing from elsewhere.

Text stays text, so that the reader's screen brings the letters of every script. What a user's
corpus holds is cleaned and escaped here, and nowhere else.

>>> words(10, 20, "a < b", size=9, fill="#111")
'<text x="10" y="20" font-size="9" fill="#111">a &lt; b</text>'
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path

from hornbook.durable import write_durably
from hornbook.errors import RunError
from hornbook.inspection.lines import clean

PAPER, INK, MUTED = "#fdfdfb", "#1d2530", "#626c7a"
MONO_CELL = 0.61
"""The width of a character in the fixed-width fonts that are around, at size 1, rounded up."""

_PICTURE = """<?xml version="1.0" encoding="utf-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" \
viewBox="0 0 {width} {height}" role="img" aria-label="{label}" xml:space="preserve">
<style>text {{ white-space: pre; font-family: "DejaVu Sans", Verdana, sans-serif; }}
.mono {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; }}</style>
<rect width="{width}" height="{height}" fill="{paper}"/>
{body}
</svg>
"""


def number(value: float) -> str:
    """A measure as short as it can be written.

    >>> number(12.0), number(3.14159)
    ('12', '3.14')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".")


def words(
    x: float,
    y: float,
    text: str,
    *,
    size: float,
    fill: str = INK,
    kind: str = "",
    anchor: str = "",
) -> str:
    """A line of text whose base is at ``y``.

    Args:
        x, y: where it stands.
        text: any text; it is escaped.
        size: of its letters.
        fill: its colour.
        kind: ``mono`` for a fixed-width font.
        anchor: ``middle`` or ``end``, where ``x`` is not its left edge.
    """
    more = f' class="{kind}"' if kind else ""
    more += f' text-anchor="{anchor}"' if anchor else ""
    place = f'x="{number(x)}" y="{number(y)}" font-size="{number(size)}" fill="{fill}"'
    return f"<text {place}{more}>{html.escape(clean(text), quote=False)}</text>"


def box(x: float, y: float, width: float, height: float, fill: str, *, round_by: float = 0) -> str:
    """A filled rectangle."""
    corner = f' rx="{number(round_by)}"' if round_by else ""
    place = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
    return f'<rect {place} fill="{fill}"{corner}/>'


def dot(x: float, y: float, radius: float, fill: str, *, opacity: float = 1) -> str:
    """A filled circle."""
    thin = f' fill-opacity="{number(opacity)}"' if opacity < 1 else ""
    place = f'cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"'
    return f'<circle {place} fill="{fill}"{thin}/>'


def path(outline: str, *, fill: str = "none", stroke: str = "", dashed: bool = False) -> str:
    """A shape, or a thin line, from the words of an SVG path."""
    line = f' stroke="{stroke}" stroke-width="0.8"' if stroke else ""
    line += ' stroke-dasharray="3 3"' if dashed else ""
    return f'<path d="{outline}" fill="{fill}"{line}/>'


def picture(width: float, height: float, label: str, body: Iterable[str]) -> str:
    """The whole file; ``label`` says what is seen, to those who cannot see it."""
    return _PICTURE.format(
        width=number(width),
        height=number(height),
        label=html.escape(clean(label)),
        paper=PAPER,
        body="\n".join(body),
    )


def write_picture(place: Path, content: str) -> None:
    """Write an SVG, whole or not at all.

    Raises:
        RunError: when its name does not end in ``.svg``, or it cannot be written.
    """
    check_picture_name(place)
    try:
        write_durably(place, content.encode("utf-8"))
    except OSError as error:
        raise RunError(f"{place} cannot be written: {error.strerror or error}.") from error


def check_picture_name(place: Path) -> None:
    """Refuse a file that cannot become a picture before any work is done for it.

    Raises:
        RunError: when its name does not end in ``.svg``, or its folder is missing.
    """
    if place.suffix.lower() != ".svg":
        raise RunError(f"{place} should end in .svg, since that is what is drawn.")
    if not place.parent.is_dir():
        raise RunError(f"{place} cannot be written: there is no folder {place.parent}.")
