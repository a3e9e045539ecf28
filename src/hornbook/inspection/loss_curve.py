"""One picture of a run: its losses over the steps, and what the model wrote on the way.

    draw_loss_curve(open_run("runs/poems-tiny"), Path("loss.svg"))

Up to three samples (the first, a middle one, the last) stand below the curve, each under a
number that marks its step. The same run gives the same bytes.
"""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hornbook.durable import write_durably
from hornbook.errors import RunError
from hornbook.runs.run import Run

if TYPE_CHECKING:  # matplotlib takes longer to import than most commands take to run
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png")
INK, QUIET, PAPER = "#1f2933", "#7b8794", "#fffdf8"
TRAINING, VALIDATION = "#9db8d2", "#0b5394"
SAMPLE_COLUMNS = 40
"""Characters in one line of a sample: what fits into a third of the picture."""
SAMPLE_LINES = 9


def draw_loss_curve(run: Run, path: Path) -> None:
    """Draw the run's picture into ``path``, as SVG or PNG by its suffix.

    Raises:
        RunError: when the suffix is another one, the run has no measurements yet, or the
            file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise RunError(f"{path}: pictures are drawn as .svg or .png; choose one of these endings.")
    picture = _rendered(run, suffix[1:])
    try:
        write_durably(path, picture)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}.") from error


def loss_curve_svg(run: Run) -> str:
    """The same picture as the text of an ``<svg>`` element, to stand inside a page.

    Raises:
        RunError: when the run has no measurements yet.
    """
    picture = _rendered(run, "svg").decode("utf-8")
    return picture[picture.index("<svg") :]


def chosen_samples(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first, the middle and the last sample, or all if there are fewer than four.

    >>> [s["step"] for s in chosen_samples([{"step": n} for n in (10, 20, 30, 40, 50)])]
    [10, 30, 50]
    """
    if len(samples) <= 3:
        return samples
    return [samples[0], samples[len(samples) // 2], samples[-1]]


def wrapped(text: str, columns: int = SAMPLE_COLUMNS, lines: int = SAMPLE_LINES) -> str:
    """Fold a sample into a block of at most ``lines`` lines; what is left out ends in ``…``.

    >>> wrapped("one two three four", columns=9, lines=2)
    'one two\\nthree …'
    """
    visible = "".join(c if c == "\n" or c.isprintable() else "·" for c in text)
    folded: list[str] = []
    for line in visible.split("\n"):
        folded += textwrap.wrap(line, columns, drop_whitespace=True) or [""]
    # Empty lines tell little and take room: keep one of several.
    kept = [line for i, line in enumerate(folded) if line or (i and folded[i - 1])]
    if len(kept) > lines:
        kept = kept[:lines]
        kept[-1] = textwrap.shorten(f"{kept[-1]} {'x' * columns}", columns, placeholder=" …")
    return "\n".join(kept)


def _rendered(run: Run, format: str) -> bytes:
    metrics = run.metrics()
    if not metrics:
        raise RunError(f"{run.path} has no measurements yet; train it first.")
    import matplotlib
    from matplotlib.figure import Figure

    # The salt makes the names inside an SVG the same every time; its text stays text.
    settings: Any = {
        "svg.hashsalt": "hornbook",
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.monospace": ["DejaVu Sans Mono"],
        "font.size": 9,
    }
    with matplotlib.rc_context(settings):
        samples = chosen_samples(list(run.folder.samples.entries()))
        figure = Figure(figsize=(9, 5.4 if samples else 3.4), facecolor=PAPER)
        bottom = 0.47 if samples else 0.16
        axes = figure.add_axes((0.075, bottom, 0.895, 0.90 - bottom))
        _draw_losses(axes, metrics, run.name)
        _draw_samples(figure, axes, samples)
        picture = io.BytesIO()
        plain = {"Date": None} if format == "svg" else {"Software": None}
        figure.savefig(picture, format=format, dpi=160, facecolor=PAPER, metadata=plain)
    return picture.getvalue()


def _draw_losses(axes: Axes, metrics: list[dict[str, Any]], name: str) -> None:
    trained = [(m["step"], m["training_loss"]) for m in metrics if "training_loss" in m]
    measured = [m for m in metrics if "validation_loss" in m]
    if trained:
        steps, losses = zip(*trained, strict=True)
        axes.plot(steps, losses, color=TRAINING, lw=1.6, label="training", marker=_dot(steps))
    title = name
    if measured:
        steps = [m["step"] for m in measured]
        losses = [m["validation_loss"] for m in measured]
        axes.plot(steps, losses, color=VALIDATION, lw=1.8, marker="o", ms=3.5, label="validation")
        best = min(measured, key=lambda m: m["validation_loss"])
        axes.plot(
            [best["step"]],
            [best["validation_loss"]],
            "o",
            ms=9,
            mfc="none",
            mec=VALIDATION,
            mew=1.4,
        )
        bits = best.get("bits_per_byte")
        size = f" = {bits:.3f} bits per byte" if bits is not None else ""
        title += (
            f" — best {best['validation_loss']:.3f} nats per token{size}, step {best['step']:,}"
        )
    axes.set_title(title, loc="left", color=INK, fontsize=10, pad=8)
    axes.set_xlabel("step", color=QUIET, labelpad=1)
    axes.set_ylabel("loss, nats per token", color=QUIET)
    axes.set_facecolor(PAPER)
    axes.tick_params(colors=QUIET, length=3)
    axes.grid(axis="y", color="#e4e0d6", lw=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#cfc9bb")
    if trained or measured:
        axes.legend(loc="upper right", frameon=False, labelcolor=INK)


def _draw_samples(figure: Figure, axes: Axes, samples: list[dict[str, Any]]) -> None:
    width = 0.895 / 3
    for number, sample in enumerate(samples):
        step = sample["step"]
        axes.axvline(step, color="#d08770", lw=0.9, ls=(0, (2, 2)), zorder=0)
        # The mark stands above the curve's frame, so it never covers a loss.
        axes.annotate(
            str(number + 1),
            (step, 1.0),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="center",
            fontsize=7.5,
            color=PAPER,
            bbox={"boxstyle": "circle,pad=0.25", "fc": "#b5583a", "ec": "none"},
            annotation_clip=False,
        )
        left = 0.075 + number * width
        figure.text(
            left,
            0.355,
            f"{number + 1}  step {step:,}",
            color="#b5583a",
            fontsize=8.5,
            weight="bold",
        )
        text = wrapped(f"{sample.get('prompt', '')}{sample.get('text', '')}".strip())
        figure.text(
            left,
            0.335,
            text,
            color=INK,
            fontsize=6.6,
            family="monospace",
            va="top",
            linespacing=1.35,
        )


def _dot(steps: tuple[int, ...]) -> str:
    return "o" if len(steps) == 1 else ""
