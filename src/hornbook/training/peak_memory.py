"""Memory: the most that training has taken so far, and how much there is."""

from __future__ import annotations

import sys

import torch


def peak_memory(device: torch.device) -> int | None:
    """The most memory that was in use at once since the process began [bytes].

    On a CUDA device what PyTorch had allocated there, on MPS what it has allocated now, on a CPU
    all memory of the process. ``None`` where the system does not say.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    if sys.platform == "win32":
        return None
    import resource  # not on Windows

    # Linux counts in units of 1,024 bytes, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def memory_in_words(device: torch.device) -> str:
    """Which memory a device computes in, and what is known of its size."""
    if device.type != "cuda":
        return "memory" if device.type == "cpu" else f"the memory of {device}"
    free, total = torch.cuda.mem_get_info(device)
    others = (total - free - torch.cuda.memory_reserved(device)) / 2**30
    taken = f", of which other programs hold {others:.1f}" if others > 0.5 else ""
    return f"the memory of {device} ({total / 2**30:.1f} GiB{taken})"
