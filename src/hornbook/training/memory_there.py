"""How much memory there is at all, whoever has it now: what needs more can never be done.

    the machine's memory and its swap     16.0 GB + 2.0 GB
    what the container may have of both    8.0 GB + 0.0 GB      the lesser sum counts: 8.0 GB

Swap counts in: a step that spills into it is slow, but it is taken. Containers are Linux's control
groups, one inside the other, and so are the limits of a cluster's jobs and of systemd's services:
of all around this process the narrowest counts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from hornbook.training.devices import memory_of

MEMINFO = Path("/proc/meminfo")
CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def memory_there(device: torch.device) -> int | None:
    """Bytes that a step on ``device`` may have at the very most; ``None`` where nobody says.

    A CUDA device has its own, other devices share the machine's.
    """
    if device.type == "cuda":
        return memory_of(device)
    known = [size for size in (_of_machine(), container_limit(CGROUPS)) if size is not None]
    return min(known, default=None)


def container_limit(folder: Path, meminfo: Path = MEMINFO) -> int | None:
    """What the container may have of memory and swap together [bytes]; ``None`` without limit.

    Args:
        folder: where control groups are mounted, of version 2 or 1.
        meminfo: tells how much swap there is, where the container may have all of it.
    """
    swap, limits = meminfo_line(meminfo, "SwapTotal") or 0, []
    for group in own_groups(folder):
        for memory, of_swap, of_both in (
            ("memory.max", "memory.swap.max", None),
            ("memory.limit_in_bytes", None, "memory.memsw.limit_in_bytes"),
        ):
            limit = number_in(group / memory)
            if limit is None:
                continue
            both = number_in(group / of_both) if of_both else None
            more = number_in(group / of_swap) if of_swap else None
            limits.append(min(limit + (swap if more is None else more), both or sys.maxsize))
    return min(limits, default=None)


def own_groups(folder: Path, membership: Path = _MEMBERSHIP) -> Iterator[Path]:
    """The folders of all control groups around this process that may limit its memory.

    A container often sees its own group as the outermost one; then the others are not there.

    Args:
        folder: where control groups are mounted, of version 2 or 1.
        membership: lines such as ``0::/user/session`` or ``4:memory:/job``.
    """
    inner = {"": Path(), "memory": Path()}
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for name in controllers.split(","):
            if name in inner:
                inner[name] = Path(path.lstrip("/"))
    for name, path in inner.items():
        yield from (folder / name / part for part in (path, *path.parents))


def number_in(file: Path) -> int | None:
    """The number that a file holds; ``None`` for another word, such as "max", or no file."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def meminfo_line(meminfo: Path, name: str) -> int | None:
    """A line of Linux's account of its memory [bytes]; ``None`` where it is not told."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) << 10 if found else None


def _of_machine() -> int | None:
    """The machine's memory and its swap [bytes]."""
    if hasattr(os, "sysconf") and {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= set(os.sysconf_names):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return memory + (meminfo_line(MEMINFO, "SwapTotal") or 0)
    return None
