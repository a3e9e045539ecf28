"""``hornbook tokenizer``: text to ids and back, to look at or to pipe on."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornbook.cli import (
    tokenizer_bench,
    tokenizer_compare,
    tokenizer_explain,
    tokenizer_formats,
    tokenizer_train,
)
from hornbook.cli.input_text import read_text
from hornbook.cli.pieces import shown
from hornbook.cli.tokenizer_files import (
    decode_from_file,
    encode_to_file,
    named_file,
    print_bytes,
)
from hornbook.durable import write_durably
from hornbook.errors import HornbookError, TokenizerError

if TYPE_CHECKING:
    from hornbook.tokenizers import Tokenizer

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)

_DIGITS = 18
"""More than any id has, and fewer than Python refuses to read."""

TokenizerPath = Annotated[
    Path,
    typer.Argument(
        metavar="TOKENIZER",
        help="A tokenizer.json, a run's folder, or a published name such as gpt2.",
    ),
]


class Errors(StrEnum):
    """What to do about bytes that are not UTF-8."""

    STRICT = "strict"
    BYTES = "bytes"


@app.callback()
def tokenizer() -> None:
    """Turn text into token ids, and ids into text; make a tokenizer, look at it, take it along.

    \b
    Examples:
      hornbook tokenizer train books/ --vocab-size 32000 --out books.json
      hornbook tokenizer encode books.json "The river"
      hornbook tokenizer encode books.json poems.txt --out poems.tokens
      hornbook tokenizer decode books.json poems.tokens --out the-same-poems.txt
      hornbook tokenizer explain "The newest egg"
      hornbook tokenizer bench books.json poems.txt
      hornbook tokenizer compare books.json gpt2 --corpus poems.txt
      hornbook tokenizer export books.json --format gpt2 --out books
      hornbook tokenizer import cl100k_base.tiktoken --pattern cl100k --out cl100k.json
    """


@app.command()
def encode(
    tokenizer: TokenizerPath,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT_OR_FILE",
            help="The text; if a file of that name exists, the file; - reads standard input.",
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Encode this file instead.")
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Print the ids and nothing else.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the ids of a file here, two or four bytes each, to train on.",
        ),
    ] = None,
    errors: Annotated[
        Errors,
        typer.Option(help="With --out, for bytes that are not UTF-8: refuse the first, or keep."),
    ] = Errors.STRICT,
) -> None:
    """Show how a text is cut into tokens, or write the tokens of a whole file.

    Every byte counts: a line end at the end of standard input or of a file is encoded too.

    \b
    Examples:
      hornbook tokenizer encode runs/poems-tiny "The river"
      hornbook tokenizer encode runs/poems-tiny poem.txt --ids
      hornbook tokenizer encode gpt2 poem.txt --out poem.tokens
    """
    if (text is None) == (file is None):
        raise HornbookError("Give either a TEXT (- for standard input) or --file FILE.")
    if file is None and text is not None and text != "-":
        file = named_file(text)
    if out is not None:
        if file is None:
            raise HornbookError(f"--out is for a file of text, and {text!r} is none.")
        tokenizer_train.check_out(out)
        encode_to_file(_loaded(tokenizer), file, out, errors.value)
        return
    if errors is not Errors.STRICT:
        raise HornbookError("--errors bytes needs --out; what is shown here must be text.")
    opened = _loaded(tokenizer)
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
        list[str],
        typer.Argument(
            metavar="IDS... | FILE",
            help="Token ids; or a file that encode --out wrote; - reads ids from standard input.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the text here instead.")
    ] = None,
) -> None:
    """Give the text that token ids stand for.

    On a terminal a line end is added. Into a pipe or a file go exactly the bytes that the
    ids stand for, and nothing else.

    \b
    Examples:
      hornbook tokenizer decode runs/poems-tiny 84 104 261
      hornbook tokenizer encode runs/poems-tiny "The river" --ids | \\
        hornbook tokenizer decode runs/poems-tiny -
      hornbook tokenizer decode gpt2 poem.tokens --out poem.txt
    """
    if out is not None:
        tokenizer_train.check_out(out)
    (word, *more) = ids
    file = None if more or word.isdecimal() else named_file(word)
    if file is not None:
        decode_from_file(_loaded(tokenizer), file, out)
        return
    numbers = _numbers(read_text(None).split() if ids == ["-"] else ids)
    content = _loaded(tokenizer).decode_bytes(numbers)
    if out is None:
        print_bytes([content])
        return
    write_durably(out, content)
    print(f"{len(content):,} bytes")
    print(out)


app.command("explain")(tokenizer_explain.explain)
app.command("bench")(tokenizer_bench.bench)
app.command("compare")(tokenizer_compare.compare)
app.command("export")(tokenizer_formats.export_tokenizer)
app.command("import")(tokenizer_formats.import_tokenizer)
app.command("train")(tokenizer_train.train)
app.command("count")(tokenizer_train.count)


def _loaded(tokenizer: Path) -> Tokenizer:
    from hornbook.tokenizers import Tokenizer

    return Tokenizer.load(tokenizer)


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
        if not (word.isascii() and word.isdecimal() and len(word) <= _DIGITS):
            raise TokenizerError(
                f"Word {place} of the ids is {word!r}, which is no token id: ids are whole numbers "
                "such as 17, with white space between them."
            )
        numbers.append(int(word))
    return numbers
