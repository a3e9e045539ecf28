"""Where everything of a chart goes: a column of boxes, paths past them on the left, caches beside.

    title, facts
                 start
                   │
           ┌───────┴────────┐
           │      box       │
           └───────┬────────┘
     ┌ × 4 ────────┼──────────────────────────┐
     │  ┌──────────┤                          │
     │  │  ┌───────┴────────┐     ┌────────┐  │
     │  │  │      box       │◄───►│ cache  │  │
     │  │  └───────┬────────┘     └────────┘  │
     │  └─────────(+)                         │
     └─────────────┼──────────────────────────┘

All measures are points of 1/72 inch from the top left corner.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hornbook.inspection.diagrams.flow import Box, Flow, Item, Kind, Repeat, Residual, Side

WIDTH, MARGIN = 640.0, 24.0
BOX_WIDTH, SIDE_WIDTH = 300.0, 176.0
BOX_LEFT = 92.0
CENTRE = BOX_LEFT + BOX_WIDTH / 2
SIDE_LEFT = BOX_LEFT + BOX_WIDTH + 30.0
LANE, FRAME = BOX_LEFT - 22.0, BOX_LEFT - 50.0
"""The path past boxes, and the left edge of a frame around a part that repeats."""
FRAME_RIGHT = SIDE_LEFT + SIDE_WIDTH + 10.0
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE, HEAD_SIZE = 12.0, 10.0, 9.5, 17.0
LINE = 14.0
PADDING = 8.0
ARROW = 26.0
"""From the lower edge of a box to the upper edge of the next, with a shape beside the arrow."""
SUM = 9.0
"""The radius of a sum's circle."""

Anchor = Literal["", "middle", "end"]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A box, a side box or a frame; ``role`` is for its colour."""

    left: float
    top: float
    width: float
    height: float
    role: Kind | Literal["side", "frame"]

    @property
    def right(self) -> float:
        """Its right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return self.top + self.height


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text whose base is at ``y``; ``inside`` is the rectangle that must hold it."""

    x: float
    y: float
    text: str
    size: float
    anchor: Anchor = ""
    muted: bool = False
    inside: Rectangle | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A path through points; an arrow has a tip at its end, and perhaps one at its begin."""

    points: tuple[tuple[float, float], ...]
    tip: bool = True
    both: bool = False


@dataclass(slots=True)
class Layout:
    """A chart with every place; it is made from top to bottom.

    Attributes:
        height: how far it reaches.
        frames: around parts that repeat; they lie behind the rest.
        rectangles: boxes and side boxes.
        words, lines: texts and paths.
        sums: centres of circles with a plus.
        shape: what comes down to the next thing, until an arrow has said it.
    """

    height: float = 0.0
    frames: list[Rectangle] = field(default_factory=list)
    rectangles: list[Rectangle] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    sums: list[tuple[float, float]] = field(default_factory=list)
    shape: str = ""


def lay_out(flow: Flow, title: str) -> Layout:
    """Find a place for everything."""
    made = Layout()
    made.words.append(Words(MARGIN, 38.0, title, HEAD_SIZE))
    made.words.append(Words(MARGIN, 58.0, flow.facts, TEXT_SIZE, muted=True))
    made.words.append(Words(CENTRE, 86.0, flow.start, TITLE_SIZE, "middle"))
    made.height = 92.0
    for item in flow.items:
        _place(made, item)
    _arrow(made)
    made.height += MARGIN / 2
    return made


def _place(made: Layout, item: Item) -> None:
    """Put ``item`` below everything that is there, with an arrow to it."""
    if isinstance(item, Repeat):
        _place_repeat(made, item)
    elif isinstance(item, Residual):
        _place_residual(made, item)
    else:
        _place_box(made, item)


def _place_repeat(made: Layout, item: Repeat) -> None:
    top = made.height + 8.0
    caption = item.caption if item.times == 1 else f"× {item.times}   {item.caption}"
    made.lines.append(Line(((CENTRE, made.height), (CENTRE, top)), tip=False))
    made.height = top + 18.0
    made.lines.append(Line(((CENTRE, top), (CENTRE, made.height)), tip=False))
    for part in item.inside:
        _place(made, part)
    last = made.height
    made.height += 12.0
    frame = Rectangle(FRAME, top, FRAME_RIGHT - FRAME, made.height - top, "frame")
    made.frames.append(frame)
    made.words.append(
        Words(FRAME_RIGHT - 10.0, top + 16.0, caption, TITLE_SIZE, "end", inside=frame)
    )
    made.lines.append(Line(((CENTRE, last), (CENTRE, made.height)), tip=False))


def _place_residual(made: Layout, item: Residual) -> None:
    begin = made.height + 6.0
    made.lines.append(Line(((CENTRE, made.height), (CENTRE, begin)), tip=False))
    made.height = begin
    for box in item.inside:
        _place_box(made, box)
    centre = made.height + ARROW / 2 + SUM
    made.shape = ""
    made.lines.append(Line(((CENTRE, made.height), (CENTRE, centre - SUM))))
    past = ((CENTRE, begin), (LANE, begin), (LANE, centre), (CENTRE - SUM, centre))
    made.lines.append(Line(past))
    made.sums.append((CENTRE, centre))
    made.height, made.shape = centre + SUM, item.shape


def _place_box(made: Layout, box: Box) -> None:
    _arrow(made)
    lines = list(box.lines)
    height = 2 * PADDING + LINE * (1 + len(lines)) - 2.0
    if box.side is not None:
        height = max(height, _side_height(box.side))
    found = Rectangle(BOX_LEFT, made.height, BOX_WIDTH, height, box.kind)
    made.rectangles.append(found)
    base = found.top + PADDING + 9.0
    made.words.append(Words(found.left + 12.0, base, box.title, TITLE_SIZE, inside=found))
    if box.parameters:
        count = f"{box.parameters:,}"
        made.words.append(Words(found.right - 12.0, base, count, SMALL_SIZE, "end", inside=found))
    for number, text in enumerate(lines, start=1):
        y = base + number * LINE
        made.words.append(Words(found.left + 12.0, y, text, SMALL_SIZE, muted=True, inside=found))
    if box.side is not None:
        _place_side(made, box.side, found)
    made.height, made.shape = found.bottom, box.shape


def _place_side(made: Layout, side: Side, box: Rectangle) -> None:
    """Beside its box: an arrow both ways to a cache, or a loop through a state."""
    beside = Rectangle(SIDE_LEFT, box.top, SIDE_WIDTH, _side_height(side), "side")
    made.rectangles.append(beside)
    base = beside.top + PADDING + 9.0
    made.words.append(Words(beside.left + 10.0, base, side.title, TEXT_SIZE, inside=beside))
    for number, text in enumerate(side.lines, start=1):
        y = base + number * LINE
        made.words.append(Words(beside.left + 10.0, y, text, SMALL_SIZE, muted=True, inside=beside))
    if not side.loops:
        y = beside.top + 15.0
        made.lines.append(Line(((box.right, y), (beside.left, y)), both=True))
        return
    upper, lower = beside.top + 15.0, beside.bottom - 12.0
    made.lines.append(Line(((box.right, lower), (beside.left, lower))))
    made.lines.append(Line(((beside.left, upper), (box.right, upper))))


def _side_height(side: Side) -> float:
    return 2 * PADDING + LINE * (1 + len(side.lines)) - 2.0


def _arrow(made: Layout) -> None:
    """Down to where the next thing begins, with what goes there, if nothing has said it yet."""
    below = made.height + ARROW
    if made.shape:
        _shape_beside(made, made.shape, made.height + ARROW / 2 + 1.0)
    made.lines.append(Line(((CENTRE, made.height), (CENTRE, below))))
    made.height, made.shape = below, ""


def _shape_beside(made: Layout, shape: str, y: float) -> None:
    made.words.append(Words(CENTRE + 10.0, y, shape, SMALL_SIZE, muted=True))
