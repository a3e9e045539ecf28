"""bfloat16 in loops: such a number is the upper half of a float32, and is kept as an ``int16``.

    float32     sign, 8 bits of exponent, 23 bits behind the point
    bfloat16    sign, 8 bits of exponent,  7 bits behind the point

Numba's compiler handles sixteen turns of a loop over these functions at once, on any processor
that can. Constants are written as ``float32``, or a loop would go on in ``float64``, half as fast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic as numba_intrinsic

from hornbook.kernels import inlined

intrinsic: Any = numba_intrinsic

_LOWEST_POWER = np.float32(-126)
# 2^x for x from -1 to 0; no result is off by more than 8e-8 of it.
_C0, _C1, _C2 = np.float32(0.9999999232), np.float32(0.6931421711), np.float32(0.2401715885)
_C3, _C4, _C5 = np.float32(0.05527813502), np.float32(0.009186874379), np.float32(0.0009381164726)


_FLOAT, _INT, _SHORT = ir.FloatType(), ir.IntType(32), ir.IntType(16)


# Numba computes with whole numbers in 64 bits, of which a register holds half as many; so what is
# done to the bits of a number is spelled out in 32.
def _on_bits(source: Any, target: Any, made: Callable[[Any, Any], Any]) -> Any:
    @intrinsic
    def change(typing_context: Any, number: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return made(builder, arguments[0])

        return target(source), generate

    return change


def _rounded_bits(builder: Any, number: Any) -> Any:
    bits = builder.bitcast(number, _INT)
    odd = builder.and_(builder.lshr(bits, _INT(16)), _INT(1))
    return builder.lshr(builder.add(bits, builder.add(odd, _INT(0x7FFF))), _INT(16))


rounded: Any = _on_bits(
    types.float32, types.int16, lambda builder, x: builder.trunc(_rounded_bits(builder, x), _SHORT)
)
"""The nearest bfloat16 number of a ``float32``; of two, the one whose last bit is zero."""

rounded_bits: Any = _on_bits(types.float32, types.int32, _rounded_bits)
"""The same in the lower half of 32 bits."""

widened: Any = _on_bits(
    types.int16,
    types.float32,
    lambda builder, x: builder.bitcast(builder.shl(builder.zext(x, _INT), _INT(16)), _FLOAT),
)
"""A bfloat16 number as ``float32``."""

_power: Any = _on_bits(
    types.int32,
    types.float32,
    lambda builder, x: builder.bitcast(builder.shl(builder.add(x, _INT(127)), _INT(23)), _FLOAT),
)
"""2^n of a whole number from -126 to 127."""


@inlined
def power_of_two(x: np.float32) -> np.float32:
    """2^x of a number that is at most 0; below 2^-126 it stays there."""
    if x < _LOWEST_POWER:
        x = _LOWEST_POWER
    whole = np.int32(x)
    rest = x - np.float32(whole)
    y = _C0 + rest * (_C1 + rest * (_C2 + rest * (_C3 + rest * (_C4 + rest * _C5))))
    return y * _power(whole)


@inlined
def paired(first: np.float32, second: np.float32) -> np.int32:
    """Two numbers in bfloat16, the first in the lower half."""
    return np.int32(rounded_bits(first) | (rounded_bits(second) << 16))
