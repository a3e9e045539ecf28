"""The encoder of one vocabulary: its tables, and a workspace for each thread that asks.

    encoder = Encoder(Vocabulary(...))
    encoder.ids(b"To be, or not to be")     # uint32 [tokens]

A text that several threads are to share is cut beforehand; see ``patterns.safe_cut``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornbook.tokenizers.engine import workspace as fields
from hornbook.tokenizers.engine.encoding import SPARE, encode, fill_words
from hornbook.tokenizers.engine.machine import Content, address_of, address_of_content
from hornbook.tokenizers.engine.merging import SHORT
from hornbook.tokenizers.engine.tables import Tables, Vocabulary
from hornbook.tokenizers.engine.utf8 import SPARE as UTF8_SPARE
from hornbook.tokenizers.engine.utf8 import WIDEST, write_utf8
from hornbook.tokenizers.engine.words import KEYS_APART, LINE
from hornbook.tokenizers.engine.workspace import PLACE
from hornbook.tokenizers.streams import gathered
from hornbook.tokenizers.text import utf8

WORD_LINES = 1 << 18
PHRASE_ENTRIES = 1 << 16
ARENA_BYTES = 1 << 23
"""One workspace has 16 MiB of words, 1 MiB of phrases and 8 MiB of arena."""

GROUP = 1 << 18
"""How much text a thread takes at a time at the least, if there is as much [bytes, characters]."""

SHORT_TEXT = 1 << 12
"""Texts below are bytes sooner than a kernel is called [characters]."""

USUAL_TEXT = 1 << 21
"""Texts up to here are encoded into memory that is there already, and the ids copied [bytes].
Memory that is new costs more than the copy, and with two threads at work more than the encoding."""
USUAL_ROOM = USUAL_TEXT + 64

LAZY = 1 << 28
"""Texts up to here get room for as many ids as they can have; longer ones as they need it [bytes].
What is asked for and never written to costs nothing, as long as there is not too much of it."""


class Workspace:
    """The caches and scratch memory of one thread."""

    def __init__(self, tables: Tables) -> None:
        self.block = tables.block.copy()
        self.address = address_of(self.block)
        self.ids = np.empty(USUAL_ROOM, dtype=np.uint32)
        self.ids_address = address_of(self.ids)
        self.listed_ids = self.ids.data  # makes a list sooner than the array does
        self._utf8 = np.empty(WIDEST * USUAL_TEXT + UTF8_SPARE, dtype=np.uint8)
        self._kept: list[NDArray[Any]] = []
        bits = max(WORD_LINES.bit_length() - 1, tables.vocabulary_size.bit_length())
        self._words = self._entries(fields.WORDS, fields.WORD_SHIFT, bits, LINE)
        self._keep(fields.KEYS, np.empty(3 * KEYS_APART, dtype=np.uint8))
        self.block[fields.NARROW] = tables.vocabulary_size <= 1 << 16
        self._phrases = self._entries(
            fields.PHRASES, fields.PHRASE_SHIFT, PHRASE_ENTRIES.bit_length() - 1, 16
        )
        # Written to now, so that no text waits for the system to find the memory.
        self._keep(fields.ARENA, np.full(ARENA_BYTES + LINE, 0, dtype=np.uint8))
        self.block[fields.ARENA_SIZE] = ARENA_BYTES
        self._keep(fields.ENDS, np.empty(fields.ENDS_ROOM + 8, dtype=np.int64))
        self._keep(fields.SCRATCH, np.empty(2 * SHORT, dtype=np.int32))
        self._keep(fields.CHARACTERS, np.full(1 << 16, 0, dtype=np.uint64))
        words = (tables.vocabulary_size >> 6) + 1
        self._keep(fields.WAITING, np.zeros(words, dtype=np.uint64))
        self._keep(fields.WAITING_WORDS, np.zeros((words >> 6) + 1, dtype=np.uint64))
        for field in (fields.HEADS, fields.TAILS):
            self._keep(field, np.full(tables.vocabulary_size, -1, dtype=np.int32))
        fill_words(self.address, address_of(tables.content), tables.ends, address_of(self.ids))

    def _keep(self, field: int, array: NDArray[Any]) -> None:
        self.block[field] = address_of(array)
        self._kept.append(array)

    def _entries(self, field: int, shift: int, bits: int, width: int) -> NDArray[np.uint8]:
        """Make an empty cache of 2^bits entries at the beginning of a cache line."""
        # Not np.zeros: NumPy asks for huge pages for what np.empty gives alone.
        room = np.empty(((1 << bits) + 4) * width + 128, dtype=np.uint8)
        room[:] = 0
        skipped = -address_of(room) % 128
        self.block[shift] = 64 - bits
        self._keep(field, room[skipped:])
        return room

    def utf8(self, text: str) -> bytes | NDArray[np.uint8]:
        """Return a text (see ``text.plain``) as UTF-8, which stands until the next is asked for.

        Raises:
            TokenizerError: the text holds half of a surrogate pair.
        """
        if text.isascii() or not SHORT_TEXT <= len(text) <= LAZY:
            return utf8(text)
        usual = len(text) <= USUAL_TEXT
        room = self._utf8 if usual else np.empty(WIDEST * len(text) + UTF8_SPARE, dtype=np.uint8)
        size = write_utf8(text, address_of(room))
        return room[:size] if size >= 0 else utf8(text)

    def make_room(self) -> None:
        """Empty the caches if the arena is nearly full; what is asked for again comes back."""
        if self.block[fields.ARENA_USED] > ARENA_BYTES * 7 // 8:
            self._words[:] = 0
            self._phrases[:] = 0
            self.block[fields.ARENA_USED] = 0


class Encoder:
    """Encodes bytes under one vocabulary; any number of threads may ask at once."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._tables = Tables(vocabulary)
        self._idle: list[Workspace] = []
        self._idle.append(Workspace(self._tables))

    def prepare(self) -> None:
        """Call each kernel once, so that no text waits for one to be read or compiled."""
        self.ids("é" * SHORT_TEXT)

    def ids(self, text: str | bytes | memoryview) -> NDArray[np.uint32]:
        """Return the ids of a text: uint32 [tokens]. Bytes that are no UTF-8 are encoded too.

        Raises:
            TokenizerError: a ``str`` holds half of a surrogate pair.
        """
        workspace = self._take()
        try:
            content = workspace.utf8(text) if isinstance(text, str) else text
            if len(content) <= USUAL_TEXT:
                return workspace.ids[: self._encode_usual(workspace, content)].copy()
            return self._encode_long(workspace, content)
        finally:
            self._idle.append(workspace)

    def listed(self, text: str) -> list[int]:
        """Return the ids of a text that was checked, as a list."""
        if len(text) >= SHORT_TEXT:
            return self.ids(text).tolist()
        workspace = self._take()
        try:
            # ``utf8`` would do the same, a tenth of a microsecond later.
            count = self._encode_usual(workspace, text.encode("utf-8"))
            return workspace.listed_ids[:count].tolist()
        finally:
            self._idle.append(workspace)

    def ids_of_all(
        self, texts: Iterable[str | bytes], threads: int
    ) -> Iterator[NDArray[np.uint32]]:
        """Yield the ids of each text, in their order, while up to ``threads`` work on them."""
        if threads == 1:
            yield from map(self.ids, texts)
            return
        waiting: deque[Future[list[NDArray[np.uint32]]]] = deque()
        with ThreadPoolExecutor(threads, thread_name_prefix="hornbook-encode") as pool:
            for group in gathered(texts, GROUP):
                waiting.append(pool.submit(lambda some: list(map(self.ids, some)), group))
                if len(waiting) > 2 * threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()

    def _take(self) -> Workspace:
        try:
            return self._idle.pop()  # atomic, as is append
        except IndexError:
            return Workspace(self._tables)

    def _encode_usual(self, workspace: Workspace, content: Content) -> int:
        """Encode up to ``USUAL_TEXT`` bytes into the workspace's own ids; return how many."""
        size, count, place = len(content), 0, 0
        text = address_of_content(content)
        while place < size:
            to = workspace.ids_address + 4 * count
            count += encode(workspace.address, text, place, size, to, USUAL_ROOM - count)
            place = workspace.block.item(PLACE)
            if place < size:
                workspace.make_room()
        return int(count)

    def _encode_long(self, workspace: Workspace, content: Content) -> NDArray[np.uint32]:
        size, count, place = len(content), 0, 0
        text = address_of_content(content)
        # One id a byte always suffices. What is not written to takes no memory.
        room = size + SPARE if size <= LAZY else size // 3 + USUAL_ROOM
        ids = np.empty(room, dtype=np.uint32)
        while place < size:
            to = address_of(ids) + 4 * count
            count += encode(workspace.address, text, place, size, to, room - count)
            place = workspace.block.item(PLACE)
            if place < size:
                workspace.make_room()
                needed = int(workspace.block[fields.NEEDED])
                if count + needed > room:
                    room = max(room * 3 // 2, count + needed)
                    ids.resize(room, refcheck=False)
        ids.resize(count, refcheck=False)
        return ids
