"""How every plot looks: colours, letters, and the same bytes for the same numbers.

matplotlib's own settings are put aside while a plot is drawn, so that what a person has set for
other work does not show here, and come back afterwards.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.figure import Figure

PAPER, GRID = "#fdfdfb", "#e4e6ea"
INK, MUTED = "#1d2530", "#626c7a"
TRAINING, VALIDATION = "#8fb3d9", "#c8501e"
_SHARPNESS = 200
"""Dots per inch of a PNG."""
_UNSAID: dict[str, dict[str, Any]] = {
    "svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
    "png": {"Software": None},
}
"""What a file must not hold, by its format: it would differ between two machines."""


def file_bytes(figure: Figure, form: str) -> bytes:
    """A plot as the bytes of a file, the same on every machine; call it within ``own_style``.

    Args:
        figure: the plot.
        form: ``svg`` or ``png``.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, dpi=_SHARPNESS, metadata=_UNSAID[form])
    return buffer.getvalue()


@contextmanager
def own_style() -> Iterator[None]:
    """matplotlib's own defaults with ours over them, whatever its user has set; then back."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # Letters that the fonts here lack: the reader's screen has them, or shows a box.
        warnings.filterwarnings("ignore", message=r"(?s).*(Glyph|font).*")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": "hornbook",
                "font.family": "sans-serif",
                "font.sans-serif": ["DejaVu Sans", "Verdana"],
                "font.monospace": ["DejaVu Sans Mono", "Menlo", "Consolas"],
                "text.color": INK,
                "text.parse_math": False,
                "axes.unicode_minus": False,
            }
        )
        yield
