"""The picture of a study: each cell's mean with its interval, and a dot for every seed.

    lines by themselves            running text
    stream       ├──●──┤           ├──●──┤
    left_padded     ├─●─┤               ├──●──┤
               2.3   2.4   2.5     2.3   2.4   2.5   bits per byte

Cells along an axis of numbers become lines instead (``axis_plot``). The best cell of each measure
is in another colour. The same numbers give the same bytes.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hornbook.experiments.axis_lines import lines_of
from hornbook.experiments.axis_plot import axis_figure
from hornbook.experiments.comparison import Comparison, Verdict
from hornbook.experiments.sheet import WIDTH, caption, plain_axes, sheet, short_name, wish
from hornbook.experiments.study import REAL_TEXT
from hornbook.inspection.style import INK, MUTED, TRAINING, VALIDATION, file_bytes, own_style

_ROW, _PANEL_HEAD, _PANEL_FOOT = 0.36, 0.4, 0.62
"""Heights of a cell's line, of a panel's title, and of the numbers below it [inches]."""
_LETTER = 0.085
"""Width of a letter of a cell's name, rounded up [inches]."""


def drawn(comparison: Comparison, form: str) -> bytes:
    """The picture as the bytes of a file; ``form`` is ``svg`` or ``png``."""
    lines = lines_of(comparison.record.study, comparison.record.cells)
    with own_style():
        if lines is not None:
            return file_bytes(axis_figure(comparison, lines), form)
        return file_bytes(_figure(comparison), form)


def _figure(comparison: Comparison) -> Figure:
    cells, verdicts = comparison.record.cells, comparison.verdicts
    columns = min(2, len(verdicts))
    rows = -(-len(verdicts) // columns)
    panel = _PANEL_HEAD + _ROW * len(cells) + _PANEL_FOOT
    best = "the nearest" if comparison.record.study.kind == "decoding" else "the best"
    figure, height, top = sheet(
        comparison.record.study.question or comparison.record.study.name,
        f"{caption(comparison)}; orange: {best}",
        panel * rows,
    )
    left = 0.35 + min(_LETTER * max(map(len, cells)), 3.0)
    gap, right = 0.35, 0.3
    width = (WIDTH - left - gap * (columns - 1) - right) / columns
    for number, verdict in enumerate(verdicts):
        row, column = divmod(number, columns)
        place = (
            (left + column * (width + gap)) / WIDTH,
            (top - panel * (row + 1) + _PANEL_FOOT) / height,
            width / WIDTH,
            _ROW * len(cells) / height,
        )
        axes = figure.add_axes(place, facecolor="none")
        _draw_measure(axes, comparison, verdict)
        names = [short_name(cell) for cell in cells]
        axes.set_yticks(range(len(cells)), names if column == 0 else [""] * len(cells))
    return figure


def _draw_measure(axes: Axes, comparison: Comparison, verdict: Verdict) -> None:
    cells, measure = comparison.record.cells, verdict.measure
    axes.set_ylim(len(cells) - 0.5, -0.5)
    for row, cell in enumerate(cells):
        found = verdict.estimates.get(cell)
        if found is None:
            axes.text(
                0.02, row, comparison.fate(cell) or "not with every seed",
                transform=axes.get_yaxis_transform(), fontsize=8, color=MUTED, va="center",
            )  # fmt: skip
            continue
        colour = VALIDATION if cell == verdict.best else MUTED if cell == REAL_TEXT else INK
        seeds = [value for value in comparison.values(cell, measure.name) if value is not None]
        axes.plot(seeds, [row + 0.24] * len(seeds), "o", color=TRAINING, markersize=3.5)
        axes.errorbar(
            found.mean, row, xerr=found.half_width, fmt="o", color=colour, markersize=5.5,
            elinewidth=1.6, capsize=3,
        )  # fmt: skip
    axes.set_title(measure.title, fontsize=9.5, color=INK, loc="left", pad=8)
    label = f"{measure.unit} {wish(verdict)}".strip()
    axes.set_xlabel(label, fontsize=8.5, color=MUTED, labelpad=5)
    axes.xaxis.set_major_locator(MaxNLocator(4 if measure.digits == 0 else 5))
    axes.margins(x=0.08)
    plain_axes(axes)
    axes.tick_params(axis="y", labelsize=9, labelcolor=INK)
