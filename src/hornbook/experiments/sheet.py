"""The paper that a study's pictures are drawn on: a title, a foot, and plain axes between them."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hornbook.experiments.comparison import Comparison, Verdict
from hornbook.inspection.style import GRID, INK, MUTED, PAPER

WIDTH = 8.4
"""Of every picture [inches]."""
_HEAD, _FOOT = 0.55, 0.36
"""Heights of the title and of the foot [inches]."""
PALETTE = (
    "#c8501e", "#2f6fb5", "#3c8d5a", "#8b5fbf", "#a67c00", "#c2457a", "#1f9aa3", "#6b7280",
    "#7a3b12", "#173f6b", "#94a800", "#d98cb3",
)  # fmt: skip
"""Colours of lines, to be told apart on the paper."""
MARKS = "os^Dv<>PXp*h"
"""Marks of lines, so that they can be told apart without colours."""


def sheet(title: str, foot: str, inner_height: float) -> tuple[Figure, float, float]:
    """A figure with a title and a foot; also its height and where its inner part begins.

    Args:
        title: above all.
        foot: one line below all.
        inner_height: what is to stand between them [inches].
    """
    height = _HEAD + inner_height + _FOOT
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    short = textwrap.shorten(title, 90, placeholder="…")
    top = 1 - 0.3 / height
    figure.text(0.3 / WIDTH, top, short, fontsize=12, fontweight="bold", color=INK, va="center")
    figure.text(0.3 / WIDTH, 0.2 / height, foot, fontsize=8, color=MUTED, va="center")
    return figure, height, height - _HEAD


def short_name(name: str, letters: int = 36) -> str:
    """A cell's name as it fits beside a picture.

    >>> short_name("adamw-0.01"), short_name("a-rather-long-name", 10)
    ('adamw-0.01', 'a-rather-…')
    """
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def plain_axes(axes: Axes) -> None:
    """A light grid and no frame."""
    axes.tick_params(which="both", length=0, pad=5, labelsize=8.5, labelcolor=MUTED)
    axes.grid(axis="both", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def caption(comparison: Comparison) -> str:
    """What a picture says at its foot."""
    record = comparison.record
    seeds = "1 seed" if record.seeds == 1 else f"{record.seeds} seeds"
    what = "of draws from one run" if record.study.kind == "decoding" else "a cell"
    first = f"{seeds} {what}" if record.study.kind == "decoding" else (
        f"{record.tokens:,} real tokens {what}, {seeds}"
    )  # fmt: skip
    return f"{first}; dots: seeds; bars: mean and its 95 % interval"


def wish(verdict: Verdict) -> str:
    """What is better, in brackets."""
    aim = verdict.measure.aim
    return "(like the real text is better)" if aim == "like" else f"({aim} is better)"
