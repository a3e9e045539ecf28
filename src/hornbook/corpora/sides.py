"""The ways to choose validation text, each a pure function of what a ledger holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hornbook.corpora.ledger import HASH_BITS, Entries
from hornbook.randomness import stream_seed

Method = Literal["by_document", "by_chapter", "by_book", "contiguous", "random"]

SECTIONS = {"by_book": 0, "by_chapter": 1}
"""The methods that keep a section together, and its place in ``Document.sections``."""

_SLICE = 1 << 20
_WORD = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Assignment:
    """The side of every entry of a ledger.

    Attributes:
        sides: 1 where an entry is validation text, else 0.
        divided: the entry that is cut in two, and after how many of its characters (at
            least one); what lies behind the cut is validation text.
        divided_at: the same cut, counted in characters of the whole corpus.
        duplicates_moved: documents moved to training because their text stands there too.
    """

    sides: NDArray[np.uint8]
    divided: tuple[int, int] | None = None
    divided_at: int | None = None
    duplicates_moved: int = 0


def assign(method: Method, entries: Entries, fraction: float, seed: int) -> Assignment:
    """Give every entry a side; equal documents, and the parts of one, get the same side.

    ``fraction`` is the share of validation text, from 0 to below 1.
    """
    if fraction == 0.0:
        return Assignment(np.zeros(len(entries), dtype=np.uint8))
    if method == "contiguous":
        return contiguous(entries, fraction)
    if method in SECTIONS:
        return by_section(entries, fraction)
    hashes = entries.hashes
    if method == "random":
        hashes = keyed(hashes, stream_seed(seed, "split"))
    return Assignment(_below(hashes, fraction))


def by_section(entries: Entries, fraction: float) -> Assignment:
    """Keep whole sections for validation, by the hash of their names.

    A document of such a section whose text also stands in training is moved there.
    """
    assert entries.sections is not None, "the ledger was not asked to remember sections"
    sides = _below(entries.sections, fraction)
    held = sides.astype(np.bool_)
    moved = np.isin(entries.hashes[held], entries.hashes[~held])
    sides[held] = ~moved
    return Assignment(sides, duplicates_moved=int(np.count_nonzero(moved & entries.first[held])))


def _below(hashes: NDArray[np.uint64], fraction: float) -> NDArray[np.uint8]:
    """1 where a hash is among the lowest ``fraction`` of all that there can be."""
    return (hashes < np.uint64(fraction * 2.0**HASH_BITS)).astype(np.uint8)


def keyed(hashes: NDArray[np.uint64], key: int) -> NDArray[np.uint64]:
    """Return for each hash another of 63 bits that looks unrelated for every key.

    Two rounds of the 64-bit finalizer of splitmix, with the key before each.

    >>> bool(keyed(np.array([5], np.uint64), 1)[0] == keyed(np.array([5], np.uint64), 2)[0])
    False
    """
    mixed = hashes.copy()
    for round_key in (key & _WORD, (key * 0x9E3779B97F4A7C15) & _WORD):
        mixed ^= np.uint64(round_key)
        mixed ^= mixed >> np.uint64(30)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(27)
        mixed *= np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed >> np.uint64(1)


def contiguous(entries: Entries, fraction: float) -> Assignment:
    """Keep the last part of the text for validation.

    The cut lies at the first document boundary at or after ``total * (1 - fraction)``
    characters; only where a single document is longer than all that follows that
    place, it is divided exactly there. A document behind the cut whose text also
    stands before it is moved to training.
    """
    ends = np.cumsum(entries.characters, dtype=np.int64)
    total = int(ends[-1])
    place = int(total * (1.0 - fraction))
    sides = np.zeros(len(entries), dtype=np.uint8)
    if place >= total:
        return Assignment(sides)
    cut = int(np.searchsorted(ends, place, side="left")) + 1 if place else 0
    # ``cut`` is the first entry whose text lies wholly at or behind ``place``, but perhaps
    # in the middle of a document.
    begin, end = _document_around(entries, cut - 1) if cut else (0, 0)
    starts_at = int(ends[begin - 1]) if begin else 0
    divided = divided_at = None
    if place == 0 or int(ends[end - 1]) == place:
        cut = end
    elif int(ends[end - 1]) - starts_at > total - place:
        before = int(ends[cut - 2]) if cut > 1 else 0
        divided, divided_at = (cut - 1, place - before), place
    else:
        cut = end
    moved = 0
    if divided and np.any(entries.hashes[:begin] == entries.hashes[begin]):
        # Its end stands in training already, inside the same text further ahead.
        cut, divided, divided_at, moved = end, None, None, 1
    sides[cut:] = 1
    moved += _return_duplicates(entries, sides, first_whole=end if divided else cut)
    return Assignment(sides, divided, divided_at, moved)


def _document_around(entries: Entries, index: int) -> tuple[int, int]:
    """Return the first entry of the document at ``index``, and the first behind it."""
    begin = index
    while not entries.first[begin]:
        begin -= 1
    end = index + 1
    while end < len(entries) and not entries.first[end]:
        end += 1
    return begin, end


def _return_duplicates(entries: Entries, sides: NDArray[np.uint8], first_whole: int) -> int:
    """Move documents from ``first_whole`` on to training if their text stands before it.

    Works through the head in slices, so that only the tail's hashes are ever sorted.
    """
    tail = np.unique(entries.hashes[first_whole:])
    if not len(tail):
        return 0
    seen = np.zeros(len(tail), dtype=np.bool_)
    for start in range(0, first_whole, _SLICE):
        head = entries.hashes[start : min(start + _SLICE, first_whole)]
        at = np.minimum(np.searchsorted(tail, head), len(tail) - 1)
        seen[at[tail[at] == head]] = True
    moved = seen[np.searchsorted(tail, entries.hashes[first_whole:])]
    sides[first_whole:][moved] = 0
    return int(np.count_nonzero(moved & entries.first[first_whole:]))


def distinct_documents(entries: Entries, enough: int) -> int:
    """Count different documents, looking no further than needed to find ``enough``."""
    found: set[int] = set()
    for start in range(0, len(entries), _SLICE):
        found.update(np.unique(entries.hashes[start : start + _SLICE])[:enough].tolist())
        if len(found) >= enough:
            break
    return min(len(found), enough)


def describe(method: Method, fraction: float) -> str:
    """Say in words for the user how a method chooses.

    >>> describe("contiguous", 0.1)
    'the last 10 % of the text is kept for validation'
    """
    share = f"{math.floor(fraction * 1000 + 0.5) / 10:g} %"
    if method == "contiguous":
        return f"the last {share} of the text is kept for validation"
    if method in SECTIONS:
        sections = f"{method.removeprefix('by_')}s"
        return f"about {share} of the {sections} are kept for validation, chosen by their names"
    return f"about {share} of the documents are kept for validation, chosen by their text"
