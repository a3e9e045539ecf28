"""Applying merges to text: by the readable twin, and by kernels as soon as they are worth it.

Kernels are compiled at their first use on a machine, which takes seconds, and read from disk at
their first use in a process, which takes tenths of one. The twin needs neither and gives the same
ids, at a few megabytes a second. So small texts never wait: the twin answers them while a thread
brings the kernels. A larger text waits if the twin would take longer than the kernels need to come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hornbook.errors import TokenizerError
from hornbook.listener import SILENT, Listener
from hornbook.tokenizers import engine
from hornbook.tokenizers.bpe_reference import Pair, encode_long_word, encode_word
from hornbook.tokenizers.patterns import PUBLISHED, safe_cut, splitter
from hornbook.tokenizers.streams import BLOCK, whole_blocks
from hornbook.tokenizers.text import content_of

if TYPE_CHECKING:
    from hornbook.tokenizers.engine.encoder import Encoder

WORD_CACHE_SIZE = 1 << 16
"""How many pre-tokens the twin remembers the ids of; about 15 MB when full."""

LONG_WORD = 64
"""Longer pre-tokens are too rare to remember, and too long for the loop that is quadratic."""

ENGINE_LIMIT = 1 << 20
"""How many ids a vocabulary may have for the kernels: their tables have 20 bits for one."""

SMALL = 1 << 13
"""Texts up to here never wait for kernels [bytes]."""

WORTH_LOADING, WORTH_COMPILING = 1 << 17, 1 << 23
"""How much text the twin may encode in all before kernels are read, or compiled [bytes]."""

WORTH_THREADS = 1 << 16
"""Up to so much text, one thread is done before several have begun [bytes]."""


class BPEEncoder:
    """The merges of one vocabulary, ready to be applied. Any number of threads may ask at once.

    Args:
        tokens: the bytes of every id that is a byte or made by a merge, in the order of ids.
        merges: the pairs, in the order learned; merge ``i`` makes the token ``256 + i``.
        pattern: what cuts a text into pre-tokens; see ``patterns.splitter``.
        byte_order: the byte of each id below 256.
    """

    def __init__(
        self, tokens: Sequence[bytes], merges: Sequence[Pair], pattern: str, byte_order: bytes
    ) -> None:
        self._tokens = tokens
        self._merges = merges
        self._pattern = pattern
        self._byte_order = byte_order
        self._ranks = {pair: 256 + number for number, pair in enumerate(merges)}
        self._split = splitter(pattern)
        self._kernels: Encoder | None = None
        self._coming: threading.Thread | None = None
        self._bringing = threading.Lock()
        self._twin_bytes = 0

    def ids(self, text: str | bytes, threads: int = 1) -> NDArray[np.uint32]:
        """Return the ids of a text, or of any bytes: uint32 [tokens].

        Raises:
            TokenizerError: a ``str`` holds half of a surrogate pair.
        """
        kernels = self._kernels or self._kernels_for(len(text))
        if kernels is None:
            return self._twin_ids(text)
        if threads == 1 or len(text) < BLOCK:
            return kernels.ids(text)
        # Each piece becomes bytes while threads encode those before it.
        pieces = (content_of(text[at : at + BLOCK]) for at in range(0, len(text), BLOCK))
        try:
            return np.concatenate(list(kernels.ids_of_all(whole_blocks(pieces, safe_cut), threads)))
        except TokenizerError:
            content_of(text)  # where in the whole text it was
            raise

    def ids_of_all(
        self, texts: Iterable[str | bytes], size: int, threads: int
    ) -> Iterator[NDArray[np.uint32]]:
        """Yield the ids of each of many texts, of about ``size`` bytes in all, in their order.

        Raises:
            TokenizerError: a ``str`` holds half of a surrogate pair.
        """
        kernels = self._kernels or self._kernels_for(size)
        if kernels is None:
            return map(self._twin_ids, texts)
        return kernels.ids_of_all(texts, threads if size > WORTH_THREADS else 1)

    def listed(self, text: str) -> list[int]:
        """Return the ids of a text that was checked, as a list."""
        kernels = self._kernels or self._kernels_for(len(text))
        if kernels is None:
            return self._split_ids(text)
        return kernels.listed(text)

    def prepare(self, listener: Listener = SILENT) -> None:
        """Bring the kernels now, and say so if they have to be compiled.

        Do so before a process forks: a child that is forked while another thread compiles
        inherits the compiler's lock, and nobody who would open it.
        """
        if self._has_kernels:
            with self._bringing:
                if self._kernels is None:
                    self._kernels = self._brought(listener)

    # The readable way.

    def _twin_ids(self, text: str | bytes) -> NDArray[np.uint32]:
        written = content_of(text).decode("utf-8", "surrogateescape")
        return np.array(self._split_ids(written), dtype=np.uint32)

    def _split_ids(self, text: str) -> list[int]:
        remembered, anew = self._remembered, self._encode_pre_token
        ids: list[int] = []
        for pre_token in self._split(text):
            ids += (remembered if len(pre_token) <= LONG_WORD else anew)(pre_token)
        return ids

    def _encode_pre_token(self, pre_token: str) -> tuple[int, ...]:
        content = pre_token.encode("utf-8", "surrogateescape").translate(self._id_of_byte)
        encode = encode_word if len(content) <= LONG_WORD else encode_long_word
        return tuple(encode(content, self._ranks))

    @cached_property
    def _remembered(self) -> Callable[[str], tuple[int, ...]]:
        return lru_cache(maxsize=WORD_CACHE_SIZE)(self._encode_pre_token)

    @cached_property
    def _id_of_byte(self) -> bytes:
        return bytes(self._byte_order.index(byte) for byte in range(256))

    # The fast way.

    @cached_property
    def _has_kernels(self) -> bool:
        """Whether kernels know the pattern, and their tables have room for the vocabulary."""
        return self._pattern in PUBLISHED and len(self._tokens) <= ENGINE_LIMIT

    def _kernels_for(self, size: int) -> Encoder | None:
        """Return the kernels if a text of this size should have them, else note its size."""
        if not self._has_kernels:
            return None
        self._twin_bytes += size
        worth = WORTH_LOADING if engine.kept() else WORTH_COMPILING
        if size > SMALL:
            if self._twin_bytes > worth:
                self.prepare()
        elif self._twin_bytes > worth and self._coming is None:
            # No daemon: a process that ends while LLVM works in one of its threads may crash.
            self._coming = threading.Thread(target=self.prepare, name="hornbook-kernels")
            self._coming.start()
        return self._kernels

    def _brought(self, listener: Listener) -> Encoder:
        engine.announce(listener)
        from hornbook.tokenizers.engine.encoder import Encoder
        from hornbook.tokenizers.engine.tables import Vocabulary

        merges = np.array(self._merges, dtype=np.int32).reshape(-1, 2)
        encoder = Encoder(Vocabulary(self._pattern, self._tokens, merges, self._byte_order))
        encoder.prepare()
        return encoder
