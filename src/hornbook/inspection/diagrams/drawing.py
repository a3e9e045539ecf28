"""A chart as SVG: boxes in the colour of what they do, on a paper of its own, so that it can be
read on light and on dark backgrounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hornbook.durable import write_durably
from hornbook.errors import RunError
from hornbook.inspection import svg
from hornbook.inspection.diagrams.flow import Flow
from hornbook.inspection.diagrams.layout import SUM, WIDTH, Layout, Line, Rectangle, lay_out
from hornbook.inspection.diagrams.mermaid import as_mermaid

_FILLS = {
    "table": "#e4ecf7",
    "product": "#fbe9d4",
    "norm": "#e3f1e6",
    "plain": "#eef0f3",
    "side": "#f3e8f5",
    "frame": "#f4f4ef",
}
_EDGE, _LINE = "#b9c0ca", "#4a5563"
_TIP = 4.0


def check_diagram_name(place: Path) -> None:
    """Refuse a file that cannot become a diagram before any work is done for it.

    Raises:
        RunError: when its name ends in neither ``.svg`` nor ``.mmd``, or its folder is missing.
    """
    if place.suffix.lower() == ".mmd":
        place = place.with_suffix(".svg")
    elif place.suffix.lower() != ".svg":
        raise RunError(f"{place} should end in .svg, or in .mmd for Mermaid.")
    svg.check_picture_name(place)


def as_svg(flow: Flow, title: str) -> str:
    """The text of the picture."""
    layout = lay_out(flow, title)
    label = f"{title}: {flow.facts}, as a flow chart"
    return svg.picture(WIDTH, layout.height, label, drawn(layout))


def as_text(flow: Flow, title: str, place: Path) -> str:
    """What is to be written to ``place``: SVG, or Mermaid."""
    return as_mermaid(flow, title) if place.suffix.lower() == ".mmd" else as_svg(flow, title)


def write_diagram(place: Path, text: str) -> None:
    """Write a chart, whole or not at all; raises ``RunError`` when it cannot be written."""
    try:
        write_durably(place, text.encode("utf-8"))
    except OSError as error:
        raise RunError(f"{place} cannot be written: {error.strerror or error}.") from error


def drawn(layout: Layout) -> Iterator[str]:
    """Every piece, what lies behind first."""
    for frame in layout.frames:
        yield _rectangle(frame, dashed=True)
    for line in layout.lines:
        yield from _line(line)
    for rectangle in layout.rectangles:
        yield _rectangle(rectangle)
    for x, y in layout.sums:
        yield _circle(x, y)
        arm = SUM / 2
        cross = f"M{_n(x - arm)} {_n(y)}H{_n(x + arm)}M{_n(x)} {_n(y - arm)}V{_n(y + arm)}"
        yield svg.path(cross, stroke=_LINE)
    for words in layout.words:
        fill = svg.MUTED if words.muted else svg.INK
        yield svg.words(
            words.x, words.y, words.text, size=words.size, fill=fill, anchor=words.anchor
        )


def _rectangle(found: Rectangle, *, dashed: bool = False) -> str:
    shape = f"M{_n(found.left)} {_n(found.top)}h{_n(found.width)}v{_n(found.height)}"
    outline = f"{shape}h{_n(-found.width)}z"
    return svg.path(outline, fill=_FILLS[found.role], stroke=_EDGE, dashed=dashed)


def _circle(x: float, y: float) -> str:
    arc = f"a{_n(SUM)} {_n(SUM)} 0 1 0"
    outline = f"M{_n(x - SUM)} {_n(y)}{arc} {_n(2 * SUM)} 0{arc} {_n(-2 * SUM)} 0z"
    return svg.path(outline, fill=svg.PAPER, stroke=_LINE)


def _line(line: Line) -> Iterator[str]:
    first, *rest = line.points
    way = f"M{_n(first[0])} {_n(first[1])}" + "".join(f"L{_n(x)} {_n(y)}" for x, y in rest)
    yield svg.path(way, stroke=_LINE)
    if line.tip:
        yield _tip(line.points[-2], line.points[-1])
    if line.both:
        yield _tip(line.points[1], line.points[0])


def _tip(before: tuple[float, float], end: tuple[float, float]) -> str:
    """A small triangle at ``end``, which a straight line from ``before`` reaches."""
    (x, y), across, along = end, end[0] - before[0], end[1] - before[1]
    if across:
        back = -_TIP if across > 0 else _TIP
        corners = ((x + back * 1.6, y - _TIP), (x + back * 1.6, y + _TIP))
    else:
        back = -_TIP if along > 0 else _TIP
        corners = ((x - _TIP, y + back * 1.6), (x + _TIP, y + back * 1.6))
    points = "".join(f"L{_n(a)} {_n(b)}" for a, b in corners)
    return svg.path(f"M{_n(x)} {_n(y)}{points}z", fill=_LINE)


_n = svg.number
