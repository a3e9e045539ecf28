"""What the device that trains could do at best: the measure of utilisation.

The numbers stand in ``inspection.accounting.devices``, where they come from as well.
"""

from __future__ import annotations

import torch

from hornbook.inspection.accounting.devices import card_called, peak_of
from hornbook.training.precision import Precision


def stated_peak(card: str, precision: Precision) -> float | None:
    """FLOP a second at which ``card`` multiplies in this precision; ``None`` where unknown.

    >>> cuda = torch.device("cuda")
    >>> stated_peak("NVIDIA H100 80GB HBM3", Precision("bfloat16", "", cuda))
    989400000000000.0
    >>> stated_peak("NVIDIA H100 80GB HBM3", Precision("float32", "", cuda, tf32=True)) / 1e12
    494.7
    >>> stated_peak("NVIDIA GeForce RTX 4090 Laptop GPU", Precision("bfloat16", "", cuda))
    """
    known = card_called(card)
    return None if known is None else peak_of(known, precision.name, tf32=precision.tf32)


def device_peak(precision: Precision) -> float | None:
    """The stated peak of the device that trains [FLOP a second]; ``None`` where unknown."""
    if precision.device.type != "cuda":
        return None
    return stated_peak(torch.cuda.get_device_name(precision.device), precision)
