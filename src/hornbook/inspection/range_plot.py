"""The picture of a range test: the loss over the learning rate, and the suggestion in it.

The same numbers give the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from hornbook.durable import write_durably
from hornbook.errors import RunError
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
from hornbook.optimization.rate_range import RateRange, Suggestion

SIZE = (7.6, 4.2)
"""Width and height [inches]."""
_ABOVE = 0.35
"""How far above the first loss the picture reaches, as a share of what it fell."""


def draw_range_test(name: str, found: RateRange, advice: Suggestion, stem: Path) -> list[Path]:
    """Draw the test as ``stem.svg`` and ``stem.png``; returns both.

    Args:
        name: of what was trained, for the title.
        found: the losses.
        advice: what is suggested.
        stem: where to draw, without the suffix.

    Raises:
        RunError: when a file cannot be written.
    """
    paths = []
    for form in ("svg", "png"):
        path = stem.with_name(f"{stem.name}.{form}")
        try:
            write_durably(path, drawn(name, found, advice, form))
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror or error}.") from error
        paths.append(path)
    return paths


def drawn(name: str, found: RateRange, advice: Suggestion, form: str) -> bytes:
    """The picture as the bytes of a file; ``form`` is ``svg`` or ``png``."""
    with own_style():
        figure = Figure(figsize=SIZE, facecolor=PAPER)
        axes = figure.add_axes((0.09, 0.15, 0.87, 0.68), facecolor="none")
        _draw(axes, found, advice)
        figure.text(
            0.09, 0.92, f"Learning rate range test: {name}", fontsize=12, fontweight="bold",
            color=INK,
        )  # fmt: skip
        return file_bytes(figure, form)


def _draw(axes: Axes, found: RateRange, advice: Suggestion) -> None:
    curve = found.smoothed
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.plot(found.rates, found.losses, ".", color=TRAINING, markersize=3.5)
    axes.plot(found.rates, curve, color=VALIDATION, linewidth=1.8)
    if curve:
        # What lies far above the start would flatten the part that matters.
        fell = max(curve[0] - min(curve), 0.1)
        axes.set_ylim(min(curve) - 0.1 * fell, curve[0] + _ABOVE * fell)
    if advice.rate is not None:
        axes.axvline(advice.rate, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.annotate(
            f" {advice.rate:.2g}", (advice.rate, 1.0), xycoords=("data", "axes fraction"),
            fontsize=10, color=INK, va="bottom", ha="center",
        )  # fmt: skip
    axes.set_xlabel("learning rate", fontsize=9, color=MUTED, labelpad=5)
    axes.set_ylabel("training loss (nats per token)", fontsize=9, color=MUTED, labelpad=6)
    axes.tick_params(length=0, pad=5, labelsize=8.5, labelcolor=MUTED, which="both")
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
