"""Stretches of bytes that lie end to end in one array: sorting, comparing and gathering them.

    content   t o b e o r n o t        uint8 [bytes]
    ends          2   4   6     9      int64 [stretches]

Millions of small ``bytes`` objects would take a hundred bytes each; here a stretch costs its own
bytes and eight more. The order is that of Python's ``bytes``: byte by byte, and a stretch that
ends comes before one that goes on.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Content: TypeAlias = NDArray[np.uint8]
Places: TypeAlias = NDArray[np.int64]

_WORD = 7
"""Bytes of a stretch that are compared at once; the eighth of a word says how many there were."""
_KEPT = np.array([(1 << 64) - (1 << 64 - 8 * min(n, _WORD)) for n in range(9)], dtype=np.uint64)
"""The bits of a word that belong to its stretch, by how many bytes the stretch still has."""
_LEVELS = 8
"""Stretches that agree in this many words are rare; Python compares the rest of them."""
_BLOCK = 1 << 20
"""How many bytes are gathered at once; each takes eight more while it is copied."""


def sort_stretches(content: Content, ends: Places) -> tuple[Places, NDArray[np.bool_]]:
    """Return the order that sorts stretches, and which of them are new in that order.

    A level sorts by the next seven bytes; only stretches that still agree go to the next one.

    >>> content = np.frombuffer(b"tobeorto", dtype=np.uint8)
    >>> order, new = sort_stretches(content, np.array([2, 4, 6, 8]))
    >>> order.tolist(), new.tolist()
    ([1, 2, 0, 3], [True, True, True, False])

    Args:
        content: the stretches put end to end, uint8 [bytes].
        ends: where each ends in ``content``, int64 [stretches].

    Returns:
        order: the numbers of the stretches, sorted by their bytes, int64 [stretches].
        new: whether the stretch at each place of ``order`` differs from the one before it.
    """
    eights = _eights(content)
    starts = ends - lengths_of(ends)
    key = _words(eights, starts, ends)
    order = np.argsort(key, kind="stable")
    new = _begins(key[order])
    tied = _unsettled(key[order], new)
    for level in range(1, _LEVELS):
        if not tied.size:
            return order, new
        members = order[tied]
        group = np.cumsum(new[tied])
        key = _words(eights, starts[members] + level * _WORD, ends[members])
        inner = np.lexsort((key, group))
        order[tied], key = members[inner], key[inner]
        new[tied] |= _begins(key)
        tied = tied[_unsettled(key, new[tied])]
    _sort_by_python(content, starts, ends, order, new, tied)
    return order, new


def gather(content: Content, ends: Places, order: Places) -> tuple[Content, Places]:
    """Put the stretches that ``order`` names end to end, in that order.

    >>> content = np.frombuffer(b"tobeor", dtype=np.uint8)
    >>> taken, taken_ends = gather(content, np.array([2, 4, 6]), np.array([1, 0]))
    >>> taken.tobytes(), taken_ends.tolist()
    (b'beto', [2, 4])
    """
    lengths = lengths_of(ends)[order]
    starts = ends[order] - lengths
    new_ends = np.cumsum(lengths, dtype=np.int64)
    taken = np.empty(int(new_ends[-1]) if len(new_ends) else 0, dtype=np.uint8)
    first, at = 0, 0
    while first < len(order):
        last = max(first + 1, int(np.searchsorted(new_ends, at + _BLOCK, side="right")))
        until = int(new_ends[last - 1])
        if last == first + 1:  # perhaps a very long one
            taken[at:until] = content[starts[first] : starts[first] + lengths[first]]
        else:
            moved = starts[first:last] - (new_ends[first:last] - lengths[first:last])
            taken[at:until] = content[np.arange(at, until) + np.repeat(moved, lengths[first:last])]
        first, at = last, until
    return taken, new_ends


def lengths_of(ends: Places) -> Places:
    """Return how many bytes each stretch has, int64 [stretches]."""
    return np.diff(ends, prepend=0)


def _eights(content: Content) -> NDArray[Any]:
    """Return a view that gives the eight bytes from any place on as one big-endian number."""
    padded = np.concatenate([content, np.zeros(8, dtype=np.uint8)])
    return np.ndarray(len(content) + 1, dtype=">u8", buffer=padded.data, strides=(1,))


def _words(eights: NDArray[Any], starts: Places, ends: Places) -> NDArray[np.uint64]:
    """Return the next seven bytes of each stretch and, in the last byte, how many there were.

        "tobe", and "banana's" which goes on      t o b e 0 0 0 4      b a n a n a ' 8

    Bytes past the end are zero. So of two stretches that agree so far the one that ends is
    smaller, and two that end with equal words are equal altogether.
    """
    left = np.minimum(ends - starts, _WORD + 1)
    words = eights[starts].astype(np.uint64)
    words &= _KEPT[left]
    words |= left.astype(np.uint64)
    return words


def _is_over(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    return (words & np.uint64(255)) <= _WORD


def _begins(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Tell which words differ from the one before."""
    differs = np.ones(len(words), dtype=np.bool_)
    np.not_equal(words[1:], words[:-1], out=differs[1:])
    return differs


def _unsettled(words: NDArray[np.uint64], new: NDArray[np.bool_]) -> Places:
    """Return the places whose stretch goes on and agrees so far with a neighbour."""
    next_is_new = np.append(new[1:], True)
    return np.flatnonzero(~(new & next_is_new) & ~_is_over(words))


def _sort_by_python(
    content: Content,
    starts: Places,
    ends: Places,
    order: Places,
    new: NDArray[np.bool_],
    tied: Places,
) -> None:
    """Sort the groups of stretches at the places ``tied`` of ``order``, in place."""
    view = content.data
    group = np.cumsum(new[tied]).tolist()
    members = order[tied].tolist()
    keys = [
        (number, bytes(view[starts[i] : ends[i]])) for number, i in zip(group, members, strict=True)
    ]
    inner = sorted(range(len(keys)), key=keys.__getitem__)
    order[tied] = [members[place] for place in inner]
    new[tied] = [
        place == 0 or keys[here] != keys[inner[place - 1]] for place, here in enumerate(inner)
    ]
