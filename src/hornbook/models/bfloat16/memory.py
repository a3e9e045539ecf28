"""Tensors of bfloat16 numbers as arrays that loops read and write; the memory stays the same."""

from __future__ import annotations

import numpy as np
import torch


def pairs_of(tensor: torch.Tensor) -> np.ndarray:
    """[..., n] to [..., n / 2] ``int32``; the last dimension lies in order.

    >>> [hex(pair) for pair in pairs_of(torch.tensor([1.0, 2.0], dtype=torch.bfloat16))]
    ['0x40003f80']
    """
    if tensor.stride(-1) != 1:
        tensor = tensor.contiguous()
    return tensor.view(torch.int32).numpy()


def shorts_of(tensor: torch.Tensor) -> np.ndarray:
    """[...] to [...] ``int16``.

    >>> hex(shorts_of(torch.tensor([1.0], dtype=torch.bfloat16))[0])
    '0x3f80'
    """
    return tensor.view(torch.int16).numpy()
