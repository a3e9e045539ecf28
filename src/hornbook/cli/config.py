"""``hornbook config``: every setting, its value and its meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hornbook.cli.words import sort_words
from hornbook.errors import HornbookError


def config(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PRESET | key=value",
            help="A preset, and settings to change. Without a preset: the plain defaults.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="A TOML file, laid over the preset."),
    ] = None,
    presets: Annotated[bool, typer.Option("--presets", help="List the presets instead.")] = False,
) -> None:
    """Print every setting with its value and its meaning, as TOML.

    What is printed can be saved, changed and given to hornbook train --config.

    \b
    Examples:
      hornbook config --presets
      hornbook config small
      hornbook config tiny model.layers=3 > mine.toml
    """
    names, overrides = sort_words(words or ())
    if len(names) > 1:
        raise HornbookError(
            f"{names[1]!r} is no setting (write key=value), and the preset is {names[0]!r} already."
        )
    if presets and (words or file):
        raise HornbookError("--presets lists the presets and takes nothing else.")
    from hornbook.runs.config_text import config_text
    from hornbook.runs.resolution import resolve

    if presets:
        _print_presets()
        return
    resolved = resolve(preset=names[0] if names else None, file=file, overrides=overrides)
    print(config_text(resolved, other_kinds=True), end="")


def _print_presets() -> None:
    from hornbook.cli.screen import print_table
    from hornbook.runs.resolution import preset_names, preset_text

    rows = []
    for name in preset_names():
        comments = [line for line in preset_text(name).splitlines() if line.startswith("#")]
        rows.append([name, comments[0].removeprefix("#").strip() if comments else ""])
    print_table(["preset", "what it is"], rows)
