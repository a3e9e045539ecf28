"""``hornbook report``: all of a run on one page, or several runs over each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hornbook.errors import HornbookError


def report(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Folders of runs; several are laid over each other."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The page; report.html in the run's folder unless given, or for several runs "
            "report.html here.",
        ),
    ] = None,
) -> None:
    """Write a page that tells all of a run, or compares several; it needs no network.

    \b
    Examples:
      hornbook report runs/poems-tiny
      hornbook report runs/poems-tiny runs/poems-tiny-2 --out poems.html

    Of one run: curves with samples pinned to their steps, settings, text and tokens, costs, a
    diagram, checkpoints, hardware. Of several: their curves, results and settings side by side.
    """
    from hornbook.inspection.overlay import write_overlay
    from hornbook.inspection.report import write_report
    from hornbook.runs.run import open_run

    if out is not None and out.suffix.lower() not in {".html", ".htm"}:
        raise HornbookError(f"{out} should end in .html, since that is what is written.")
    opened = [open_run(run) for run in runs]
    if len(opened) == 1:
        print(write_report(opened[0], out))
        return
    if len({run.path.resolve() for run in opened}) < len(opened):
        raise HornbookError("A run is named twice; each can stand on the page once.")
    path = out if out is not None else Path("report.html")
    write_overlay(opened, path)
    print(path)
