"""Corpora that are known by name: where they lie, what they are, and how they are separated."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from hornbook.cache import cache_folder
from hornbook.corpora.separation import DocumentRule
from hornbook.durable import write_durably
from hornbook.errors import CorpusError
from hornbook.listener import SILENT, Listener


@dataclass(frozen=True, slots=True)
class NamedCorpus:
    """What is known of one corpus.

    Attributes:
        name: what a user types.
        title: what it is, in a line.
        address: where it is fetched from; ``None`` for the one that comes with Python.
        sha256: the checksum of what lies at the address, where it is known.
        bytes: the size of the text, exact where ``sha256`` is known, else about.
        origin: who made it, and under which terms it may be used.
        separate_by: how its documents are separated unless the user says otherwise.
        convert: makes the text out of what lies at the address, where that is no text.
    """

    name: str
    title: str
    address: str | None
    sha256: str | None
    bytes: int
    origin: str
    separate_by: DocumentRule
    convert: Callable[[bytes], bytes] | None = None


def verses_from_csv(table: bytes) -> bytes:
    """Turn a table of Book, Chapter, Verse, Text into one line a verse.

    >>> verses_from_csv(b'Book,Chapter,Verse,Text\\nRuth,1,1,"Now, it came"\\n')
    b'Ruth 1:1\\tNow, it came\\n'

    Raises:
        CorpusError: when the table has other columns.
    """
    rows = csv.DictReader(io.StringIO(table.decode("utf-8-sig"), newline=""))
    try:
        lines = [f"{row['Book']} {row['Chapter']}:{row['Verse']}\t{row['Text']}\n" for row in rows]
    except KeyError as error:
        raise CorpusError(f"the table of verses has no column {error}; it has changed") from None
    return "".join(lines).encode("utf-8")


_KNOWN = (
    NamedCorpus(
        name="python-docs",
        title="The Python language reference, as the interpreter's help() shows it",
        address=None,
        sha256=None,
        bytes=465_000,
        origin="Python Software Foundation, PSF licence; part of every CPython",
        separate_by="file",
    ),
    NamedCorpus(
        name="tinyshakespeare",
        title="Scenes from Shakespeare's plays, the first text of many small models",
        address="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/"
        "tinyshakespeare/input.txt",
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        bytes=1_115_394,
        origin="Andrej Karpathy, char-rnn; public domain",
        separate_by="file",
    ),
    NamedCorpus(
        name="the-verdict",
        title="The Verdict, a short story by Edith Wharton (1908)",
        address="https://raw.githubusercontent.com/rasbt/LLMs-from-scratch/main/ch02/"
        "01_main-chapter-code/the-verdict.txt",
        sha256="b41e41a68f0398a3154ae69e2e4c0e2694e17fe0d66730536837f1b01935b31f",
        bytes=20_479,
        origin="Sebastian Raschka, LLMs-from-scratch; public domain",
        separate_by="file",
    ),
    NamedCorpus(
        name="akjv",
        title="The Bible in the American King James Version, a verse a line",
        address="https://raw.githubusercontent.com/scrollmapper/bible_databases/master/"
        "formats/csv/AKJV.csv",
        sha256=None,
        bytes=4_500_000,
        origin="Michael Peter Engelbrite, by way of scrollmapper/bible_databases; public domain",
        separate_by="verse",
        convert=verses_from_csv,
    ),
    NamedCorpus(
        name="tinystories",
        title="Short stories in the words of a small child, written by GPT-4",
        address="https://huggingface.co/datasets/roneneldan/TinyStories/resolve/main/"
        "TinyStoriesV2-GPT4-train.txt",
        sha256=None,
        bytes=2_200_000_000,
        origin="Ronen Eldan and Yuanzhi Li; CDLA-Sharing-1.0",
        separate_by="separator",
    ),
)

NAMED_CORPORA: Mapping[str, NamedCorpus] = MappingProxyType({known.name: known for known in _KNOWN})
"""Every corpus that can be given by its name alone."""

PYTHON_DOCS = "python-docs"


def cached_file(corpus: NamedCorpus) -> Path:
    """Return where the text of a corpus lies, or will lie once it is fetched."""
    return cache_folder() / "corpora" / f"{corpus.name}.txt"


def is_cached(corpus: NamedCorpus) -> bool:
    """Say whether a corpus can be read without a network."""
    return corpus.address is None or cached_file(corpus).is_file()


def fetch(corpus: NamedCorpus, *, listener: Listener = SILENT) -> Path:
    """Return the file with the text of a corpus; fetch it first unless it is there.

    A file that was put into the cache folder by hand is used as it is.

    Raises:
        CorpusError: when it cannot be fetched; says where to put the file by hand.
    """
    text = cached_file(corpus)
    if corpus.address is None:
        raise CorpusError(f"{corpus.name} comes with Python; there is nothing to fetch")
    if text.is_file():
        return text
    from hornbook.download import download  # brings HTTP and TLS, which few have use for

    if corpus.convert is None:
        download(corpus.address, text, sha256=corpus.sha256, error=CorpusError, listener=listener)
        return text
    raw = text.with_suffix(Path(corpus.address).suffix)
    if not raw.is_file():
        download(corpus.address, raw, sha256=corpus.sha256, error=CorpusError, listener=listener)
    try:
        write_durably(text, corpus.convert(raw.read_bytes()))
    except (CorpusError, ValueError) as error:
        raise CorpusError(
            f"{raw}: is not what {corpus.address} used to hold ({error}). Delete it to fetch it "
            f"again, or put the text itself at {text}"
        ) from error
    raw.unlink(missing_ok=True)
    return text


def python_topics() -> Iterator[tuple[str, str]]:
    """Yield (topic, text) of the language reference inside CPython, by topic.

    Raises:
        CorpusError: when this Python was built without it.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise CorpusError(
            "python-docs: this Python comes without its language reference "
            "(pydoc_data.topics). Name another corpus with corpus.files."
        ) from error
    yield from sorted(topics.items())
