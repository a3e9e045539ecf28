"""Learning merges from counts: by kernels, or by the readable twin where those come too late."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from hornbook.listener import SILENT, Listener
from hornbook.tokenizers import bpe_reference, engine
from hornbook.tokenizers.bpe_reference import Pair
from hornbook.tokenizers.counts import PreTokenCounts

WORTH_LOADING, WORTH_COMPILING = 1 << 12, 1 << 18
"""How many bytes of different pre-tokens the twin learns from before kernels are read from disk,
or compiled; it takes about a second for each 2^18."""


def learn_merges(
    counts: PreTokenCounts,
    merge_count: int,
    min_frequency: int,
    unfinished: Callable[[Sequence[Pair]], NoReturn],
    listener: Listener = SILENT,
) -> list[Pair]:
    """Learn up to ``merge_count`` merges from counts; see ``bpe_reference.learn_merges``.

    Args:
        unfinished: called with the merges so far when Ctrl-C comes; it raises.

    Raises:
        TokenizerError: the different pre-tokens have more bytes than the kernels can hold.
    """
    worth = WORTH_LOADING if engine.kept() else WORTH_COMPILING
    if len(counts.content) <= worth:
        so_far: list[Pair] = []
        pre_tokens = counts.to_mapping()
        try:
            return bpe_reference.learn_merges(
                pre_tokens, merge_count, min_frequency, listener, so_far
            )
        except KeyboardInterrupt:
            unfinished(so_far)
    engine.announce(listener)
    from hornbook.tokenizers.engine import trainer

    merges = trainer.learn_merges(
        counts.content,
        counts.ends,
        counts.counts,
        merge_count,
        min_frequency,
        stopped=lambda so_far: unfinished(_pairs(so_far)),
        listener=listener,
    )
    return _pairs(merges)


def _pairs(merges: NDArray[np.int32]) -> list[Pair]:
    return [(left, right) for left, right in merges.tolist()]
