"""What this machine's processor multiplies fastest, told by its features alone.

    AVX-512 BF16    AMD since Zen 4 (2022), Intel servers since Cooper Lake (2020)
    AMX BF16        Intel servers since Sapphire Rapids (2023)

No speed is measured when a run begins: two processes on one machine must choose the same, or the
same command would not give the same bytes twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

UNITS = {"avx512_bf16": "AVX-512 BF16", "amx_bf16": "AMX BF16"}
"""Features that multiply bfloat16 faster than float32, and how they are called."""


def bfloat16_unit(features: Mapping[str, Any] | None = None) -> str | None:
    """What multiplies bfloat16 faster than float32 here; ``None`` if nothing is known to.

    Args:
        features: names of the processor's features; those of this machine unless given.

    >>> bfloat16_unit({"avx2": True, "avx512_bf16": True})
    'AVX-512 BF16'
    >>> bfloat16_unit({"avx2": True, "avx512_bf16": False}) is None
    True
    """
    found = processor_features() if features is None else features
    for feature in reversed(UNITS):  # the wider one counts, where there are both
        if found.get(feature):
            return UNITS[feature]
    return None


def processor_features() -> Mapping[str, Any]:
    """What PyTorch says of this processor; empty where it says nothing."""
    if not torch.backends.mkldnn.is_available():
        return {}  # without oneDNN, PyTorch multiplies bfloat16 slowly on any processor
    if hasattr(torch.cpu, "get_capabilities"):  # since PyTorch 2.11
        return torch.cpu.get_capabilities()
    older = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return {"avx512_bf16": bool(older and older())}
