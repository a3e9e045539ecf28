"""From text to ids: pre-tokens are cut, looked up in a cache, or merged.

    cut             the ends of the next pre-tokens, a hundred or so at a time
    make_keys       what each of up to 15 bytes is looked for by, and where
    encode          most often found there
    word_ids        or in the other half of that cache line, or to be merged
    phrase_ids      a longer one: the cache of phrases, or cut at joints into words
    merging         what no cache knows (Chinese: ``ideographs``)

What they read and write stands in a ``workspace``.
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import kernel
from hornbook.tokenizers.engine.cutting import cut
from hornbook.tokenizers.engine.machine import Int, load_i64, load_u64, store_u64, widen_8
from hornbook.tokenizers.engine.phrases import phrase_ids
from hornbook.tokenizers.engine.words import (
    ELSEWHERE_FROM,
    KEYS_APART,
    WORD,
    is_word,
    make_keys,
    part_ids,
    word_ids,
)
from hornbook.tokenizers.engine.workspace import (
    ARENA_SIZE,
    ARENA_USED,
    CLASSES,
    ENDS,
    ENDS_ROOM,
    KEYS,
    NARROW,
    NEEDED,
    PATTERN,
    PLACE,
    WORDS,
    field,
    set_field,
)

SPARE = 8
"""How many ids more than there are may be written over."""


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
            key = keys + 8 * number
            entry = load_i64(key + 2 * KEYS_APART)
            found = load_u64(entry + 8)
            # The first entry of ``word_ids``, here once more: a call costs as much as a hit.
            usual = load_u64(entry) == load_u64(key) and is_word(found, load_u64(key + KEYS_APART))
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


@kernel
def fill_words(workspace: Int, content: Int, ends: np.ndarray, out: Int) -> None:
    """Encode every token of up to ``WORD`` bytes, so that the cache knows the vocabulary."""
    place = np.int64(0)
    for number in range(len(ends)):
        size = ends[number] - place
        if 0 < size <= WORD:
            part_ids(workspace, content + place, size, 16, out)
        place = ends[number]
