"""The colours of segments, the same on a screen and in a file: 1 is orange, 2 is blue, …"""

from __future__ import annotations

from typing import NamedTuple


class Hue(NamedTuple):
    """One colour in three strengths, as ``#rrggbb``.

    Attributes:
        light, deep: behind tokens, in turn, so that their edges are seen.
        strong: for lines and filled places.
    """

    light: str
    deep: str
    strong: str


HUES = (
    Hue("#fde3cf", "#f8c9a2", "#d9772b"),
    Hue("#d6e6fb", "#b4d0f4", "#3f7fd0"),
    Hue("#d8f0d8", "#b3dfb4", "#3f9a4c"),
    Hue("#e8dcf8", "#d0bcf0", "#7d55c7"),
    Hue("#fbdbe7", "#f5b8cf", "#d0487f"),
    Hue("#d2efee", "#a9dedc", "#249a97"),
)
PADDING = Hue("#eef0f3", "#eef0f3", "#b9bfc8")


def hue_of(segment: int | None) -> Hue:
    """The colour of a segment by its number from 1; padding, which has none, is grey.

    >>> hue_of(1) == hue_of(7) != hue_of(2)
    True
    """
    return PADDING if segment is None else HUES[(segment - 1) % len(HUES)]
