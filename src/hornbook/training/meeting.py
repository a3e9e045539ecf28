"""How the ranks of a job find each other, and the board on which they leave each other words.

A launcher keeps a small store of names and values (PyTorch's ``TCPStore``) that every rank can
reach. When it restarts its ranks the store stays, with everything that the ranks before them
have written. So those of now agree on a word of their own first:

    rank 1    calls        call/1 = 9f3c…            a number that nobody has used before
    rank 0    answers      answer/9f3c… = 51ab…      the same word for all
    rank 1    is here      here/51ab…/1

and everything they write after that stands under ``51ab…``. A call of a rank that is gone may be
answered as well; nobody reads it. What should outlive a restart stands outside.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from torch.distributed import PrefixStore, Store, rendezvous

from hornbook.errors import RunError
from hornbook.launch import Launch

PATIENCE = 600.0
"""How long ranks wait for each other to begin [seconds]."""
FAREWELL = 3.0
"""How long the first rank waits for the others at the end, where it keeps the store [seconds]."""
_LOOK_EVERY = 0.02
"""Looking in turns instead of waiting inside the store lets Ctrl-C through [seconds]."""


class Board:
    """Words that ranks leave each other under names, for this start of the job.

    Args:
        store: what they are written to.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Leave a word under a name."""
        self.store.set(name, json.dumps(value))

    def read(self, name: str) -> dict[str, Any] | None:
        """What stands under a name, or ``None``; does not wait."""
        return json.loads(self.store.get(name)) if self.store.check([name]) else None

    def claim(self, name: str) -> bool:
        """Whether this is the first to ask for ``name``; only one ever is."""
        return self.store.add(name, 1) == 1

    def wait(self, *names: str) -> dict[str, Any]:
        """The first word that stands under any of the names; waits for as long as it takes."""
        found: dict[str, Any] | None = None

        def looked() -> bool:
            nonlocal found
            found = next((word for name in names if (word := self.read(name)) is not None), None)
            return found is not None

        _until(looked, None)
        assert found is not None
        return found

    def gather(self, name: str, count: int, patience: float) -> None:
        """Wait until ``count`` ranks have come to the place of this name.

        Raises:
            TimeoutError: when they do not come.
        """
        self.store.add(name, 1)
        _until(lambda: self.store.add(name, 0) >= count, patience)

    def leave(self, count: int, first: bool) -> None:
        """Say that this rank reads and writes no more.

        Without a launcher that keeps the store it ends with the first rank, which therefore gives
        the others a moment to read its last word.
        """
        keeps = first and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
        with contextlib.suppress(TimeoutError):
            self.gather("left", count, FAREWELL if keeps else 0.0)


def meet(launch: Launch) -> tuple[Board, Board]:
    """Find the other ranks.

    Returns:
        the board of this start of the job, and the one that outlives a restart.

    Raises:
        RunError: when a rank does not come, or the launcher's store cannot be reached.
    """
    try:
        found, _, _ = next(
            rendezvous("env://", launch.rank, launch.count, timeout=timedelta(seconds=PATIENCE))
        )
        lasting = PrefixStore(f"hornbook/{launch.job}", found)
        word = _agreed_word(lasting, launch)
    except (RuntimeError, TimeoutError, OSError) as error:
        raise RunError(
            f"rank {launch.rank} of {launch.count} did not find the others within "
            f"{PATIENCE / 60:.0f} minutes: {error}. Every rank must be started, with the same "
            "MASTER_ADDR and MASTER_PORT; torchrun sees to both."
        ) from error
    return Board(PrefixStore(word, lasting)), Board(lasting)


def _agreed_word(store: Store, launch: Launch) -> str:
    if not launch.is_first:
        call = uuid.uuid4().hex
        store.set(f"call/{launch.rank}", call)
        _until(lambda: store.check([f"answer/{call}"]), PATIENCE)
        word = store.get(f"answer/{call}").decode()
        store.set(f"here/{word}/{launch.rank}", "")
        return word
    word = uuid.uuid4().hex
    here = [f"here/{word}/{rank}" for rank in range(1, launch.count)]

    def answered_all() -> bool:
        for rank in range(1, launch.count):
            if store.check([f"call/{rank}"]):
                store.set(f"answer/{store.get(f'call/{rank}').decode()}", word)
        return not here or store.check(here)

    _until(answered_all, PATIENCE)
    return word


def _until(happened: Callable[[], bool], patience: float | None) -> None:
    began = time.monotonic()
    while not happened():
        if patience is not None and time.monotonic() - began > patience:
            raise TimeoutError("nobody answered")
        time.sleep(_LOOK_EVERY)
