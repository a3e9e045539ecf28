"""What a launcher such as torchrun says of this process: one of how many, and where they meet.

    torchrun --nproc-per-node 2 -m hornbook train poems.txt

starts two processes with the same words; only their environment tells them apart:

    RANK=0  WORLD_SIZE=2  LOCAL_RANK=0  LOCAL_WORLD_SIZE=2  MASTER_ADDR=localhost  MASTER_PORT=…
    RANK=1  WORLD_SIZE=2  LOCAL_RANK=1  …
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Launch:
    """The place of a process among those that were started together.

    Attributes:
        rank: its number; the first is 0.
        count: how many there are, on all machines.
        local_rank: its number among those of its machine, which is also that of its device.
        local_count: how many its machine has.
        job: the launcher's name for all of them together; empty if it gave none.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    job: str = ""

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes, prints and answers for all."""
        return self.rank == 0


def launch_of(environment: Mapping[str, str] = os.environ) -> Launch:
    """Read the environment; a process that was started by itself is the first of one, in no job.

    >>> launch_of({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "here", "MASTER_PORT": "29500"})
    Launch(rank=1, count=2, local_rank=1, local_count=2, job='')
    >>> launch_of({"WORLD_SIZE": "2"})
    Launch(rank=0, count=1, local_rank=0, local_count=1, job='')
    """
    names = ("RANK", "WORLD_SIZE", "MASTER_PORT")
    numbers = [environment.get(name, "") for name in names]
    if not all(number.isdecimal() for number in numbers) or not environment.get("MASTER_ADDR"):
        return Launch()
    rank, count = int(numbers[0]), int(numbers[1])
    return Launch(
        rank,
        count,
        int(environment.get("LOCAL_RANK", rank)),
        int(environment.get("LOCAL_WORLD_SIZE", count)),
        environment.get("TORCHELASTIC_RUN_ID", ""),
    )
