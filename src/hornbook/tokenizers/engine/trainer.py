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
from hornbook.tokenizers.bpe_reference import MOST_BYTES
from hornbook.tokenizers.engine import learning, training_state
from hornbook.tokenizers.engine.machine import address_of
from hornbook.tokenizers.engine.training_state import Training, connected

MERGES_AT_FIRST, MERGES_AT_ONCE = 16, 512
"""Between two looks at the clock and the keyboard; the first merges are slower."""

MOST_CELLS = 1 << 31
"""How many cells the pre-tokens may take, one a byte and one more each: a place is an int32."""


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
        TokenizerError: the different pre-tokens have more bytes than a training can hold, or the
            tokens more than a vocabulary.
    """
    if len(content) + len(ends) >= MOST_CELLS:
        raise TokenizerError(
            f"the different pre-tokens have {len(content):,} bytes together, and training takes "
            f"up to {MOST_CELLS:,}: cut the text into smaller pre-tokens with another pattern, or "
            "give max_memory, which forgets the rarest"
        )
    # Each merge makes one token less somewhere; memory is not taken for more than there can be.
    merge_count = min(merge_count, len(content) - len(ends))
    training = _laid_out(content, ends, counts, merge_count, min_frequency)
    fields = training.fields
    done, goes_on = 0, True
    try:
        with listener.progress("merging", total=merge_count, unit="merges") as progress:
            while goes_on and done < merge_count:
                step = MERGES_AT_FIRST if done < MERGES_AT_ONCE else MERGES_AT_ONCE
                wanted = min(done + step, merge_count)
                best = int(learning.learn(address_of(fields), wanted, min_frequency))
                learned = int(fields[training_state.MERGED])
                progress.advance(learned - done)
                done = learned
                if best >= 0:
                    training = _with_room(training, best)
                else:
                    goes_on = learned == wanted
    except KeyboardInterrupt:
        stopped(training.merges[: fields[training_state.MERGED]].copy())
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
    tokens = 256 + merge_count
    token_ends = np.zeros(1 + tokens, dtype=np.int64)
    token_ends[:257] = np.arange(257)
    token_bytes = np.zeros(16 * tokens, dtype=np.uint8)
    token_bytes[:256] = np.arange(256)
    token_prefixes = np.zeros(tokens, dtype=np.uint64)
    token_prefixes[:256] = np.arange(256, dtype=np.uint64) << np.uint64(56)
    pairs = max(1 << 16, 4 * tokens)
    training = connected(
        Training(
            cells=np.empty(len(content) + len(ends) + 1, dtype=np.int32),
            counts=counts,
            merges=np.empty((merge_count, 2), dtype=np.int32),
            token_ends=token_ends,
            token_bytes=token_bytes,
            token_prefixes=token_prefixes,
            pair_table=_empty_table(pairs),
            pairs=np.empty((pairs, 2), dtype=np.int64),
            pair_places=np.empty((pairs, 2), dtype=np.int64),
            places=np.empty((2 * len(content) + 1024, 2), dtype=np.int32),
            queue=np.empty((pairs, 2), dtype=np.int64),
            neighbours=np.empty((0, 4), dtype=np.int32),
            born=np.zeros((tokens, 4), dtype=np.int64),
            touched=np.empty((tokens, 2), dtype=np.int32),
            fields=np.zeros(training_state.FIELDS, dtype=np.int64),
        )
    )
    training.fields[training_state.BYTES_USED] = 256
    pair_counts, pair_places = (np.zeros(1 << 16, dtype=np.int64) for _ in range(2))
    state = address_of(training.fields)
    learning.lay_out(state, content, ends, pair_counts, pair_places)
    # A pair that is born later has no more places than the one in whose merge it is born.
    most = int(pair_places.max())
    learning.add_byte_pairs(state, content, ends, pair_counts, pair_places, min_frequency)
    return connected(training._replace(neighbours=np.empty((most, 4), dtype=np.int32)))


def _with_room(training: Training, best: int) -> Training:
    """Return the same state with room in every array for what the merge of a pair may add."""
    fields = training.fields
    places = int(np.diff(training.pair_places[best])[0])
    born = 2 * min(places, int(fields[training_state.MERGED]) + 257)
    pairs = int(fields[training_state.PAIRS_USED]) + born
    if pairs > len(training.pairs):
        room = 2 * pairs
        training = training._replace(
            pair_table=_empty_table(room),
            pairs=_grown(training.pairs, room),
            pair_places=_grown(training.pair_places, room),
            queue=_grown(training.queue, room),
        )
        connected(training)
        learning.enter_all(address_of(fields))
    needed = int(fields[training_state.PLACES_USED]) + 2 * places
    if needed > len(training.places):
        training = training._replace(places=_grown(training.places, needed * 3 // 2))
    tokens = divmod(int(training.pairs[best, 0]), 1 << 32)
    needed = int(fields[training_state.BYTES_USED])
    needed += sum(int(np.diff(training.token_ends[token : token + 2])[0]) for token in tokens)
    if needed > MOST_BYTES:
        raise TokenizerError(
            f"after {int(fields[training_state.MERGED]):,} merges the tokens have {needed:,} bytes "
            f"together, and a vocabulary may have {MOST_BYTES:,}: the next ones are whole "
            "documents. Learn fewer entries, give a greater min_frequency, or cut the text into "
            "smaller pre-tokens with another pattern"
        )
    if needed > len(training.token_bytes):
        room = min(2 * needed, MOST_BYTES)
        training = training._replace(token_bytes=_grown(training.token_bytes, room))
    return connected(training)


def _empty_table(pairs: int) -> NDArray[np.int32]:
    """Return an empty hash table that a number of pairs fills to a half at the most."""
    return np.full(1 << (2 * pairs - 1).bit_length(), training_state.NOTHING, dtype=np.int32)


def _grown(array: NDArray, length: int) -> NDArray:
    """Return an array with the same content and room for more."""
    grown = np.zeros((length, *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown
