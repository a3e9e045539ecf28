"""Signs for things that have no text, in what a stream's encoding can show.

>>> signs_for("utf-8").seen, signs_for("ascii").seen
('█', '#')
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Signs:
    """What stands for what.

    Attributes:
        padding: a place without a token, or a target that does not count.
        seen, unseen: a place of a mask.
        upper, lower: half a place that is seen; empty where there is no such sign.
        cut: where text is missing.
        marks: how white space is shown, where it is not as everywhere in the house.
    """

    padding: str = "░"
    seen: str = "█"
    unseen: str = "·"
    upper: str = "▀"
    lower: str = "▄"
    cut: str = "…"
    marks: Mapping[str, str] = field(default_factory=dict)

    def text(self, shown: str) -> str:
        """The text of a token, as ``pieces.shown`` gives it, in signs that can be shown.

        >>> signs_for("ascii").text("·the⏎")
        '_the\\\\n'
        """
        return shown.translate(str.maketrans(dict(self.marks)))


_ASCII = Signs(
    padding="~",
    seen="#",
    unseen=".",
    upper="",
    lower="",
    cut="+",
    marks={"·": "_", "⏎": "\\n", "→": "\\t"},
)


def signs_for(encoding: str | None) -> Signs:
    """The signs for a stream with this encoding."""
    full = Signs()
    try:
        "".join((full.padding, full.seen, full.unseen, full.upper, full.lower, full.cut)).encode(
            encoding or "ascii"
        )
    except (UnicodeEncodeError, LookupError):
        return _ASCII
    return full
