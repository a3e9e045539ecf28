"""What one pass over a corpus remembers of each document: a hash and two lengths, 16 bytes.

A document in parts takes an entry a part; the hash of its first part stands for all of it.
"""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornbook.corpora.documents import Document

HASH_BITS = 63


@dataclass(frozen=True, slots=True)
class Entries:
    """A finished ledger, one element for each delivered document or part of one.

    Attributes:
        hashes: the ``text_hash`` of the document's first part.
        first: whether a document begins here.
        characters: the length of the text.
        sizes: its length in UTF-8 [bytes].
        fingerprint: SHA-256 over the texts of all documents in order, in hexadecimal.
        sections: the hash of the name of the section that each document belongs to, or of its
            text where it belongs to none; ``None`` when sections were not asked for.
    """

    hashes: NDArray[np.uint64]
    first: NDArray[np.bool_]
    characters: NDArray[np.uint32]
    sizes: NDArray[np.uint32]
    fingerprint: str
    sections: NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self.hashes)


class Ledger:
    """Enter the documents of a corpus in order, then ``close``.

    Args:
        section: the place of the section to remember in ``Document.sections``; takes 8 bytes
            more a document. ``None`` remembers none.
    """

    def __init__(self, section: int | None = None) -> None:
        self._section = section
        self._sections = array("Q")
        self._keys = array("Q")  # the hash, and in the lowest bit whether a document begins
        self._characters = array("I")
        self._sizes = array("I")
        self._digest = hashlib.sha256()
        self._key = 0
        self._length = 0  # bytes of the document in progress

    def enter(self, document: Document) -> None:
        """Take note of one document, or of one part of a document."""
        data = document.text.encode("utf-8")
        if self._length == 0:
            self._key = text_hash(data) << 1 | 1
        self._keys.append(self._key)
        self._key &= ~1
        if self._section is not None:
            named = document.sections[self._section] if document.sections else None
            self._sections.append(self._key >> 1 if named is None else text_hash(named.encode()))
        self._characters.append(len(document.text))
        self._sizes.append(len(data))
        self._length += len(data)
        self._digest.update(data)
        if document.complete:
            # The length comes last, since a document in parts does not know it earlier. Read
            # from the end, the lengths say where each text began: no two corpora look alike.
            self._digest.update(self._length.to_bytes(8, "big"))
            self._length = 0

    def close(self) -> Entries:
        """Return what was entered."""
        keys = np.frombuffer(self._keys, dtype=np.uint64)
        first = (keys & np.uint64(1)).astype(np.bool_)
        keys >>= np.uint64(1)  # in place: a copy would double what the ledger holds
        return Entries(
            hashes=keys,
            first=first,
            characters=np.frombuffer(self._characters, dtype=np.uint32),
            sizes=np.frombuffer(self._sizes, dtype=np.uint32),
            fingerprint=self._digest.hexdigest(),
            sections=None
            if self._section is None
            else np.frombuffer(self._sections, dtype=np.uint64),
        )


def text_hash(data: bytes) -> int:
    """Return a 63-bit hash of a text's bytes, the same on every machine and in every run.

    >>> text_hash(b"once") == text_hash(b"once"), text_hash(b"once") == text_hash(b"twice")
    (True, False)
    """
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") >> 1
