"""``hornbook tokenizer bench``: how fast a tokenizer is on a person's own text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornbook.cli.sizes import parse_size
from hornbook.errors import TokenizerError

if TYPE_CHECKING:
    from hornbook.tokenizers.speed import TokenizerSpeed

READ_AT_MOST = 1 << 26
"""Of a larger file only the beginning is measured [bytes]."""


def bench(
    tokenizer: Annotated[
        str,
        typer.Argument(
            metavar="TOKENIZER", help="A tokenizer.json, a run's folder or a published name."
        ),
    ],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Text in UTF-8 to measure on.")],
    corpus_size: Annotated[
        str, typer.Option(metavar="SIZE", help="The size of the corpus to estimate for.")
    ] = "10GB",
    threads: Annotated[int, typer.Option(min=1, help="How many threads share the work.")] = 1,
) -> None:
    """Measure a tokenizer on a file, and estimate what a whole corpus would take.

    First it is checked that the text comes back exactly. Then the text is encoded and decoded
    several times, for a few seconds; the medians are shown.

    \b
    Examples:
      hornbook tokenizer bench runs/poems-tiny poems.txt
      hornbook tokenizer bench gpt2 poems.txt --corpus-size 300GB --threads 8
    """
    from hornbook.cli.screen import ScreenListener, duration, quantity, visible
    from hornbook.data.token_store import token_width
    from hornbook.tokenizers import Tokenizer
    from hornbook.tokenizers.speed import measure_speed

    wanted = parse_size(corpus_size, "--corpus-size")
    opened = Tokenizer.load(tokenizer)
    content, whole = _beginning(file)
    with ScreenListener() as listener:
        speed = measure_speed(opened, content, threads=threads, listener=listener)
    tokens, seconds = speed.estimate(wanted)
    width = token_width(opened.vocab_size)
    of = f" of {quantity(whole, 'B')}" if speed.bytes < whole else ""
    facts = {
        "text": f"{quantity(speed.bytes, 'B')}{of}, {file}",
        "comes back": _round_trip(speed),
        "tokens": f"{speed.tokens:,}, {speed.bytes_per_token:.2f} bytes each",
        "encode": _rate(speed.encode_rate, speed.threads, speed.passes),
        "decode": _rate(speed.decode_rate, 1, speed.passes),
    }
    for name, fact in facts.items():
        print(visible(f"{name:<12}{fact}"))
    print(
        f"\nA corpus of {quantity(wanted, 'B')} like this text: about {spoken(tokens)} tokens, "
        f"encoded in {duration(seconds)},\n{quantity(tokens * width, 'B')} on disk at {width} "
        "bytes a token. Reading and writing the files comes on top."
    )


def spoken(count: int) -> str:
    """A large number as it is spoken.

    >>> spoken(4_029_034_503), spoken(51_700_000), spoken(950)
    ('4.03 billion', '51.7 million', '950')
    """
    for size, name in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million")):
        if count >= size:
            return f"{count / size:,.{2 if count < 10 * size else 1}f} {name}"
    return f"{count:,}"


def _round_trip(speed: TokenizerSpeed) -> str:
    if speed.lost_at is None:
        return "every byte"
    return f"not exactly: byte {speed.lost_at:,} is the first that differs"


def _rate(rate: float, threads: int, passes: int) -> str:
    workers = "one thread" if threads == 1 else f"{threads} threads"
    return f"{rate / 1e6:,.1f} MB/s, {workers}, median of {passes} passes"


def _beginning(file: Path) -> tuple[bytes, int]:
    """The text at the beginning of a file, up to a whole character, and the file's size."""
    try:
        with open(file, "rb") as opened:
            content = opened.read(READ_AT_MOST)
        whole = file.stat().st_size
    except OSError as error:
        raise TokenizerError(f"{file} cannot be read: {error.strerror or error}.") from error
    if not content:
        raise TokenizerError(f"{file} is empty; there is nothing to measure.")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(content) < whole and error.start >= max(len(content) - 3, 1):
            return content[: error.start], whole
        raise TokenizerError(
            f"{file} is not UTF-8 text: byte {error.start} is "
            f"0x{content[error.start]:02x} ({error.reason}). Convert it to UTF-8 first."
        ) from error
    return content, whole
