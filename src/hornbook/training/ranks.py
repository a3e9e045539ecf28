"""The processes that train one run together, and what they agree on.

    rank 0    reads the text, trains the tokenizer, makes the tokens, opens the run ─┐ announces
    rank 1                                                  waits for the plan  <────┘
    both      a step:  rows 0-7 | rows 8-15  ->  gradients added up  ->  the same weights
    rank 0    writes, prints, samples

A batch is dealt out by rows, so all ranks together use the very examples that one process would
have used. Whatever decides what happens next (the count of targets, the loss, whether to stop) is
added up or compared over all ranks first, so that they always do the same.

One process alone is ``ALONE``: its sums are what it has, and nothing is sent.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from hornbook.errors import HornbookError, ToldElsewhere, TrainingStopped
from hornbook.launch import Launch, launch_of
from hornbook.training.meeting import Board, meet

STEP_PATIENCE = timedelta(minutes=30)
"""How long a rank waits for the others inside a step; rank 0 may be writing a checkpoint."""
_starts = itertools.count()
"""Every rank begins the same trainings in the same order, so they can be told apart by number."""


class RankLost(TrainingStopped):
    """Another rank ended or no longer answers, so this one could not go on."""


class Ranks:
    """One rank's view of all of them.

    Args:
        launch: which rank this is.
        board: where ranks leave words for each other; ``None`` for a process outside of any job.
        lasting: where words outlive a restart of the job.
    """

    def __init__(
        self, launch: Launch, board: Board | None = None, lasting: Board | None = None
    ) -> None:
        self.rank, self.count = launch.rank, launch.count
        self.local_rank, self.local_count = launch.local_rank, launch.local_count
        self.is_first = launch.is_first
        self._board, self._lasting, self._start = board, lasting, next(_starts)

    def rows(self, size: int) -> range:
        """Which rows of a batch of ``size`` are this rank's; ``count`` divides ``size``.

        >>> Ranks(Launch(rank=1, count=2)).rows(16)
        range(8, 16)
        """
        share = size // self.count
        return range(self.rank * share, (self.rank + 1) * share)

    def total(self, *numbers: float) -> tuple[float, ...]:
        """Each number added up over all ranks; the same on every one (counts up to 2⁵³ exactly).

        >>> ALONE.total(3, 0.5)
        (3, 0.5)
        """
        if self.count == 1:
            return numbers
        sums = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(sums)
        return tuple(sums.tolist())

    def largest(self, number: int) -> int:
        """The largest number that any rank has."""
        if self.count == 1:
            return number
        found = torch.tensor(number, dtype=torch.int64)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)

    def smallest(self, number: int | None) -> int | None:
        """The smallest number that any rank has; ``None`` where one has none."""
        unknown = self.largest(int(number is None))
        return None if unknown or number is None else -self.largest(-number)

    def add_up(self, tensor: torch.Tensor) -> torch.Tensor:
        """``tensor`` added up over all ranks, in place; the host does not wait for a device."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def joined(self, tensor: torch.Tensor, dim: int) -> torch.Tensor:
        """The parts that the ranks have of a tensor behind each other; all of one shape."""
        if self.count == 1:
            return tensor
        parts = [torch.empty_like(tensor) for _ in range(self.count)]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts, dim)

    def announce(self, plan: Mapping[str, Any]) -> None:
        """Tell the waiting ranks what to do; only the first has the say."""
        if self._board is not None and self.is_first:
            self._board.write("plan", plan)

    def plan(self) -> dict[str, Any]:
        """What the first rank announced; waits for it.

        Raises:
            ToldElsewhere: when the first rank ended instead.
            RankLost: when it cannot be asked any more.
        """
        assert self._board is not None, "the first rank alone has nobody to wait for"
        with self._explained():
            found = self._board.wait("plan", "ended")
        if "ended" in found:
            raise ToldElsewhere
        return found

    def remember(self, folder: Path) -> None:
        """Keep where the run lies over a restart of the job by its launcher."""
        if self._lasting is not None and self.is_first:
            self._lasting.write(f"folder/{self._start}", {"folder": str(folder.absolute())})

    def remembered(self) -> Path | None:
        """Where this very training of this job lay before the launcher restarted it, if it did."""
        found = self._lasting.read(f"folder/{self._start}") if self._lasting is not None else None
        return Path(found["folder"]) if found is not None else None

    def has_the_word(self) -> bool:
        """Whether this rank may tell what went wrong: the first to ask, and no other."""
        if self._board is None:
            return True
        try:
            return self._board.claim("word")
        except (RuntimeError, OSError):  # the store is gone, so nobody knows: better twice
            return True

    def leave(self) -> None:
        """End what was opened; other ranks that still wait for this one will notice."""
        if self._board is None:
            return
        with contextlib.suppress(RuntimeError, OSError):  # the store may be gone
            if self.is_first:
                self._board.write("ended", {"ended": True})
            self._board.leave(self.count, self.is_first)
        if dist.is_initialized():
            dist.destroy_process_group()

    @contextmanager
    def connected(self, device: torch.device) -> Iterator[None]:
        """While the block runs, ranks can add up and compare; every rank must enter it.

        Raises:
            RankLost: when another rank ended inside it.
        """
        if self._board is None or self.count == 1:
            yield
            return
        backend = "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
            backend = "cpu:gloo,cuda:nccl"  # counts and signals are compared without the device
        with self._explained():
            dist.init_process_group(
                backend,
                store=self._board.store,
                rank=self.rank,
                world_size=self.count,
                timeout=STEP_PATIENCE,
                device_id=device if device.type == "cuda" else None,
            )
            yield
            # Whoever closes its connections first must not cut off what others still receive.
            self._board.gather("trained", self.count, STEP_PATIENCE.total_seconds())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, TimeoutError) as error:
            if not _is_of_connection(error):
                raise
            # A launcher sends SIGTERM to those that are left, which must not cut off their words.
            _ignore(signal.SIGTERM)
            words = next(iter(str(error).splitlines()), "nothing")
            raise RankLost(
                f"Rank {self.rank} of {self.count} lost another: that one was killed, is out of "
                f"reach, or ended with an error of its own (PyTorch says: {words[:200]})."
            ) from error


ALONE = Ranks(Launch())
"""One process that trains by itself."""


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Join the ranks that a launcher started, for one training; ``ALONE`` outside of any job.

    Of several ranks that fail only one raises what went wrong.

    Raises:
        RunError: when the others cannot be found.
        ToldElsewhere: in place of an error, where another rank has the word.
    """
    launch = launch_of()
    if launch == Launch():
        yield ALONE
        return
    ranks = Ranks(launch, *meet(launch))
    try:
        yield ranks
    except ToldElsewhere:
        raise
    except Exception as error:
        if isinstance(error, HornbookError) and error.on_every_rank:
            raise
        if ranks.has_the_word():
            if isinstance(error, HornbookError):
                error.has_the_word = True
            raise
        raise ToldElsewhere from error
    finally:
        ranks.leave()


def _is_of_connection(error: RuntimeError | TimeoutError) -> bool:
    """Whether an error says that another rank is gone, and not that this one did wrong."""
    words = str(error).lower()
    signs = ("connection", "gloo", "nccl", "timed out", "broken pipe", "socket")
    known = isinstance(error, dist.DistError | TimeoutError)
    return known or any(sign in words for sign in signs)


def _ignore(number: signal.Signals) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(number, signal.SIG_IGN)
