"""What the comparison leaves behind: tables in ``docs/performance.md`` and a plot beside it."""

from __future__ import annotations

import datetime
import io
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.tokenizer_peers import DISTRIBUTIONS, installed
from benchmarks.tokenizer_rows import Row, markdown
from hornbook.durable import write_durably

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BEGIN = "<!-- measured: begin (written by benchmarks/tokenizers.py) -->"
END = "<!-- measured: end -->"
COLOURS = {
    "hornbook": "#1b6ca8",
    "tokie": "#d9822b",
    "Hugging Face": "#7f9a48",
    "tiktoken": "#9a6fb0",
    "rustbpe": "#8c8c8c",
}
"""Each name has its colour in every panel."""


def write_report(rows: Sequence[Row], page: Path, plot: Path) -> None:
    """Put the tables between the marks of a page, and draw the plot.

    Raises:
        ValueError: the page has no marks.
    """
    plot.parent.mkdir(parents=True, exist_ok=True)
    write_durably(plot, drawn(rows))
    picture = f"![Speed of encoding and training beside the peers]({plot.name})"
    picture = picture.replace(plot.name, Path(os.path.relpath(plot, page.parent)).as_posix())
    text = between(
        page.read_text(encoding="utf-8"), "\n\n".join([machine(), picture, markdown(rows)])
    )
    write_durably(page, text.encode("utf-8"))


def between(page: str, measured: str) -> str:
    """Return a page with what stands between its marks replaced.

    >>> page = f"before {BEGIN} old {END} after"
    >>> between(page, "new").splitlines()[2], between(page, "new").endswith(" after")
    ('new', True)

    Raises:
        ValueError: the page has no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN!r} and {END!r}, for the tables to go")
    return f"{before}{BEGIN}\n\n{measured}\n\n{END}{after}"


def machine() -> str:
    """Return where, when and with which versions this was measured, as one paragraph."""
    versions = [f"hornbook {metadata.version('hornbook')}", f"Python {platform.python_version()}"]
    versions += [f"{name} {metadata.version(name)}" for name in ("numpy", "numba")]
    versions += [
        f"{name} {metadata.version(name)}"
        for peer, name in DISTRIBUTIONS.items()
        if installed(peer)
    ]
    today = datetime.date.today().isoformat()
    cores = os.cpu_count()
    return f"Measured on {today}: {processor()}, {cores} cores; {', '.join(versions)}."


def processor() -> str:
    """Return the name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def drawn(rows: Sequence[Row]) -> bytes:
    """Return the plot as SVG: the same bytes for the same rows."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels = {
        "encoding GPT-2, first pass [MB/s]": _bars(rows, "Encoding, gpt2", "first pass"),
        "encoding GPT-2, later passes [MB/s]": _bars(rows, "Encoding, gpt2", "later passes"),
        "training [s], less is better": _bars(rows, "Training", "entries"),
    }
    panels = {title: bars for title, bars in panels.items() if bars}
    # Letters stay letters, and ids come from a fixed salt: the file is small and repeatable.
    style: Any = {"svg.hashsalt": "hornbook", "svg.fonttype": "none", "font.size": 9}
    content = io.BytesIO()
    with mpl.rc_context(style):
        figure = Figure(figsize=(9, 2.9 * max(len(panels), 1)), layout="constrained")
        for number, (title, bars) in enumerate(panels.items(), 1):
            axes = figure.add_subplot(len(panels), 1, number)
            _draw_bars(axes, bars)
            axes.set_title(title, loc="left")
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


def _draw_bars(axes: Axes, groups: Mapping[str, Mapping[str, float]]) -> None:
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    width = 0.8 / len(names)
    for place, name in enumerate(names):
        heights = {at: group[name] for at, group in enumerate(groups.values()) if name in group}
        bars = axes.bar(
            [at + place * width for at in heights],
            list(heights.values()),
            width,
            label=name,
            color=COLOURS[name],
        )
        axes.bar_label(bars, fmt="%.3g", fontsize=7)
    axes.set_xticks([at + 0.4 - width / 2 for at in range(len(groups))], list(groups))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=len(names))


def _bars(rows: Sequence[Row], section: str, subject: str) -> Mapping[str, Mapping[str, float]]:
    groups: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.section.startswith(section) and subject in row.subject:
            group = groups.setdefault(row.subject.partition(",")[0], {})
            group["hornbook"] = row.ours
            if row.theirs is not None:
                group[row.peer] = row.theirs
    return groups
