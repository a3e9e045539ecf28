"""Arguments and options that several commands have, worded once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from hornbook.models import WeightKind
    from hornbook.runs.run import Run

TextWords = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN | CORPUS | key=value",
        help="A run's folder (RUN@STEP picks a checkpoint); or files, folders, globs, addresses, "
        "names of corpora, or - for standard input; and settings to change. Without a corpus: the "
        "preset's (python-docs).",
        show_default=False,
    ),
]
"""What ``data_source.open_text`` opens."""

Preset = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The settings to start from (small unless given)."),
]
ConfigFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A TOML file, laid over the preset.")
]

RunToRead = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run's folder; RUN@STEP or RUN@latest picks a checkpoint."
    ),
]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, mps.")]
Quantise = Annotated[
    str | None,
    typer.Option(metavar="KIND", help="Keep the weights in bfloat16 or int8: faster."),
]

Compiled = Annotated[
    bool,
    typer.Option("--compile", help="Compile the model's steps first: for many or long texts."),
]


def bring(run: Run, device: str, quantise: str | None = None) -> None:
    """Bring a run's model to where the options say, with its weights kept as they say.

    Args:
        run: as it was opened.
        device: what stands behind ``--device``.
        quantise: what stands behind ``--quantise``.

    Raises:
        ConfigError: the device is none, or is not there.
        GenerationError: weights cannot be kept so.
    """
    from hornbook.runs.resolution import resolve
    from hornbook.training import choose_device

    place = resolve(base=run.config, overrides={"training.device": device}).training.device
    run.to(choose_device(place))
    if quantise is not None:
        run.quantise(cast("WeightKind", quantise))
