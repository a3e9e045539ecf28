"""The picture of a study along an axis of numbers: a line for each of the other choices.

    bits per byte
      3.0 |  o              x          x  diverged: not finite, or no better than guessing
      2.6 |     o        o             bars: mean and its 95 % interval
      2.4 |        o  o                dots: seeds
          +------------------
           0.001  0.01  0.1   learning rate

What lies far above the rest would flatten the part that matters, and stands at the upper edge.
"""

from __future__ import annotations

import statistics
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from hornbook.experiments.axis_lines import AxisLines
from hornbook.experiments.comparison import Comparison, Verdict
from hornbook.experiments.sheet import MARKS, PALETTE, WIDTH, caption, plain_axes, sheet, wish
from hornbook.experiments.study import REAL_TEXT
from hornbook.inspection.style import INK, MUTED

_PANEL, _PANEL_HEAD, _PANEL_FOOT = 2.7, 0.42, 0.66
"""Heights of the axes, of what stands above and below them [inches]."""
_LEGEND_ROW = 0.24
"""Height of a row of the legend [inches]."""
_FAR = 4.0
"""What is so many times as far above the best as the middle is would flatten the rest."""
_MARK_STEP = 0.055
"""From one mark at the upper edge to the next below it, as a share of the axes' height."""
_REAL: dict[str, Any] = {"color": MUTED, "linewidth": 1.2, "linestyle": (0, (4, 3))}
"""The line of the real text."""
_MOST_TICKS = {1: 7, 2: 5}
"""With more points, only round numbers are written at the axis; by the panels in a row."""


def axis_figure(comparison: Comparison, lines: AxisLines) -> Figure:
    """A panel for each measure; the figure belongs to the caller."""
    verdicts = comparison.verdicts
    columns = min(2, len(verdicts))
    rows = -(-len(verdicts) // columns)
    panel = _PANEL + _PANEL_HEAD + _PANEL_FOOT
    per_row = max(1, min(5, int(90 / (max(map(len, lines.lines)) + 6))))
    labels = list(lines.lines)
    if REAL_TEXT in comparison.record.cells:
        labels.append(REAL_TEXT)
    legend = _LEGEND_ROW * -(-len(labels) // per_row) if len(labels) > 1 else 0.0
    fates = any(comparison.fate(cell) for line in lines.lines.values() for _, cell in line)
    foot = caption(comparison) + ("; x: diverged or crashed" if fates else "")
    if REAL_TEXT in comparison.record.cells:
        foot += "; the nearer to the real text, the better"
    if any(_is_far(verdict) for verdict in verdicts):
        foot += "; triangle: above the picture"
    figure, height, top = sheet(
        comparison.record.study.question or comparison.record.study.name,
        foot,
        panel * rows + legend,
    )
    if legend:
        _draw_legend(figure, labels, per_row, (top + 0.08) / height)
    left, gap, right = 0.75, 0.75, 0.3
    width = (WIDTH - left - gap * (columns - 1) - right) / columns
    for number, verdict in enumerate(verdicts):
        row, column = divmod(number, columns)
        place = (
            (left + column * (width + gap)) / WIDTH,
            (top - legend - panel * (row + 1) + _PANEL_FOOT) / height,
            width / WIDTH,
            _PANEL / height,
        )
        axes = figure.add_axes(place, facecolor="none")
        _draw_panel(axes, comparison, verdict, lines)
        _ticks(axes, verdict, lines, _MOST_TICKS[columns])
        unit = f", {verdict.measure.unit}" if verdict.measure.unit else ""
        aim = "" if verdict.measure.aim == "like" else f" {wish(verdict)}"
        title = f"{verdict.measure.title}{unit}{aim}"
        axes.set_title(title, fontsize=9, color=INK, loc="left", pad=8)
    return figure


def _draw_legend(figure: Figure, labels: list[str], per_row: int, top: float) -> None:
    handles = [
        Line2D([], [], color=_colour(n), marker=_mark(n), markersize=5, linewidth=1.5, label=label)
        for n, label in enumerate(labels)
        if label != REAL_TEXT
    ]
    if REAL_TEXT in labels:
        handles.append(Line2D([], [], label="real text", **_REAL))
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0.3 / WIDTH, top), ncol=per_row,
        frameon=False, fontsize=8.5, handlelength=1.8, columnspacing=1.4, labelspacing=0.35,
        borderaxespad=0.0, borderpad=0.0,
    )  # fmt: skip


def _draw_panel(axes: Axes, comparison: Comparison, verdict: Verdict, lines: AxisLines) -> None:
    means = [found.mean for found in verdict.estimates.values()]
    ceiling = _ceiling(means) if _is_far(verdict) else None
    edge: list[tuple[float, str, str]] = []
    for number, line in enumerate(lines.lines.values()):
        colour = _colour(number)
        points = [(x, cell, verdict.estimates.get(cell)) for x, cell in line]
        edge += [(x, "x", colour) for x, cell, _ in points if comparison.fate(cell)]
        near = [(x, cell, found) for x, cell, found in points if found is not None]
        inside = [(x, c, f) for x, c, f in near if ceiling is None or f.mean <= ceiling]
        edge += [(x, "^", colour) for x, _, f in near if ceiling is not None and f.mean > ceiling]
        for x, cell, _ in inside:
            seeds = [v for v in comparison.values(cell, verdict.measure.name) if v is not None]
            axes.plot([x] * len(seeds), seeds, ".", color=colour, markersize=3, alpha=0.55)
        axes.errorbar(
            [x for x, _, _ in inside],
            [found.mean for _, _, found in inside],
            yerr=[found.half_width or 0.0 for _, _, found in inside],
            color=colour, marker=_mark(number), markersize=4.5, linewidth=1.5, elinewidth=1.1,
            capsize=2.5,
        )  # fmt: skip
    if ceiling is not None:
        bottom = axes.get_ylim()[0]
        axes.set_ylim(bottom, ceiling)
    for number, (x, mark, colour) in enumerate(edge):
        above = sum(other[0] == x for other in edge[:number])  # marks of one place hang in a row
        axes.plot(
            [x],
            [0.97 - _MARK_STEP * above],
            mark,
            color=colour,
            markersize=6,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )
    real = verdict.estimates.get(REAL_TEXT)
    if real is not None:
        axes.axhline(real.mean, **_REAL)


def _ticks(axes: Axes, verdict: Verdict, lines: AxisLines, most: int) -> None:
    points = lines.points
    if lines.logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(points[0] / 1.25, points[-1] * 1.25)
    if len(points) <= most or not lines.logarithmic:
        axes.xaxis.set_major_locator(FixedLocator(points[:: -(-len(points) // most)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if verdict.measure.digits == 0:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    scale = " (logarithmic)" if lines.logarithmic else ""
    axes.set_xlabel(f"{lines.title}{scale}", fontsize=8.5, color=MUTED, labelpad=5)
    plain_axes(axes)


def _is_far(verdict: Verdict) -> bool:
    """Whether some means lie above the picture."""
    means = [found.mean for found in verdict.estimates.values()]
    return verdict.measure.unit == "bits per byte" and _ceiling(means) is not None


def _ceiling(means: list[float]) -> float | None:
    """The largest value to show, if others would flatten the rest; ``None`` shows all.

    >>> _ceiling([2.0, 2.1, 2.2, 2.3, 7.0]), _ceiling([2.0, 2.1, 2.3])
    (2.8000000000000007, None)
    """
    if not means:
        return None
    best = min(means)
    ceiling = best + _FAR * (statistics.median(means) - best)
    return ceiling if max(means) > ceiling > best else None


def _colour(number: int) -> str:
    return PALETTE[number % len(PALETTE)]


def _mark(number: int) -> str:
    return MARKS[number % len(MARKS)]
