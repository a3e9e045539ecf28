"""Text that comes in pieces, or is too long for one piece: cut into blocks where that is safe."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from hornbook.errors import TokenizerError

Text = TypeVar("Text", str, bytes, str | bytes)
"""A text, its bytes, or either."""

BLOCK = 1 << 20
"""How much text is encoded at a time [bytes]."""


def whole_blocks(
    pieces: Iterable[bytes], safe_cut: Callable[[bytes], int], block: int = BLOCK
) -> Iterator[bytes]:
    """Put pieces together and cut them anew, at about every ``block`` bytes and only where safe.

    Args:
        pieces: text in any pieces.
        safe_cut: where a text that goes on may be cut, or 0 or less; see ``patterns.safe_cut``.
        block: how much to gather before a cut is looked for.

    >>> list(whole_blocks([b"to b", b"e or ", b"not"], lambda text: text.rfind(b" "), block=6))
    [b'to be', b' or', b' not']
    """
    held: list[bytes] = []
    size, wanted = 0, block
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size < wanted:
            continue
        text, start = b"".join(held), 0
        while len(text) - start >= wanted:
            cut = safe_cut(text[start : start + wanted])
            if cut > 0:
                yield text[start : start + cut]
                start, wanted = start + cut, block
            else:  # looking again at each piece would be quadratic
                wanted *= 2
        held, size = [text[start:]], len(text) - start
    if size:
        yield b"".join(held)


def gathered(texts: Iterable[Text], size: int) -> Iterator[list[Text]]:
    """Gather texts that are too short for a thread to be worth asking, to this length or more.

    >>> list(gathered([b"to", b"be", b"or"], 3))
    [[b'to', b'be'], [b'or']]
    """
    group: list[Text] = []
    found = 0
    for text in texts:
        group.append(text)
        found += len(text)
        if found >= size:
            yield group
            group, found = [], 0
    if group:
        yield group


def thread_count(threads: int | None) -> int:
    """Return how many threads to use: as many as there are cores if ``None`` is asked for.

    >>> thread_count(3)
    3

    Raises:
        TokenizerError: fewer than one is asked for.
    """
    if threads is None:
        return usable_cores()
    if threads < 1:
        raise TokenizerError(f"threads={threads}: give 1 or more")
    return threads


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
