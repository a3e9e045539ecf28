"""How many threads compute on a CPU: one for each physical core that may be used.

Two threads of one core share its arithmetic units, which products keep busy by themselves; so more
threads than cores only get in each other's way. A container may be given fewer CPUs than the
machine has, or only a share of their time:

    64 logical CPUs of 32 cores; pinned to 16 of them, 8 cores     8 threads
    the same, with the time of 4 CPUs (cgroup)                     4 threads
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_CPUS = Path("/sys/devices/system/cpu")
_CGROUPS = Path("/sys/fs/cgroup")


def choose_threads(wanted: int, processes: int = 1) -> int:
    """Turn ``training.threads`` into a number.

    Args:
        wanted: the setting; 0 means what ``OMP_NUM_THREADS`` says, else the physical cores.
        processes: how many train together on this machine and share its cores.
    """
    if wanted:
        return wanted
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    # torchrun says 1 to each of several processes, however many cores there are.
    heard = said.isdecimal() and int(said) > (processes > 1)
    return int(said) if heard else max(1, physical_cores() // processes)


@contextmanager
def threads_in_use(count: int) -> Iterator[None]:
    """Within it PyTorch computes with ``count`` threads; afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def physical_cores() -> int:
    """How many cores this process may use; elsewhere than on Linux PyTorch's own count."""
    if sys.platform != "linux":
        return torch.get_num_threads()
    allowed = os.sched_getaffinity(0)
    cores = cores_of(allowed, _CPUS)
    time = cpus_worth_of_time(_CGROUPS)
    return max(1, cores if time is None else min(cores, time))


def usable_cpus() -> int:
    """How many logical CPUs this process may use, or may use the time of."""
    if sys.platform != "linux":
        return os.cpu_count() or 1
    allowed, time = len(os.sched_getaffinity(0)), cpus_worth_of_time(_CGROUPS)
    return allowed if time is None else min(allowed, time)


def cores_of(cpus: set[int], folder: Path) -> int:
    """How many different cores these logical CPUs belong to.

    Args:
        cpus: numbers of logical CPUs.
        folder: where the system describes them; what it does not describe counts as a core.
    """
    cores = set()
    for cpu in cpus:
        try:
            cores.add((folder / f"cpu{cpu}/topology/thread_siblings_list").read_text().strip())
        except OSError:
            cores.add(str(cpu))
    return len(cores)


def cpus_worth_of_time(folder: Path) -> int | None:
    """The share of CPU time that a container was given, in whole CPUs; ``None`` without limit.

    Args:
        folder: where control groups are mounted, of version 2 or 1.
    """
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None  # "max", or -1
    return max(1, -(-int(quota) // int(period)))
