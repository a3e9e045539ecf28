"""``hornbook score``: how surprised a run is by a text, in numbers and in colours."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

import typer

from hornbook.cli.shared_options import Device, RunToRead, bring
from hornbook.errors import HornbookError

if TYPE_CHECKING:
    from hornbook.generation import Score
    from hornbook.models import WeightKind
    from hornbook.runs.run import Run

Rounded: TypeAlias = "tuple[str, Score]"
"""How the weights were kept, and what was found with them."""

SHOWN = 2000
"""Tokens that are coloured or listed unless all are asked for."""


def score(
    run: RunToRead,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="The text; - or nothing for standard input."),
    ] = "-",
    overlap: Annotated[
        int | None,
        typer.Option(
            metavar="TOKENS",
            help="What neighbouring windows share where the text is longer than the context; half "
            "of it unless given. More is slower and gives each token more before it.",
        ),
    ] = None,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="List each token with its bits and its rank.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help=f"Colour or list all tokens, not the first {SHOWN:,}.")
    ] = False,
    quantise: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Score with the weights in bfloat16 or int8, too, and tell what that costs.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object; with --tokens one for each token."),
    ] = False,
    device: Device = "auto",
) -> None:
    """Tell how likely a run finds a text, and colour the text by surprise.

    Every token of the text is predicted once, from the tokens before it; the text counts as one
    document. A longer text than the context is read through windows that overlap. In a pipe there
    are no colours, and only the totals are printed.

    \b
    Examples:
      hornbook score runs/poems-tiny new-poem.txt
      echo "The river falls" | hornbook score runs/poems-tiny --tokens
      hornbook score runs/poems-tiny new-poem.txt --quantise int8
    """
    from hornbook.cli.input_text import read_text
    from hornbook.cli.screen import ScreenListener
    from hornbook.runs.run import open_run

    opened = open_run(run)
    text = read_text(None if file == "-" else Path(file))
    if not text:
        raise HornbookError(
            f"{'Standard input' if file == '-' else file} is empty: there is nothing to score."
        )
    bring(opened, device)
    with ScreenListener() as listener:
        scored = opened.score(text, overlap=overlap, listener=listener)
        rounded = None
        if quantise is not None:
            opened.quantise(cast("WeightKind", quantise))  # another word is told there
            rounded = quantise, opened.score(text, overlap=overlap, listener=listener)
    first = None if every else SHOWN
    if as_json:
        # A list that stops in the middle would be taken for the whole: JSON lists every token.
        lines = (
            _token_objects(scored) if tokens else iter([_summary(opened, file, scored, rounded)])
        )
        for line in lines:
            print(json.dumps(line, ensure_ascii=False))
    else:
        _show(opened, scored, first, rounded, listed=tokens)


def _show(
    run: Run, scored: Score, first: int | None, rounded: Rounded | None, *, listed: bool
) -> None:
    from rich.console import Console

    from hornbook.cli.screen import on_terminal
    from hornbook.cli.surprise import coloured, legend, token_lines

    live = on_terminal(sys.stdout)
    if listed:
        for line in token_lines(scored, first):
            print(line)
    elif live:
        console = Console(highlight=False, emoji=False, markup=False)
        console.print(legend(), soft_wrap=True)
        console.print()
        console.print(coloured(scored, first), soft_wrap=True)
    shown = scored.tokens if first is None else min(first, scored.tokens)
    if shown < scored.tokens and (listed or live):
        print(f"\nThe first {shown:,} of {scored.tokens:,} tokens are shown; --all shows the rest.")
    if listed or live:
        print()
    for name, words in _facts(run, scored, rounded):
        print(f"{name:<15}{words}")


def _facts(run: Run, scored: Score, rounded: Rounded | None) -> Iterator[tuple[str, str]]:
    yield "tokens", f"{scored.tokens:,}, {scored.bytes:,} bytes of text"
    yield "surprise", f"{scored.nats:,.2f} nats, {scored.loss:.4f} a token"
    bits = scored.bits_per_byte
    yield "bits per byte", "-" if bits is None else f"{bits:.4f}"
    if scored.unknown:
        yield (
            "unknown",
            f"{scored.unknown:,} tokens are <?>, for text that the vocabulary lacks; what they "
            "hide was not predicted, so bits per byte would say nothing",
        )
    yield "perplexity", f"{scored.perplexity:,.2f} of {run.tokenizer.vocab_size:,} tokens"
    likeliest = int((scored.ranks == 1).sum())
    yield "likeliest", f"{likeliest:,} tokens, {100 * likeliest / scored.tokens:.1f} %"
    if rounded is not None:
        kind, other = rounded
        dearer = other.loss - scored.loss
        yield (
            f"in {kind}",
            f"{other.nats:,.2f} nats, {dearer:+.4f} a token"
            + _more_bits(scored.bits_per_byte, other.bits_per_byte),
        )


def _more_bits(exact: float | None, rounded: float | None) -> str:
    if exact is None or rounded is None:
        return ""
    return f"; {rounded:.4f} bits per byte, {rounded - exact:+.4f}"


def _summary(run: Run, file: str, scored: Score, rounded: Rounded | None) -> dict[str, Any]:
    found = {
        "run": str(run.path),
        "step": run.checkpoint.step,
        "file": file,
        "tokens": scored.tokens,
        "bytes": scored.bytes,
        "nats": scored.nats,
        "nats_per_token": scored.loss,
        "bits_per_byte": scored.bits_per_byte,
        "unknown": scored.unknown,
        "perplexity": scored.perplexity,
        "likeliest": int((scored.ranks == 1).sum()),
    }
    if rounded is not None:
        kind, other = rounded
        found["quantised"] = {
            "kind": kind,
            "nats": other.nats,
            "nats_per_token": other.loss,
            "bits_per_byte": other.bits_per_byte,
        }
    return found


def _token_objects(scored: Score) -> Iterator[dict[str, Any]]:
    for piece, token, nats, rank in zip(
        scored.pieces,
        scored.ids.tolist(),
        scored.log_probabilities.tolist(),
        scored.ranks.tolist(),
        strict=True,
    ):
        yield {
            "token": piece.decode("utf-8", "replace"),
            "bytes": list(piece),
            "id": token,
            "log_probability": nats,
            "bits": -nats / math.log(2),
            "rank": rank,
        }
