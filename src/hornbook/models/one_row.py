"""The product of one row with a matrix, as fast as memory is read.

Who writes a text token by token multiplies single rows. Each weight is then used once, so the time
is that of reading them, and libraries that are built for many rows do not read as fast as they
could: they cut the matrix into blocks, or read several rows of it at once. A plain loop goes
through it from the first weight to the last, which is what a processor looks ahead for:

    row         x0 x1 x2 … x767
                ×  ×  ×     ×
    weight  0   w  w  w  …  w    ─► out 0       one stream of weights, read once,
            1   w  w  w  …  w    ─► out 1       while the row stays in the nearest cache
            …

One thread of a Zen 4, 3,072 x 768 weights out of memory [µs, and GB/s]:

                  PyTorch (MKL)    oneDNN           here
    float32        806  11.7        694  13.6        477  19.8
    bfloat16                        528   8.9        271  17.4
    int8                            302   7.8        120  19.5     oneDNN: with FBGEMM

Reading four outputs' weights at once was a loss: 10.8 GB/s in float32, and 5.2 in int8.

It is one thread's work: where PyTorch has several, its own products share the reading.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hornbook.kernels import inlined, kernel, summing_kernel

Floats = NDArray[np.float32]

STEP = np.float32(2 / 255)
"""How far two whole numbers of ``round_row`` are apart, if the largest of the row is 1."""


def is_one_row(x: torch.Tensor) -> bool:
    """Whether ``x`` [..., inputs] is a single row, and one thread computes.

    >>> is_one_row(torch.zeros(2, 8))
    False
    """
    return x.numel() == x.shape[-1] and torch.get_num_threads() == 1


def shared_array(weight: torch.Tensor) -> Any:
    """The memory of a tensor as an array for the kernels below.

    Not by ``Tensor.numpy``, after which a tensor's memory could not be given back, as fully sharded
    training must.
    """
    return np.from_dlpack(weight)  # pyright: ignore[reportArgumentType]


@summing_kernel
def float_row(row: Floats, weight: Floats, bias: Floats, out: Floats) -> None:
    """Multiply a row by a matrix, and add the result and a bias to what stands in ``out``.

    Args:
        row: [inputs].
        weight: [outputs, inputs].
        bias: [outputs].
        out: [outputs], such as a residual; the sum goes there.

    >>> out = np.float32([100, 200])
    >>> float_row(np.float32([1, 2]), np.float32([[3, 4], [0, -1]]), np.float32([0, 10]), out)
    >>> out.tolist()
    [111.0, 208.0]
    """
    for output in range(weight.shape[0]):
        total = np.float32(0)
        for place in range(weight.shape[1]):
            total += row[place] * weight[output, place]
        out[output] += total + bias[output]


@summing_kernel
def short_row(row: Floats, weight: NDArray[np.int16], bias: Floats, out: Floats) -> None:
    """``float_row`` by a matrix in bfloat16, which is the upper half of a float32.

    Args:
        row: [inputs].
        weight: [outputs, inputs] the bits of the numbers.
        bias: [outputs].
        out: [outputs], such as a residual; the sum goes there.

    >>> weight, out = torch.tensor([[3.0, 4.0], [0.0, -1.0]]), np.zeros(2, np.float32)
    >>> bits = weight.bfloat16().view(torch.int16).numpy()
    >>> short_row(np.float32([1, 2]), bits, np.float32([0, 10]), out)
    >>> out.tolist()
    [11.0, 8.0]
    """
    for output in range(weight.shape[0]):
        total = np.float32(0)
        for place in range(weight.shape[1]):
            bits = np.int32(weight[output, place]) << np.int32(16)
            total += row[place] * np.int32(bits).view(np.float32)
        out[output] += total + bias[output]


@kernel
def round_row(row: Floats, whole: NDArray[np.int16]) -> np.float32:
    """Round a row to whole numbers: over its largest number, in 255 steps from -1 to 1.

    Args:
        row: [inputs].
        whole: [inputs], where the numbers go, from -128 to 127.

    Returns:
        the largest number.

    >>> whole = np.empty(2, np.int16)
    >>> float(round_row(np.float32([4, -2]), whole)), whole.tolist()
    (4.0, [127, -64])
    """
    largest = np.float32(1e-30)
    for place in range(len(row)):
        largest = max(largest, abs(row[place]))
    for place in range(len(row)):
        # As FBGEMM rounds: with its zero at 128 added first.
        number = np.rint(row[place] / largest / STEP + np.float32(128))
        whole[place] = np.int16(min(max(number, np.float32(0)), np.float32(255))) - 128
    return largest


@inlined
def _whole_sums(row: NDArray[np.int16], weight: NDArray[np.int8], sums: NDArray[np.int32]) -> None:
    # By itself, and with nothing behind the sum: else LLVM multiplies whole words of 32 bits
    # instead of pairs of 16, which takes half as long again.
    for output in range(weight.shape[0]):
        total = np.int32(0)
        for place in range(weight.shape[1]):
            total += np.int32(row[place]) * np.int32(weight[output, place])
        sums[output] = total


@kernel
def whole_row(
    row: NDArray[np.int16],
    weight: NDArray[np.int8],
    worth: Floats,
    sums: NDArray[np.int32],
    out: Floats,
) -> None:
    """Multiply a row of whole numbers by a matrix of them; sums are exact.

    Args:
        row: [inputs] from -128 to 127; no more than 2^16 of them, or a sum might not find room.
        weight: [outputs, inputs].
        worth: [outputs], what one of a sum is worth.
        sums: [outputs], which is written over.
        out: [outputs], where the result goes.

    >>> sums, out = np.empty(2, np.int32), np.empty(2, np.float32)
    >>> whole_row(np.int16([1, 2]), np.int8([[3, 4], [0, -1]]), np.float32([1, 0.5]), sums, out)
    >>> out.tolist()
    [11.0, -1.0]
    """
    _whole_sums(row, weight, sums)
    for output in range(len(out)):
        out[output] = np.float32(sums[output]) * worth[output]
