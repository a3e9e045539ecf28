"""``hornbook sample``: let a run go on from a prompt."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hornbook.generation import Piece


def sample(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A run's folder; RUN@STEP or RUN@latest picks a checkpoint."
        ),
    ],
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What to go on from.", show_default=False)
    ] = "",
    temperature: Annotated[
        float | None, typer.Option(help="Below 1 safer, above 1 wilder, 0 always the likeliest.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Choose among so many tokens; 0: all.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Choose among the likeliest with this probability.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The most tokens to add.")] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="End where this would appear; may be repeated."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed draws the same text.")] = None,
    samples: Annotated[int, typer.Option(help="How many texts to draw.")] = 1,
    device: Annotated[
        str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, mps.")
    ] = "auto",
) -> None:
    """Let a trained model go on from a prompt.

    What is not given is taken from the run's own sampling settings. The prompt is printed
    first, then the text as the model writes it.

    \b
    Examples:
      hornbook sample runs/poems-tiny "The river"
      hornbook sample runs/poems-tiny@400 "The river" --temperature 0.5 --samples 3 --seed 7
    """
    from hornbook.runs.resolution import resolve
    from hornbook.runs.run import open_run
    from hornbook.training import choose_device

    opened = open_run(run)
    given: dict[str, Any] = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "max_tokens": max_tokens,
        "stop": tuple(stop) if stop else None,
        "seed": seed,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    opened.sampling({**changes, "samples": samples})  # mistakes show before weights are read
    place = resolve(base=opened.config, overrides={"training.device": device}).training.device
    opened.to(choose_device(place))
    pieces = opened.stream(prompt, samples=samples, **changes)
    try:
        _print_pieces(prompt, pieces, samples)
    except KeyboardInterrupt:
        print(flush=True)  # so that the message begins on a line of its own
        raise


def _print_pieces(prompt: str, pieces: Iterable[Piece], samples: int) -> None:
    """Print one sample as it comes, several each when it and those before it are done."""
    from hornbook.cli.screen import on_terminal, write_text

    if samples == 1:
        write_text(prompt)
        for piece in pieces:
            write_text(piece.text)
        write_text("\n")
        return
    texts = [""] * samples
    done: set[int] = set()
    printed = 0
    bold, plain = ("\x1b[1m", "\x1b[0m") if on_terminal(sys.stdout) else ("", "")
    for piece in pieces:
        texts[piece.sample] += piece.text
        if piece.ending is not None:
            done.add(piece.sample)
        while printed in done:
            sys.stdout.write(f"{bold}--- sample {printed} ---{plain}\n")
            write_text(f"{prompt}{texts[printed]}\n")
            printed += 1
