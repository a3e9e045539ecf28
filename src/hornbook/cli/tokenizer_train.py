"""``hornbook tokenizer train`` and ``count``: a vocabulary from raw text, in one go or in parts.

Training has two phases. Counting reads the text and keeps how often each pre-token occurs;
merging learns the vocabulary from those counts and never sees the text. ``count`` does the first
alone and writes a file; ``train --counts`` goes on from such files.
"""

from __future__ import annotations

import sys
import tempfile
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornbook.cli.corpus_counting import CountingPlan, count_corpus, tell_of_long
from hornbook.cli.sizes import parse_size
from hornbook.errors import HornbookError, TokenizerError

if TYPE_CHECKING:
    from hornbook.listener import Listener
    from hornbook.tokenizers import BPETokenizer
    from hornbook.tokenizers.counts import PreTokenCounts

DEFAULT_PATTERN = "gpt2"
_STOPPED = 130
_SAMPLE = 1 << 18
"""How much text is looked at to tell what a token stands for [bytes]."""


class Engine(StrEnum):
    """Where a corpus is counted."""

    LOCAL = "local"
    RAY = "ray"


Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILES... | corpus.key=value",
        help="Files, folders, globs, addresses, names of corpora, or - for standard input; and "
        "settings of the corpus, such as corpus.field=body.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")]
Pattern = Annotated[
    str | None,
    typer.Option(
        help="Where the text is cut before merging: gpt2, cl100k, o200k, words, none, or your own "
        f"regular expression ({DEFAULT_PATTERN} unless given)."
    ),
]
Special = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A special token, never merged; give it again for more. <|endoftext|> unless given.",
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="What the counts may take, such as 2GB; beyond it the rarest are dropped, and told.",
    ),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="How many threads count; one a core unless given.")
]
EngineOption = Annotated[
    Engine, typer.Option(help="ray counts on a cluster; it comes with the extra hornbook[ray].")
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Where the cluster is, such as 10.0.0.1:6379; without it one is begun here.",
    ),
]


def train(
    files: Files = None,
    *,
    out: Out,
    vocab_size: Annotated[
        int, typer.Option(help="Entries, with 256 bytes and the special tokens.")
    ] = 32_000,
    pattern: Pattern = None,
    special: Special = None,
    min_frequency: Annotated[
        int, typer.Option(min=1, help="How often two tokens must meet to be merged.")
    ] = 2,
    counts: Annotated[
        bool, typer.Option("--counts", help="The files are counts that count wrote, not text.")
    ] = False,
    max_memory: MaxMemory = None,
    threads: Threads = None,
    engine: EngineOption = Engine.LOCAL,
    ray_address: RayAddress = None,
) -> None:
    """Learn a vocabulary of byte pair encoding from raw text, or from counts of it.

    \b
    Examples:
      hornbook tokenizer train books/ --vocab-size 32000 --out books.json
      hornbook tokenizer train tinystories --pattern cl100k --max-memory 2GB --out stories.json
      hornbook tokenizer train --counts here.parquet there.parquet --out both.json

    Ctrl-C while merging offers the vocabulary so far.
    """
    check_out(out)
    names = _special_names(special)
    began = time.perf_counter()
    from hornbook.cli.screen import ScreenListener

    with ScreenListener() as listener:
        if counts:
            _refuse_without_text(max_memory, threads, engine, ray_address)
            counted = merged_counts(files or [], pattern, names)
            _check_room(vocab_size, counted.special_tokens)
            tell_of_long(counted, listener)
        else:
            plan = _plan(pattern, names, max_memory, threads, engine, ray_address)
            _check_room(vocab_size, plan.special_tokens)
            counted = count_corpus(files or [], plan, listener)
        halfway = time.perf_counter()
        tokenizer, finished = _learn(counted, vocab_size, min_frequency, listener)
    if not finished:
        _offer(tokenizer, out)
        raise typer.Exit(_STOPPED)
    done = time.perf_counter()
    tokenizer.save(out)
    _print_facts(
        {
            **_counting_facts(counted, halfway - began, "loaded in" if counts else "counted in"),
            "merged in": seconds_text(done - halfway),
            "vocabulary": _entries(tokenizer),
            "tokens": f"about {bytes_per_token(tokenizer, counted):.2f} bytes of this text each",
            "written": str(out),
        }
    )


def count(
    files: Files = None,
    *,
    out: Out,
    pattern: Pattern = None,
    special: Special = None,
    max_memory: MaxMemory = None,
    threads: Threads = None,
    engine: EngineOption = Engine.LOCAL,
    ray_address: RayAddress = None,
) -> None:
    """Count the pre-tokens of a text, to learn a vocabulary later or together with others.

    \b
    Examples:
      hornbook tokenizer count books/ --out books.parquet
      hornbook tokenizer count s3://corpus/ --engine ray --out corpus.parquet
      hornbook tokenizer train --counts books.parquet corpus.parquet --out both.json

    The file is Parquet: the columns are pre_token and count.
    """
    check_out(out)
    plan = _plan(pattern, _special_names(special), max_memory, threads, engine, ray_address)
    from hornbook.cli.screen import ScreenListener

    began = time.perf_counter()
    with ScreenListener() as listener:
        counted = count_corpus(files or [], plan, listener)
    elapsed = time.perf_counter() - began
    counted.save(out)
    _print_facts({**_counting_facts(counted, elapsed, "counted in"), "written": str(out)})


def check_out(out: Path) -> None:
    """Refuse a place that holds something or cannot hold a file, before hours of work.

    Raises:
        HornbookError: there is something already, or no such folder, or none to write into.
    """
    if out.exists():
        raise HornbookError(f"{out} exists already; name another file with --out.")
    if not out.parent.is_dir():
        raise HornbookError(f"{out.parent}: no such folder; make it first, or change --out.")
    try:
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        raise HornbookError(
            f"{out.parent}: nothing can be written there ({error.strerror}); change --out."
        ) from None


def merged_counts(
    files: list[str], pattern: str | None, special: tuple[str, ...] | None
) -> PreTokenCounts:
    """Load files of counts and put them together.

    Raises:
        HornbookError: there is none, one cannot be read, or they were cut in different ways,
            among each other or than the options say.
    """
    from hornbook.tokenizers.counts import PreTokenCounts

    if not files:
        raise HornbookError("--counts needs files that hornbook tokenizer count wrote.")
    twice = {file for file in files if files.count(file) > 1}
    if twice:
        raise HornbookError(f"{min(twice)} is named twice; its text would count double.")
    counts = PreTokenCounts.merged(map(PreTokenCounts.load, files), names=files)
    if not len(counts):
        raise TokenizerError("the counts are empty: there was no text to learn from")
    if pattern is not None and pattern != counts.pattern:
        raise TokenizerError(
            f"--pattern {pattern} does not fit the counts: their text was cut with "
            f"{counts.pattern!r}. Leave the option out, or count the text again."
        )
    if special is not None and special != counts.special_tokens:
        raise TokenizerError(
            f"--special {' '.join(special)} does not fit the counts: their text was cut at "
            f"{' '.join(counts.special_tokens) or 'none'}. Leave the option out, or count the "
            "text again."
        )
    return counts


def bytes_per_token(tokenizer: BPETokenizer, counts: PreTokenCounts) -> float:
    """Estimate how many bytes of the counted text one token stands for, from a sample of it."""
    import numpy as np

    draw = np.random.default_rng(0)
    drawn = draw.choice(len(counts), size=10_000, p=counts.counts / counts.total)
    # Under some patterns a pre-token is a whole document.
    sample: list[bytes] = []
    left = _SAMPLE
    for number in drawn.tolist():
        sample.append(counts.pre_token(number)[:left])
        left -= len(sample[-1])
        if not left:
            break
    tokens = sum(map(len, tokenizer.encode_batch_arrays(sample)))
    return (_SAMPLE - left) / tokens


def seconds_text(seconds: float) -> str:
    """A time that may be short.

    >>> seconds_text(1.234), seconds_text(75)
    ('1.2 s', '1:15')
    """
    from hornbook.cli.screen import duration

    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def _special_names(special: list[str] | None) -> tuple[str, ...] | None:
    from hornbook.tokenizers.special_tokens import check_special_tokens

    return check_special_tokens(special) if special else None


def _plan(
    pattern: str | None,
    special: tuple[str, ...] | None,
    max_memory: str | None,
    threads: int | None,
    engine: Engine,
    ray_address: str | None,
) -> CountingPlan:
    """Put the options together, before anything is read.

    Raises:
        HornbookError: one cannot be used, or does not go with another.
    """
    from hornbook.tokenizers.patterns import splitter
    from hornbook.tokenizers.special_tokens import END_OF_TEXT

    pattern = DEFAULT_PATTERN if pattern is None else pattern
    splitter(pattern)
    if engine is Engine.LOCAL and ray_address is not None:
        raise HornbookError("--ray-address needs --engine ray.")
    if engine is Engine.RAY and threads is not None:
        raise HornbookError("--threads is for --engine local; ray gives each file one core.")
    return CountingPlan(
        pattern,
        special or (END_OF_TEXT,),
        threads,
        None if max_memory is None else parse_size(max_memory, "--max-memory"),
        engine is Engine.RAY,
        ray_address,
    )


def _refuse_without_text(
    max_memory: str | None, threads: int | None, engine: Engine, ray_address: str | None
) -> None:
    """Refuse, beside ``--counts``, what matters only while text is counted."""
    given = {
        "--max-memory": max_memory is not None,
        "--threads": threads is not None,
        "--engine ray": engine is Engine.RAY,
        "--ray-address": ray_address is not None,
    }
    for name, wanted in given.items():
        if wanted:
            raise HornbookError(f"{name} is for counting text; with --counts that is done.")


def _check_room(vocab_size: int, special_tokens: tuple[str, ...]) -> None:
    needed = 256 + len(special_tokens)
    if vocab_size < needed:
        raise TokenizerError(
            f"--vocab-size {vocab_size} is too small: 256 bytes and the special tokens, "
            f"{', '.join(special_tokens)}, need {needed}"
        )


def _learn(
    counts: PreTokenCounts, vocab_size: int, min_frequency: int, listener: Listener
) -> tuple[BPETokenizer, bool]:
    """Return the tokenizer, and whether it was finished rather than stopped with Ctrl-C."""
    from hornbook.errors import VocabularyUnfinished
    from hornbook.tokenizers import BPETokenizer

    try:
        tokenizer = BPETokenizer.train_from_counts(
            counts, vocab_size, min_frequency=min_frequency, listener=listener
        )
    except VocabularyUnfinished as stop:
        return stop.tokenizer, False
    return tokenizer, True


def _offer(tokenizer: BPETokenizer, out: Path) -> None:
    """Ask whether the vocabulary so far is to be kept; where nobody can answer, keep it aside."""
    from hornbook.cli.screen import on_terminal

    if not on_terminal(sys.stdin):
        aside = out.with_name(f"{out.stem}.unfinished{out.suffix}")
        tokenizer.save(aside)
        print(
            f"hornbook: stopped; the {tokenizer.vocab_size:,} entries learned so far are in "
            f"{aside}",
            file=sys.stderr,
        )
        return
    question = f"Keep the vocabulary of {tokenizer.vocab_size:,} entries learned so far?"
    try:
        wanted = typer.confirm(question, default=False, err=True)
    except typer.Abort:  # a second Ctrl-C
        wanted = False
    if wanted:
        tokenizer.save(out)
        print(out)
    print("hornbook: stopped.", file=sys.stderr)


def _entries(tokenizer: BPETokenizer) -> str:
    specials = len(tokenizer.special_tokens)
    return (
        f"{tokenizer.vocab_size:,} entries: 256 bytes, {len(tokenizer.merges):,} merges, "
        f"{specials} special token{'' if specials == 1 else 's'}"
    )


def _counting_facts(counts: PreTokenCounts, seconds: float, done: str) -> dict[str, str]:
    from hornbook.cli.screen import quantity

    facts = {
        "text": quantity(counts.text_bytes, "B"),
        "pre-tokens": f"{counts.total:,}, {len(counts):,} of them different",
        done: seconds_text(seconds),
    }
    if counts.dropped:
        facts["forgotten"] = f"{counts.dropped:,} occurrences, for lack of memory"
    return facts


def _print_facts(facts: dict[str, str]) -> None:
    from hornbook.cli.screen import visible

    for name, fact in facts.items():
        print(visible(f"{name:<12}{fact}"))
