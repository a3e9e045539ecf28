"""The chart of a run's parts: each in a box, what it is made of on the left, shared settings right.

         ┌─────────────────┐
      ┌──┤ corpus          ├─● ●
      │  └─────────────────┘ │ │
      │  ┌─────────────────┐ │ │
      └─►│ windows         ├─┼─●
         └─────────────────┘ │ │
                             │ └ seed
                             └ context_length

A line on the left comes from a thing and ends in arrows at what is made of it. A line on the right
is a setting, with a dot at everything that reads it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from hornbook.inspection import svg
from hornbook.inspection.diagrams.drawing import drawn
from hornbook.inspection.diagrams.house import Maker, makers, shared_settings
from hornbook.inspection.diagrams.layout import (
    HEAD_SIZE,
    LINE,
    MARGIN,
    PADDING,
    SMALL_SIZE,
    TEXT_SIZE,
    TITLE_SIZE,
    Layout,
    Line,
    Rectangle,
    Words,
)

TITLE = "How a run is put together"
FACTS = "left: what is made of what; right: settings that several of them read"
WIDTH = 640.0
LEFT, BOX = 132.0, 300.0
LANE = 14.0
"""From one line to the next."""
BETWEEN = 14.0
ACROSS = 52
"""Characters of a line in a box."""
DOT = 3.0


def house_text(place: Path) -> str:
    """What is to be written to ``place``: SVG, or Mermaid."""
    return _mermaid(makers()) if place.suffix.lower() == ".mmd" else house_svg(makers())


def house_svg(found: Sequence[Maker]) -> str:
    """The text of the picture."""
    layout, dots = lay_out_house(found)
    body = [*drawn(layout), *(_dot(x, y) for x, y in dots)]
    return svg.picture(WIDTH, layout.height, TITLE, body)


def lay_out_house(found: Sequence[Maker]) -> tuple[Layout, list[tuple[float, float]]]:
    """A place for everything, and for the dots where a setting is read."""
    made = Layout()
    made.words.append(Words(MARGIN, 38.0, TITLE, HEAD_SIZE))
    made.words.append(Words(MARGIN, 58.0, FACTS, TEXT_SIZE, muted=True))
    made.height = 78.0
    shared = shared_settings(found)
    boxes = {maker.thing: _box(made, maker, shared) for maker in found}
    _dependencies(made, found, boxes)
    dots = list(_readers(made, found, boxes, shared))
    return made, dots


def _box(made: Layout, maker: Maker, shared: Sequence[str]) -> Rectangle:
    own = ", ".join(key for key in maker.settings if key not in shared)
    lines = textwrap.wrap(own, ACROSS, break_long_words=False, break_on_hyphens=False)
    height = max(2 * PADDING + LINE * (1 + len(lines)) - 2.0, 9.0 * len(maker.needs) + 14.0)
    kind = "product" if maker.thing in ("model", "objective", "optimizer") else "table"
    found = Rectangle(LEFT, made.height, BOX, height, "norm" if maker.thing == "run" else kind)
    made.rectangles.append(found)
    base = found.top + PADDING + 9.0
    made.words.append(Words(found.left + 12.0, base, maker.thing, TITLE_SIZE, inside=found))
    right = found.right - 12.0
    made.words.append(Words(right, base, maker.by, SMALL_SIZE, "end", muted=True, inside=found))
    for number, text in enumerate(lines, start=1):
        y = base + number * LINE
        made.words.append(Words(found.left + 12.0, y, text, SMALL_SIZE, muted=True, inside=found))
    made.height = found.bottom + BETWEEN
    return found


def _dependencies(made: Layout, found: Sequence[Maker], boxes: dict[str, Rectangle]) -> None:
    """A line for each thing that others are made of, the first one farthest out."""
    sources = [maker.thing for maker in found if any(maker.thing in m.needs for m in found)]
    for number, thing in enumerate(sources):
        lane = LEFT - LANE * (len(sources) - number) - 10.0
        arrivals = [
            boxes[maker.thing].top + _arrival(thing, maker, sources)
            for maker in found
            if thing in maker.needs
        ]
        start = boxes[thing].bottom - 6.0
        down = (LEFT, start), (lane, start), (lane, max(arrivals))
        made.lines.append(Line(down, tip=False))
        made.lines += [Line(((lane, y), (LEFT, y))) for y in arrivals]


def _arrival(thing: str, maker: Maker, sources: Sequence[str]) -> float:
    """How far down a box's side the arrow from ``thing`` ends: no two at one place."""
    return 7.0 + 9.0 * sorted(maker.needs, key=sources.index).index(thing)


def _readers(
    made: Layout, found: Sequence[Maker], boxes: dict[str, Rectangle], shared: Sequence[str]
) -> Iterator[tuple[float, float]]:
    """A line down for each shared setting to its name, and dots where it is read."""
    right, below = LEFT + BOX, made.height + 6.0
    for number, key in enumerate(shared):
        lane = right + LANE * (number + 1) + 4.0
        name_at = below + LINE * (len(shared) - 1 - number)
        readers = [boxes[maker.thing] for maker in found if key in maker.settings]
        heights = [reader.top + 6.0 + 4.0 * number for reader in readers]
        made.lines.append(Line(((lane, min(heights)), (lane, name_at)), tip=False))
        made.lines.append(Line(((lane, name_at), (lane + 8.0, name_at)), tip=False))
        made.words.append(Words(lane + 12.0, name_at + 3.0, key, SMALL_SIZE))
        for y in heights:
            made.lines.append(Line(((right, y), (lane, y)), tip=False))
            yield lane, y
    made.height = below + LINE * len(shared) + MARGIN / 2


def _dot(x: float, y: float) -> str:
    n = svg.number
    arc = f"a{n(DOT)} {n(DOT)} 0 1 0"
    outline = f"M{n(x - DOT)} {n(y)}{arc} {n(2 * DOT)} 0{arc} {n(-2 * DOT)} 0z"
    return svg.path(outline, fill=svg.INK)


def _mermaid(found: Sequence[Maker]) -> str:
    shared = shared_settings(found)
    lines = [f"%% {TITLE}", "flowchart TD"]
    for maker in found:
        own = [key for key in maker.settings if key not in shared]
        told = "<br/>".join((f"{maker.thing} ({maker.by})", *own))
        lines.append(f'  {maker.thing}["{told}"]')
        lines += [f"  {need} --> {maker.thing}" for need in maker.needs]
    for number, key in enumerate(shared):
        lines.append(f'  s{number}(["{key}"])')
        lines += [f"  s{number} -.-> {maker.thing}" for maker in found if key in maker.settings]
    return "\n".join(lines) + "\n"
