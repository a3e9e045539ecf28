"""How much memory is free for a step right now, so that nobody has to find out by running out.

    MemAvailable of the machine          22.1 GB
    what the container has left           7.4 GB      the lesser one counts: 7.4 GB

Memory that the system would give back when asked, such as copies of files, counts as free.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from hornbook.training.memory_there import (
    CGROUPS,
    MEMINFO,
    meminfo_line,
    memory_there,
    number_in,
    own_groups,
)

SAFE = 0.8
"""So much of what is free may be counted on: nothing else may take it for a while, and no account
is exact."""


def free_memory(device: torch.device) -> int | None:
    """Bytes that ``device`` has left; ``None`` where the system does not say.

    Where it says only how much there is, half of that counts as free.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What PyTorch holds and does not use is free for the next step.
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + unused
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    if sys.platform == "linux":
        said = [of_machine(MEMINFO), of_container(CGROUPS)]
        known = [size for size in said if size is not None]
        if known:
            return max(0, min(known))
    total = memory_there(device)
    return None if total is None else total // 2


def of_machine(meminfo: Path) -> int | None:
    """``MemAvailable`` of Linux [bytes]; ``None`` where it is not told."""
    return meminfo_line(meminfo, "MemAvailable")


def of_container(folder: Path) -> int | None:
    """What a container may still take [bytes]; ``None`` without limit.

    Args:
        folder: where control groups are mounted, of version 2 or 1.
    """
    left = []
    for group in own_groups(folder):
        for limit, used, cached in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            most, now = number_in(group / limit), number_in(group / used)
            if most is not None and now is not None:
                left.append(most - now + _counted(group / "memory.stat", cached))
    return min(left, default=None)


def _counted(account: Path, name: str) -> int:
    """A line of a control group's account; 0 where it is not told."""
    try:
        pairs = dict(line.split() for line in account.read_text(encoding="ascii").splitlines())
        return int(pairs.get(name, 0))
    except (OSError, ValueError):
        return 0
