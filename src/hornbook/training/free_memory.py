"""How much memory is free for a step right now, so that nobody has to find out by running out.

    MemAvailable of the machine          22.1 GB
    what the container has left           7.4 GB      the lesser one counts: 7.4 GB

Memory that the system would give back when asked, such as copies of files, counts as free.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from hornbook.training.preflight_machine import device_memory

_MEMINFO = Path("/proc/meminfo")
_CGROUPS = Path("/sys/fs/cgroup")


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
        said = [of_machine(_MEMINFO), of_container(_CGROUPS)]
        known = [size for size in said if size is not None]
        if known:
            return max(0, min(known))
    total = device_memory(device)
    return None if total is None else total // 2


def of_machine(meminfo: Path) -> int | None:
    """``MemAvailable`` of Linux [bytes]; ``None`` where it is not told."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) << 10 if found else None


def of_container(folder: Path) -> int | None:
    """What a container may still take [bytes]; ``None`` without limit.

    Args:
        folder: where control groups are mounted, of version 2 or 1.
    """
    for limit, used, account, cached in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_inactive_file",
        ),
    ):
        try:
            most, now = (int((folder / name).read_text()) for name in (limit, used))
            pairs = dict(line.split() for line in (folder / account).read_text().splitlines())
            return most - now + int(pairs.get(cached, 0))
        except (OSError, ValueError):  # "max", or another version
            continue
    return None
