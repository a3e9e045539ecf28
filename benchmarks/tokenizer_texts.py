"""The texts that are timed: real corpora, and input made to be slow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CORPORA = {
    "books.txt": "English books",
    "chinese-poetry.jsonl.txt": "Chinese poetry",
    "verses-46-languages.xml.txt": "46 languages",
    "tinyshakespeare.txt": "tiny Shakespeare",
}
"""The files of a corpora folder that are timed, and what they are called."""


@dataclass(frozen=True, slots=True)
class Text:
    """One text in the three forms that encoders take it in.

    Attributes:
        title: what a reader calls it.
        content: its bytes.
        string: the same as ``str``; bytes that are no UTF-8 are U+FFFD here.
        path: a file that holds exactly ``content``.
    """

    title: str
    content: bytes
    string: str
    path: Path

    @classmethod
    def written(cls, title: str, content: bytes, folder: Path) -> Text:
        """Return a text, written to a file of its own in ``folder``."""
        path = folder / f"{title.replace(' ', '-')}-{len(content)}.txt"
        path.write_bytes(content)
        return cls(title, content, content.decode("utf-8", "replace"), path)

    @property
    def megabytes(self) -> float:
        """The size in units of 1,000,000 bytes."""
        return len(self.content) / 1e6

    def beginning(self, most: int, folder: Path) -> Text:
        """Return the first ``most`` bytes as a text, without a last character that is cut."""
        if len(self.content) <= most:
            return self
        content = self.content[:most].decode("utf-8", "ignore").encode("utf-8")
        return Text.written(self.title, content, folder)


@dataclass(frozen=True, slots=True)
class Bench:
    """What every section is given.

    Attributes:
        corpora, vocabularies: the folders of texts and of published vocabularies.
        aside: a folder for files made on the way.
        rounds: how many turns each contestant has.
        limit: how much of every text is taken [bytes]; ``None`` takes all of it.
    """

    corpora: Path
    vocabularies: Path
    aside: Path
    rounds: int
    limit: int | None = None

    def texts(self) -> Iterator[Text]:
        """Yield the corpora that are there, each up to the limit."""
        for path in self._paths():
            content = path.read_bytes()
            whole = Text(CORPORA[path.name], content, content.decode("utf-8"), path)
            yield whole if self.limit is None else whole.beginning(self.limit, self.aside)

    def first(self) -> Text:
        """Return the first corpus, which is the one that most is measured on."""
        return next(self.texts())

    def _paths(self) -> list[Path]:
        paths = [self.corpora / name for name in CORPORA]
        return [path for path in paths if path.is_file()]


def adversarial_texts(size: int, folder: Path) -> Iterator[Text]:
    """Yield texts of ``size`` bytes whose pre-tokens are about as long as they are."""
    chance = np.random.default_rng(0)
    digits = chance.integers(ord("0"), ord("9") + 1, size, np.uint8)
    white = chance.choice(np.frombuffer(b" \t\n\r", np.uint8), size)
    faces = chance.integers(0x1F600, 0x1F650, size // 4, np.uint32)
    emoji = faces.astype("<u4").tobytes().decode("utf-32-le")
    contents = {
        "one letter": b"a" * size,
        "digits": digits.tobytes(),
        "white space": white.tobytes(),
        "emoji": emoji.encode("utf-8"),
        "random bytes": chance.integers(0, 256, size, np.uint8).tobytes(),
    }
    for title, content in contents.items():
        yield Text.written(title, content, folder)
