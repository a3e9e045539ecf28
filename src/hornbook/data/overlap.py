"""Reading ahead and writing behind: a thread on each side of the work, so that it never waits.

Kernels and files work without the interpreter's lock, so one core suffices to gain the time that
the disk takes, and a second one gains the reading, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")

WAITING = 4
"""How many items wait between one thread and the next, unless they are large."""


def read_ahead(items: Iterator[T], waiting: int = WAITING) -> Iterator[T]:
    """Yield items; a thread takes up to ``waiting`` of them before they are asked for.

    What the iterator raises is raised where the item would have come.

    >>> list(read_ahead(iter("abcdef")))
    ['a', 'b', 'c', 'd', 'e', 'f']
    """
    with ThreadPoolExecutor(1, thread_name_prefix="hornbook-read") as pool:

        def ask() -> Future[list[T]]:
            return pool.submit(lambda: list(islice(items, 1)))

        asked = deque(ask() for _ in range(waiting))
        try:
            while item := asked.popleft().result():
                asked.append(ask())
                yield item[0]
        finally:
            for future in asked:
                future.cancel()


class WriteBehind(Generic[T]):
    """Hands items to a thread that writes them, in their order; use it as a context manager.

    An error of the thread is raised by a later ``write``, or at the end.

    Args:
        append: writes one item.

    >>> written = []
    >>> with WriteBehind(written.append) as behind:
    ...     behind.write("a")
    ...     behind.write("b")
    >>> written
    ['a', 'b']
    """

    def __init__(self, append: Callable[[T], object]) -> None:
        self._append = append
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="hornbook-write")
        self._waiting: deque[Future[object]] = deque()

    def write(self, item: T) -> None:
        """Hand over an item; waits while ``WAITING`` others are not written yet."""
        self._waiting.append(self._pool.submit(self._append, item))
        if len(self._waiting) > WAITING:
            self._waiting.popleft().result()

    def __enter__(self) -> WriteBehind[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait until all is written; after an error, only for what is being written."""
        self._pool.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for future in self._waiting:
                future.result()
