"""Byte pair encoding as one would write it on paper: the reference every faster engine equals.

Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units"; on bytes
instead of characters, as Radford et al. 2019. Training counts which two neighbours stand side
by side most often, makes them one token, and begins again:

    >>> merges = learn_merges({b"hug": 10, b"pug": 5, b"hugs": 5}, merge_count=3)
    >>> merges
    [(117, 103), (104, 256), (112, 256)]

These are u+g (which becomes 256), h+ug (257), p+ug. Encoding replays the merges in their order:

    >>> encode_word(b"hugs", {pair: 256 + i for i, pair in enumerate(merges)})
    [257, 115]

Two tokens never get the same bytes in training. What happens inside a stretch of text that no
merge has crossed depends on that stretch alone, even in runs such as ``aaaa``: a merge goes from
left to right, so if it left the stretch's left edge alone it counts from there. Two stretches
of equal bytes are therefore cut alike at every step, and their last merge is the same one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import TypeAlias

from hornbook.listener import SILENT, Listener
from hornbook.tokenizers.patterns import Split
from hornbook.tokenizers.text import corpus_texts

Pair: TypeAlias = tuple[int, int]
"""Two token ids that stand side by side."""

MOST_BYTES = 1 << 30
"""How many bytes all tokens may have together. Forty merges, each of the last token with itself,
would make one of a terabyte; the 200,019 of o200k have 1.4 million."""

Candidate: TypeAlias = tuple[int, str, str, Pair]
"""A pair in the order in which pairs are merged; see ``candidate``."""


# Phase 1: count the pre-tokens. A text of a million words has few different ones.


def count_pre_tokens(
    texts: Iterable[str], split: Split, listener: Listener = SILENT
) -> dict[bytes, int]:
    """Return how often each pre-token occurs in the texts, which are read once.

    >>> count_pre_tokens(["to be or not to be"], str.split)
    {b'to': 2, b'be': 2, b'or': 1, b'not': 1}

    Raises:
        TokenizerError: a text is no Unicode text (names which, and the position in it), or all
            texts are empty.
    """
    counts: Counter[str] = Counter()
    for text in corpus_texts(texts, "counting pre-tokens", listener):
        counts.update(split(text))
    return {pre_token.encode("utf-8"): count for pre_token, count in counts.items()}


# Phases 2 to 4: count the pairs, merge the best one, and again.


def learn_merges(
    pre_tokens: Mapping[bytes, int],
    merge_count: int,
    min_frequency: int = 2,
    listener: Listener = SILENT,
    merges: list[Pair] | None = None,
) -> list[Pair]:
    """Learn merges from counted pre-tokens.

    Args:
        pre_tokens: how often each pre-token occurs.
        merge_count: how many merges to learn at the most.
        min_frequency: how often the two must stand side by side to be merged, at least 1.
        merges: an empty list to fill, for a caller who wants them even if Ctrl-C comes.

    Returns:
        The merges in their order; ids below 256 are bytes, merge ``i`` makes token ``256 + i``.
        There are fewer than ``merge_count`` where no pair is frequent enough any more.
    """
    words = [list(pre_token) for pre_token in pre_tokens]
    word_counts = list(pre_tokens.values())
    tokens = [bytes([byte]) for byte in range(256)]
    mirrors = [mirrored(token) for token in tokens]
    merges = [] if merges is None else merges

    # Phase 2: count the pairs, and note which words hold them.
    pair_counts: Counter[Pair] = Counter()
    holders: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, word in enumerate(words):
        for pair in pairwise(word):
            pair_counts[pair] += word_counts[index]
            holders[pair].add(index)
    frequent = (pair for pair, count in pair_counts.items() if count >= min_frequency)
    queue = [candidate(pair, pair_counts[pair], mirrors) for pair in frequent]
    heapify(queue)

    with listener.progress("merging", total=merge_count, unit="merges") as progress:
        while len(merges) < merge_count:
            # Phase 3: merge the best pair, in the words that hold it and in no others.
            best = pop_best(queue, pair_counts, min_frequency, mirrors)
            if best is None:
                break
            new_id = 256 + len(merges)
            merges.append(best)
            tokens.append(tokens[best[0]] + tokens[best[1]])
            mirrors.append(mirrored(tokens[new_id]))
            born: set[Pair] = set()
            for index in holders.pop(best):
                words[index], changes = merge_word(words[index], best, new_id)
                for pair, change in changes.items():
                    pair_counts[pair] += change * word_counts[index]
                    if change > 0:
                        holders[pair].add(index)
                        born.add(pair)
            del pair_counts[best]
            # Phase 4: again, with the pairs just born. A pair is born whole in the merge that
            # makes its newer token; from then on its count only falls.
            for pair in born:
                if pair_counts[pair] >= min_frequency:
                    heappush(queue, candidate(pair, pair_counts[pair], mirrors))
            progress.advance(1)
    return merges


def candidate(pair: Pair, count: int, mirrors: list[str]) -> Candidate:
    """Return what the queue sorts by: THE TIE-BREAK, which nothing else here knows.

    The pair that occurs most often comes first; among equals the greatest left token, then the
    greatest right token, compared byte by byte. The queue gives the smallest entry first, so
    counts are negative and tokens mirrored. Its fast twin is ``engine.pair_queue.comes_first``.
    """
    left, right = pair
    return -count, mirrors[left], mirrors[right], pair


def mirrored(token: bytes) -> str:
    """Return a text that sorts the other way round than the bytes it is made of.

    The end becomes the greatest sign: bytes that go on are greater than bytes that end.

    >>> sorted([b"a", b"ab", b"b"], key=mirrored)
    [b'b', b'ab', b'a']
    """
    return "".join(chr(255 - byte) for byte in token) + chr(256)


def pop_best(
    queue: list[Candidate], pair_counts: Mapping[Pair, int], min_frequency: int, mirrors: list[str]
) -> Pair | None:
    """Take the best pair off the queue, or ``None`` if none is frequent enough.

    Counts fall while their entries wait; one found out of date goes back with its real count.
    """
    while queue:
        waited, _, _, pair = heappop(queue)
        count = pair_counts.get(pair, 0)
        if count < min_frequency:
            continue
        if count == -waited:
            return pair
        heappush(queue, candidate(pair, count, mirrors))
    return None


def merge_word(word: list[int], pair: Pair, new_id: int) -> tuple[list[int], dict[Pair, int]]:
    """Merge a pair in one word and return the new word and what changed.

    >>> merge_word([98, 97, 110, 97, 110], (97, 110), 256)  # b(an)(an)
    ([98, 256, 256], {(98, 97): -1, (97, 110): -2, (110, 97): -1, (98, 256): 1, (256, 256): 1})
    """
    merged = merge_pair(word, pair, new_id)
    changes: dict[Pair, int] = defaultdict(int)
    for before in pairwise(word):
        changes[before] -= 1
    for after in pairwise(merged):
        changes[after] += 1
    return merged, {changed: change for changed, change in changes.items() if change}


def merge_pair(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """Replace a pair by its token, from left to right.

    >>> merge_pair([97, 97, 97, 98], (97, 97), 256)
    [256, 97, 98]
    """
    left, right = pair
    merged: list[int] = []
    place, last = 0, len(ids) - 1
    while place <= last:
        if place < last and ids[place] == left and ids[place + 1] == right:
            merged.append(new_id)
            place += 2
        else:
            merged.append(ids[place])
            place += 1
    return merged


# Encoding: the same merges, in the same order.


def encode_word(word: bytes, ranks: Mapping[Pair, int]) -> list[int]:
    """Encode one pre-token: merge the pair of the lowest rank, until no merge is left.

    Args:
        word: the ids of the bytes of one pre-token.
        ranks: the id of the token that each pair makes; a lower id was learned earlier.

    >>> encode_word(b"hugs", {(117, 103): 256, (104, 256): 257})
    [257, 115]
    """
    ids = list(word)
    never = 1 << 62
    while len(ids) > 1:
        best = min(pairwise(ids), key=lambda pair: ranks.get(pair, never))
        if best not in ranks:
            break
        ids = merge_pair(ids, best, ranks[best])
    return ids


def encode_long_word(word: bytes, ranks: Mapping[Pair, int]) -> list[int]:
    """Encode one pre-token as ``encode_word`` does, in time n log n instead of n squared.

    Every pair that has a rank waits in a queue by (rank, place); merged neighbours are linked,
    not moved. An entry counts only if its pair still stands at its place.

    >>> encode_long_word(b"hugs", {(117, 103): 256, (104, 256): 257})
    [257, 115]
    """
    gone = -1
    ids = list(word)
    end = len(ids)
    after = list(range(1, end + 1))
    before = list(range(-1, end - 1))
    queue = [(ranks[p], place) for place, p in enumerate(pairwise(ids)) if p in ranks]
    heapify(queue)
    while queue:
        new_id, place = heappop(queue)
        right = after[place]
        if right == end or ranks.get((ids[place], ids[right])) != new_id:
            continue
        ids[place], ids[right] = new_id, gone
        after[place] = after[right]
        if after[place] < end:
            before[after[place]] = place
        for left in (before[place], place):
            if left >= 0 and after[left] < end:
                pair = (ids[left], ids[after[left]])
                if pair in ranks:
                    heappush(queue, (ranks[pair], left))
    return [token_id for token_id in ids if token_id != gone]
