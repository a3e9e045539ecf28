"""``hornbook embeddings``: which tokens a run takes for alike, in lists and in pictures."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornbook.errors import HornbookError, RunError

if TYPE_CHECKING:
    from hornbook.inspection.embeddings import TokenVectors
    from hornbook.runs.run import Run
    from hornbook.tokenizers import Tokenizer


def embeddings(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A run's folder; RUN@STEP or RUN@latest picks a checkpoint."
        ),
    ],
    near: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORD", help="List the nearest neighbours of this word; may be repeated."
        ),
    ] = None,
    most: Annotated[int, typer.Option(metavar="N", min=1, help="How many neighbours.")] = 10,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where to write the pictures; RUN/embeddings unless given. With --near they are "
            "only written if this is given.",
        ),
    ] = None,
    points: Annotated[
        int, typer.Option(metavar="N", min=3, max=20_000, help="Tokens on the map.")
    ] = 2000,
) -> None:
    """Show which tokens a run takes for alike: neighbours, a map, lengths, positions.

    \b
    Examples:
      hornbook embeddings runs/poems-tiny
      hornbook embeddings runs/poems-tiny --near king --near " river"
      hornbook embeddings runs/poems-tiny --near king --out pictures/

    It writes map.svg, map.html (to move about in, without network), norms.svg (lengths by
    frequency) and positions.svg (where the model has positions). Where UMAP is installed
    (pip install umap-learn), the map has a second view by it.
    """
    from hornbook.cli.pieces import shown
    from hornbook.durable import write_durably
    from hornbook.inspection.embeddings import token_vectors
    from hornbook.runs.run import open_run

    opened = open_run(run)
    tokenizer = opened.tokenizer
    names = [shown(tokenizer.token_bytes(token)) for token in range(tokenizer.vocab_size)]
    words = _words(tokenizer, near or [])
    place = opened.path / "embeddings" if out is None and not words else out
    if place is not None:
        _make_folder(place)
    vectors = token_vectors(opened)
    count, width = vectors.table.shape
    print(f"{opened.name}: {vectors.what}, {count:,} tokens × {width:,} numbers")
    if vectors.counts is None:
        print(
            "The tokens of its training text are not at hand, so nothing is said of how often each "
            f"occurs; hornbook train --resume {opened.path} makes them.",
            file=sys.stderr,
        )
    for word, tokens in words:
        _list_neighbours(word, tokens, vectors, names, most)
    if place is not None:
        wanted = [token for _, tokens in words for token in tokens]
        for name, content in _pictures(opened, vectors, names, wanted, points):
            write_durably(place / name, content)
            print(place / name)


def _make_folder(place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{place} cannot be written: {error.strerror or error}.") from error


def _words(tokenizer: Tokenizer, near: Sequence[str]) -> list[tuple[str, list[int]]]:
    """The tokens of each word; refuses all unknown words at once."""
    from hornbook.inspection.embeddings import tokens_of_word

    found, unknown = [], []
    for word in near:
        try:
            found.append((word, tokens_of_word(tokenizer, word)))
        except HornbookError as error:
            unknown.append(str(error))
    if unknown:
        raise HornbookError("\n".join(unknown))
    return found


def _list_neighbours(
    word: str, tokens: Sequence[int], vectors: TokenVectors, names: Sequence[str], most: int
) -> None:
    from hornbook.inspection.embeddings import neighbours

    pieces = [names[token] for token in tokens]
    if len({piece.removeprefix("·") for piece in pieces}) > 1:
        print(f"\n{word!r} is {len(pieces)} tokens here: {' '.join(pieces)}. Of each:")
    for token, piece in zip(tokens, pieces, strict=True):
        facts = [f"id {token}", f"length {vectors.norms[token]:.2f}"]
        if vectors.counts is not None:
            facts.append(f"{vectors.counts[token]:,} times in training")
        print(f"\n{piece}  ({', '.join(facts)})")
        if vectors.counts is not None and not vectors.counts[token]:
            print("  never occurred, so nothing was learned of what it means")
        for neighbour in neighbours(vectors.table, token, vectors.known, most):
            print(f"  {neighbour.cosine:6.3f}  {names[neighbour.token]}")


def _pictures(
    run: Run, vectors: TokenVectors, names: Sequence[str], wanted: Sequence[int], points: int
) -> Iterator[tuple[str, bytes]]:
    from hornbook.inspection.embedding_map import map_svg, token_map
    from hornbook.inspection.embedding_page import map_page
    from hornbook.inspection.embedding_plots import norms_plot, positions_plot
    from hornbook.inspection.position_encodings import position_encoding

    title = f"{run.name}, step {run.checkpoint.step:,}"
    settings = {"wanted": wanted, "most": points, "seed": run.config.seed}
    shown = token_map(title, vectors, run.tokenizer, names, **settings)
    for view, name in zip(shown.views, ("map.svg", "map-umap.svg"), strict=False):
        yield name, map_svg(shown, view, wanted).encode("utf-8")
    yield "map.html", map_page(shown, wanted).encode("utf-8")
    if vectors.counts is not None:
        yield "norms.svg", norms_plot(title, vectors, run.tokenizer)
    encoding = position_encoding(run.model)
    if encoding is not None:
        yield "positions.svg", positions_plot(title, encoding)
