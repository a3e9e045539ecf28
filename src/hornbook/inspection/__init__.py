"""A run made visible: the picture of its loss, and one page that tells all of it.

    draw_loss_curve(run, Path("loss.svg"))      # what the README shows
    write_report(run)                           # report.html in the run's folder

Read in this order: ``history`` (the numbers and samples that a run wrote down), ``lines``
(text of any script fitted into a box), ``layout`` (where on the picture each thing goes),
``style`` (how every plot looks), ``loss_curve`` (the picture), ``page`` (the look of a page),
``report`` (what stands on it) with ``run_settings``, ``training_plots``, ``training_facts``,
``report_text`` (data and tokenizer) and ``report_model`` (its costs and its diagram); ``overlay``
(several runs on one page) and its ``overlay_plot``. They read a run and write nothing but these
files. matplotlib is loaded when a picture is drawn.

Windows are seen before a run exists: ``window_picture`` (a row of a batch as things to draw),
``segment_colours``, ``svg`` (pieces of a picture that stands alone), ``window_svg`` (rows and masks
made of them), ``window_counts`` (what an epoch of each strategy holds, by arithmetic).

What a model learns, computes and needs is told by ``accounting``, a folder of its own.

What a model has learned of its tokens: ``embeddings`` (neighbours and the plane, as numbers),
``embedding_map`` (the picture), ``embedding_page`` with its script (the same to move about in),
``position_encodings`` and ``embedding_plots``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hornbook.inspection.report import write_report

if TYPE_CHECKING:
    from hornbook.inspection.loss_curve import draw_loss_curve

__all__ = ["draw_loss_curve", "write_report"]


def __getattr__(name: str) -> Any:
    if name != "draw_loss_curve":
        raise AttributeError(f"module 'hornbook.inspection' has no attribute {name!r}")
    from hornbook.inspection.loss_curve import draw_loss_curve

    return draw_loss_curve
