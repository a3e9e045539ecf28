"""``hornbook train``: a new run, an old one continued, or a fork."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornbook.cli.training_wish import DEFAULT_PRESET, TrainingWish
from hornbook.cli.words import sort_words
from hornbook.errors import HornbookError

if TYPE_CHECKING:
    from hornbook.runs.run import Run


def train(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CORPUS | key=value",
            help="Files, folders, globs, addresses, names of corpora, or - for standard input; "
            "and settings to change. Without a corpus: the preset's (python-docs).",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"The settings to start from ({DEFAULT_PRESET} unless given).",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A TOML file, laid over the preset.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The run's folder; a free one under runs/ if absent."),
    ] = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with this run.")] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN@STEP",
            help="Begin a new run from this checkpoint, with its text unless another is given.",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Train nothing: build everything, and say whether the run is sound."
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --check: the same as JSON.")
    ] = False,
) -> None:
    """Train a model from raw text, go on with a run, or fork one.

    \b
    Examples:
      hornbook train
      hornbook train poems/ --preset tiny model.layers=3 training.steps=500
      hornbook train poems/ --preset tiny --check
      hornbook train --resume runs/poems-tiny training.steps=1000
      hornbook train --from runs/poems-tiny@400 training.learning_rate=1e-4
      hornbook train --from runs/gpt2 poems/ context_length=256
      torchrun --nproc-per-node 2 -m hornbook train poems/ training.device=cpu

    hornbook config lists every setting. Ctrl-C stops after the current step and keeps a
    checkpoint.

    --check takes the same words and leaves nothing behind but caches. It ends with 1 if a check
    fails. Every training makes the quick ones among them by itself.
    """
    corpora, overrides = sort_words(words or ())
    wish = TrainingWish(corpora, overrides, preset, config, out, resume, origin)
    wish.refuse_contradictions()
    if check:
        from hornbook.cli.preflight import show_checks

        show_checks(wish, as_json=as_json)
        return
    if as_json:
        raise HornbookError("--json is for --check; training is written to metrics.jsonl.")
    from hornbook.cli.screen import ScreenListener
    from hornbook.launch import launch_of
    from hornbook.training import Interrupted, fork
    from hornbook.training import resume as go_on
    from hornbook.training import train as begin

    try:
        with ScreenListener() as listener:
            run = wish.carried_out(begin, go_on, fork, listener)
    except Interrupted as stop:
        if launch_of().is_first:
            print(f"hornbook: {stop}", file=sys.stderr)
        raise typer.Exit(128 + (stop.outcome.signal or 0)) from None
    if launch_of().is_first:
        _present(run)


def _present(run: Run) -> None:
    """Show what the model writes now, where it is kept, and what can be done with it."""
    from hornbook.cli.screen import write_text

    # Another seed than the samples on the way had, or the last of those would come again.
    seed = run.config.sampling.seed + 1
    sample = run.sample(run.config.training.sample_prompt, seed=seed)
    write_text(f"{sample}\n")
    place = shlex.quote(str(run.path))
    print(
        f"\nThe run is in {run.path}. What next:\n"
        f'  hornbook sample {place} "Once upon a time"\n'
        f"  hornbook show {place}",
        file=sys.stderr,
    )
