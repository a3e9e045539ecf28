"""``hornbook tokenizer export`` and ``import``: the tokenizer files of other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornbook.errors import TokenizerError

if TYPE_CHECKING:
    from hornbook.tokenizers import BPETokenizer


class Format(StrEnum):
    """The files of other tools, by the name of whoever made them."""

    HUGGINGFACE = "huggingface"
    TIKTOKEN = "tiktoken"
    GPT2 = "gpt2"


class FormatOrAuto(StrEnum):
    """As ``Format``, or found out from the content."""

    AUTO = "auto"
    HUGGINGFACE = "huggingface"
    TIKTOKEN = "tiktoken"
    GPT2 = "gpt2"


MOST_DIGITS = 9
"""Of an id on the command line; the vocabulary itself says which ids it can have."""


def export_tokenizer(
    tokenizer: Annotated[
        Path,
        typer.Argument(
            metavar="TOKENIZER", help="A tokenizer.json, a run's folder, or a published name."
        ),
    ],
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="huggingface (tokenizer.json), tiktoken, or gpt2 (vocab.json and merges.txt).",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="PATH", help="The file to write; for gpt2, the folder.")
    ],
) -> None:
    """Write a tokenizer as a file of another tool, with the same ids, or say why it cannot be.

    \b
    Examples:
      hornbook tokenizer export runs/poems-tiny --format huggingface --out tokenizer.json
      hornbook tokenizer export books.json --format gpt2 --out books
    """
    from hornbook.cli.screen import ScreenListener
    from hornbook.tokenizers import BPETokenizer, Tokenizer
    from hornbook.tokenizers.formats.gpt2_files import MERGES_FILE, VOCABULARY_FILE, write_gpt2
    from hornbook.tokenizers.formats.huggingface import write_huggingface
    from hornbook.tokenizers.formats.tiktoken_file import write_tiktoken

    with ScreenListener() as listener:
        opened = Tokenizer.load(tokenizer, listener=listener)
    if not isinstance(opened, BPETokenizer):
        raise TokenizerError(
            f"{tokenizer}: is a {opened.kind} tokenizer; the files of other tools hold byte-level "
            "BPE only"
        )
    match form:
        case Format.HUGGINGFACE:
            write_huggingface(opened, out)
            print(f"{out}: {_summary(opened)}")
        case Format.TIKTOKEN:
            write_tiktoken(opened, out)
            print(f"{out}: {256 + len(opened.merges):,} ranks")
            print(
                f"The file holds no pattern and no special tokens; its reader needs to know: "
                f"{_pattern_and_special_tokens(opened)}"
            )
        case Format.GPT2:
            write_gpt2(opened, out)
            print(f"{out / VOCABULARY_FILE}, {out / MERGES_FILE}: {_summary(opened)}")
            if opened.pattern != "gpt2":
                print(
                    "The files hold no pattern, and their readers take GPT-2's; here it is "
                    f"{opened.pattern!r}."
                )


def import_tokenizer(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The other tool's file, or a folder of them.")
    ],
    out: Annotated[Path, typer.Option(metavar="OUT", help="The tokenizer.json to write.")],
    merges: Annotated[
        Path | None,
        typer.Argument(metavar="MERGES", help="GPT-2's merges.txt, if FILE is its vocab.json."),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(metavar="P", help="Where text is cut, if the file does not say it."),
    ] = None,
    special: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=ID", help="A special token of a tiktoken file; can be repeated."
        ),
    ] = None,
    form: Annotated[
        FormatOrAuto,
        typer.Option("--format", metavar="FORMAT", help="huggingface, tiktoken, gpt2, or auto."),
    ] = FormatOrAuto.AUTO,
) -> None:
    """Make a tokenizer.json out of a file of another tool, with the same ids, or say why not.

    \b
    Examples:
      hornbook tokenizer import cl100k_base.tiktoken --pattern cl100k --out cl100k.json
      hornbook tokenizer import vocab.json merges.txt --out gpt2.json
      hornbook tokenizer import mine.tiktoken --pattern words --special "<|end|>=5000" \\
        --out mine.json
    """
    from hornbook.tokenizers.formats import importing

    tokenizer = importing.import_tokenizer(
        file,
        merges,
        form=None if form is FormatOrAuto.AUTO else form.value,
        pattern=pattern,
        special_tokens=_special_tokens(special or []),
    )
    tokenizer.save(out)
    print(f"{out}: {_summary(tokenizer)}")


def _special_tokens(words: list[str]) -> dict[str, int]:
    ids: dict[str, int] = {}
    for word in words:
        name, equals, digits = word.rpartition("=")
        is_id = digits.isascii() and digits.isdecimal() and len(digits) <= MOST_DIGITS
        if not (name and equals and is_id):
            raise TokenizerError(
                f"--special {word}: a name, = and an id are expected, such as "
                "'<|endoftext|>=100257'"
            )
        if name in ids:
            raise TokenizerError(f"--special {word}: {name!r} has the id {ids[name]} already")
        ids[name] = int(digits)
    return ids


def _summary(tokenizer: BPETokenizer) -> str:
    return f"{tokenizer.vocab_size:,} ids, {_pattern_and_special_tokens(tokenizer)}"


def _pattern_and_special_tokens(tokenizer: BPETokenizer) -> str:
    special = ", ".join(f"{name} = {token_id}" for name, token_id in _first(tokenizer))
    more = len(tokenizer.special_tokens) - len(_first(tokenizer))
    return f"pattern {tokenizer.pattern!r}, special tokens {special}" + (
        f" and {more:,} more" if more else ""
    )


def _first(tokenizer: BPETokenizer) -> list[tuple[str, int]]:
    return list(tokenizer.special_tokens.items())[:8]
