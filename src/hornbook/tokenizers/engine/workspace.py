"""The memory that encoding works in: fixed tables of one vocabulary, and caches of one thread.

Kernels see a workspace as one array of int64, whose fields are addresses and sizes:

    pairs = field(workspace, PAIRS)

``tables.Tables`` never change and are shared by all threads of a process. Each thread that encodes
takes an ``encoder.Workspace`` of its own, for its caches are written to all the time.
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined
from hornbook.tokenizers.engine.machine import Int, load_i64, store_i64

(
    PATTERN,  # which pattern cuts; see ``cutting.PATTERNS``
    CLASSES,  # uint8 [1114112]: the class of each code point
    BYTE_IDS,  # int32 [256]: the id of each byte
    BYTE_PAIRS,  # int32 [65536]: the id that two bytes make
    PAIRS,  # uint64: the hash table of pairs, (left, right, id) in 20, 20 and 22 bits
    PAIR_FILTER,  # 2^FILTER_BITS bits: 0 where no pair has this hash
    PAIR_SHIFT,  # how far a hash is shifted to become a slot of it
    JOINTS,  # uint8 [65536]: 1 where two bytes stand side by side in some token
    LEFTS,  # int32 [vocabulary]: the left of the two ids that each id is made of
    RIGHTS,  # int32 [vocabulary]: the right one
    LENGTHS,  # int32 [vocabulary]: how many bytes each id stands for
    BYTE_MASKS,  # uint64 [16, 2]: the first so many bytes of a word of 16
    WORDS,  # the cache of words, two entries a cache line
    WORD_SHIFT,  # how far a hash is shifted to become a line of it
    PHRASES,  # the cache of longer pre-tokens, 16 bytes an entry
    PHRASE_SHIFT,  # how far a hash is shifted to become an entry of it
    ARENA,  # uint8: what does not fit into an entry; see ``arena``
    ARENA_SIZE,
    ARENA_USED,
    ENDS,  # int64 [ENDS_ROOM + 8]: the ends of pre-tokens that were just cut, and room for masks
    SCRATCH,  # int32 [128]: the ids of a pre-token being merged, and what each pair makes
    HEADS,  # int32 [vocabulary]: for merge_long, the first place of each id that waits
    TAILS,  # int32 [vocabulary]: the last one
    WAITING,  # a bit for each id: whether it waits
    WAITING_WORDS,  # a bit for each 64 of those bits: whether one of them is set
    PLACE,  # how far into the text the last call came
    NEEDED,  # how much room for ids it lacked
    CHARACTERS,  # uint64 [65536]: the ids of each wide character that was asked for
    CROSSED,  # uint64 [vocabulary]: with which wide characters each id may be merged
    KEYS,  # uint64 [3, ENDS_ROOM + 8]: what words are looked for by, and where
    NARROW,  # 1 where every id fits into 16 bits
    FIELDS,
) = range(32)

ENDS_ROOM = 160
"""How many pre-tokens are cut at a time at the most, usually about 100: with more, the cache lines
that are asked for are gone again before their turn comes (768 took 3 to 5 % longer)."""


@inlined
def field(workspace: Int, number: Int) -> Int:
    """Return a field of the workspace at an address."""
    return load_i64(workspace + 8 * number)


@inlined
def set_field(workspace: Int, number: Int, value: Int) -> None:
    """Set a field of the workspace at an address."""
    store_i64(workspace + 8 * number, np.int64(value))
