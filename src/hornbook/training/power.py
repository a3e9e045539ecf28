"""How much power a device takes while it computes, where it says so.

    CPU     the counters of energy of its packages (RAPL), which Linux shows under
            /sys/class/powercap, since 2020 to root alone: difference over time
    CUDA    what the card's sensor says at the end: its mean over about the last second
    MPS     nothing that a program may read

A package counts all that runs on it, and a card's sensor what other programs do there as well.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

POWERCAP = Path("/sys/class/powercap")
LONG_ENOUGH = 1.0
"""In less time a sensor still tells of what was before [seconds]."""
_PATIENCE = 5.0
"""So long nvidia-smi may take [seconds]."""


@dataclass(slots=True)
class PowerReading:
    """Filled when the block of ``watched_power`` ends.

    Attributes:
        watts: the mean in the block; ``None`` where it cannot be read.
        source: who says so, or why nobody does.
    """

    watts: float | None = None
    source: str = ""


@contextmanager
def watched_power(device: torch.device, *, powercap: Path = POWERCAP) -> Iterator[PowerReading]:
    """Measure the power that ``device`` takes inside the block.

    Args:
        device: which one; the program must have waited for it when the block ends.
        powercap: where Linux shows its counters.
    """
    reading, began = PowerReading(), time.perf_counter()
    before = _energies(powercap) if device.type == "cpu" else {}
    yield reading
    seconds = time.perf_counter() - began
    if device.type == "cuda":
        reading.watts, reading.source = _of_card(device, seconds)
    elif device.type == "cpu":
        reading.watts, reading.source = _of_packages(powercap, before, seconds)
    else:
        reading.source = f"{device} does not say"


def used_energy(before: int, after: int, turn: int) -> int:
    """What a counter counted that begins at 0 again after ``turn`` [microjoules].

    >>> used_energy(100, 350, 1000), used_energy(900, 50, 1000)
    (250, 150)
    """
    return after - before if after >= before else after + turn - before


def _of_packages(
    powercap: Path, before: dict[Path, int], seconds: float
) -> tuple[float | None, str]:
    if not before:
        there = powercap.is_dir() and any(powercap.glob("*:*/energy_uj"))
        why = "only root may read RAPL here" if there else f"no RAPL under {powercap}"
        return None, why
    after = _energies(powercap)
    if set(after) != set(before) or seconds <= 0:
        return None, "RAPL went away"
    used = sum(
        used_energy(before[package], after[package], _number(package / "max_energy_range_uj") or 0)
        for package in before
    )
    return used / 1e6 / seconds, "RAPL, the whole processor"


def _energies(powercap: Path) -> dict[Path, int]:
    """The counter of each package of the processor [microjoules]; empty where none is readable."""
    found = {}
    for folder in sorted(powercap.glob("intel-rapl:*")):  # AMD's are called so, too
        try:
            if (folder / "name").read_text(encoding="ascii").startswith("package"):
                found[folder] = int((folder / "energy_uj").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return {}  # half of the processor says nothing of all of it
    return found


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _of_card(device: torch.device, seconds: float) -> tuple[float | None, str]:
    if seconds < LONG_ENOUGH:
        return None, f"less than {LONG_ENOUGH:.0f} s is too short for the card's sensor"
    try:
        return torch.cuda.power_draw(device) / 1000, "NVML, the whole card"
    except Exception:  # NVML's package is optional, and its errors have no name without it
        return _of_nvidia_smi(device)


def _of_nvidia_smi(device: torch.device) -> tuple[float | None, str]:
    identity = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    if identity is None:
        return None, "this PyTorch does not say which card it is"
    query = ["--query-gpu=power.draw", "--format=csv,noheader,nounits", f"--id=GPU-{identity}"]
    try:
        done = subprocess.run(
            ["nvidia-smi", *query], capture_output=True, text=True, check=True, timeout=_PATIENCE
        )
        return float(done.stdout.strip()), "nvidia-smi, the whole card"
    except (OSError, subprocess.SubprocessError, ValueError):
        return None, "neither NVML nor nvidia-smi says"
