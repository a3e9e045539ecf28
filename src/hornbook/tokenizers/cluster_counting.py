"""Counting pre-tokens on many machines, through ray: one task counts one shard of the corpus.

    shard 1 ──> counts ─┐
                        ├─> counts ─┐
    shard 2 ──> counts ─┘           ├─> counts of the corpus
    shard 3 ──> counts ─────────────┘

Counts add up, so the result is the one that a single machine gives, whatever the shards and
the order in which they are done. Every machine of the cluster needs hornbook, and must be able to
read what the shards name. ``pip install 'hornbook[ray]'`` brings ray.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

from hornbook.errors import HornbookError, TokenizerError
from hornbook.listener import SILENT, Listener
from hornbook.tokenizers.counts import PreTokenCounts

Texts: TypeAlias = Iterable[str | bytes]

Count: TypeAlias = Callable[[Texts], PreTokenCounts]
"""What counts one shard, such as ``counting.count_pre_tokens`` with its settings bound."""

_WAITING_PER_CORE = 2
"""Shards handed to the cluster beforehand, so that no core waits for its next one."""
_PATIENCE = 10.0
"""How long a cluster may take to answer [seconds]."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a corpus, and how a machine of the cluster reads it.

    Attributes:
        name: what errors call it, such as its file.
        read: gives its texts; a function that the other machines can import.
        arguments: what ``read`` is called with.
    """

    name: str
    read: Callable[..., Texts]
    arguments: tuple[Any, ...] = ()


def count_on_cluster(
    shards: Iterable[Shard],
    count: Count,
    *,
    address: str | None = None,
    total: int | None = None,
    listener: Listener = SILENT,
) -> PreTokenCounts:
    """Count the pre-tokens of shards on a ray cluster and put the counts together.

    A cluster that this process is connected to already is used and left as it is.

    Args:
        shards: taken one by one, a few ahead of those being counted; no text spans two of them.
        count: counts the texts of one shard, on one core.
        address: where the cluster is, such as ``10.0.0.1:6379``; the one that RAY_ADDRESS names
            unless given, and without that a cluster of this machine alone, for this call.
        total: how many shards there are, if that is known, to tell how far it is.
        listener: is told of every shard that is done.

    Raises:
        TokenizerError: ray is not installed, the cluster cannot be reached or fails, a shard
            cannot be read or counted (named), or there is no text at all.
    """
    ray = _ray()
    with (
        _connected(ray, address),
        listener.progress("counting on the cluster", total=total, unit="shards") as progress,
    ):
        counting = _Counting(ray, count)
        at_once = _WAITING_PER_CORE * max(1, int(ray.cluster_resources().get("CPU", 1)))
        for shard in shards:
            while counting.running >= at_once:
                counting.finish_one()
                progress.advance(1)
            counting.begin(shard)
        while counting.running:
            counting.finish_one()
            progress.advance(1)
        counts = counting.result()
    if counts is None:
        raise TokenizerError("the corpus is empty: no text holds a character to learn from")
    return counts


class _Counting:
    """The shards that are being counted, and the counts that wait to be put together.

    Two results of equally many shards become one, on the cluster; so there are never more than
    a few, and no count is copied more often than there are doublings.
    """

    def __init__(self, ray: Any, count: Count) -> None:
        self._ray = ray
        self._count_shard = ray.remote(num_returns=2)(_count_shard)
        self._merge = ray.remote(_merge)
        self._count = ray.put(count)
        self._shards: dict[Any, tuple[str, Any]] = {}
        """By the reference to what went wrong: the shard's name, the reference to its counts."""
        self._done: dict[int, Any] = {}
        """By the doublings: the reference to the counts of 1, 2, 4, ... shards."""

    @property
    def running(self) -> int:
        return len(self._shards)

    def begin(self, shard: Shard) -> None:
        counts, mistake = self._count_shard.remote(shard, self._count)
        self._shards[mistake] = shard.name, counts

    def finish_one(self) -> None:
        """Wait for any shard to be counted, and see that it went well."""
        (ready,), _ = self._ray.wait(list(self._shards), num_returns=1)
        name, counts = self._shards.pop(ready)
        mistake = _outcome(self._ray, ready, f"shard {name} could not be counted")
        if mistake is not None:
            raise TokenizerError(f"shard {name} could not be counted: {mistake}")
        doublings = 0
        while doublings in self._done:
            counts = self._merge.remote(self._done.pop(doublings), counts)
            doublings += 1
        self._done[doublings] = counts

    def result(self) -> PreTokenCounts | None:
        merged = self._merge.remote(*self._done.values())
        return _outcome(self._ray, merged, "the counts could not be put together")


def _count_shard(shard: Shard, count: Count) -> tuple[PreTokenCounts | None, str | None]:
    """Count one shard, on a machine of the cluster.

    Returns:
        Its counts, or None for a shard without text; and what a person must mend, if anything.
    """
    try:
        texts = (text for text in shard.read(*shard.arguments) if text)
        first = next(texts, None)
        return (None if first is None else count(chain([first], texts))), None
    except HornbookError as error:
        return None, str(error)


def _merge(*parts: PreTokenCounts | None) -> PreTokenCounts | None:
    found = [part for part in parts if part is not None]
    return PreTokenCounts.merged(found) if found else None


def _outcome(ray: Any, reference: Any, failure: str) -> Any:
    """Fetch what a task returned.

    Raises:
        TokenizerError: the task or its machine failed; begins with ``failure``.
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        reason = str(cause).strip().splitlines()[0] if str(cause).strip() else ""
        raise TokenizerError(f"{failure}: {type(cause).__name__}: {reason}") from error


def _ray() -> Any:
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise TokenizerError(
            f"counting on a cluster needs ray ({error}). Install it with: "
            "pip install 'hornbook[ray]'"
        ) from error
    return ray


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """Connect to a cluster, or start one here, quietly; afterwards leave it, or end it.

    Raises:
        TokenizerError: there is no cluster at the address.
    """
    if ray.is_initialized():
        yield
        return
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if where == "local":
        # Ray would report home and serve a page about itself, both of which nobody asked for.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        quiet |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        _knock(where)
        ray.init(address=where, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        place = "on this machine" if where == "local" else f"at {where}"
        raise TokenizerError(
            f"no ray cluster {place} answers: {error}. ray start --head begins one; without an "
            "address one is begun for this call alone"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()  # ends what init has started, and only leaves what was there before


def _knock(address: str) -> None:
    """See whether anything listens at ``host:port``; ray itself takes minutes to give up.

    Raises:
        OSError: nothing does.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
