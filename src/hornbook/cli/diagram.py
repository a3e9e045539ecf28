"""``hornbook diagram``: a flow chart of the built model, or of how a run is put together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hornbook.errors import HornbookError


def diagram(
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="What to write: an .svg, or an .mmd for Mermaid."),
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PRESET | RUN [key=value ...]",
            help="A preset or a run's folder, and settings to change.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        bool,
        typer.Option("--data", help="Draw what is made of what, and which settings each reads."),
    ] = False,
    vocab_size: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Entries of the vocabulary.")
    ] = None,
) -> None:
    """Draw the model as it is built: its layers, shapes, parameters, and what it remembers.

    \b
    Examples:
      hornbook diagram small --out model.svg
      hornbook diagram small model.kind=lstm --out lstm.svg
      hornbook diagram runs/poems-tiny --out model.mmd
      hornbook diagram --data --out house.svg
    """
    from hornbook.inspection.diagrams.drawing import as_text, check_diagram_name, write_diagram

    check_diagram_name(out)
    if data:
        if words or vocab_size is not None:
            raise HornbookError("--data draws how every run is made, and takes nothing else.")
        from hornbook.inspection.diagrams.house_drawing import house_text

        write_diagram(out, house_text(out))
        print(f"written: {out}")
        return
    from hornbook.cli.subject import subject_of
    from hornbook.inspection.diagrams.model_flow import flow_of_run

    subject = subject_of(words or (), vocab_size)
    flow = flow_of_run(subject.config, subject.vocab_size)
    write_diagram(out, as_text(flow, Path(subject.name).name, out))
    print(f"written: {out}")
