"""The curves of several runs over each other: by tokens seen, and by time in training steps.

Runs with one tokenizer share their unit, nats per token. A token is not the same amount of text in
two vocabularies, so runs whose tokenizers differ are drawn in bits per byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hornbook.inspection.history import number_of
from hornbook.inspection.style import GRID, MUTED, PAPER, file_bytes, own_style
from hornbook.inspection.training_facts import in_units

COLOURS = (
    "#4c3d93", "#c8501e", "#2f7fb5", "#8a6d0f", "#b3306b", "#2e8b57", "#7d8794", "#00838f",
)  # fmt: skip
"""One for each run, in their order; from the ninth on they come again, dashed."""
_AXES = {"tokens_seen": "tokens seen", "seconds": "seconds in training steps"}


@dataclass(frozen=True)
class Curve:
    """A run on the picture: its name, and the lines of its ``metrics.jsonl``."""

    name: str
    metrics: Sequence[Mapping[str, Any]]


def overlay_svg(curves: Sequence[Curve], measure: str, label: str) -> str | None:
    """The picture as an ``<svg>`` element; ``None`` where nothing was measured.

    Args:
        curves: the runs.
        measure: which number of a line: ``validation_loss``, ``bits_per_byte`` …
        label: what stands beside it.
    """
    lowest = [min((y for _, y in _points(c, "tokens_seen", measure)), default=None) for c in curves]
    if all(value is None for value in lowest):
        return None
    with own_style():
        figure = Figure(figsize=(9, 4.1), facecolor=PAPER)
        for place, (key, across) in enumerate(_AXES.items()):
            axes = figure.add_axes((0.07 + 0.49 * place, 0.135, 0.425, 0.79), facecolor="none")
            for number, curve in enumerate(curves):
                points = list(_points(curve, key, measure))
                if points:
                    _draw(axes, number, points)
            _plain(axes, across, label if not place else "")
        text = file_bytes(figure, "svg").decode("utf-8")
    return text[text.index("<svg ") :]


def _points(curve: Curve, key: str, measure: str) -> Iterator[tuple[float, float]]:
    for line in curve.metrics:
        x, y = number_of(line, key), number_of(line, measure)
        if x is not None and y is not None:
            yield x, y


def _draw(axes: Axes, number: int, points: Sequence[tuple[float, float]]) -> None:
    x, y = zip(*points, strict=True)
    axes.plot(
        x, y, color=COLOURS[number % len(COLOURS)], linewidth=1.5,
        linestyle="-" if number < len(COLOURS) else (0, (4, 2)),
        marker="o" if len(points) <= 40 else "", markersize=3,
    )  # fmt: skip


def _plain(axes: Axes, across: str, up: str) -> None:
    axes.set_xlim(left=0)
    axes.set_xlabel(across, fontsize=9, color=MUTED, labelpad=5)
    axes.set_ylabel(up, fontsize=9, color=MUTED, labelpad=6)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: in_units(value).strip()))
    axes.tick_params(length=0, pad=5, labelsize=8.5, labelcolor=MUTED)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def swatch(number: int) -> str:
    """The mark of a run beside its name, as an ``<svg>`` element: its curve on the plot's paper."""
    dashes = "" if number < len(COLOURS) else ' stroke-dasharray="4 2"'
    return (
        f'<svg width="26" height="12" viewBox="0 0 26 12"><rect width="26" height="12" rx="3" '
        f'fill="{PAPER}"/><path d="M3 6H23" stroke="{COLOURS[number % len(COLOURS)]}" '
        f'stroke-width="3" fill="none"{dashes}/></svg>'
    )
