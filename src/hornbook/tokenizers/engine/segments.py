"""Merging what is longer than a row of 64 bytes, segment by segment.

A long pre-token goes through in segments of 64 bytes, so that most is merged in rows. That
is exact, for ids are what merging gives if and only if every two neighbours are: encoded
together, they stay what they are. (Take the first merge that would cross a border between two
neighbours. Until then both were merged as if they were alone, so it would cross it there too.)

What stands near the end of a segment hangs on what follows, so it is dropped, and the next segment
begins before it. Where the last id of one segment and the first of the next are no neighbours all
the same, a stretch around the border is merged again, and a longer one until it fits on both
sides; where that takes long stretches, the next segments are longer too. (With borders at fixed
places, a run of letters behind another letter went at 15 MB/s: each segment began in the middle of
a pair. Now it goes at 42; random digits went from 23 to 28.)
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined
from hornbook.tokenizers.engine.machine import (
    Int,
    load_i32,
    load_u32,
    store_u32,
)
from hornbook.tokenizers.engine.merging import SHORT, merge_any
from hornbook.tokenizers.engine.pairs import NONE, merged_pair
from hornbook.tokenizers.engine.workspace import (
    LEFTS,
    LENGTHS,
    RIGHTS,
    field,
)

SEGMENT = 2048
"""The longest segment [bytes]; so much is merged within the processor's cache."""

NEAR = 16
"""How much is dropped at a segment's end, and merged again first around a border [bytes]."""


@inlined
def are_neighbours(workspace: Int, left: Int, right: Int) -> bool:
    """Whether two ids that their own bytes are merged to stay what they are side by side.

    Going back in time, the later of the two is taken apart: what it was made of stood at the
    border before. If those that stood there together make an id, earlier than the one was made
    that took them apart, they were merged across it. Of two merges of one kind the left comes
    first, so on the left "earlier" does not include "at the same time".
    """
    lefts, rights = field(workspace, LEFTS), field(workspace, RIGHTS)
    before = NONE
    while merged_pair(workspace, left, right) >= before:
        if left < 256 and right < 256:
            return True
        if left > right:
            before = left
            left = np.int64(load_i32(rights + 4 * left))
        else:
            before = right + 1
            right = np.int64(load_i32(lefts + 4 * right))
    return False


@inlined
def length_of(workspace: Int, ids: Int, number: Int) -> Int:
    """Return how many bytes the id under a number stands for."""
    token = np.int64(load_u32(ids + 4 * number))
    return np.int64(load_i32(field(workspace, LENGTHS) + 4 * token))


@inlined
def merge_segments(workspace: Int, text: Int, size: Int, out: Int) -> Int:
    """Merge a stretch of more than ``SHORT`` bytes; write their ids and return how many."""
    count, border = np.int64(0), np.int64(0)
    usual = np.int64(SHORT)
    while border < size:
        begin = border
        length = min(usual, size - border)
        segment = out + 4 * count
        added = merge_any(workspace, text + border, length, segment)
        if count > 0:
            last, first = np.int64(load_u32(segment - 4)), np.int64(load_u32(segment))
            if not are_neighbours(workspace, last, first):
                count, added, reach = joined_anew(
                    workspace, text, border, length, out, count, added
                )
                if reach >= usual:
                    usual = min(np.int64(SEGMENT), 2 * usual)
        border += length
        if border < size:
            certain, stop = added, border
            while certain > 0 and stop > border - NEAR:
                certain -= 1
                stop -= length_of(workspace, out, count + certain)
            # Ids joined anew may reach from before this segment to its end: then all of it stays.
            if certain > 0 and stop > begin:
                added, border = certain, stop
        count += added
    return count


@inlined
def joined_anew(
    workspace: Int, text: Int, border: Int, length: Int, out: Int, count: Int, added: Int
) -> tuple[Int, Int, Int]:
    """Merge again around the border of two segments.

    Returns how many ids stand, how many more behind them, and how far this reached [bytes].

    Args:
        border: where the second segment begins, of ``length`` bytes.
        count: how many ids stand before it at ``out``, and ``added`` behind them.
    """
    reach = np.int64(NEAR)
    while True:
        kept, start = count, border
        while kept > 0 and start > border - reach:
            kept -= 1
            start -= length_of(workspace, out, kept)
        dropped, stop = np.int64(0), border
        while dropped < added and stop < border + reach:
            stop += length_of(workspace, out, count + dropped)
            dropped += 1
        anew = np.empty(stop - start + 4, dtype=np.uint32)
        found = merge_any(workspace, text + start, stop - start, np.int64(anew.ctypes.data))
        fits = True
        if kept > 0:
            before = np.int64(load_u32(out + 4 * (kept - 1)))
            fits = are_neighbours(workspace, before, np.int64(anew[0]))
        if fits and dropped < added:
            after = np.int64(load_u32(out + 4 * (count + dropped)))
            fits = are_neighbours(workspace, np.int64(anew[found - 1]), after)
        if fits:
            break
        reach *= 2
    # The rest of the segment moves to behind what was merged anew.
    rest = added - dropped
    to, source = out + 4 * (kept + found), out + 4 * (count + dropped)
    if to < source:
        for number in range(rest):
            store_u32(to + 4 * number, load_u32(source + 4 * number))
    elif to > source:
        for number in range(rest - 1, -1, -1):
            store_u32(to + 4 * number, load_u32(source + 4 * number))
    for number in range(found):
        store_u32(out + 4 * (kept + number), anew[number])
    return kept, found + rest, reach
