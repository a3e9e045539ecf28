"""Training and validation text: which document stands on which side, and never on both.

One pass over the corpus keeps 16 bytes a document (its hash and its lengths); from them
every kind of split is computed, and one byte a document, its side, is kept afterwards.
The hash has 63 bits: among a hundred million documents two different ones meet with a
chance of one in two thousand, and would then merely stand on the same side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, Literal

import numpy as np

from hornbook.corpora.corpus import Corpus, CorpusConfig
from hornbook.corpora.documents import Document
from hornbook.corpora.ledger import Entries, Ledger
from hornbook.corpora.sides import (
    SECTIONS,
    Assignment,
    Method,
    assign,
    describe,
    distinct_documents,
)
from hornbook.corpora.streams import Reading
from hornbook.errors import CorpusError
from hornbook.listener import SILENT, Listener

Side = Literal["training", "validation"]

MANY_DOCUMENTS = 100
"""From so many different documents on, ``auto`` splits by document."""


@dataclass(frozen=True, slots=True)
class SideFacts:
    """How much text stands on one side."""

    documents: int
    characters: int
    bytes: int


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """What there is to know of a split, for a run's manifest.

    Attributes:
        method: how documents were assigned.
        fraction: the share of the text that was asked for as validation text.
        seed: the run's seed; only ``random`` depends on it.
        training: the documents, characters and UTF-8 bytes to learn from.
        validation: the same of the text kept apart.
        divided_at: the character of the corpus (from 0, counting delivered text) at which
            one long document was divided; it then counts on both sides. Else ``None``.
        duplicates_moved: documents that were moved to training, because the same text stands
            there.
        empty_dropped: documents without any text, which were left out.
        corpus_fingerprint: SHA-256 over the texts of all documents in order; it depends on
            no name, place or id.
        split_fingerprint: SHA-256 over the corpus and every document's side.
        malformed_dropped: lines that were left out under ``errors=skip``.
    """

    method: Method
    fraction: float
    seed: int
    training: SideFacts
    validation: SideFacts
    divided_at: int | None
    duplicates_moved: int
    empty_dropped: int
    corpus_fingerprint: str
    split_fingerprint: str
    malformed_dropped: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the facts as a dictionary of plain JSON values."""
        return asdict(self)


class CorpusSplit:
    """A corpus whose documents have sides."""

    def __init__(self, corpus: Corpus, assignment: Assignment, facts: SplitFacts) -> None:
        """Use ``split_corpus``."""
        self.config: CorpusConfig = corpus.config.model_copy(update={"split": facts.method})
        self.facts = facts
        self._corpus = corpus
        self._assignment = assignment

    def assigned(self) -> Iterator[tuple[Side, Document]]:
        """Stream every document with its side, in one pass in the corpus's order.

        A document that is divided comes as two, with the same id: its beginning for
        training, its end for validation.

        Raises:
            CorpusError: as ``Corpus.documents`` does, and when the files have changed since
                the split was made.
        """
        sides = self._assignment.sides
        divided, offset = self._assignment.divided or (-1, 0)
        characters, index = 0, -1
        for index, document in enumerate(self._corpus.documents()):
            if index >= len(sides):
                raise self._changed()
            characters += len(document.text)
            if index != divided:
                yield ("validation" if sides[index] else "training"), document
                continue
            yield "training", _with_text(document, document.text[:offset], complete=True)
            if offset < len(document.text):
                rest = document.text[offset:]
                yield "validation", _with_text(document, rest, complete=document.complete)
        expected = self.facts.training.characters + self.facts.validation.characters
        if index + 1 != len(sides) or characters != expected:
            raise self._changed()

    def documents(self, side: Side) -> Iterator[Document]:
        """Stream the documents of one side; raises what ``assigned`` raises."""
        return (document for stands, document in self.assigned() if stands == side)

    def _changed(self) -> CorpusError:
        files = ", ".join(self.config.files)
        return CorpusError(
            f"{files}: the text has changed since it was split into training and validation. "
            "Leave the files alone while hornbook works, and start again."
        )


def split_corpus(corpus: Corpus, seed: int, *, listener: Listener = SILENT) -> CorpusSplit:
    """Read a corpus once and decide which documents are kept for validation.

    Args:
        corpus: what to split, under the settings of its own ``config``.
        seed: the run's seed; it matters to ``random`` alone.
        listener: told of the progress in bytes, and of what ``auto`` chose to keep.

    Raises:
        CorpusError: for text that cannot be read, and when a side would be left empty
            although a share of the text was asked for.
    """
    ledger = Ledger(section=SECTIONS.get(corpus.config.split))
    with listener.progress("reading the corpus", total=corpus.size, unit="bytes") as progress:
        reading = Reading(progress)
        for document in corpus.read(reading):
            ledger.enter(document)
    entries = ledger.close()
    config = corpus.config
    method, assignment = _choose(config, entries, seed, listener)
    training, validation = _count(corpus, entries, assignment)
    facts = SplitFacts(
        method=method,
        fraction=config.validation_fraction,
        seed=seed,
        training=training,
        validation=validation,
        divided_at=assignment.divided_at,
        duplicates_moved=assignment.duplicates_moved,
        empty_dropped=reading.empty,
        corpus_fingerprint=entries.fingerprint,
        split_fingerprint=_split_fingerprint(entries, assignment),
        malformed_dropped=reading.malformed,
    )
    if reading.malformed:
        first = reading.first_malformed
        listener.notice(f"malformed lines left out: {reading.malformed:,}, the first is {first}")
    if reading.empty:
        listener.notice(f"{reading.empty} empty documents were left out")
    return CorpusSplit(corpus, assignment, facts)


def _choose(
    config: CorpusConfig, entries: Entries, seed: int, listener: Listener
) -> tuple[Method, Assignment]:
    """Assign sides with the method of the configuration, or with the one ``auto`` finds.

    ``auto`` goes on to ``contiguous`` where so small a share reaches no document.
    """
    fraction = config.validation_fraction
    if config.split != "auto":
        assignment = assign(config.split, entries, fraction, seed)
        if fraction and (empty := _empty_side(assignment)):
            raise _one_sided(config.split, fraction, empty, len(entries))
        return config.split, assignment
    count = distinct_documents(entries, MANY_DOCUMENTS)
    methods: tuple[Method, ...] = ("contiguous",)
    if count >= MANY_DOCUMENTS:
        methods = ("by_document", "contiguous")
    empty = "validation"
    for method in methods:
        assignment = assign(method, entries, fraction, seed)
        empty = _empty_side(assignment)
        if not fraction or empty is None:
            if fraction:
                listener.notice(f"split={method}: {describe(method, fraction)}")
            return method, assignment
    raise _one_sided(methods[-1], fraction, empty or "validation", len(entries))


def _empty_side(assignment: Assignment) -> Side | None:
    """Name the side that has no text, if one has none."""
    held = int(np.count_nonzero(assignment.sides))
    if held == 0 and assignment.divided is None:
        return "validation"
    if held == len(assignment.sides):
        return "training"
    return None


def _one_sided(method: Method, fraction: float, empty: Side, count: int) -> CorpusError:
    other = "contiguous" if method != "contiguous" else "by_document"
    return CorpusError(
        f"corpus.split={method} with corpus.validation_fraction={fraction:g} leaves no {empty} "
        f"text: the corpus has {count} documents. Choose another fraction (0 keeps no validation "
        f"text), another split such as {other}, smaller documents with corpus.separate_by, or "
        "add text."
    )


def _count(corpus: Corpus, entries: Entries, assignment: Assignment) -> tuple[SideFacts, SideFacts]:
    """Add up documents, characters and bytes of each side."""
    held = assignment.sides.astype(np.bool_)
    characters, sizes = int(entries.characters.sum()), int(entries.sizes.sum())
    documents = int(np.count_nonzero(entries.first))
    kept = int(np.count_nonzero(entries.first & held))
    kept_characters = int(entries.characters[held].sum())
    kept_sizes = int(entries.sizes[held].sum())
    training_documents = documents - kept
    if assignment.divided is not None:
        index, offset = assignment.divided
        behind = int(entries.characters[index]) - offset
        kept += 1
        kept_characters += behind
        kept_sizes += _bytes_behind(corpus, entries, index, offset)
    validation = SideFacts(kept, kept_characters, kept_sizes)
    training = SideFacts(training_documents, characters - kept_characters, sizes - kept_sizes)
    return training, validation


def _bytes_behind(corpus: Corpus, entries: Entries, index: int, offset: int) -> int:
    """Return the UTF-8 length of what lies behind the cut in the divided entry.

    Only the text can tell, unless it is ASCII; so the corpus is read again up to there.
    """
    size, characters = int(entries.sizes[index]), int(entries.characters[index])
    if size == characters:
        return characters - offset
    document = next(islice(corpus.documents(), index, None))
    return len(document.text[offset:].encode("utf-8"))


def _split_fingerprint(entries: Entries, assignment: Assignment) -> str:
    """Hash the corpus and each document's side; how the sides were found plays no part."""
    digest = hashlib.sha256(bytes.fromhex(entries.fingerprint))
    digest.update(assignment.sides[entries.first].tobytes())
    digest.update(repr(assignment.divided_at).encode("ascii"))
    return digest.hexdigest()


def _with_text(document: Document, text: str, *, complete: bool) -> Document:
    return replace(document, text=text, complete=complete)
