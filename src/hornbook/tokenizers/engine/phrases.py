"""The cache of phrases: pre-tokens of more than 15 bytes, up to 255.

An entry is a hash and the place of a record in the arena, where the bytes stand as well. What the
cache does not know is merged; a long one is first cut at joints, where no token crosses, into parts
that the cache of words may know.
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined
from hornbook.tokenizers.engine.arena import new_record, store_ids, stored_ids
from hornbook.tokenizers.engine.ideographs import ends_in_ideograph, merge_ideographs
from hornbook.tokenizers.engine.machine import Int, load_i64, load_u8, load_u64, store_u64
from hornbook.tokenizers.engine.merging import SHORT, merge_any, merge_short
from hornbook.tokenizers.engine.segments import merge_segments
from hornbook.tokenizers.engine.words import SPREAD, SPREAD_MORE, WORD, part_ids
from hornbook.tokenizers.engine.workspace import ARENA, JOINTS, PHRASE_SHIFT, PHRASES, field

PHRASE = 255
"""The longest that the cache of phrases holds [bytes]."""
TRIES = 4
"""In how many entries a phrase may stand."""


@inlined
def phrase_ids(workspace: Int, text: Int, size: Int, readable: Int, out: Int) -> Int:
    """Write the ids of a pre-token of more than ``WORD`` bytes; return how many."""
    if size > PHRASE:
        return parts_ids(workspace, text, size, readable, out)
    hashed = phrase_hash(text, size) | np.uint64(1)  # 0 marks an empty entry
    slot = np.int64((hashed * SPREAD) >> np.uint64(field(workspace, PHRASE_SHIFT)))
    home = field(workspace, PHRASES) + 16 * slot
    entry = home
    for _ in range(TRIES):
        found = load_u64(entry)
        if found == hashed:
            record = load_i64(entry + 8)
            if same_phrase(workspace, record, text, size):
                return stored_ids(workspace, record, out)
        if found == np.uint64(0):
            break
        entry += 16
    else:
        entry = home
    if ends_in_ideograph(text, size):
        count = merge_ideographs(workspace, text, size, out)
    elif size <= SHORT:
        count = merge_short(workspace, text, size, out)
    else:
        count = parts_ids(workspace, text, size, readable, out)
    ids_end = 8 + (4 * count + 7) // 8 * 8
    record = new_record(workspace, ids_end + 8 + size)
    if record >= 0:
        store_ids(workspace, record, out, count)
        place = field(workspace, ARENA) + record + ids_end
        store_u64(place, np.uint64(size))
        for number in range(0, size - 7, 8):
            store_u64(place + 8 + number, load_u64(text + number))
        store_u64(place + size, load_u64(text + size - 8))
        store_u64(entry + 8, np.uint64(record))
        store_u64(entry, hashed)
    return count


@inlined
def phrase_hash(text: Int, size: Int) -> np.uint64:
    """Return a hash of 8 bytes or more."""
    hashed = np.uint64(size)
    for place in range(0, size - 7, 8):
        hashed = (hashed ^ load_u64(text + place)) * SPREAD
        hashed ^= hashed >> np.uint64(32)
    hashed = (hashed ^ load_u64(text + size - 8)) * SPREAD_MORE
    return hashed ^ hashed >> np.uint64(32)


@inlined
def same_phrase(workspace: Int, record: Int, text: Int, size: Int) -> bool:
    """Whether a record is that of these bytes; two phrases may have one hash."""
    place = field(workspace, ARENA) + record
    place += 8 + (4 * load_i64(place) + 7) // 8 * 8
    if load_i64(place) != size:
        return False
    place += 8
    for number in range(0, size - 7, 8):
        if load_u64(place + number) != load_u64(text + number):
            return False
    return load_u64(place + size - 8) == load_u64(text + size - 8)


@inlined
def parts_ids(workspace: Int, text: Int, size: Int, readable: Int, out: Int) -> Int:
    """Cut a pre-token where no token crosses, encode the parts, and return how many ids."""
    joints = field(workspace, JOINTS)
    begin, to = np.int64(0), out
    byte = np.int64(load_u8(text))
    for place in range(1, size + 1):
        joined = np.uint8(0)
        if place < size:
            following = np.int64(load_u8(text + place))
            joined = load_u8(joints + (byte << 8 | following))
            byte = following
        if joined == 0:
            length = place - begin
            if length <= WORD:
                to += 4 * part_ids(workspace, text + begin, length, readable - begin, to)
            elif length <= SHORT:
                to += 4 * merge_any(workspace, text + begin, length, to)
            else:
                to += 4 * merge_segments(workspace, text + begin, length, to)
            begin = place
    return (to - out) >> 2
