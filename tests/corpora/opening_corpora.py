"""Opening corpora in tests: a listener that remembers, shorthands, and the shared real text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hornbook.corpora import Corpus, CorpusConfig
from hornbook.listener import Listener, Progress

SHARED = Path(__file__).parents[2].parent / "shared" / "corpora"


class Remembering(Listener):
    """Keeps every notice, and how far each progress came."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.totals: list[int | None] = []
        self.advanced: list[int] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def progress(self, title: str, *, total: int | None, unit: str) -> Progress:
        self.totals.append(total)
        self.advanced.append(0)
        remembering = self

        class Counting(Progress):
            def advance(self, amount: int) -> None:
                remembering.advanced[-1] += amount

        return Counting()


def shared_corpus(name: str) -> str:
    """Return the path of a real corpus, or skip the test."""
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"the shared corpus {name} is not on this machine")
    return str(path)


def texts(files: str | Path | Sequence[str | Path], **settings: object) -> list[str]:
    """Return the texts of all documents of some files."""
    return [document.text for document in opened(files, **settings).documents()]


def opened(files: str | Path | Sequence[str | Path], **settings: object) -> Corpus:
    """Open a corpus of one file or several."""
    several = [files] if isinstance(files, str | Path) else files
    config = CorpusConfig.model_validate({"files": tuple(map(str, several)), **settings})
    return Corpus.open(config)
