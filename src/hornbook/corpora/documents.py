"""A document: the unit of text that a model never sees mixed with another."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """One document, or one part of a document that is too long to hold at once.

    Attributes:
        text: exactly the characters of the source; never empty.
        id: where it stands: the source, and a number where a source holds several.
        source: the path, address or corpus name that it was read from.
        complete: false for every part of a long document but its last. The parts follow
            each other directly, share one id, and put end to end are the document.
        sections: the larger parts of a work that it belongs to, largest first: of a verse the
            book and the chapter, such as ``("Ruth", "Ruth 1")``; of other text none.
    """

    text: str
    id: str
    source: str
    complete: bool = True
    sections: tuple[str, ...] = ()
