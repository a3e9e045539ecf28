"""Which device trains: the one asked for, or the best there is."""

from __future__ import annotations

import torch

from hornbook.errors import ConfigError, Problem
from hornbook.training.ranks import ALONE, Ranks


def choose_device(name: str, ranks: Ranks = ALONE) -> torch.device:
    """Turn ``training.device`` into a device that exists.

    ``auto`` is CUDA where there is one, then Apple's MPS, then the CPU. Each of several ranks
    takes the CUDA device of its own number.

    Raises:
        ConfigError: when the device that was asked for is not there.
    """
    if ranks.count > 1 and name in {"auto", "cuda"}:
        cuda = name == "cuda" or torch.cuda.is_available()  # MPS is one device for one process
        name = f"cuda:{ranks.local_rank}" if cuda else "cpu"
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    reason = None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            reason = f"there {'is' if count == 1 else 'are'} {count or 'no'} CUDA device(s) here"
    elif device.type == "mps" and not torch.backends.mps.is_available():
        reason = "there is no MPS device here"
    if reason:
        raise ConfigError(
            [Problem("training.device", f"{reason}; use auto or cpu, or install a PyTorch that "
                     "supports the device", name)]
        )  # fmt: skip
    return device


def memory_of(device: torch.device) -> int | None:
    """Bytes of a device's own memory; ``None`` where it shares the machine's."""
    if device.type != "cuda":
        return None
    return torch.cuda.get_device_properties(device).total_memory
