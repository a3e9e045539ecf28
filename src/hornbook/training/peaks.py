"""What a device could do at best, as its maker states it: the measure of utilisation.

Products of matrices on NVIDIA's cards, without sparsity, with sums in float32 [10^12 FLOP a
second]. Sources: NVIDIA's data sheets of V100, T4, A10, A100, A40, L4, L40S, H100 and H200; the
white papers of Ampere GA102 and of Ada (appendix A of each) for GeForce. A card that stands here
under no name has no peak: better unknown than wrong.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import torch

from hornbook.training.precision import Precision


class Peak(NamedTuple):
    """10^12 FLOP a second; 0 where the card has no units for a type."""

    float32: float
    tf32: float
    bfloat16: float
    float16: float


_PEAKS = {
    r"NVIDIA H200": Peak(67, 494.7, 989.4, 989.4),
    r"NVIDIA H200 NVL": Peak(60, 417.5, 835.5, 835.5),
    r"NVIDIA H100 80GB HBM3": Peak(67, 494.7, 989.4, 989.4),
    r"NVIDIA H100 NVL": Peak(60, 417.5, 835.5, 835.5),
    r"NVIDIA H100 PCIe": Peak(51, 378, 756, 756),
    r"(NVIDIA )?A100-(SXM|PCIE).*|NVIDIA A100 80GB PCIe": Peak(19.5, 156, 312, 312),
    r"NVIDIA A40": Peak(37.4, 74.8, 149.7, 149.7),
    r"NVIDIA A10": Peak(31.2, 62.5, 125, 125),
    r"NVIDIA L40S": Peak(91.6, 183, 362, 362),
    r"NVIDIA L4": Peak(30.3, 60, 121, 121),
    r"Tesla V100-SXM2.*": Peak(15.7, 0, 0, 125),
    r"Tesla V100-PCIE.*": Peak(14, 0, 0, 112),
    r"Tesla T4": Peak(8.1, 0, 0, 65),
    r"NVIDIA GeForce RTX 4090": Peak(82.6, 82.6, 165.2, 165.2),
    r"NVIDIA GeForce RTX 3090": Peak(35.6, 35.6, 71, 71),
}
"""By the whole name that the driver gives, as a pattern."""


def stated_peak(card: str, precision: Precision) -> float | None:
    """FLOP a second at which ``card`` multiplies in this precision; ``None`` where unknown.

    >>> cuda = torch.device("cuda")
    >>> stated_peak("NVIDIA H100 80GB HBM3", Precision("bfloat16", "", cuda))
    989400000000000.0
    >>> stated_peak("NVIDIA H100 80GB HBM3", Precision("float32", "", cuda, tf32=True)) / 1e12
    494.7
    >>> stated_peak("NVIDIA GeForce RTX 4090 Laptop GPU", Precision("bfloat16", "", cuda))
    """
    for pattern, peak in _PEAKS.items():
        if re.fullmatch(pattern, card):
            kind = precision.name
            if kind == "float32" and precision.tf32 and peak.tf32:
                return peak.tf32 * 1e12
            return getattr(peak, kind) * 1e12 or None
    return None


def device_peak(precision: Precision) -> float | None:
    """The stated peak of the device that trains [FLOP a second]; ``None`` where unknown."""
    if precision.device.type != "cuda":
        return None
    return stated_peak(torch.cuda.get_device_name(precision.device), precision)
