"""``hornbook data``: what a model is given to learn from, seen and counted before any training."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hornbook.cli.shared_options import ConfigFile, Preset, TextWords
from hornbook.errors import DataError, HornbookError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hornbook.cli.data_source import TokenizedText
    from hornbook.data import Batch
    from hornbook.inspection.window_counts import LineFacts, WindowCounts
    from hornbook.inspection.window_picture import DrawnRow

ROWS_SHOWN = 4
"""Rows of a batch that are shown unless told."""
PIPE_WIDTH = 100
"""The columns of a line where there is no terminal [characters]."""

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def data() -> None:
    """See the windows that a model learns from, and count them, before training anything.

    \b
    Examples:
      hornbook data show verses.txt data.windows=left_padded context_length=16
      hornbook data stats verses.txt context_length=32
    """


@app.command()
def show(
    words: TextWords = None,
    row: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Show this row, counted from 0.")
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help=f"How many rows to show ({ROWS_SHOWN} unless given)."
        ),
    ] = None,
    side: Annotated[
        Literal["training", "validation"],
        typer.Option(help="The first batch of training, or of the measurements."),
    ] = "training",
    example: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="The batch of training that begins with this example of the run, as notes.jsonl "
            "names it, instead of the first.",
        ),
    ] = 0,
    mask: Annotated[
        bool,
        typer.Option(
            "--mask",
            help="Draw which token sees which, in the row of --row or that with most documents.",
        ),
    ] = False,
    svg: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw all that is shown into this file, too."),
    ] = None,
    preset: Preset = None,
    config: ConfigFile = None,
) -> None:
    """Show a batch as a person would draw it: tokens, positions, targets, documents, mask.

    \b
    Examples:
      hornbook data show verses.txt data.windows=left_padded context_length=16
      hornbook data show verses.txt data.windows=packed context_length=48 --mask --svg saw.svg
      hornbook data show runs/poems-tiny --row 3 --mask
      hornbook data show runs/poems-tiny --example 96
    """
    from hornbook.cli.data_source import open_text
    from hornbook.cli.screen import ScreenListener
    from hornbook.inspection.svg import check_picture_name

    if svg is not None:
        check_picture_name(svg)
    if example and side == "validation":
        raise HornbookError("--example counts what is trained on; leave out --side validation.")
    with ScreenListener() as listener:
        text = open_text(words or (), preset, config, listener)
    batch, documents = _batch(text, side, example)
    chosen = list(_chosen_rows(len(batch.tokens), row, rows))
    toothed = chosen[0] if row is not None else _most_documents(batch)
    if mask and toothed not in chosen:
        chosen.append(toothed)
    drawn = _drawn_rows(text, batch, side, chosen)
    masked = (drawn[chosen.index(toothed)], _mask(batch, toothed)) if mask else None
    facts = _facts(text, batch, side) + documents
    _print_rows(f"{text.name}: {facts}", drawn, masked)
    if svg is not None:
        from hornbook.inspection.svg import write_picture
        from hornbook.inspection.window_svg import windows_svg

        write_picture(svg, windows_svg(text.name, facts, drawn, masked))


@app.command()
def stats(words: TextWords = None, preset: Preset = None, config: ConfigFile = None) -> None:
    """Count what an epoch holds under every window strategy, side by side.

    \b
    Examples:
      hornbook data stats verses.txt tokenizer.kind=word context_length=32
      hornbook data stats runs/poems-tiny data.stride=8
    """
    from hornbook.cli.data_source import open_text
    from hornbook.cli.screen import ScreenListener
    from hornbook.inspection.window_counts import count_windows, line_facts, strategies

    with ScreenListener() as listener:
        text = open_text(words or (), preset, config, listener)
    training, length = text.store.training, text.config.context_length
    counted = [
        count_windows(training, each, length, seed=text.config.seed)
        for each in strategies(text.config.data)
    ]
    _print_counts(text, line_facts(training), counted)


def _batch(text: TokenizedText, side: str, example: int) -> tuple[Batch, str]:
    """A batch of training, or the first one of a measurement; and its documents, if asked for."""
    from hornbook.data.provenance import documents_of_batch, in_words
    from hornbook.runs.assembly import make_batches

    batches = make_batches(text.config, text.store)
    size = text.config.training.batch_size
    if side == "training":
        documents = in_words(documents_of_batch(batches.training, example, size))
        told = f"; examples {example:,} to {example + size - 1:,} from documents {documents}"
        return batches.training.batch(example, size), told if example else ""
    if batches.evaluation is None:
        raise DataError(
            "There is no validation side to show, since corpus.validation_fraction=0; leave out "
            "--side, or keep some text for it."
        )
    return next(iter(batches.evaluation.batches(size))), ""


def _chosen_rows(count: int, row: int | None, rows: int | None) -> range:
    """Which rows of a batch of ``count`` to show."""
    first = row or 0
    wanted = rows or (ROWS_SHOWN if row is None else 1)
    if first >= count or (rows is not None and first + wanted > count):
        asked = f"row {first}" if wanted == 1 else f"rows {first} to {first + wanted - 1}"
        raise HornbookError(
            f"There is no {asked}: the batch has {count:,} rows, numbered from 0 to {count - 1:,}. "
            "A larger batch has more: training.batch_size=N."
        )
    return range(first, min(first + wanted, count))


def _drawn_rows(text: TokenizedText, batch: Batch, side: str, chosen: list[int]) -> list[DrawnRow]:
    from hornbook.cli.pieces import shown
    from hornbook.inspection.window_picture import drawn_row

    def name(token_id: int) -> str:
        return shown(text.tokenizer.token_bytes(token_id))

    shows_end = side == "training" and text.config.data.windows == "full"
    pad_id = text.tokenizer.pad_id
    return [drawn_row(batch, row, name, pad_id=pad_id, shows_end=shows_end) for row in chosen]


def _most_documents(batch: Batch) -> int:
    """The first of the rows that hold the most documents, whose mask has the most teeth."""
    if batch.segments is None:
        return 0
    return int((batch.segments.diff(dim=1) != 0).sum(dim=1).argmax())


def _mask(batch: Batch, row: int) -> NDArray[np.bool_]:
    """Which token of a row sees which: what the model computes from the row's segments."""
    import torch

    from hornbook.models.masks import sawtooth

    one_document = torch.zeros(batch.tokens.shape[1], dtype=torch.int64)
    return sawtooth(one_document if batch.segments is None else batch.segments[row]).numpy()


def _facts(text: TokenizedText, batch: Batch, side: str) -> str:
    """How the batch was made, in one line."""
    config = text.config
    windows = config.data.windows
    if side == "validation":
        made = "validation windows"
    else:
        made = f"{windows}, {config.data.packing}" if windows == "packed" else windows
    facts = [made, f"context_length={config.context_length}", f"{len(batch.tokens):,} rows"]
    if side == "training" and windows != "packed":
        facts.insert(1, f"stride={config.stride}")
    padding = 1 - batch.real_targets / batch.targets.numel()
    return ", ".join([*facts, f"{padding:.2%} of padding"])


def _print_rows(
    heading: str, drawn: list[DrawnRow], masked: tuple[DrawnRow, NDArray[np.bool_]] | None
) -> None:
    from rich.console import Console
    from rich.text import Text

    from hornbook.cli.mask_drawing import mask_lines
    from hornbook.cli.screen import on_terminal, visible
    from hornbook.cli.signs import signs_for
    from hornbook.cli.window_drawing import row_lines

    console = Console(highlight=False, emoji=False, markup=False)
    live = on_terminal(sys.stdout)
    width = console.width if live else PIPE_WIDTH
    signs = signs_for(sys.stdout.encoding)
    lines = [Text(visible(heading))]
    for row in drawn:
        lines.extend(row_lines(row, width, signs))
    if masked is not None:
        lines.extend(mask_lines(*masked, width, signs))
    for line in lines:
        if live:
            console.print(line, soft_wrap=True)
        else:
            print("\n".join(part.rstrip() for part in line.plain.split("\n")))


def _print_counts(text: TokenizedText, lines: LineFacts, counted: list[WindowCounts]) -> None:
    from hornbook.cli.screen import print_table, visible

    length = text.config.context_length
    print(
        f"{visible(text.name)}: {lines.lines:,} lines of {lines.tokens:,} tokens to train on, "
        f"context_length={length}"
    )
    print(
        f"With start and end, half of the lines have {lines.median:,} tokens or fewer, and the "
        f"longest has {lines.longest:,}."
    )
    if lines.empty or lines.single:
        print(f"{lines.single:,} of them hold a single token, and {lines.empty:,} none.")
    headers = ["windows", "stride", "examples", "targets", "of each token", "padding", "places"]
    rows = [
        [
            each.name,
            "-" if each.stride is None else f"{each.stride:,}",
            *_cells(each, lines.tokens),
        ]
        for each in counted
    ]
    print()
    print_table(headers, rows, numbers=headers[1:])
    print(
        "\nexamples: windows in an epoch. targets: what is predicted in them, and how often each "
        "token is.\nplaces: examples times context_length, which is what is computed. padding: "
        "the share of places\nwithout a target."
    )
    refused = [each for each in counted if each.refusal is not None]
    if refused:
        print("\nNot possible with this text:")
        for each in refused:
            print(f"  {each.name}: {each.refusal}")


def _cells(counts: WindowCounts, tokens: int) -> list[str]:
    """What a strategy's row of the table says."""
    if counts.refusal is not None:
        return ["not possible", *["-"] * 4]
    return [
        f"{counts.examples:,}",
        f"{counts.targets:,}",
        f"{counts.targets / tokens:.1f} times",
        f"{counts.padding:.2%}",
        f"{counts.places:,}",
    ]
