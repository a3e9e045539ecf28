"""How time is taken here: equal ids first, then by turns, on one core, without the collector."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray


def seconds(call: Callable[[], object]) -> float:
    """Return how long one call takes [seconds]; garbage is collected before, not within."""
    gc.collect()
    gc.disable()
    try:
        began = time.perf_counter()
        result = call()
        took = time.perf_counter() - began
    finally:
        gc.enable()
    # Giving back the memory of a result is not part of making it.
    del result
    return took


def take_memory(size: int) -> None:
    """Take and give back ``size`` bytes, so that the machine has them at hand.

    A virtual machine gets memory from its host when it first writes to it, which took 2 ms a
    megabyte where this was written: half the time of a first pass, and no part of any encoder.
    """
    np.full(size, 1, dtype=np.uint8)


def by_turns(
    turns: Mapping[str, Callable[[], Sequence[float]]], rounds: int
) -> dict[str, list[float]]:
    """Let each contestant take its turn in every round; return the medians of its measures.

    A machine that is slower for a minute is slower for all of them.

    Args:
        turns: for each name, what measures it once and returns its figures, always as many.
        rounds: how often each has its turn.

    >>> by_turns({"a": iter([[1.0], [9.0], [2.0]]).__next__}, rounds=3)
    {'a': [2.0]}
    """
    measured: dict[str, list[Sequence[float]]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            measured[name].append(turn())
    return {
        name: [statistics.median(column) for column in zip(*figures, strict=True)]
        for name, figures in measured.items()
    }


def difference(ids: NDArray[np.integer], reference: NDArray[np.integer]) -> str:
    """Return where ids differ from the reference, or an empty text.

    >>> difference(np.array([1, 2, 3]), np.array([1, 5, 3]))
    'ids differ from token 1 on: 2, not 5'
    >>> difference(np.array([1, 2]), np.array([1, 2, 3]))
    'ids differ: 2 tokens, not 3'
    >>> difference(np.array([1, 2]), np.array([1, 2]))
    ''
    """
    shared = min(len(ids), len(reference))
    unequal = np.flatnonzero(np.asarray(ids[:shared]) != np.asarray(reference[:shared]))
    if len(unequal):
        first = int(unequal[0])
        return f"ids differ from token {first} on: {ids[first]}, not {reference[first]}"
    if len(ids) != len(reference):
        return f"ids differ: {len(ids)} tokens, not {len(reference)}"
    return ""


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process, and those it starts, on one core; elsewhere than on Linux do nothing."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    # The first core serves most interrupts.
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
