"""Learning merges with kernels: the arrays they work in, and a person who may watch and stop.

The kernels never allocate. They come back when an array is full, or every so many merges, so
that progress can be told and Ctrl-C is heard.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hornbook.errors import TokenizerError
from hornbook.listener import SILENT, Listener
from hornbook.tokenizers.engine import learning
from hornbook.tokenizers.engine.learning import Training

MERGES_AT_ONCE = 512
"""Between two looks at the clock and the keyboard; the first merges are slower."""
MERGES_AT_FIRST = 16

CELLS = 1 << 31
"""How many bytes all different pre-tokens may have together."""


def learn_merges(
    content: NDArray[np.uint8],
    ends: NDArray[np.int64],
    counts: NDArray[np.int64],
    merge_count: int,
    min_frequency: int = 2,
    *,
    stopped: Callable[[NDArray[np.int32]], None] = lambda merges: None,
    listener: Listener = SILENT,
) -> NDArray[np.int32]:
    """Learn merges from counted pre-tokens, as ``bpe_reference.learn_merges``.

    Args:
        content: all different pre-tokens, end to end, uint8 [bytes].
        ends: where each ends, int64 [pre-tokens].
        counts: how often each occurs, int64 [pre-tokens].
        merge_count: how many merges to learn at the most.
        min_frequency: how often two tokens must stand side by side to be merged.
        stopped: given the merges so far when Ctrl-C comes; the interrupt goes on after that.

    Returns:
        the merges in their order, int32 [merges, 2]; fewer where no pair is frequent enough.

    Raises:
        TokenizerError: the different pre-tokens have more bytes than a training can hold.
    """
    if len(content) + len(ends) >= CELLS:
        raise TokenizerError(
            f"the different pre-tokens have {len(content):,} bytes together, and training takes "
            f"up to {CELLS:,}: cut the text into smaller pre-tokens with another pattern, or give "
            "max_memory, which forgets the rarest"
        )
    training = _laid_out(content, ends, counts, merge_count, min_frequency)
    block = learning.addresses(training)
    done, goes_on = 0, True
    try:
        with listener.progress("merging", total=merge_count, unit="merges") as progress:
            while goes_on and done < merge_count:
                step = MERGES_AT_FIRST if done < MERGES_AT_ONCE else MERGES_AT_ONCE
                wanted = min(done + step, merge_count)
                goes_on = learning.learn(block, wanted, min_frequency)
                learned = int(training.sizes[learning.MERGES])
                progress.advance(learned - done)
                if goes_on and learned < wanted:
                    training = _with_room(training)
                    block = learning.addresses(training)
                done = learned
    except KeyboardInterrupt:
        stopped(training.merges[: training.sizes[learning.MERGES]].copy())
        raise
    return training.merges[:done].copy()


def _laid_out(
    content: NDArray[np.uint8],
    ends: NDArray[np.int64],
    counts: NDArray[np.int64],
    merge_count: int,
    min_frequency: int,
) -> Training:
    """Return the state before the first merge."""
    room = len(content) + len(ends) + 1
    ids, begins, word_of = (np.empty(room, dtype=np.int32) for _ in range(3))
    cells = learning.lay_out(content, ends, ids, begins, word_of)
    ids[cells:] = begins[cells:] = learning.NO_TOKEN
    tokens = 256 + merge_count
    token_begins = np.zeros(tokens + 1, dtype=np.int64)
    token_begins[:257] = np.arange(257)
    token_bytes = np.zeros(16 * tokens, dtype=np.uint8)
    token_bytes[:256] = np.arange(256)
    token_prefixes = np.zeros(tokens, dtype=np.uint64)
    token_prefixes[:256] = np.arange(256, dtype=np.uint64) << np.uint64(56)
    pairs = max(1 << 16, 4 * tokens)
    training = Training(
        ids=ids,
        begins=begins,
        word_of=word_of,
        counts=counts,
        merges=np.empty((merge_count, 2), dtype=np.int32),
        token_begins=token_begins,
        token_bytes=token_bytes,
        token_prefixes=token_prefixes,
        pair_table=_empty_table(pairs),
        pair_tokens=np.empty((pairs, 2), dtype=np.int32),
        pair_counts=np.empty(pairs, dtype=np.int64),
        pair_places=np.empty((pairs, 2), dtype=np.int64),
        places=np.empty(2 * cells + 1024, dtype=np.int32),
        heap=np.empty(pairs, dtype=np.int32),
        heap_counts=np.empty(pairs, dtype=np.int64),
        born_counts=np.zeros((2, tokens), dtype=np.int64),
        born_places=np.zeros((2, tokens), dtype=np.int32),
        born_pairs=np.full((2, tokens), learning.UNTOUCHED, dtype=np.int32),
        touched=np.empty((2, tokens), dtype=np.int32),
        sizes=np.zeros(8, dtype=np.int64),
    )
    training.sizes[learning.BYTES_USED] = 256
    pair_counts, pair_places = (np.zeros(1 << 16, dtype=np.int64) for _ in range(2))
    block = learning.addresses(training)
    learning.count_byte_pairs(block, cells, pair_counts, pair_places)
    learning.add_byte_pairs(block, cells, pair_counts, pair_places, min_frequency)
    return training


def _with_room(training: Training) -> Training:
    """Return the same state with more room in every array that is nearly full."""
    sizes = training.sizes
    best = int(training.heap[0])
    places = int(training.pair_places[best, 1] - training.pair_places[best, 0])
    born = 2 * min(places, int(sizes[learning.MERGES]) + 257)
    pairs = int(sizes[learning.PAIRS_USED]) + born
    if pairs > len(training.pair_counts):
        room = 2 * pairs
        table = _empty_table(room)
        learning.enter_all(table, training.pair_tokens, int(sizes[learning.PAIRS_USED]))
        training = training._replace(
            pair_table=table,
            pair_tokens=_grown(training.pair_tokens, room),
            pair_counts=_grown(training.pair_counts, room),
            pair_places=_grown(training.pair_places, room),
        )
    waiting = int(sizes[learning.HEAP_USED]) + born + 1
    if waiting > len(training.heap):
        training = training._replace(
            heap=_grown(training.heap, 2 * waiting),
            heap_counts=_grown(training.heap_counts, 2 * waiting),
        )
    needed = int(sizes[learning.PLACES_USED]) + 2 * places
    if needed > len(training.places):
        training = training._replace(places=_grown(training.places, needed * 3 // 2))
    left, right = training.pair_tokens[best]
    begins = training.token_begins
    size = int(begins[left + 1] - begins[left] + begins[right + 1] - begins[right])
    if sizes[learning.BYTES_USED] + size > len(training.token_bytes):
        room = 2 * (int(sizes[learning.BYTES_USED]) + size)
        training = training._replace(token_bytes=_grown(training.token_bytes, room))
    return training


def _empty_table(pairs: int) -> NDArray[np.int32]:
    """Return an empty hash table that a number of pairs fills to a half at the most."""
    return np.full(1 << (2 * pairs - 1).bit_length(), learning.NO_PAIR, dtype=np.int32)


def _grown(array: NDArray, length: int) -> NDArray:
    """Return an array with the same content and room for more."""
    grown = np.zeros((length, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown
