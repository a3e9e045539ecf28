"""How fast a tokenizer is on somebody's own text, and how long a larger corpus would take.

    text -> blocks -> do they come back exactly? -> passes over all of them -> medians

A block is a text of its own. There are as many of them as make a pass long enough to be measured
and short enough to wait for.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from hornbook.errors import TokenizerError
from hornbook.listener import SILENT, Listener
from hornbook.tokenizers.base import Tokenizer

BLOCK_SIZE = 1 << 18
"""The size of one block, up to the end of its last line [bytes]."""
PASSES = 5
"""How often everything is encoded and decoded; the median counts."""

_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class TokenizerSpeed:
    """What was measured.

    Attributes:
        bytes: the size of the text in UTF-8 [bytes].
        tokens: how many tokens it became.
        encode_seconds: the median time of encoding it once [seconds].
        decode_seconds: the median time of decoding it once [seconds].
        passes: how often each was done.
        threads: how many threads shared the encoding; one decodes.
        lost_at: the first byte that did not come back from decoding, or ``None`` if all did;
            only a tokenizer with an unknown token loses any.
    """

    bytes: int
    tokens: int
    encode_seconds: float
    decode_seconds: float
    passes: int
    threads: int
    lost_at: int | None

    @property
    def bytes_per_token(self) -> float:
        """How much text one token carries on average [bytes]."""
        return self.bytes / self.tokens

    @property
    def encode_rate(self) -> float:
        """Text turned into ids in a second [bytes per second]."""
        return self.bytes / self.encode_seconds

    @property
    def decode_rate(self) -> float:
        """Text made from ids in a second [bytes per second]."""
        return self.bytes / self.decode_seconds

    def estimate(self, corpus_bytes: int) -> tuple[int, float]:
        """Return the tokens of a corpus like this text, and the seconds to encode it.

        >>> speed = TokenizerSpeed(4_000_000, 1_000_000, 0.5, 0.1, 5, 1, None)
        >>> speed.estimate(10_000_000_000)
        (2500000000, 1250.0)
        """
        return round(corpus_bytes / self.bytes_per_token), corpus_bytes / self.encode_rate


def measure_speed(
    tokenizer: Tokenizer,
    content: bytes,
    *,
    seconds: float = 4.0,
    threads: int = 1,
    clock: Callable[[], float] = time.perf_counter,
    listener: Listener = SILENT,
) -> TokenizerSpeed:
    """Measure encoding and decoding on a text, after a check that the text comes back.

    Args:
        tokenizer: any tokenizer.
        content: the text in UTF-8; of a long one the beginning, as much as fits into the time.
        seconds: about how long the passes of encoding may take together [seconds].
        threads: how many threads share the encoding.
        clock: gives the time [seconds]; for tests.
        listener: is told what the tokenizer prepares before the first pass.

    Raises:
        TokenizerError: the text is empty or no Unicode text, or ``threads`` is below 1.
    """
    if not content:
        raise TokenizerError("the text is empty; there is nothing to measure")
    if threads < 1:
        raise TokenizerError(f"threads is at least 1, not {threads}")
    blocks = cut_into_blocks(content, BLOCK_SIZE)
    # Once for what only the first call does (compiling, filling caches), then to know the pace.
    tokenizer.prepare(listener)
    tokenizer.encode_batch_arrays(blocks[:1], threads=1)
    _, one = _timed(lambda: tokenizer.encode_batch_arrays(blocks[:1], threads=1), clock)
    blocks = blocks[: max(threads, int(threads * seconds / PASSES / max(one, 1e-9)))]
    ids = tokenizer.encode_batch_arrays(blocks, threads=threads)
    lost_at = first_difference(blocks, list(map(tokenizer.decode_bytes, ids)))
    encoding, decoding = [], []
    for _ in range(PASSES):
        made, taken = _timed(lambda: tokenizer.encode_batch_arrays(blocks, threads=threads), clock)
        encoding.append(taken)
        decoding.append(_timed(lambda ids=made: list(map(tokenizer.decode_bytes, ids)), clock)[1])
    return TokenizerSpeed(
        bytes=sum(map(len, blocks)),
        tokens=sum(map(len, ids)),
        encode_seconds=statistics.median(encoding),
        decode_seconds=statistics.median(decoding),
        passes=PASSES,
        threads=threads,
        lost_at=lost_at,
    )


def cut_into_blocks(content: bytes, size: int) -> list[bytes]:
    """Cut a text at the last line end of every ``size`` bytes, else before a character.

    >>> cut_into_blocks(b"to be\\nor not\\nto be", size=8)
    [b'to be\\n', b'or not\\n', b'to be']
    """
    blocks = []
    begin = 0
    while begin < len(content):
        limit = begin + size
        line_end = content.rfind(b"\n", begin, limit) + 1 if limit < len(content) else 0
        end = line_end or _before_character(content, limit, begin)
        blocks.append(content[begin:end])
        begin = end
    return blocks


def _before_character(content: bytes, limit: int, begin: int) -> int:
    """The last place up to ``limit`` that is not inside a character of UTF-8."""
    for end in range(limit, max(limit - 4, begin), -1):
        if end >= len(content) or content[end] & 0xC0 != 0x80:
            return end
    return limit


def first_difference(expected: Sequence[bytes], found: Sequence[bytes]) -> int | None:
    """Return the place of the first byte that differs, all put end to end, or ``None``.

    >>> first_difference([b"to ", b"be"], [b"to ", b"bee"]), first_difference([b"a"], [b"a"])
    (5, None)
    """
    begin = 0
    for one, other in zip(expected, found, strict=True):
        if one != other:
            pairs = enumerate(zip(one, other, strict=False))
            shorter = min(len(one), len(other))
            return begin + next((place for place, (a, b) in pairs if a != b), shorter)
        begin += len(one)
    return None


def _timed(work: Callable[[], _Made], clock: Callable[[], float]) -> tuple[_Made, float]:
    began = clock()
    made = work()
    return made, clock() - began
