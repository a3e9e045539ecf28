"""Counting the pre-tokens of a corpus: the first phase of training, and most of its time.

    counts = count_pre_tokens(texts, "gpt2")

Text is read once and passes through. What stays is one entry for each different pre-token, so
memory grows with those and not with the text; ``max_memory`` says how far. Under the published
patterns kernels count, in several threads; under any other, and where a text is counted sooner
than the kernels are loaded or compiled, ``regex`` and a dictionary do.

Counts do not hang on how the text was cut into threads and blocks, with one exception: what is
dropped under ``max_memory`` does.
"""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from hornbook.errors import TokenizerError
from hornbook.listener import SILENT, Listener, Progress
from hornbook.tokenizers import engine
from hornbook.tokenizers.counts import PreTokenCounts
from hornbook.tokenizers.patterns import PUBLISHED, safe_cut, splitter
from hornbook.tokenizers.streams import gathered, thread_count, whole_blocks
from hornbook.tokenizers.text import content_of

if TYPE_CHECKING:
    from hornbook.tokenizers.engine.counter import Counter

WORTH_LOADING, WORTH_COMPILING = 1 << 17, 1 << 23
"""How much text is counted without kernels, before they are read from disk, or compiled [bytes]."""

BATCH = 1 << 20
"""How much text a thread counts at a time [bytes]."""

_ENTRY_BYTES = 120
"""About what one entry of a Python dictionary of short bytes takes [bytes]."""


def count_pre_tokens(
    texts: Iterable[str | bytes],
    pattern: str,
    special_tokens: Sequence[str] = (),
    *,
    threads: int | None = None,
    max_memory: int | None = None,
    size: int | None = None,
    listener: Listener = SILENT,
) -> PreTokenCounts:
    """Return how often each pre-token occurs in texts, which are read once.

    Args:
        texts: documents, or parts of them; each ends what is counted as one pre-token.
        pattern: what cuts them; see ``patterns.splitter``.
        special_tokens: names at which texts are cut beforehand, and which are not counted.
        threads: how many count at once; as many as there are cores if not given.
        max_memory: how much the counts may take [bytes]. Beyond that the rarest are dropped,
            ``PreTokenCounts.dropped`` says how many occurrences, and the listener is told.
        size: how long the texts are altogether, if that is known, for progress [bytes].

    >>> count_pre_tokens(["to be, to be"], "gpt2").to_mapping()
    {b' be': 2, b' to': 1, b',': 1, b'to': 1}

    Raises:
        TokenizerError: something is no Unicode text (named by its number), there is no text at
            all, or the pattern is invalid.
    """
    if max_memory is not None and max_memory < 1:
        raise TokenizerError(f"max_memory={max_memory}: give some bytes, or leave it out")
    facts = _Facts()
    parts = facts.read(texts, special_tokens)
    threads = thread_count(threads)
    with listener.progress("counting pre-tokens", total=size, unit="B") as progress:
        first, more = _first(parts, WORTH_LOADING if engine.kept() else WORTH_COMPILING)
        parts = chain(first, parts)
        if pattern in PUBLISHED and more:
            engine.announce(listener)
            counted, dropped = _count_by_kernels(parts, pattern, threads, max_memory, progress)
        else:
            counted, dropped = _count_by_regex(parts, pattern, max_memory, progress)
    if not facts.text_bytes:
        raise TokenizerError("the corpus is empty: no text holds a character to learn from")
    if dropped:
        listener.notice(
            f"{dropped:,} occurrences of rare pre-tokens were dropped to stay within "
            f"{max_memory or 0:,} bytes; give max_memory more, or count in parts and put the "
            "counts together"
        )
    counts = PreTokenCounts.from_arrays(
        *counted,
        pattern,
        special_tokens,
        dropped=dropped,
        texts=facts.texts,
        text_bytes=facts.text_bytes,
    )
    if long := counts.long_pre_tokens():
        listener.notice(str(long))
    return counts


def _first(parts: Iterator[bytes], size: int) -> tuple[list[bytes], bool]:
    """Take parts until they have ``size`` bytes; return them, and whether there may be more."""
    first: list[bytes] = []
    for part in parts:
        first.append(part)
        size -= len(part)
        if size < 0:
            return first, True
    return first, False


class _Facts:
    """What is known of the texts once they have been read."""

    def __init__(self) -> None:
        self.texts = 0
        self.text_bytes = 0

    def read(self, texts: Iterable[str | bytes], special_tokens: Sequence[str]) -> Iterator[bytes]:
        """Yield the parts of texts between special tokens, none of them empty."""
        if isinstance(texts, str | bytes):
            raise TokenizerError(
                "a corpus is several texts, not one: pass a list of documents, such as [text]"
            )
        names = [name.encode("utf-8") for name in special_tokens]
        special = re.compile(b"|".join(map(re.escape, names)))
        for number, text in enumerate(texts):
            content = content_of(text, f"text {number} of the corpus")
            if content:
                self.texts += 1
                self.text_bytes += len(content)
                # Looking for each name by itself takes a quarter of the time, and no copy.
                if any(name in content for name in names):
                    yield from filter(None, special.split(content))
                else:
                    yield content


_Counted = tuple[np.ndarray, np.ndarray, np.ndarray]


def _count_by_kernels(
    parts: Iterable[bytes],
    pattern: str,
    threads: int,
    max_memory: int | None,
    progress: Progress,
) -> tuple[_Counted, int]:
    """Count in threads, each with a counter of its own; put the counters together at the end."""
    from hornbook.tokenizers.engine.counter import Counter

    each = None if max_memory is None else max_memory // threads
    idle = [Counter(pattern, each) for _ in range(threads)]

    def counted(batch: list[bytes]) -> int:
        counter = idle.pop()  # atomic, as is append
        counter.add(batch)
        idle.append(counter)
        return sum(map(len, batch))

    waiting: deque[Future[int]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="hornbook-count") as pool:
        for batch in gathered(_blocks(parts), BATCH):
            waiting.append(pool.submit(counted, batch))
            if len(waiting) > threads:
                progress.advance(waiting.popleft().result())
        while waiting:
            progress.advance(waiting.popleft().result())
    whole: Counter = idle[0]
    for counter in idle[1:]:
        whole.merge(counter)
    return whole.counted(), whole.dropped


def _blocks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Cut long parts where that is safe, at about every ``BATCH`` bytes."""
    for part in parts:
        if len(part) <= 2 * BATCH:
            yield part
        else:
            yield from whole_blocks([part], safe_cut, BATCH)


def _count_by_regex(
    parts: Iterable[bytes], pattern: str, max_memory: int | None, progress: Progress
) -> tuple[_Counted, int]:
    """Count with the ``regex`` module: patterns that no kernel knows, and small texts."""
    split = splitter(pattern)
    tally: Tally[str] = Tally()
    limit = None if max_memory is None else max(max_memory // _ENTRY_BYTES, 1024)
    dropped = 0
    for part in parts:
        tally.update(split(part.decode("utf-8", "surrogateescape")))
        if limit is not None and len(tally) > limit:
            kept = Tally(dict(tally.most_common(limit // 2)))
            dropped += tally.total() - kept.total()
            tally = kept
        progress.advance(len(part))
    pre_tokens = [pre_token.encode("utf-8", "surrogateescape") for pre_token in tally]
    return (
        np.frombuffer(b"".join(pre_tokens), dtype=np.uint8),
        np.cumsum([len(pre_token) for pre_token in pre_tokens], dtype=np.int64),
        np.array(list(tally.values()), dtype=np.int64),
    ), dropped
