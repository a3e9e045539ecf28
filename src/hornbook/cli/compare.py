"""``hornbook compare``: the same model trained in several ways, and which is better."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hornbook.cli.words import sort_words
from hornbook.errors import HornbookError

if TYPE_CHECKING:
    from hornbook.experiments import Comparison


def compare(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STUDY CORPUS | key=value",
            help="A study (see below, or a TOML file), then the text as for train, and settings to "
            "change. Or: list.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(metavar="N", help="How often each cell is trained (3 unless given)."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="The time for all of it: 90s, 10m, 1h30m (10m)."),
    ] = None,
    tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="Real tokens for each cell, instead of a budget."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The study's folder; one under studies/ if absent."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A TOML file, laid over the study's own.")
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN[@STEP]",
            help="The run that cells of freeze begin from, or that decoding samples from.",
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(metavar="N", help="Cells at once, each with its share of the cores.")
    ] = 1,
    resume: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Go on with the study in this folder.")
    ] = None,
) -> None:
    """Train a small model in several ways on equal numbers of tokens, and say which is better.

    \b
    Studies:
      learning-rate      a wide range of rates for SGD and AdamW, and where training diverges
      batch-size         rows in a step, with and without rescaling the learning rate
      optimizers         SGD, AdamW and Muon
      positions          learned, sinusoidal, rotary, alibi or none
      norms              RMSNorm, LayerNorm or none; before, after or both
      feedforward        GELU, SiLU, ReLU² and SwiGLU at equal parameters
      tokenizers         bytes, characters, words and BPE, in bits per byte
      vocabulary         a vocabulary of the training text, or of the whole corpus
      windows            ways to cut the text into examples
      stride             how far apart windows begin
      position-meaning   what the position of a token means
      packed-positions   positions that begin anew in a packed row, or not
      freeze             frozen embeddings, and a warm start from another run
      decoding           temperature, top-k and top-p: texts like the real one
      list               describes them

    \b
    Examples:
      hornbook compare windows verses.txt --budget 10m --jobs 2
      hornbook compare windows verses.txt --tokens 500000 --seeds 5 model.layers=4
      hornbook compare my-study.toml verses.txt
      hornbook compare decoding verses.txt --from runs/verses-small
      hornbook compare --resume studies/windows-verses

    Ctrl-C keeps what is finished; the same command, or --resume, goes on.
    """
    names, overrides = sort_words(words or ())
    if resume is not None:
        options = {
            "--seeds": seeds, "--budget": budget, "--tokens": tokens, "--out": out,
            "--config": config, "--from": origin,
        }  # fmt: skip
        _refuse_with_resume(names + overrides, options)
    elif not names:
        raise HornbookError(
            "Say which study, and of which text: hornbook compare windows my-text.txt. "
            "hornbook compare list tells what there is."
        )
    elif names == ["list"]:
        _list_studies()
        return
    elif len(names) == 1 and origin is None:
        raise HornbookError(
            f"Say which text to compare on: hornbook compare {names[0]} my-text.txt"
        )
    from hornbook.cli.screen import ScreenListener
    from hornbook.experiments import StudyInterrupted, resume_study
    from hornbook.experiments import compare as conduct

    try:
        with ScreenListener() as listener:
            if resume is not None:
                comparison = resume_study(resume, jobs=jobs, listener=listener)
            else:
                comparison = conduct(
                    names[0],
                    *names[1:],
                    seeds=3 if seeds is None else seeds,
                    budget=budget,
                    tokens=tokens,
                    out=out,
                    config=config,
                    overrides=overrides,
                    origin=origin,
                    jobs=jobs,
                    listener=listener,
                )
    except StudyInterrupted as stop:
        print(f"hornbook: {stop}", file=sys.stderr)
        raise typer.Exit(128 + stop.signal) from None
    _present(comparison)


def _refuse_with_resume(words: list[str], options: dict[str, Any]) -> None:
    given = [*words, *(name for name, value in options.items() if value is not None)]
    if given:
        raise HornbookError(
            f"{given[0]!r} cannot be used with --resume: a study goes on as it was begun. For more "
            "seeds, repeat the first command with --seeds and its folder as --out."
        )


def _list_studies() -> None:
    from hornbook.cli.screen import print_table
    from hornbook.experiments import built_in_names, find_study

    rows = []
    for name in built_in_names():
        study = find_study(name)
        rows.append([name, study.question, study.varies])
    print_table(["study", "what it answers", "what varies"], rows)


def _present(comparison: Comparison) -> None:
    """The table and the verdict on standard output; where the rest is on standard error."""
    from hornbook.cli.screen import print_table, write_text
    from hornbook.experiments.tables import headers, notes, table_rows

    head = headers(comparison)
    print_table(head, table_rows(comparison), numbers=head[1:])
    lines = ["", *map(str, comparison.verdicts), "", *notes(comparison)]
    write_text("\n".join(lines) + "\n")
    print(
        f"\nTable, plots, results and every run are in {comparison.folder}; to look at all of it: "
        f"{comparison.folder / 'report.html'}",
        file=sys.stderr,
    )
