"""The picture of a run: its losses over the steps, and beneath them what the model wrote.

The same run gives the same bytes. Text stays text in an SVG, so that the reader's screen
brings the letters of every script; only boxes and lines have fixed places (``layout``).
"""

from __future__ import annotations

import html
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hornbook.durable import write_durably
from hornbook.errors import RunError
from hornbook.inspection import layout as at
from hornbook.inspection.history import History, parameter_count, read_history, vocabulary
from hornbook.inspection.layout import Card, Layout, lay_out
from hornbook.inspection.lines import clean, shortened
from hornbook.inspection.style import (
    GRID,
    MUTED,
    PAPER,
    TRAINING,
    VALIDATION,
    file_bytes,
    own_style,
)
from hornbook.runs.run import Run

CARD = "#f3f4f7"
PINS = ("#6b5bb0", "#4c3d93", "#2f2370")
"""One hue from light to dark, as the model learns."""


def draw_loss_curve(run: Run, path: Path) -> None:
    """Draw training and validation loss, the best point, and samples pinned to their steps.

    Args:
        run: the run.
        path: the picture's file; its suffix, ``.svg`` or ``.png``, says the format.

    Raises:
        RunError: when the suffix is another, the run has no loss yet, or the file cannot be
            written.
    """
    path = Path(path)
    if path.suffix.lower() not in {".svg", ".png"}:
        raise RunError(f"{path} should end in .svg or .png, which say how it is drawn.")
    if path.suffix.lower() == ".svg":
        content = ('<?xml version="1.0" encoding="utf-8"?>\n' + loss_curve_svg(run)).encode()
    else:
        content = _drawn(run, read_history(run), "png")
    try:
        write_durably(path, content)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}.") from error


def loss_curve_svg(run: Run, story: History | None = None) -> str:
    """The same picture as an ``<svg>`` element, to stand inside a page.

    Args:
        run: the run.
        story: its history, if somebody has read it already.

    Raises:
        RunError: when the run has no loss yet.
    """
    text = _drawn(run, story or read_history(run), "svg").decode("utf-8")
    label = html.escape(f"Loss over the training steps of {clean(run.name)}")
    head = f'<svg role="img" aria-label="{label}" xml:space="preserve" '
    text = text[text.index("<svg ") :].replace("<svg ", head, 1)
    # Indents are part of what the model wrote; old viewers read the attribute, new ones this.
    return text.replace(
        '<style type="text/css">', '<style type="text/css">text{white-space: pre}', 1
    )


def _drawn(run: Run, story: History, form: str) -> bytes:
    if not story.curve:
        raise RunError(
            f"{run.path} has no loss to draw yet; train it with: hornbook train --resume {run.path}"
        )
    with own_style():
        return file_bytes(_figure(run, story), form)


def _figure(run: Run, story: History) -> Figure:
    plan = lay_out(story)
    figure = Figure(figsize=(at.WIDTH / 72, plan.height / 72), facecolor=PAPER)
    page = figure.add_axes((0.0, 0.0, 1.0, 1.0), zorder=0)
    page.set(xlim=(0, at.WIDTH), ylim=(plan.height, 0))
    page.set_axis_off()
    chart = figure.add_axes(
        (
            at.CHART_LEFT / at.WIDTH,
            1 - (at.CHART_TOP + at.CHART_HEIGHT) / plan.height,
            at.CHART_WIDTH / at.WIDTH,
            at.CHART_HEIGHT / plan.height,
        ),
        zorder=1,
        facecolor="none",
    )
    _draw_heading(page, run, story)
    _draw_chart(chart, story, plan)
    for index, card in enumerate(plan.cards):
        colour = PINS[index + (len(PINS) - len(plan.cards))]
        _draw_pin(page, card, plan, colour)
        _draw_card(page, card, plan, colour)
        chart.plot(card.step, card.loss, "o", color=colour, markersize=5.5, clip_on=False)
    return figure


def _draw_heading(page: Axes, run: Run, story: History) -> None:
    title = shortened(clean(run.name), 56)
    page.text(at.MARGIN, 31, title, fontsize=13.5, fontweight="bold", va="baseline")
    facts = [run.config.model.kind.replace("_", " ")]
    parameters = parameter_count(run)
    if parameters is not None:
        facts.append(f"{parameters:,} parameters")
    words = vocabulary(run)
    if words is not None:
        facts.append(words)
    if story.tokens_seen:
        facts.append(f"{story.tokens_seen:,} tokens seen")
    page.text(at.MARGIN, 48, "  ·  ".join(facts), fontsize=9, color=MUTED, va="baseline")


def _draw_chart(chart: Axes, story: History, plan: Layout) -> None:
    chart.set(xlim=(0, plan.last_step), ylim=(plan.lowest, plan.highest))
    chart.set_ylabel("loss [nats per token]", fontsize=9, color=MUTED, labelpad=8)
    chart.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    chart.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    chart.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    chart.tick_params(length=0, pad=7, labelsize=9, labelcolor=MUTED)
    # The numbers of the steps stand on paper, so that a pin passes behind them.
    for label in chart.get_xticklabels():
        label.set_bbox({"facecolor": PAPER, "edgecolor": "none", "pad": 1.5})
    chart.grid(axis="y", color=GRID, linewidth=0.8)
    chart.set_axisbelow(True)
    for side in ("left", "right", "top"):
        chart.spines[side].set_visible(False)
    chart.spines["bottom"].set_color("#b9bfc8")
    chart.annotate(
        "step",
        xy=(0, 0),
        xycoords="axes fraction",
        xytext=(-10, -7),
        textcoords="offset points",
        fontsize=9,
        color=MUTED,
        ha="right",
        va="top",
    )
    _draw_curves(chart, story)
    _draw_legend(chart)


def _draw_curves(chart: Axes, story: History) -> None:
    if story.training:
        x, y = zip(*((p.step, p.loss) for p in story.training), strict=True)
        mark = "o" if len(x) == 1 else ""
        label = "training loss" if story.best else f"training loss, at last {y[-1]:.3f}"
        width = 1.6 if len(x) <= 200 else 1.0
        style = {"linewidth": width, "marker": mark, "markersize": 4, "clip_on": False}
        chart.plot(x, y, color=TRAINING, label=label, **style)
    if story.validation and story.best is not None:
        x, y = zip(*((p.step, p.loss) for p in story.validation), strict=True)
        mark = "o" if len(x) <= 40 else ""
        style = {"linewidth": 2, "marker": mark, "markersize": 4, "clip_on": False}
        chart.plot(x, y, color=VALIDATION, label="validation loss", **style)
        reading = f"best at step {story.best.step:,}: {story.best.loss:.3f} nats per token"
        if story.best_bits_per_byte is not None:
            reading += f" = {story.best_bits_per_byte:.3f} bits per byte"
        chart.plot(
            story.best.step,
            story.best.loss,
            linestyle="none",
            marker="o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=VALIDATION,
            markeredgewidth=1.6,
            clip_on=False,
            label=reading,
        )


def _draw_legend(chart: Axes) -> None:
    chart.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.02),
        borderaxespad=0,
        borderpad=0,
        ncols=3,
        columnspacing=1.6,
        handlelength=1.6,
        handletextpad=0.6,
        frameon=False,
        fontsize=9,
    )


def _draw_pin(page: Axes, card: Card, plan: Layout, colour: str) -> None:
    """From the curve straight down, and under the numbers over to the card."""
    x, y = plan.place(card.step, card.loss)
    foot = at.CHART_TOP + at.CHART_HEIGHT + 22
    end = (card.left + card.width / 2, plan.cards_top)
    middle = (foot + end[1]) / 2
    outline = Outline(
        [(x, y), (x, foot), (x, middle), (end[0], middle), end],
        [Outline.MOVETO, Outline.LINETO, Outline.CURVE4, Outline.CURVE4, Outline.CURVE4],
    )
    page.add_patch(PathPatch(outline, facecolor="none", edgecolor=colour, linewidth=1, alpha=0.55))


def _draw_card(page: Axes, card: Card, plan: Layout, colour: str) -> None:
    box = FancyBboxPatch(
        (card.left, plan.cards_top),
        card.width,
        plan.cards_height,
        boxstyle="round,pad=0,rounding_size=5",
        facecolor=CARD,
        edgecolor="none",
    )
    page.add_patch(box)
    left, top = card.left + at.CARD_PADDING, plan.cards_top
    page.text(left, top + 17, f"after step {card.step:,}", fontsize=9, color=colour, weight="bold")
    for number, line in enumerate(card.lines, start=1):
        page.text(
            left,
            top + at.CARD_HEAD + number * at.LINE_HEIGHT,
            line,
            family="monospace",
            fontsize=at.TEXT_SIZE,
            clip_path=box,
            clip_on=True,
        )
