"""From text to ids, from cache hit to merge.

    cut             the ends of the next pre-tokens, a few hundred at a time
    make_keys       what each of up to 15 bytes is looked for by, and where
    encode          most often found there
    word_ids        or in the other half of that cache line, or to be merged
    phrase_ids      a longer one: the cache of phrases, or cut at joints into words
    merging         what no cache knows

An entry of the cache of words is half a cache line:

    8 bytes     the first 8 bytes of the word, padded with zeros
    7 bytes     the other bytes
    1 byte      how many bytes the word has (low half), how many ids (high half)
    16 bytes    up to eight ids in 16 bits, or four in 32 where the vocabulary is larger than
                65,536; or the place of more in the arena (count 15)

so a hit is two comparisons, and as many ids are stored as there is room for: the next word
overwrites what was too much. A word may stand in either half of one cache line, and what was
asked for last stands in the first half. Nothing depends on what a cache holds but time.

What it brought, on English books under GPT-2's vocabulary, one core at 2.5 GHz: looking up word
after word, 260 MB/s; making the keys of some hundred words first, and asking for their cache
lines, 360. A small table of frequent words in front was a loss (220 where this had 300): leaving
the usual way costs the processor more than a slow answer.
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined, kernel
from hornbook.tokenizers.engine.cutting import cut
from hornbook.tokenizers.engine.machine import (
    Int,
    load_i64,
    load_u8,
    load_u32,
    load_u64,
    prefetch,
    store_i64,
    store_u16,
    store_u64,
    widen_8,
)
from hornbook.tokenizers.engine.merging import SHORT, merge_any, merge_short
from hornbook.tokenizers.engine.segments import merge_segments
from hornbook.tokenizers.engine.workspace import (
    ARENA,
    ARENA_SIZE,
    ARENA_USED,
    BYTE_MASKS,
    CLASSES,
    ENDS,
    ENDS_ROOM,
    JOINTS,
    KEYS,
    NARROW,
    NEEDED,
    PATTERN,
    PHRASE_SHIFT,
    PHRASES,
    PLACE,
    WORD_SHIFT,
    WORDS,
    field,
    set_field,
)

SPARE = 8
"""How many ids more than there are may be written over."""
WORD = 15
"""The longest pre-token that the cache of words holds [bytes]."""
PHRASE = 255
"""The longest that the cache of phrases holds [bytes]."""
TRIES = 4
"""In how many entries a phrase may stand."""
LINE = 64
"""How many bytes a cache line has: two entries."""
KEY = 24
"""How many bytes the key of a word takes: those of an entry, and the entry's address."""
ELSEWHERE = 15
ELSEWHERE_FROM = np.uint64(ELSEWHERE << 60)

_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_SPREAD_MORE = np.uint64(0xC2B2AE3D27D4EB4F)


@kernel
def encode(workspace: Int, text: Int, start: Int, end: Int, out: Int, room: Int) -> Int:
    """Encode a text from ``start`` on; return how many ids were written, and set ``PLACE``.

    Comes back early when the ids may not find room any more, or the arena is nearly full;
    ``PLACE`` says how far it came, and ``NEEDED`` how much room the next step needs.

    Args:
        workspace: address of a workspace.
        text: address of the text.
        start: where a pre-token begins.
        end: where the text ends.
        out: address of uint32 [room], which takes the ids.
        room: a pre-token needs room for one id a byte, and ``SPARE`` more behind.
    """
    pattern, classes, ends = (
        field(workspace, PATTERN),
        field(workspace, CLASSES),
        field(workspace, ENDS),
    )
    keys, words = field(workspace, KEYS), field(workspace, WORDS)
    narrow = field(workspace, NARROW) != 0
    arena_limit = field(workspace, ARENA_SIZE) * 7 // 8
    place, to = start, out
    while place < end:
        count = cut(pattern, text, place, end, classes, ends, ENDS_ROOM)
        needed = load_i64(ends + 8 * (count - 1)) - place + SPARE
        if (to - out >> 2) + needed > room or field(workspace, ARENA_USED) > arena_limit:
            set_field(workspace, NEEDED, needed)
            break
        make_keys(workspace, text, place, end, count)
        for number in range(count):
            stop = load_i64(ends + 8 * number)
            key = keys + KEY * number
            entry = load_i64(key + 16)
            found = load_u64(entry + 8)
            # The first entry of ``word_ids``, here once more: a call costs as much as a hit.
            usual = load_u64(entry) == load_u64(key) and is_word(found, load_u64(key + 8))
            if usual and found < ELSEWHERE_FROM:
                if narrow:
                    widen_8(entry + 16, to)
                else:
                    store_u64(to, load_u64(entry + 16))
                    store_u64(to + 8, load_u64(entry + 24))
                to += np.int64(found >> np.uint64(60)) << 2
            elif entry != words:
                to += 4 * word_ids(workspace, text + place, stop - place, key, to)
            else:
                to += 4 * phrase_ids(workspace, text + place, stop - place, end - place, to)
            place = stop
    set_field(workspace, PLACE, place)
    return (to - out) >> 2


@inlined
def make_keys(workspace: Int, text: Int, place: Int, end: Int, count: Int) -> None:
    """Write the key of each pre-token, and ask for the cache line where it may stand.

    A key is the 16 bytes of an entry, and the entry's address. A pre-token that is too long has
    the key 0 and the address of the whole cache, where nothing ever stands.
    """
    ends, masks = field(workspace, ENDS), field(workspace, BYTE_MASKS)
    words, shift = field(workspace, WORDS), np.uint64(field(workspace, WORD_SHIFT))
    key = field(workspace, KEYS)
    for number in range(count):
        stop = load_i64(ends + 8 * number)
        size = stop - place
        if size <= WORD:
            if place + 16 <= end:
                low = load_u64(text + place) & load_u64(masks + 16 * size)
                high = load_u64(text + place + 8) & load_u64(masks + 16 * size + 8)
                high |= np.uint64(size) << np.uint64(56)
            else:
                low, high = last_bytes(text + place, size)
            entry = words + LINE * (np.int64(mixed(low, high) >> shift) + 1)
            prefetch(entry)
            store_u64(key, low)
            store_u64(key + 8, high)
            store_i64(key + 16, entry)
        else:
            store_u64(key, np.uint64(0))
            store_u64(key + 8, np.uint64(0xFFFF))
            store_i64(key + 16, words)
        key += KEY
        place = stop


@inlined
def last_bytes(text: Int, size: Int) -> tuple[np.uint64, np.uint64]:
    """Return a word behind which no 16 bytes may be read, as the first half of its entry."""
    low, high = np.uint64(0), np.uint64(size) << np.uint64(56)
    for place in range(size):
        byte = np.uint64(load_u8(text + place)) << np.uint64(8 * (place & 7))
        if place < 8:
            low |= byte
        else:
            high |= byte
    return low, high


@inlined
def mixed(low: np.uint64, high: np.uint64) -> np.uint64:
    """Return a hash of a word, good in its highest bits."""
    return low * _SPREAD + high * _SPREAD_MORE


@inlined
def is_word(found: np.uint64, high: np.uint64) -> bool:
    """Whether the second half of an entry's key is this word's; the count of ids is left out."""
    return (found ^ high) << np.uint64(4) == np.uint64(0)


@inlined
def word_ids(workspace: Int, text: Int, size: Int, key: Int, out: Int) -> Int:
    """Write the ids of a word of 1 to ``WORD`` bytes, whose key was made; return how many."""
    low, high, entry = load_u64(key), load_u64(key + 8), load_i64(key + 16)
    found = load_u64(entry + 8)
    if load_u64(entry) == low and is_word(found, high):
        return entry_ids(workspace, entry, out)
    if found != np.uint64(0):
        swap_halves(entry)
        found = load_u64(entry + 8)
        if load_u64(entry) == low and is_word(found, high):
            return entry_ids(workspace, entry, out)
    count = merge_any(workspace, text, size, out)
    remember_word(workspace, entry, low, high, out, count)
    return count


@inlined
def entry_ids(workspace: Int, entry: Int, out: Int) -> Int:
    """Write the ids of an entry; return how many."""
    found = load_u64(entry + 8)
    if found >= ELSEWHERE_FROM:
        return stored_ids(workspace, load_i64(entry + 16), out)
    if field(workspace, NARROW):
        widen_8(entry + 16, out)
    else:
        store_u64(out, load_u64(entry + 16))
        store_u64(out + 8, load_u64(entry + 24))
    return np.int64(found >> np.uint64(60))


@inlined
def swap_halves(line: Int) -> None:
    """Exchange the two entries of a cache line."""
    for place in range(0, LINE // 2, 8):
        first = load_u64(line + place)
        store_u64(line + place, load_u64(line + LINE // 2 + place))
        store_u64(line + LINE // 2 + place, first)


@inlined
def remember_word(
    workspace: Int, entry: Int, low: np.uint64, high: np.uint64, ids: Int, count: Int
) -> None:
    """Write a word and its ids into an entry."""
    if field(workspace, NARROW) and count <= 8:
        for number in range(count):
            store_u16(entry + 16 + 2 * number, np.uint16(load_u32(ids + 4 * number)))
    elif count <= 4:
        store_u64(entry + 16, load_u64(ids))
        store_u64(entry + 24, load_u64(ids + 8))
    else:
        record = new_record(workspace, 8 + 4 * count)
        if record < 0:
            store_u64(entry + 8, np.uint64(0))
            return
        store_ids(workspace, record, ids, count)
        store_u64(entry + 16, np.uint64(record))
        count = ELSEWHERE
    store_u64(entry, low)
    store_u64(entry + 8, high | np.uint64(count) << np.uint64(60))


# The arena: records of a count and as many ids, and for phrases their bytes behind them.


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


@inlined
def phrase_ids(workspace: Int, text: Int, size: Int, readable: Int, out: Int) -> Int:
    """Write the ids of a pre-token of more than ``WORD`` bytes; return how many."""
    if size > PHRASE:
        return parts_ids(workspace, text, size, readable, out)
    hashed = phrase_hash(text, size) | np.uint64(1)  # 0 marks an empty entry
    slot = np.int64((hashed * _SPREAD) >> np.uint64(field(workspace, PHRASE_SHIFT)))
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
    if size <= SHORT:
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
        hashed = (hashed ^ load_u64(text + place)) * _SPREAD
        hashed ^= hashed >> np.uint64(32)
    hashed = (hashed ^ load_u64(text + size - 8)) * _SPREAD_MORE
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
def part_ids(workspace: Int, text: Int, size: Int, readable: Int, out: Int) -> Int:
    """Write the ids of a part of up to ``WORD`` bytes; return how many."""
    masks, key = field(workspace, BYTE_MASKS), field(workspace, KEYS) + KEY * ENDS_ROOM
    if readable >= 16:
        low = load_u64(text) & load_u64(masks + 16 * size)
        high = load_u64(text + 8) & load_u64(masks + 16 * size + 8)
        high |= np.uint64(size) << np.uint64(56)
    else:
        low, high = last_bytes(text, size)
    slot = np.int64(mixed(low, high) >> np.uint64(field(workspace, WORD_SHIFT)))
    store_u64(key, low)
    store_u64(key + 8, high)
    store_i64(key + 16, field(workspace, WORDS) + LINE * (slot + 1))
    return word_ids(workspace, text, size, key, out)


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


@kernel
def fill_words(workspace: Int, content: Int, ends: np.ndarray, out: Int) -> None:
    """Encode every token of up to ``WORD`` bytes, so that the cache knows the vocabulary."""
    place = np.int64(0)
    for number in range(len(ends)):
        size = ends[number] - place
        if 0 < size <= WORD:
            part_ids(workspace, content + place, size, 16, out)
        place = ends[number]
