"""``hornbook tokenizer explain``: how a text becomes tokens, step by step."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hornbook.cli.input_text import read_text
from hornbook.errors import HornbookError

if TYPE_CHECKING:
    from hornbook.tokenizers import Tokenizer

EXPLAINED = 200
"""Characters of a text that are explained unless all are asked for."""
PIPE_WIDTH = 100
"""The columns of a line where there is no terminal [characters]."""
DEFAULT_ENTRIES = 2048
"""The size of the vocabulary that is learned on the spot [tokens]."""

_NOT_NAMED = "No tokenizer was named; choose one with --tokenizer PATH|NAME, such as gpt2."


def explain(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[TOKENIZER] TEXT",
            help="A tokenizer.json, a run's folder or a published name; then the text, or - for "
            "standard input.",
        ),
    ],
    tokenizer: Annotated[
        str | None,
        typer.Option(metavar="TOKENIZER", help="The tokenizer, if it does not stand in front."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help=f"Explain all of it, not the first {EXPLAINED}.")
    ] = False,
) -> None:
    """Show how a text becomes tokens: characters, bytes, pre-tokens, and each merge in order.

    Without a TOKENIZER, GPT-2's is used if it was fetched before; if not, a small vocabulary is
    learned on the spot from Python's own manual. The first lines say which one it is.

    \b
    Examples:
      hornbook tokenizer explain "The newest egg, Egg egg!"
      hornbook tokenizer explain runs/poems-tiny "The river"
      hornbook tokenizer explain --tokenizer gpt2 "The river"
    """
    name, text = _tokenizer_and_text(words, tokenizer)
    content = read_text(None) if text == "-" else text
    opened, introduction = _default() if name is None else _named(name)
    explained = content if every else content[:EXPLAINED]
    if len(explained) < len(content):
        introduction.append(
            f"The first {len(explained):,} of {len(content):,} characters, as a text of their own; "
            "--all explains the rest too."
        )
    _print_explanation(opened, introduction, explained)


def _tokenizer_and_text(words: list[str], tokenizer: str | None) -> tuple[str | None, str]:
    match tokenizer, words:
        case _, [text]:
            return tokenizer, text
        case None, [first, text]:
            return first, text
    raise HornbookError(
        f"One TEXT is expected, or a TOKENIZER and a TEXT; these are {len(words)} words"
        f"{' beside --tokenizer' if tokenizer is not None else ''}. Put quotes around the text."
    )


def _named(name: str) -> tuple[Tokenizer, list[str]]:
    from hornbook.tokenizers import Tokenizer

    opened = Tokenizer.load(name)
    return opened, [f"{name}: {_summary(opened)}."]


def _default() -> tuple[Tokenizer, list[str]]:
    """GPT-2's vocabulary if it is on this machine, else a small one made without a network."""
    from hornbook.tokenizers.formats.published import PUBLISHED_VOCABULARIES

    if not PUBLISHED_VOCABULARIES["gpt2"].cached_file.is_file():
        return _learned_on_the_spot()
    opened, introduction = _named("gpt2")
    return opened, [*introduction, _NOT_NAMED]


def _learned_on_the_spot() -> tuple[Tokenizer, list[str]]:
    from hornbook.corpora import Corpus, CorpusConfig
    from hornbook.tokenizers import BPETokenizerConfig, train_tokenizer

    documents = Corpus.open(CorpusConfig(files=("python-docs",))).documents()
    config = BPETokenizerConfig(vocab_size=DEFAULT_ENTRIES)
    learned = train_tokenizer(config, (document.text for document in documents))
    return learned, [
        f"{_summary(learned)}, learned just now from python-docs, the manual inside Python.",
        _NOT_NAMED,
    ]


def _summary(tokenizer: Tokenizer) -> str:
    kinds = {"bpe": "Byte pair encoding", "byte": "Bytes", "char": "Characters", "word": "Words"}
    return f"{kinds[tokenizer.kind]}, {tokenizer.vocab_size:,} entries"


def _print_explanation(tokenizer: Tokenizer, introduction: list[str], text: str) -> None:
    from rich.console import Console
    from rich.text import Text

    from hornbook.cli.explanation import explanation_lines
    from hornbook.cli.screen import on_terminal
    from hornbook.tokenizers.explanation import explain

    console = Console(highlight=False, emoji=False, markup=False)
    live = on_terminal(sys.stdout)
    width = console.width if live else PIPE_WIDTH
    lines = [Text(line, "dim") for line in introduction]
    for line in [*lines, *explanation_lines(explain(tokenizer, text), width)]:
        if live:
            console.print(line, soft_wrap=True)
        else:
            print(line.plain)
