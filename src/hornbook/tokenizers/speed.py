"""How fast a tokenizer is on somebody's own text, and how long a larger corpus would take.

    text -> blocks -> do they come back exactly? -> passes over all of them -> medians

A block is a text of its own, so blocks can go to threads. There are as many of them as make a
pass long enough to be measured and short enough to wait for.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from hornbook.errors import TokenizerError
from hornbook.tokenizers.base import Tokenizer

BLOCK_LENGTH = 1 << 18
"""The characters of one block, up to the end of its last line."""
PASSES = 5
"""How often everything is encoded and decoded; the median counts."""

_Given = TypeVar("_Given")
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
        threads: how many threads shared the work.
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
    text: str,
    *,
    seconds: float = 4.0,
    threads: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> TokenizerSpeed:
    """Measure encoding and decoding on a text, after a check that the text comes back.

    Args:
        tokenizer: any tokenizer.
        text: the text; of a long one the beginning, as much as fits into the time.
        seconds: about how long the passes of encoding may take together [seconds].
        threads: how many threads share the blocks.
        clock: gives the time [seconds]; for tests.

    Raises:
        TokenizerError: the text is empty or no Unicode text, or ``threads`` is below 1.
    """
    if not text:
        raise TokenizerError("the text is empty; there is nothing to measure")
    if threads < 1:
        raise TokenizerError(f"threads is at least 1, not {threads}")
    blocks = cut_into_blocks(text)
    # Once for what only the first call does (compiling, filling caches), then to know the pace.
    tokenizer.encode_array(blocks[0])
    _, one = _timed(_each, tokenizer.encode_array, blocks[:1], clock=clock)
    blocks = blocks[: max(threads, int(threads * seconds / PASSES / max(one, 1e-9)))]
    contents = [block.encode("utf-8") for block in blocks]
    ids = _each(tokenizer.encode_array, blocks)
    lost_at = first_difference(contents, _each(tokenizer.decode_bytes, ids))
    with ThreadPoolExecutor(threads) as pool:

        def shared(work: Callable[[_Given], _Made], given: Sequence[_Given]) -> list[_Made]:
            return list(pool.map(work, given))

        run = _each if threads == 1 else shared
        encoding, decoding = [], []
        for _ in range(PASSES):
            encoding.append(_timed(run, tokenizer.encode_array, blocks, clock=clock)[1])
            decoding.append(_timed(run, tokenizer.decode_bytes, ids, clock=clock)[1])
    return TokenizerSpeed(
        bytes=sum(map(len, contents)),
        tokens=sum(map(len, ids)),
        encode_seconds=statistics.median(encoding),
        decode_seconds=statistics.median(decoding),
        passes=PASSES,
        threads=threads,
        lost_at=lost_at,
    )


def cut_into_blocks(text: str, length: int = BLOCK_LENGTH) -> list[str]:
    """Cut a text at the last line end of every ``length`` characters, else right there.

    >>> cut_into_blocks("to be\\nor not\\nto be", length=8)
    ['to be\\n', 'or not\\n', 'to be']
    """
    blocks = []
    begin = 0
    while begin < len(text):
        limit = begin + length
        line_end = text.rfind("\n", begin, limit) + 1 if limit < len(text) else 0
        end = line_end or limit
        blocks.append(text[begin:end])
        begin = end
    return blocks


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


def _each(work: Callable[[_Given], _Made], given: Sequence[_Given]) -> list[_Made]:
    return [work(one) for one in given]


def _timed(
    run: Callable[..., _Made], *given: Any, clock: Callable[[], float]
) -> tuple[_Made, float]:
    began = clock()
    made = run(*given)
    return made, clock() - began
