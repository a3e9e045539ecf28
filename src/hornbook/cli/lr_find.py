"""``hornbook lr-find``: which learning rate to try first."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from hornbook.cli.shared_options import ConfigFile, Preset, TextWords
from hornbook.errors import HornbookError


def lr_find(
    words: TextWords = None,
    preset: Preset = None,
    config: ConfigFile = None,
    lowest: Annotated[
        float | None, typer.Option("--from", help="The learning rate to begin with (1e-6).")
    ] = None,
    highest: Annotated[
        float | None, typer.Option("--to", help="The learning rate to end with (10).")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="How many steps to take (100).")] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="NAME", help="The pictures' path; both suffixes are added."),
    ] = None,
) -> None:
    """Train for a moment at a growing learning rate, draw the losses and suggest one.

    \b
    Examples:
      hornbook lr-find poems.txt --preset tiny
      hornbook lr-find poems.txt model.layers=8 training.optimizer.kind=muon
      hornbook lr-find runs/poems-tiny@400

    It writes the picture (SVG and PNG) and nothing else; what it trained is thrown away. A text's
    tokens stay in the cache, as they do when a run is trained on it.
    """
    from hornbook.cli.data_source import open_text
    from hornbook.cli.screen import ScreenListener
    from hornbook.inspection.range_plot import draw_range_test
    from hornbook.optimization.rate_range import suggestion
    from hornbook.training.range_test import HIGHEST, LOWEST, STEPS, range_test

    with ScreenListener() as listener:
        text = open_text(words or (), preset, config, listener)
        found = range_test(
            text.config,
            text.tokenizer,
            text.store,
            checkpoint=text.run.checkpoint if text.run is not None else None,
            lowest=LOWEST if lowest is None else lowest,
            highest=HIGHEST if highest is None else highest,
            steps=STEPS if steps is None else steps,
            listener=listener,
        )
    advice = suggestion(found)
    if not found.losses:
        raise HornbookError(advice.reason)
    stem = out if out is not None else Path(f"lr-find-{_plain(text.name)}")
    if stem.suffix in (".svg", ".png"):
        stem = stem.with_suffix("")
    pictures = draw_range_test(text.name, found, advice, stem)
    print(advice.reason)
    if advice.rate is not None:
        print(f"training.learning_rate={advice.rate:.2g}")
    print(f"\nThe picture is in {' and '.join(map(str, pictures))}.", file=sys.stderr)


def _plain(name: str) -> str:
    """A name that can stand in a file's.

    >>> _plain("My Poems.txt")
    'my-poems'
    """
    return re.sub(r"[^a-z0-9]+", "-", Path(name).stem.lower()).strip("-") or "text"
