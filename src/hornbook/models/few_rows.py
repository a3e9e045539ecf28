"""The product of a few rows with a matrix, which reads each weight once.

Who writes sixteen texts at once multiplies sixteen rows. That is too few for a library's product,
which first copies pieces of the matrix to where it wants them, and more than the loop for a single
row (``one_row``) can use. Here rows lie across: their first numbers side by side, then their second
ones. So a vector register holds one number of each row, a weight is read and multiplied by all of
them in one instruction, and the sums of eight outputs stay in registers from beginning to end:

    x         place 0   a0 b0 c0 … p0       16 lanes: one number of each row
              place 1   a1 b1 c1 … p1
              …
    weight    out 0     w0 w1 w2 …          sums of out 0   += w0 · (a0 b0 c0 … p0)
              out 1     w0 w1 w2 …                          += w1 · (a1 b1 c1 … p1)
              …                             …
              out 7     w0 w1 w2 …          sums of out 7

Eight streams of weights are read, each from its beginning to its end, as they lie in the model:
nothing is packed, and there is no second copy.

One thread of a Zen 4, 16 rows, float32; a small model has 4 layers of 128, weights cold [ms]:

                            PyTorch (MKL)    oneDNN, packed    here
    small, all products          0.76                          0.30     112 GFLOP/s
    GPT-2's form, 6 layers      36              40            16.5       82

Tried: four outputs at a time (0.31 and 38), sixteen (0.33 and 40), and asking for the weights of
the next eight ahead (0.32 and 20). Up to 8 rows take half a register, and two thirds of the time.

It is one thread's work.
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import summing_kernel
from hornbook.models.one_row import Floats
from hornbook.models.register_sums import LANES, OUTPUTS, add_half_tile, add_tile


def lanes_of(rows: Floats) -> Floats:
    """Lay rows across.

    Args:
        rows: [rows, width].

    Returns:
        [groups, width, LANES], row ``r`` in lane ``r % LANES`` of group ``r // LANES``; lanes that
        no row has are zeros.

    >>> lanes_of(np.float32([[1, 2], [3, 4]]))[0, :, :3].tolist()
    [[1.0, 3.0, 0.0], [2.0, 4.0, 0.0]]
    """
    count, width = rows.shape
    groups = -(-count // LANES)
    padded = np.zeros((groups * LANES, width), np.float32)
    padded[:count] = rows
    return np.ascontiguousarray(padded.reshape(groups, LANES, width).transpose(0, 2, 1))


def rows_of(lanes: Floats, count: int) -> Floats:
    """The way back: [groups, width, LANES] to [count, width].

    >>> rows_of(lanes_of(np.float32([[1, 2], [3, 4]])), 2).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    groups, width, _ = lanes.shape
    return lanes.transpose(0, 2, 1).reshape(groups * LANES, width)[:count]


@summing_kernel
def add_product(x: Floats, rows: int, weight: Floats, bias: Floats, out: Floats) -> None:
    """Multiply rows by a matrix, and add the result and a bias to what stands in ``out``.

    Args:
        x: [groups, inputs, LANES] the rows, as ``lanes_of`` lays them.
        rows: how many there are; what lanes behind them hold afterwards means nothing.
        weight: [outputs, inputs], without gaps.
        bias: [outputs].
        out: [groups, outputs, LANES], such as a residual; the sum goes there.

    >>> out = lanes_of(np.float32([[100, 200], [300, 400]]))
    >>> weight, bias = np.float32([[3, 4], [0, -1]]), np.float32([0, 10])
    >>> add_product(lanes_of(np.float32([[1, 2], [5, 6]])), 2, weight, bias, out)
    >>> rows_of(out, 2).tolist()
    [[111.0, 208.0], [339.0, 404.0]]
    """
    outputs, inputs = weight.shape
    stride, whole = 4 * inputs, outputs // OUTPUTS * OUTPUTS
    weights, numbers, target = weight.ctypes.data, x.ctypes.data, out.ctypes.data
    for output in range(0, whole, OUTPUTS):
        for group in range(len(x)):
            source = numbers + group * 4 * LANES * inputs
            to = target + (group * outputs + output) * 4 * LANES
            if rows - group * LANES > LANES // 2:
                add_tile(weights + output * stride, stride, inputs, source, to)
            else:
                add_half_tile(weights + output * stride, stride, inputs, source, to)
    for group in range(len(x)):
        for output in range(whole, outputs):
            for place in range(inputs):
                for lane in range(LANES):
                    out[group, output, lane] += weight[output, place] * x[group, place, lane]
        for output in range(outputs):
            for lane in range(LANES):
                out[group, output, lane] += bias[output]
