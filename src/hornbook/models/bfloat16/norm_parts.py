"""LayerNorm of some rows, forwards and backwards, as parts of larger loops."""

from __future__ import annotations

import numpy as np

from hornbook.kernels import inlined
from hornbook.models.bfloat16.scalars import rounded

_ONE, _ZERO = np.float32(1), np.float32(0)


@inlined
def normalise(
    x: np.ndarray, gain: np.ndarray, epsilon: np.float32, facts: np.ndarray, out: np.ndarray
) -> None:
    """Each row without its mean, over its standard deviation, times the gains.

    Args:
        x: [rows, width] ``float32``.
        gain: [width] ``float32``.
        epsilon: added to the variance.
        facts: [rows, 2] ``float32``: written, mean and 1 / deviation.
        out: [rows, width] bfloat16 as ``int16``: written.
    """
    width = x.shape[1]
    share = _ONE / np.float32(width)
    for i in range(x.shape[0]):
        line, found = x[i], out[i]
        total = _ZERO
        for j in range(width):
            total += line[j]
        mean = total * share
        total = _ZERO
        for j in range(width):
            total += (line[j] - mean) * (line[j] - mean)
        factor = _ONE / np.sqrt(total * share + epsilon)
        facts[i, 0], facts[i, 1] = mean, factor
        for j in range(width):
            found[j] = rounded((line[j] - mean) * factor * gain[j])


@inlined
def normalise_backwards(
    x: np.ndarray,
    gain: np.ndarray,
    facts: np.ndarray,
    gradient: np.ndarray,
    beside: np.ndarray,
    for_x: np.ndarray,
    for_gain: np.ndarray,
) -> None:
    """The gradients, together with what came past the norm.

    Args:
        x: as in ``normalise``.
        gain: as in ``normalise``.
        facts: as ``normalise`` left them.
        gradient: [rows, width] ``float32``, of what ``normalise`` wrote.
        beside: [rows, width] ``float32``, added to the gradient of ``x``.
        for_x: [rows, width] ``float32``: written.
        for_gain: [width] ``float32``: added to.
    """
    width = x.shape[1]
    share = _ONE / np.float32(width)
    for i in range(x.shape[0]):
        line, given, past, found = x[i], gradient[i], beside[i], for_x[i]
        mean, factor = facts[i, 0], facts[i, 1]
        total, along = _ZERO, _ZERO
        for j in range(width):
            part = given[j] * gain[j]
            total += part
            along += part * (line[j] - mean)
        total *= share
        along *= share * factor * factor
        for j in range(width):
            away = line[j] - mean
            for_gain[j] += given[j] * away * factor
            found[j] = past[j] + factor * (given[j] * gain[j] - total - away * along)
