"""``hornbook verify``, ``pack`` and ``unpack``: a run that can be trusted, and carried."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]


def verify(run: RunFolder) -> None:
    """Check every file of a run against what was written.

    \b
    Example:
      hornbook verify runs/poems-tiny
    """
    from hornbook.cli.screen import ScreenListener
    from hornbook.runs.verification import verify_run

    with ScreenListener() as listener:
        checked = verify_run(run, listener=listener)
    for name in checked:
        print(f"ok  {name}")


def pack(
    run: RunFolder,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The archive to write.")],
    with_data: Annotated[
        bool,
        typer.Option(
            "--with-data", help="Put the tokens in too: it can then be trained on anywhere."
        ),
    ] = False,
) -> None:
    """Write a run into one file.

    \b
    Example:
      hornbook pack runs/poems-tiny --out poems.zip
      hornbook pack runs/poems-tiny --with-data --out poems-with-data.zip
    """
    from hornbook.cli.screen import ScreenListener, quantity
    from hornbook.runs.archive import pack_run

    with ScreenListener() as listener:
        archive = pack_run(run, out, with_data=with_data, listener=listener)
    print(f"{archive}  {quantity(archive.stat().st_size, 'B')}")


def unpack(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What hornbook pack wrote.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The folder to make; runs/NAME unless given."),
    ] = None,
) -> None:
    """Make a run's folder out of one file, and verify it.

    \b
    Example:
      hornbook unpack poems.zip
    """
    from hornbook.cli.screen import ScreenListener
    from hornbook.runs.archive import unpack_run

    with ScreenListener() as listener:
        print(unpack_run(file, out, listener=listener))
