"""``hornbook tokenizer compare``: several tokenizers on the same text, side by side.

                  a.json   word
kind                 bpe  words
bytes per token     2.93   3.05
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hornbook.cli.pieces import shown
from hornbook.cli.sizes import parse_size
from hornbook.errors import HornbookError, TokenizerError

if TYPE_CHECKING:
    from hornbook.listener import Listener
    from hornbook.tokenizers import Tokenizer
    from hornbook.tokenizers.comparison import Column, CorpusCut, TextCut

READ_AT_MOST = 1 << 24
"""Of a larger corpus only the beginning is compared on [bytes]."""
CANNOT = "cannot read it"
"""Stands in a cell of a tokenizer that cannot read the text; why is said below the table."""
_SHOWN_BYTES = 40
"""Of a longer token only the beginning is shown [bytes]."""


def compare(
    tokenizers: Annotated[
        list[str],
        typer.Argument(
            metavar="TOKENIZER",
            help="Each a tokenizer.json, a run's folder or a published name; or byte, char or "
            "word, which are made from the corpus.",
        ),
    ],
    corpus: Annotated[
        str,
        typer.Option(
            metavar="X", help="The text: a file, a folder, a glob, an address or a known name."
        ),
    ],
    corpus_size: Annotated[
        str, typer.Option(metavar="SIZE", help="The size of the corpus to estimate for.")
    ] = "825GB",
    text: Annotated[
        str | None,
        typer.Option(help="The sentence to cut; the first one of the corpus unless given."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="How many threads share encoding.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare tokenizers on the same text: sizes, speed, and how each cuts a sentence.

    Of a large corpus the first 16 MiB are read. A word is what white space separates.

    \b
    Examples:
      hornbook tokenizer compare books.json gpt2 --corpus poems.txt
      hornbook tokenizer compare books.json word --corpus tinyshakespeare --corpus-size 825GB
      hornbook tokenizer compare runs/poems-tiny byte --corpus poems.txt --json
    """
    from hornbook.cli.screen import ScreenListener
    from hornbook.tokenizers.comparison import compare_tokenizers, first_sentence

    wanted = parse_size(corpus_size, "--corpus-size")
    if text == "":
        raise HornbookError("--text is empty; give a sentence to cut.")
    with ScreenListener() as listener:
        content, whole = _beginning(corpus)
        sentence = first_sentence(content) if text is None else text
        opened = _opened(tokenizers, content, listener)
        columns = compare_tokenizers(opened, content, sentence, threads=threads, listener=listener)
    if as_json:
        document = _as_json(columns, corpus, sentence, wanted)
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return
    _print_corpus(columns, corpus, len(content.encode("utf-8")), whole, wanted, threads)
    _print_longest(columns)
    _print_sentence(columns)
    _print_samples(columns)
    _print_reasons(columns)


def _beginning(words: str) -> tuple[str, bool]:
    """The beginning of a corpus, its documents a line end apart, and whether that is all."""
    from hornbook.corpora import Corpus, CorpusConfig

    parts: list[str] = []
    left = READ_AT_MOST
    for document in Corpus.open(CorpusConfig(files=(words,))).documents():
        content = document.text.encode("utf-8")
        if len(content) > left:
            parts.append(content[:left].decode("utf-8", "ignore"))
            return "".join(parts), False
        parts.append(document.text)
        if document.complete and not document.text.endswith("\n"):
            parts.append("\n")
        left -= len(content) + 1
    if parts[-1] == "\n":
        parts.pop()
    return "".join(parts), True


def _opened(names: Sequence[str], text: str, listener: Listener) -> list[tuple[str, Tokenizer]]:
    """Load or make each tokenizer; refuses all that cannot be had at once."""
    from pathlib import Path

    from hornbook.tokenizers import ByteTokenizer, CharTokenizer, Tokenizer, WordTokenizer

    families = {"byte": ByteTokenizer, "char": CharTokenizer, "word": WordTokenizer}
    opened, problems = [], []
    for name in names:
        try:
            if name in families and not Path(name).exists():
                opened.append((name, families[name].train([text])))
            else:
                opened.append((name, Tokenizer.load(name, listener=listener)))
        except TokenizerError as error:
            problems.append(str(error))
    if problems:
        raise TokenizerError("\n".join(problems))
    return opened


# The table.


def _print_corpus(
    columns: Sequence[Column], corpus: str, size: int, whole: bool, wanted: int, threads: int
) -> None:
    from hornbook.cli.screen import print_table, quantity, visible
    from hornbook.cli.tokenizer_bench import spoken

    def of(cell: Callable[[CorpusCut], str]) -> list[str]:
        return [CANNOT if isinstance(c.corpus, str) else cell(c.corpus) for c in columns]

    rows = [
        ["kind", *(column.kind for column in columns)],
        ["vocabulary", *(f"{column.vocab_size:,}" for column in columns)],
        ["tokens", *of(lambda cut: f"{cut.text.tokens:,}")],
        ["bytes per token", *of(lambda cut: f"{cut.text.bytes_per_token:.2f}")],
        ["tokens per word", *of(_per_word)],
        ["share of tokens used", *(_share(column) for column in columns)],
        ["comes back", *of(lambda cut: _comes_back(cut.text))],
        ["encode", *of(lambda cut: f"{cut.speed.encode_rate / 1e6:,.1f} MB/s")],
        ["decode", *of(lambda cut: f"{cut.speed.decode_rate / 1e6:,.1f} MB/s")],
        [
            f"to encode {quantity(wanted, 'B')}",
            *of(lambda cut: _long(cut.estimate(wanted)[1])),
        ],
        ["  which become", *of(lambda cut: spoken(cut.estimate(wanted)[0]) + " tokens")],
    ]
    workers = "one thread" if threads == 1 else f"{threads} threads"
    which = "" if whole else "the beginning of "
    print(visible(f"text: {which}{corpus}, {quantity(size, 'B')}; encoded by {workers}"))
    names = [column.name for column in columns]
    print_table(["", *names], rows, numbers=names)


def _per_word(cut: CorpusCut) -> str:
    return "no words" if cut.tokens_per_word is None else f"{cut.tokens_per_word:.2f}"


def _share(column: Column) -> str:
    return CANNOT if column.share_used is None else f"{column.share_used:.1%}"


def _comes_back(cut: TextCut) -> str:
    return "every byte" if cut.lost_at is None else f"not byte {cut.lost_at:,}"


def _long(seconds: float) -> str:
    """A time that may be months.

    >>> _long(0.26), _long(41_250), _long(260_000)
    ('0.3 s', '11.5 hours', '3.0 days')
    """
    for size, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {name}"
    return f"{seconds:.1f} s"


# What follows it.


def _print_longest(columns: Sequence[Column]) -> None:
    print("\nlongest tokens")
    for column in columns:
        print(f"  {column.name}, in the vocabulary: {_tokens(column.longest)}")
        if not isinstance(column.corpus, str):
            print(f"  {column.name}, in the text: {_tokens(column.corpus.longest)}")


def _tokens(tokens: Sequence[bytes]) -> str:
    """Tokens to look at; of very long ones the beginning.

    >>> _tokens([b" river", b"-" * 50]) == "·river (6)  " + "-" * 40 + "… (50)"
    True
    """
    return "  ".join(
        f"{shown(token[:_SHOWN_BYTES])}{'…' if len(token) > _SHOWN_BYTES else ''} ({len(token)})"
        for token in tokens
    )


def _print_sentence(columns: Sequence[Column]) -> None:
    """The sentence in each one's tokens: coloured on a terminal, else with bars between them."""
    from rich.console import Console
    from rich.text import Text

    from hornbook.cli.screen import on_terminal

    print("\nthe same sentence")
    live = on_terminal(sys.stdout)
    console = Console(highlight=False, emoji=False, markup=False)
    for column in columns:
        if isinstance(column.sentence, str):
            print(f"  {column.name}: {CANNOT}")
            continue
        print(f"  {column.name}, {len(column.sentence):,} tokens")
        pieces = [shown(piece) for _, piece in column.sentence]
        if not live:
            print(f"    {'|'.join(pieces)}")
            continue
        line = Text("    ")
        for number, piece in enumerate(pieces):
            line.append(piece, style="black on cyan" if number % 2 else "black on yellow")
        console.print(line, soft_wrap=True)


def _print_samples(columns: Sequence[Column]) -> None:
    from hornbook.cli.screen import print_table

    print("\nother languages, and code: bytes per token (tokens)")
    names = [column.name for column in columns]
    rows = [
        [sample, *(_sample(column.samples[sample]) for column in columns)]
        for sample in columns[0].samples
    ]
    print_table(["", *names], rows, numbers=names)


def _sample(cut: TextCut | str) -> str:
    if isinstance(cut, str):
        return CANNOT
    lost = "" if cut.lost_at is None else " lost"
    return f"{cut.bytes_per_token:.2f} ({cut.tokens}){lost}"


def _print_reasons(columns: Sequence[Column]) -> None:
    """Why a text could not be read, once for each reason."""
    from hornbook.cli.screen import visible

    for column in columns:
        cells = [column.corpus, column.sentence, *column.samples.values()]
        for reason in dict.fromkeys(cell for cell in cells if isinstance(cell, str)):
            print(visible(f"\n{column.name} cannot read it: {reason}"))
        samples = [cut for cut in column.samples.values() if not isinstance(cut, str)]
        if any(cut.lost_at is not None for cut in samples):
            print(
                f"\n{column.name} has an unknown token: where it says lost, the text does not come "
                "back from the tokens."
            )


# For programs.


def _as_json(columns: Sequence[Column], corpus: str, sentence: str, wanted: int) -> dict[str, Any]:
    return {
        "corpus": corpus,
        "corpus_size": wanted,
        "sentence": sentence,
        "tokenizers": [_column_as_json(column, wanted) for column in columns],
    }


def _column_as_json(column: Column, wanted: int) -> dict[str, Any]:
    sentence = column.sentence
    return {
        "name": column.name,
        "kind": column.kind,
        "vocabulary": column.vocab_size,
        "entries": column.entries,
        "longest": list(map(_readable, column.longest)),
        "corpus": _corpus_as_json(column, wanted),
        "sentence": {"problem": sentence}
        if isinstance(sentence, str)
        else [{"id": id, "piece": _readable(piece)} for id, piece in sentence],
        "samples": {name: _cut_as_json(cut) for name, cut in column.samples.items()},
    }


def _corpus_as_json(column: Column, wanted: int) -> dict[str, Any]:
    cut = column.corpus
    if isinstance(cut, str):
        return {"problem": cut}
    tokens, seconds = cut.estimate(wanted)
    return {
        **_cut_as_json(cut.text),
        "words": cut.words,
        "tokens_per_word": cut.tokens_per_word,
        "entries_used": cut.used,
        "share_used": column.share_used,
        "longest": list(map(_readable, cut.longest)),
        "encode_bytes_per_second": cut.speed.encode_rate,
        "decode_bytes_per_second": cut.speed.decode_rate,
        "threads": cut.speed.threads,
        "estimate": {"tokens": tokens, "seconds": seconds},
    }


def _cut_as_json(cut: TextCut | str) -> dict[str, Any]:
    if isinstance(cut, str):
        return {"problem": cut}
    return {
        "bytes": cut.bytes,
        "tokens": cut.tokens,
        "bytes_per_token": cut.bytes_per_token,
        "lost_at": cut.lost_at,
    }


def _readable(piece: bytes) -> str:
    return piece.decode("utf-8", "backslashreplace")
