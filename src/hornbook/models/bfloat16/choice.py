"""Whether the loops of this folder are what is quickest here.

They are made of instructions that a processor with AVX-512 BF16 has (AMD since Zen 4, Intel servers
since Cooper Lake), and they run on one thread; where several compute, PyTorch shares its products
out among them. What decides is known before anything is computed, as with ``processor``: two
processes on one machine must choose the same.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch


def loops_suit() -> bool:
    """Whether training in bfloat16 on this thread goes by loops of our own."""
    return (
        torch.get_num_threads() == 1 and not torch.compiler.is_compiling() and loops_can_be_made()
    )


ROWS, COLUMNS = 4, 32
"""Of the tiles that products are made of."""


@cache
def loops_can_be_made() -> bool:
    """Whether Numba makes code for a processor that has the instructions.

    That is this one, unless the environment names another (``NUMBA_CPU_NAME``).
    """
    from numba.core.registry import cpu_target

    target: Any = cpu_target.target_context
    features = target.codegen().magic_tuple()[2].split(",")
    return "+avx512bf16" in features and "+avx512f" in features


def loops_fit(x: torch.Tensor, *weights: torch.Tensor) -> bool:
    """Whether the loops can multiply the rows of ``x`` with these weights.

    >>> loops_fit(torch.zeros(2, 6, 64), torch.zeros(32, 64))
    True
    >>> loops_fit(torch.zeros(2, 6, 64), torch.zeros(65, 64))
    False
    """
    rows = x.numel() // x.shape[-1]
    whole = rows and rows % ROWS == 0
    sizes = (size for weight in weights for size in weight.shape)
    alike = all(tensor.dtype == torch.float32 for tensor in (x, *weights))
    return bool(whole) and alike and all(size % COLUMNS == 0 for size in sizes)
