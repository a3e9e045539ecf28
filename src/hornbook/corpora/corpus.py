"""A corpus: everything the user named, as one stream of documents that can be read again.

corpus = Corpus.open(CorpusConfig(files=("books/", "tinyshakespeare")))
for document in corpus.documents():
    ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from pydantic import Field

from hornbook.corpora.contents import separated_contents
from hornbook.corpora.decoding import checked_utf8, decode
from hornbook.corpora.documents import Document
from hornbook.corpora.named import python_topics
from hornbook.corpora.separation import (
    PART_LIMIT,
    DocumentRule,
    Separation,
    parts,
    rule_for,
)
from hornbook.corpora.sources import Source, find_sources
from hornbook.corpora.streams import CHUNK, Reading, byte_chunks
from hornbook.corpora.tables import jsonl_rows, parquet_rows
from hornbook.corpora.verses import holds_verses, read_verses
from hornbook.errors import CorpusError, Problem
from hornbook.listener import SILENT, Listener
from hornbook.settings import Settings


class CorpusConfig(Settings):
    """Which text to train on, what one document is, and what is kept for validation."""

    files: tuple[str, ...] = ("python-docs",)
    """Where the text lies: files, folders, globs, addresses (https://, s3://, hf://), names of
    known corpora (python-docs, tinyshakespeare, the-verdict, akjv, tinystories; ./akjv is a file),
    or - for standard input. Plain, .gz or .zst; .jsonl and .parquet give a document a row. From a
    folder, names ending in .txt, .md, .text, .jsonl and .parquet are read. An imported model has
    none until it is trained."""

    separate_by: Literal["auto", "file", "line", "blank_line", "separator", "verse"] = "auto"
    """What ends a document. verse: each line is a reference (Book C:V, or Book, C and V) and a
    text, between them a tab, a comma or |; the text is the document. auto: the rule of a known
    corpus; the separator, where it stands in the first MiB of a file; verse, where every file
    begins with verses; otherwise the end of the file."""

    separator: str = Field(default="<|endoftext|>", min_length=1)
    """The text between two documents, under separate_by=separator; it is part of neither."""

    field: str = Field(default="text", min_length=1)
    """The field of a .jsonl file, or the column of a .parquet file, that holds the text."""

    with_books: bool = False
    """Whether each verse begins with the name of its book; only read under separate_by=verse."""

    errors: Literal["strict", "replace", "skip"] = "strict"
    """What to do about bytes that are not UTF-8. strict: stop and name the first;
    replace: put U+FFFD there; skip: as strict, but in files of verses leave out and count the
    lines that hold such bytes or are no verse."""

    split: Literal["auto", "by_document", "by_chapter", "by_book", "contiguous", "random"] = "auto"
    """How validation text is chosen. by_document: by each text's own hash, the same in every
    run; by_chapter, by_book: whole chapters or books of verses, by the hash of their names;
    contiguous: the last part; random: by the seed. auto: by_document from 100 different documents
    on, else contiguous."""

    validation_fraction: float = Field(default=0.1, ge=0.0, lt=1.0)
    """The share of the text that is kept for validation; 0 keeps none [0 to 1]."""

    def conflicts(self) -> Iterator[Problem]:
        """Yield a problem for chapters or books in text that is not read as verses."""
        if self.split in ("by_chapter", "by_book") and self.separate_by not in ("auto", "verse"):
            yield Problem(
                "split",
                f"needs verses, and corpus.separate_by={self.separate_by} reads none; use "
                "corpus.separate_by=verse, or corpus.split=by_document",
                self.split,
            )


class Corpus:
    """The documents of a configuration; nothing is held in memory but the list of sources."""

    def __init__(self, config: CorpusConfig, sources: Sequence[Source]) -> None:
        """Use ``Corpus.open``; this takes a configuration that is already resolved."""
        self.config = config
        self._sources = tuple(sources)

    @classmethod
    def open(cls, config: CorpusConfig, *, listener: Listener = SILENT) -> Corpus:
        """Find or fetch everything that ``config`` names, and settle how it is separated.

        The corpus's own ``config`` is the resolved one: opened again, from any folder, it
        gives the same documents as long as the files are the same.

        Raises:
            CorpusError: for anything that cannot be found, fetched or opened, for sources
                that are all empty, and for known corpora whose rules do not go together.
        """
        if not config.files:
            raise CorpusError("No text is named; say what to read with corpus.files=PATH.")
        files, sources = find_sources(config.files, listener)
        if all(source.size == 0 for source in sources):
            raise _no_text(sources)
        separate_by = config.separate_by
        if separate_by == "auto":
            separate_by, reason = _settle(sources, config.separator)
            listener.notice(f"separate_by={separate_by}: {reason}")
        resolved = config.model_copy(update={"files": files, "separate_by": separate_by})
        for problem in resolved.conflicts():
            raise CorpusError(f"corpus.{problem}.")
        return cls(resolved, sources)

    @property
    def size(self) -> int | None:
        """The bytes of all sources as they are stored; ``None`` where one is not known."""
        total = 0
        for source in self._sources:
            if source.size is None:
                return None
            total += source.size
        return total

    def documents(self) -> Iterator[Document]:
        """Stream the documents in order; may be called any number of times.

        Raises:
            CorpusError: for text that cannot be read, naming file and place, and at the end
                if there was no document at all.
        """
        return self.read(Reading())

    def read(self, reading: Reading, limit: int = PART_LIMIT) -> Iterator[Document]:
        """Stream the documents as ``documents`` does, and keep ``reading`` up to date."""
        found = False
        for source in self._sources:
            for document in self._documents_of(source, reading, limit):
                found = True
                yield document
        if not found:
            raise _no_text(self._sources)

    def contents(self, reading: Reading) -> Iterator[bytes]:
        """Stream the documents' UTF-8, in parts of a MiB or more: less work than ``read``.

        The parts of a document are not told apart from documents. Pre-tokens of any published
        pattern are those of the documents as ``documents`` gives them.

        Raises:
            CorpusError: as ``documents`` does.
        """
        found = False
        for source in self._sources:
            for content in self._contents_of(source, reading):
                found = True
                yield content
        if not found:
            raise _no_text(self._sources)

    def _contents_of(self, source: Source, reading: Reading) -> Iterator[bytes]:
        config = self.config
        separate_by = _settled(config)
        plain = source.kind == "text" and separate_by in ("file", "separator")
        if not plain or config.errors != "strict":
            for document in self._documents_of(source, reading, PART_LIMIT):
                yield document.text.encode("utf-8")
            return
        separator = config.separator.encode("utf-8") if separate_by == "separator" else None
        chunks = checked_utf8(byte_chunks(source.location, reading), source.name)
        yield from separated_contents(chunks, separator)

    def _documents_of(self, source: Source, reading: Reading, limit: int) -> Iterator[Document]:
        config = self.config
        errors = "strict" if config.errors == "skip" else config.errors
        if source.kind == "text" and config.separate_by == "verse":
            yield from self._verses(source, reading, limit)
        elif source.kind == "text":
            text = decode(byte_chunks(source.location, reading), source.name, errors)
            yield from self._separated(text, source.name, source.name, reading, limit)
        elif source.kind == "python-docs":
            for topic, text in python_topics():
                id = f"{source.name}:{topic}"
                yield from self._separated([text], id, source.name, reading, limit)
                reading.progress.advance(len(text))
        else:
            read_rows = jsonl_rows if source.kind == "jsonl" else parquet_rows
            for number, text in read_rows(source.location, config.field, errors, reading):
                if not text or text.isspace():
                    reading.empty += 1
                    continue
                for part, complete in parts(text, limit):
                    yield Document(part, f"{source.name}:{number}", source.name, complete)

    def _verses(self, source: Source, reading: Reading, limit: int) -> Iterator[Document]:
        errors = self.config.errors
        text = decode(
            byte_chunks(source.location, reading),
            source.name,
            "surrogateescape" if errors == "skip" else errors,
        )
        for number, verse in read_verses(text, source.name, reading, skip=errors == "skip"):
            line = verse.line(with_book=self.config.with_books)
            if not line:
                reading.empty += 1
                continue
            for part, complete in parts(line, limit):
                id = f"{source.name}:{number}"
                yield Document(part, id, source.name, complete, verse.sections)

    def _separated(
        self, text: Iterable[str], id: str, source: str, reading: Reading, limit: int
    ) -> Iterator[Document]:
        separate_by = _settled(self.config)
        if separate_by == "verse":  # the language reference, beside a file of verses
            separate_by = "file"
        separation = Separation(text, rule_for(separate_by, self.config.separator), limit)
        numbered = separate_by != "file"
        for number, part, complete in separation:
            yield Document(part, f"{id}:{number}" if numbered else id, source, complete)
        reading.empty += separation.empty


def _settled(config: CorpusConfig) -> DocumentRule:
    assert config.separate_by != "auto", "Corpus.open resolves auto"
    return config.separate_by


def _settle(sources: Sequence[Source], separator: str) -> tuple[DocumentRule, str]:
    """Choose how documents are separated, and say why in words for the user.

    By file and by separator go together: a file without the separator stays one document. So
    does a file of verses beside files of other text.

    Raises:
        CorpusError: when the rules of known corpora contradict each other or other files.
    """
    texts = [source for source in sources if source.kind in ("text", "python-docs")]
    if not texts:
        return "file", "each row is a document"
    rules: dict[DocumentRule, str] = {}
    for source in texts:
        found = source.separate_by
        if found is None:
            found = "file" if "separator" in rules else _rule_of(source, separator)
        rules.setdefault(found, source.name)
    if len(rules) > 1 and "verse" in rules and all(each.separate_by is None for each in texts):
        rules.setdefault("file", rules.pop("verse"))
    if "separator" in rules:
        rules.pop("file", None)
    if len(rules) > 1:
        listed = ", ".join(f"{name}: {rule}" for rule, name in rules.items())
        raise CorpusError(
            f"These texts are separated in different ways ({listed}). Say which way is meant for "
            "all of them with corpus.separate_by."
        )
    ((rule, name),) = rules.items()
    if any(source.separate_by == rule for source in texts):
        return rule, f"the rule of {name}" if rule != "file" else "each file or topic is a document"
    if rule == "separator":
        return rule, f"{separator} stands in {name}"
    if rule == "verse":
        return rule, f"{name} begins with verses; each is a document"
    return rule, f"each file is one document ({separator} is not in its first MiB)"


def _rule_of(source: Source, separator: str) -> DocumentRule:
    """What the first MiB of a file says about its documents."""
    seen = b""
    for chunk in byte_chunks(source.location):
        seen += chunk
        if len(seen) >= CHUNK:
            break
    beginning = seen[:CHUNK].decode("utf-8-sig", "replace")
    if separator in beginning:
        return "separator"
    return "verse" if holds_verses(beginning) else "file"


def _no_text(sources: Sequence[Source]) -> CorpusError:
    names = ", ".join(source.name for source in sources[:3])
    more = f" and {len(sources) - 3} more" if len(sources) > 3 else ""
    return CorpusError(
        f"{names}{more}: empty, or nothing but white space: there is no text to read. "
        "Name files with text in them with corpus.files."
    )
