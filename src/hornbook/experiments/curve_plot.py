"""The validation loss of every cell on its way: the mean over seeds, a line for each cell."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hornbook.experiments.comparison import Comparison
from hornbook.experiments.sheet import MARKS, PALETTE, WIDTH, plain_axes, sheet, short_name
from hornbook.inspection.style import MUTED, file_bytes, own_style

MOST_LINES = 12
"""More lines cannot be told apart; those that end best are drawn."""
_PANEL, _PANEL_HEAD, _PANEL_FOOT = 3.2, 0.15, 0.62
"""Heights of the axes, of what stands above and below them [inches]."""
_LETTER = 0.075
"""Width of a letter of a name, rounded up [inches]."""
_SHOWN_FROM = 0.08
"""What comes before this share of the steps may stand above the picture."""


def drawn_curves(comparison: Comparison, form: str) -> bytes:
    """The picture as the bytes of a file; ``form`` is ``svg`` or ``png``."""
    with own_style():
        return file_bytes(_figure(comparison), form)


def mean_curves(comparison: Comparison) -> dict[str, list[tuple[float, float]]]:
    """Steps and bits per byte of each cell, the mean over its seeds; those that end best first."""
    curves = {}
    for cell in comparison.record.cells:
        found = [one.curve for one in comparison.trained(cell) if one.curve and not one.failed]
        if found and len({len(curve) for curve in found}) == 1:
            points = zip(*found, strict=True)
            curves[cell] = [
                (float(point[0][0]), sum(value for _, value in point) / len(point))
                for point in points
            ]
    return dict(sorted(curves.items(), key=lambda item: item[1][-1][1])[:MOST_LINES])


def _figure(comparison: Comparison) -> Figure:
    curves = mean_curves(comparison)
    figure, height, top = sheet(
        "Validation loss on the way",
        f"mean of {comparison.record.seeds} seeds, on a sample of the validation windows; "
        "in the order in which they end",
        _PANEL_HEAD + _PANEL + _PANEL_FOOT,
    )
    names = {cell: short_name(cell) for cell in curves}
    left, right = 0.75, 0.75 + _LETTER * max(map(len, names.values()), default=0)
    place = (
        left / WIDTH,
        (top - _PANEL_HEAD - _PANEL) / height,
        (WIDTH - left - right) / WIDTH,
        _PANEL / height,
    )
    axes = figure.add_axes(place, facecolor="none")
    low = min((value for curve in curves.values() for _, value in curve), default=0.0)
    high = low
    for number, (cell, curve) in enumerate(reversed(list(curves.items()))):
        number = len(curves) - 1 - number
        axes.plot(
            [x for x, _ in curve], [y for _, y in curve], color=PALETTE[number % len(PALETTE)],
            marker=MARKS[number % len(MARKS)], markersize=3.5, linewidth=1.5, label=names[cell],
        )  # fmt: skip
        last = curve[-1][0]
        high = max([high, *(y for x, y in curve if x >= _SHOWN_FROM * last)])
    margin = 0.05 * (high - low) or 0.1
    axes.set_ylim(low - margin, high + margin)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles[::-1], labels[::-1], loc="upper left", frameon=False, fontsize=8.5,
        bbox_to_anchor=((WIDTH - right + 0.1) / WIDTH, (top - _PANEL_HEAD) / height),
        borderaxespad=0.0, borderpad=0.0, handlelength=1.8,
    )  # fmt: skip
    axes.set_xlabel("optimizer steps", fontsize=8.5, color=MUTED, labelpad=5)
    axes.set_ylabel("bits per byte (less is better)", fontsize=8.5, color=MUTED, labelpad=6)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    plain_axes(axes)
    return figure
