"""Two plots of what a model adds to nothing: how long vectors are, and what positions look like.

norms.svg       length of a token's vector over how often the token occurred
positions.svg   the encoding as a heat map, and how alike two positions are, by their distance
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from hornbook.inspection.embeddings import KINDS, TokenVectors, kinds_of_tokens
from hornbook.inspection.position_encodings import PositionEncoding
from hornbook.inspection.style import GRID, INK, MUTED, PAPER, TRAINING, file_bytes, own_style
from hornbook.tokenizers import Tokenizer

_LEFT, _BOTTOM = 0.09, 0.13


def norms_plot(title: str, vectors: TokenVectors, tokenizer: Tokenizer, form: str = "svg") -> bytes:
    """Lengths of the vectors over counts, which must be known; ``form`` is ``svg`` or ``png``."""
    assert vectors.counts is not None, "who calls knows whether they are"
    with own_style():
        figure = Figure(figsize=(7.6, 4.6), facecolor=PAPER)
        axes = figure.add_axes((_LEFT, _BOTTOM, 0.87, 0.66), facecolor="none")
        contents = [tokenizer.token_bytes(token) for token in range(len(vectors.table))]
        kinds = np.array(kinds_of_tokens(contents, list(tokenizer.special_tokens.values())))
        seen, norms = vectors.counts > 0, vectors.norms
        for kind, (colour, _) in KINDS.items():
            which = seen & (kinds == kind)
            if which.any():
                style = {"color": colour, "markersize": 3.6, "alpha": 0.6, "markeredgewidth": 0}
                axes.plot(vectors.counts[which], norms[which], "o", label=kind, **style)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(0, float(norms[seen].max()) * 1.06 if seen.any() else 1)
        unseen = int((~seen).sum())
        if unseen:
            mean = float(norms[~seen].mean())
            axes.axhline(mean, color=MUTED, linewidth=1.1, linestyle=(0, (4, 3)))
            axes.annotate(
                f"{unseen:,} tokens that never occurred: {mean:.2f} on average",
                (0.995, mean), xycoords=("axes fraction", "data"), xytext=(0, 4),
                textcoords="offset points", fontsize=8.5, color=MUTED, ha="right",
                bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1},
            )  # fmt: skip
        _plain(axes, "times in the training text", "length of the vector")
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1.01), ncols=6, frameon=False, fontsize=8.5,
            columnspacing=1.2, handletextpad=0.2, borderpad=0, borderaxespad=0.2,
        )  # fmt: skip
        _heading(figure, title, f"{vectors.what}: length and frequency")
        return file_bytes(figure, form)


def positions_plot(title: str, encoding: PositionEncoding, form: str = "svg") -> bytes:
    """The encoding as a heat map and its likeness by distance; ``form`` is ``svg`` or ``png``."""
    with own_style():
        figure = Figure(figsize=(7.6, 7.2), facecolor=PAPER)
        heat = figure.add_axes((_LEFT, 0.47, 0.80, 0.40), facecolor="none")
        bar = figure.add_axes((0.91, 0.47, 0.018, 0.40))
        table = encoding.table
        reach = float(np.abs(table).max()) or 1.0
        count, width = table.shape
        picture = heat.imshow(
            table.T, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto", origin="upper",
            interpolation="nearest", extent=(-0.5, count - 0.5, width - 0.5, -0.5),
        )  # fmt: skip
        colours = figure.colorbar(picture, cax=bar)
        colours.outline.set_visible(False)  # type: ignore[operator]
        bar.tick_params(length=0, labelsize=8, labelcolor=MUTED)
        _plain(heat, "position", encoding.rows, grid=False)
        _draw_likeness(figure.add_axes((_LEFT, 0.085, 0.87, 0.28), facecolor="none"), encoding)
        _heading(figure, title, encoding.what)
        return file_bytes(figure, form)


def _draw_likeness(axes: Axes, encoding: PositionEncoding) -> None:
    likeness = encoding.likeness
    distance = np.arange(len(likeness.mean))
    axes.axhline(0, color=GRID, linewidth=1)
    axes.fill_between(distance, likeness.lowest, likeness.highest, color=TRAINING, alpha=0.35, lw=0)
    axes.plot(distance, likeness.mean, color=INK, linewidth=1.6)
    axes.set(xlim=(0, max(distance[-1], 1)), ylim=(min(-0.05, likeness.lowest.min()) - 0.03, 1.04))
    _plain(axes, "distance between two positions", encoding.measure)


def _plain(axes: Axes, across: str, up: str, *, grid: bool = True) -> None:
    axes.set_xlabel(across, fontsize=9, color=MUTED, labelpad=4)
    axes.set_ylabel(up, fontsize=9, color=MUTED, labelpad=6)
    axes.tick_params(length=0, pad=5, labelsize=8.5, labelcolor=MUTED, which="both")
    axes.yaxis.set_major_locator(MaxNLocator(6))
    if grid:
        axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)


def _heading(figure: Figure, title: str, facts: str) -> None:
    height = figure.get_figheight()
    figure.text(_LEFT, 1 - 0.34 / height, title, fontsize=12, fontweight="bold", color=INK)
    figure.text(_LEFT, 1 - 0.56 / height, facts, fontsize=9, color=MUTED)
