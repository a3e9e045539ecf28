"""Whether the texts and boxes of a chart keep out of each other's way, by the widths of a font."""

from __future__ import annotations

import itertools

from matplotlib.font_manager import FontProperties, findfont
from matplotlib.ft2font import FT2Font

from hornbook.inspection.diagrams.layout import WIDTH, Layout, Rectangle, Words

FONT = FT2Font(findfont(FontProperties(family="DejaVu Sans")))  # wider than most readers' fonts


def extent(words: Words) -> Rectangle:
    """The room that a line of text takes."""
    FONT.set_size(words.size, 72)
    FONT.set_text(words.text, 0.0)
    wide = FONT.get_width_height()[0] / 64
    left = words.x - {"": 0.0, "middle": wide / 2, "end": wide}[words.anchor]
    return Rectangle(left, words.y - 0.8 * words.size, wide, words.size, "plain")


def overlap(one: Rectangle, other: Rectangle) -> bool:
    """Whether two rectangles share any room."""
    across = one.left < other.right and other.left < one.right
    return across and one.top < other.bottom and other.top < one.bottom


def assert_readable(layout: Layout) -> None:
    """Nothing overlaps or leaves what it stands in."""
    page = Rectangle(0, 0, WIDTH, layout.height, "plain")
    for one, other in itertools.combinations(layout.rectangles, 2):
        assert not overlap(one, other), (one, other)
    drawn = [(words, extent(words)) for words in layout.words]
    for words, place in drawn:
        around = words.inside or page
        assert around.left <= place.left, words
        assert place.right <= around.right, words
        assert around.top <= place.top, words
        assert place.bottom <= around.bottom, words
        if words.inside is None:
            assert not any(overlap(place, box) for box in layout.rectangles), words
    for (one, first), (other, second) in itertools.combinations(drawn, 2):
        assert not overlap(first, second), (one, other)
    for frame in layout.frames:
        for box in layout.rectangles:
            inside = frame.top <= box.top and box.bottom <= frame.bottom
            assert inside or not overlap(frame, box)
