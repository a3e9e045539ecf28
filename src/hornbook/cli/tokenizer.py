"""``hornbook tokenizer``: text to ids and back, to look at or to pipe on."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornbook.cli import tokenizer_bench, tokenizer_explain, tokenizer_formats, tokenizer_train
from hornbook.cli.input_text import read_text
from hornbook.cli.pieces import shown
from hornbook.errors import HornbookError, TokenizerError

if TYPE_CHECKING:
    from hornbook.tokenizers import Tokenizer

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)

TokenizerPath = Annotated[
    Path,
    typer.Argument(
        metavar="TOKENIZER",
        help="A tokenizer.json, a run's folder, or a published name such as gpt2.",
    ),
]


@app.callback()
def tokenizer() -> None:
    """Turn text into token ids, and ids into text.

    \b
    Examples:
      hornbook tokenizer encode runs/poems-tiny "The river"
      hornbook tokenizer decode runs/poems-tiny 84 104 261
    """


@app.command()
def encode(
    tokenizer: TokenizerPath,
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="The text; - reads standard input."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Encode this file instead.")
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Print the ids and nothing else.")] = False,
) -> None:
    """Show how a text is cut into tokens.

    Every byte counts: a line end at the end of standard input or of a file is encoded too.

    \b
    Examples:
      hornbook tokenizer encode runs/poems-tiny "The river"
      hornbook tokenizer encode runs/poems-tiny --file poem.txt --ids
    """
    if (text is None) == (file is None):
        raise HornbookError("Give either a TEXT (- for standard input) or --file FILE.")
    from hornbook.tokenizers import Tokenizer

    opened = Tokenizer.load(tokenizer)
    content = (
        read_text(file) if file is not None else read_text(None) if text == "-" else text or ""
    )
    if ids:
        print(*opened.encode(content))
        return
    _print_pieces(opened, content)


@app.command()
def decode(
    tokenizer: TokenizerPath,
    ids: Annotated[
        list[str], typer.Argument(metavar="IDS...", help="Token ids; - reads standard input.")
    ],
) -> None:
    """Print the text that token ids stand for.

    On a terminal a line end is added. Into a pipe or a file go exactly the bytes that the
    ids stand for, and nothing else.

    \b
    Examples:
      hornbook tokenizer decode runs/poems-tiny 84 104 261
      hornbook tokenizer encode runs/poems-tiny "The river" --ids | \\
        hornbook tokenizer decode runs/poems-tiny -
    """
    from hornbook.cli.screen import on_terminal, write_text
    from hornbook.tokenizers import Tokenizer

    words = read_text(None).split() if list(ids) == ["-"] else ids
    numbers = _numbers(words)
    opened = Tokenizer.load(tokenizer)
    if on_terminal(sys.stdout):
        write_text(f"{opened.decode(numbers)}\n")
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(opened.decode_bytes(numbers))
    sys.stdout.buffer.flush()


app.command("explain")(tokenizer_explain.explain)
app.command("bench")(tokenizer_bench.bench)
app.command("export")(tokenizer_formats.export_tokenizer)
app.command("import")(tokenizer_formats.import_tokenizer)
app.command("train")(tokenizer_train.train)
app.command("count")(tokenizer_train.count)


def _print_pieces(tokenizer: Tokenizer, text: str) -> None:
    """Print the ids, the pieces and the counts: coloured for a person, quoted for a pipe."""
    from hornbook.cli.screen import on_terminal

    pieces = tokenizer.pieces(text)
    print(*(token_id for token_id, _ in pieces))
    if on_terminal(sys.stdout):
        from rich.console import Console
        from rich.text import Text

        line = Text()
        for number, (_, piece) in enumerate(pieces):
            line.append(shown(piece), style="black on cyan" if number % 2 else "black on yellow")
        Console(highlight=False, emoji=False).print(line, soft_wrap=True)
    else:
        quoted = (piece.decode("utf-8", "backslashreplace") for _, piece in pieces)
        print(*(json.dumps(piece, ensure_ascii=False) for piece in quoted))
    size = len(text.encode("utf-8"))
    each = f", {size / len(pieces):.2f} bytes per token" if pieces else ""
    print(f"{len(pieces):,} tokens, {size:,} bytes{each}")


def _numbers(words: Sequence[str]) -> list[int]:
    numbers = []
    for place, word in enumerate(words, start=1):
        if not (word.isascii() and word.isdecimal()):
            raise TokenizerError(
                f"Word {place} of the ids is {word!r}, which is no token id: ids are whole numbers "
                "such as 17, with white space between them."
            )
        numbers.append(int(word))
    return numbers
