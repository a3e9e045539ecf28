"""How training went, beside the loss: learning rate, length of the gradient, tokens a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hornbook.inspection.history import number_of
from hornbook.inspection.style import GRID, MUTED, PAPER, file_bytes, own_style

_PLOTS = {
    "learning_rate": "learning rate",
    "gradient_norm": "length of the gradient",
    "tokens_per_second": "tokens a second",
}
_COLOUR = "#4c3d93"


def training_plots_svg(metrics: Sequence[Mapping[str, Any]]) -> str | None:
    """The plots as an ``<svg>`` element; ``None`` where no line of ``metrics`` has such a number.

    Args:
        metrics: the lines of ``metrics.jsonl``.
    """
    curves = {
        key: [
            (line["step"], value) for line in metrics if (value := number_of(line, key)) is not None
        ]
        for key in _PLOTS
    }
    curves = {key: points for key, points in curves.items() if len(points) > 1}
    if not curves:
        return None
    with own_style():
        figure = Figure(figsize=(9, 2.35), facecolor=PAPER)
        for place, (key, points) in enumerate(curves.items()):
            axes = figure.add_axes((0.06 + 0.325 * place, 0.23, 0.255, 0.56), facecolor="none")
            _draw(axes, _PLOTS[key], points)
        text = file_bytes(figure, "svg").decode("utf-8")
    return text[text.index("<svg ") :]


def _points(metrics: Sequence[Mapping[str, Any]], key: str) -> Iterator[tuple[int, float]]:
    for line in metrics:
        step, value = line.get("step"), number_of(line, key)
        if isinstance(step, int) and value is not None:
            yield step, value


def _draw(axes: Axes, title: str, points: Sequence[tuple[int, float]]) -> None:
    steps, values = zip(*points, strict=True)
    axes.plot(steps, values, color=_COLOUR, linewidth=1.2, clip_on=False)
    axes.set(xlim=(0, steps[-1]), ylim=(0, max(values) * 1.05 or 1))
    axes.set_title(title, fontsize=8.5, color=MUTED, loc="left", pad=7)
    axes.set_xlabel("step", fontsize=7.5, color=MUTED, labelpad=2)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.tick_params(length=0, pad=4, labelsize=7.5, labelcolor=MUTED)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
