"""Orthogonalisation by products alone: every singular value of a matrix is drawn towards one.

With the singular value decomposition M = U S V', the orthogonal matrix nearest to M is U V'. To
decompose is slow and serial; an odd polynomial of X moves the singular values and leaves U and V
as they are, and needs nothing but products:

    X  ←  a X + b (X X') X + c (X X')² X          each singular value s  ←  a s + b s³ + c s⁵

The coefficients are those of Jordan et al. (2024, "Muon: An optimizer for hidden layers in
neural networks"): steep at zero, so that small values grow 3.4-fold a step, at the price of
not settling: after five steps values lie between 0.7 and 1.2, which is as good for learning.
"""

from __future__ import annotations

import torch

from hornbook.processor import bfloat16_unit

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_SMALLEST = 1e-7
"""A matrix shorter than this counts as zero, and stays so."""


def orthogonalised(matrices: torch.Tensor, *, steps: int, dtype: torch.dtype) -> torch.Tensor:
    """The orthogonal matrix near each matrix of a batch, by Newton-Schulz iteration.

    Args:
        matrices: [..., rows, columns] with at most as many rows as columns: the products are
            then of the smaller side.
        steps: how often the polynomial is applied; five suffice, three nearly.
        dtype: what it is computed in; the result has it.

    Returns:
        the shape of ``matrices``; its rows are orthogonal, of length 0.7 to 1.2 or so.

    >>> tilted = torch.tensor([[[3.0, 0.0, 0.0], [0.0, 0.0, 0.5]]])
    >>> orthogonalised(tilted, steps=5, dtype=torch.float32).round(decimals=1).abs()
    tensor([[[0.7000, 0.0000, 0.0000],
             [0.0000, 0.0000, 1.0000]]])
    """
    a, b, c = COEFFICIENTS
    # No singular value is above the root of the sum of all squares, and the polynomial is made
    # for values up to one.
    length = torch.linalg.matrix_norm(matrices, keepdim=True)
    x = (matrices / length.clamp(min=_SMALLEST)).to(dtype)
    shape = x.shape
    x = x.reshape(-1, *shape[-2:])
    for _ in range(steps):
        square = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(square, square, square, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.view(shape)


def fast_dtype(device: torch.device) -> torch.dtype:
    """``bfloat16`` where the device multiplies it faster than ``float32``, else ``float32``.

    On a CPU that is where it has a unit for it (``processor``). The iteration corrects
    its own rounding, so eight bits of precision are enough (Jordan et al., 2024).
    """
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        fast = device.type == "cpu" and bfloat16_unit() is not None
    return torch.bfloat16 if fast else torch.float32
