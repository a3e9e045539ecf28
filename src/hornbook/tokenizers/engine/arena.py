"""The arena: what does not fit into the entry of a cache. Records stand one behind the other.

    8 bytes         how many ids
    4 bytes each    the ids, to a multiple of 8
    8 bytes         for phrases: how many bytes, and the bytes behind that

Nothing is ever taken out; when it is nearly full, the caches are emptied and it begins anew.
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined
from hornbook.tokenizers.engine.machine import Int, load_i64, load_u64, store_u64
from hornbook.tokenizers.engine.workspace import ARENA, ARENA_SIZE, ARENA_USED, field, set_field


@inlined
def new_record(workspace: Int, size: Int) -> Int:
    """Return the place in the arena of a new record of some bytes, or -1 if it is full."""
    record = field(workspace, ARENA_USED)
    if record + size > field(workspace, ARENA_SIZE):
        return np.int64(-1)
    set_field(workspace, ARENA_USED, record + (size + 7) // 8 * 8)
    return record


@inlined
def store_ids(workspace: Int, record: Int, ids: Int, count: Int) -> None:
    """Fill a record with ids."""
    place = field(workspace, ARENA) + record
    store_u64(place, np.uint64(count))
    for number in range(0, count, 2):
        store_u64(place + 8 + 4 * number, load_u64(ids + 4 * number))


@inlined
def stored_ids(workspace: Int, record: Int, out: Int) -> Int:
    """Write the ids of a record; return how many."""
    place = field(workspace, ARENA) + record
    count = load_i64(place)
    for number in range(0, count, 4):
        store_u64(out + 4 * number, load_u64(place + 8 + 4 * number))
        store_u64(out + 4 * number + 8, load_u64(place + 16 + 4 * number))
    return count
