"""From ids to bytes, and from bytes to text as soon as it is certain."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hornbook.tokenizers import engine

WORTH_KERNELS = 1 << 14
"""Arrays of so many ids are decoded by kernels, if this machine has them compiled."""
WORTH_COMPILING = 1 << 23
"""... and of so many in any case."""


class SpelledTokens:
    """The bytes of every token, put end to end, to be copied from.

    Args:
        tokens: the bytes of each id; empty where an id is unused.
    """

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._vocab_size = len(tokens)
        self._content = np.frombuffer(b"".join(tokens) + bytes(16), dtype=np.uint8)
        self._ends = np.cumsum([0, *map(len, tokens)]).astype(np.uint32)

    def joined(self, ids: NDArray[np.uint32]) -> bytes | None:
        """Return the bytes that ids [tokens] stand for; ``None`` if an id stands for nothing."""
        from hornbook.tokenizers.engine.decoding import decode, decoded_size
        from hornbook.tokenizers.engine.machine import (
            address_of,
            address_of_bytes,
            unwritten_bytes,
        )

        ids_at, ends_at = address_of(ids), address_of(self._ends)
        size = decoded_size(ids_at, len(ids), ends_at, self._vocab_size)
        if size < 0:
            return None
        # Written where they stay: to copy them from an array would take as long again.
        joined: bytes = unwritten_bytes(None, size)
        out: int = address_of_bytes(joined)
        decode(ids_at, len(ids), ends_at, address_of(self._content), out, out + size)
        return joined


def worth_kernels(count: int) -> bool:
    """Whether so many ids are decoded sooner by kernels, with the time to bring them."""
    return count >= WORTH_COMPILING or (count >= WORTH_KERNELS and engine.kept())


def text_as_it_comes(ids: Iterable[int], token_bytes: Callable[[int], bytes]) -> Iterator[str]:
    """Yield the text of each id, or ``""`` while a character is not complete.

    >>> list(text_as_it_comes([110, 195, 169, 33], lambda byte: bytes([byte])))
    ['n', '', 'é', '!']
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token_id in ids:
        yield decoder.decode(token_bytes(token_id))
    if rest := decoder.decode(b"", final=True):
        yield rest
