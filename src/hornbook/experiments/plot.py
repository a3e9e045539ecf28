"""The picture of a study: each cell's mean with its interval, and a dot for every seed.

    lines by themselves            running text
    stream       ├──●──┤           ├──●──┤
    left_padded     ├─●─┤               ├──●──┤
               2.3   2.4   2.5     2.3   2.4   2.5   bits per byte

The best cell of each measure is in another colour. The same numbers give the same bytes.
"""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hornbook.experiments.comparison import MEASURES, Comparison, Verdict
from hornbook.inspection.style import (
    GRID,
    INK,
    MUTED,
    PAPER,
    TRAINING,
    VALIDATION,
    file_bytes,
    own_style,
)

WIDTH = 8.4
"""Of the whole picture [inches]."""
_ROW, _HEAD, _FOOT = 0.36, 0.95, 0.78
"""Heights of a cell's line, of what stands above the axes and below them [inches]."""
_LETTER = 0.085
"""Width of a letter of a cell's name, rounded up [inches]."""


def drawn(comparison: Comparison, form: str) -> bytes:
    """The picture as the bytes of a file.

    Args:
        comparison: what was found.
        form: ``svg`` or ``png``.
    """
    with own_style():
        return file_bytes(_figure(comparison), form)


def _figure(comparison: Comparison) -> Figure:
    cells = comparison.record.cells
    height = _HEAD + _ROW * len(cells) + _FOOT
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    left = 0.35 + min(_LETTER * max(map(len, cells)), 3.0)
    gap, right = 0.35, 0.3
    width = (WIDTH - left - gap - right) / 2
    for number, verdict in enumerate(comparison.verdicts):
        place = (
            (left + number * (width + gap)) / WIDTH,
            _FOOT / height,
            width / WIDTH,
            _ROW * len(cells) / height,
        )
        axes = figure.add_axes(place, facecolor="none")
        _draw_measure(axes, comparison, verdict)
        axes.set_yticks(range(len(cells)), cells if number == 0 else [""] * len(cells))
    title = textwrap.shorten(comparison.record.study.question or comparison.record.study.name, 90)
    top = 1 - 0.3 / height
    figure.text(0.3 / WIDTH, top, title, fontsize=12, fontweight="bold", color=INK, va="center")
    foot = (
        f"{comparison.record.tokens:,} real tokens a cell, {comparison.record.seeds} seeds; dots: "
        "seeds; bars: mean and its 95 % interval; orange: the fewest"
    )
    figure.text(0.3 / WIDTH, 0.2 / height, foot, fontsize=8, color=MUTED, va="center")
    return figure


def _draw_measure(axes: Axes, comparison: Comparison, verdict: Verdict) -> None:
    cells = comparison.record.cells
    axes.set_ylim(len(cells) - 0.5, -0.5)
    for row, cell in enumerate(cells):
        found = verdict.estimates.get(cell)
        if found is None:
            axes.text(
                0.02, row, "stopped early", transform=axes.get_yaxis_transform(), fontsize=8,
                color=MUTED, va="center",
            )  # fmt: skip
            continue
        colour = VALIDATION if cell == verdict.best else INK
        seeds = [getattr(one, verdict.measure) for one in comparison.of(cell)]
        axes.plot(seeds, [row + 0.24] * len(seeds), "o", color=TRAINING, markersize=3.5)
        axes.errorbar(
            found.mean, row, xerr=found.half_width, fmt="o", color=colour, markersize=5.5,
            elinewidth=1.6, capsize=3,
        )  # fmt: skip
    axes.set_title(MEASURES[verdict.measure], fontsize=9.5, color=INK, loc="left", pad=8)
    axes.set_xlabel("bits per byte (less is better)", fontsize=8.5, color=MUTED, labelpad=5)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.margins(x=0.08)
    axes.tick_params(length=0, pad=5, labelsize=9, labelcolor=INK)
    axes.tick_params(axis="x", labelsize=8.5, labelcolor=MUTED)
    axes.grid(axis="both", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
