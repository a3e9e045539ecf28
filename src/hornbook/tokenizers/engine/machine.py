"""The few machine instructions that Python has no word for.

Kernels work on raw addresses: an array as an argument costs a check of its bounds at each use,
and a factor of two in the innermost loops. Whoever calls a kernel keeps what stands at the
address alive and large enough.

The one that does the work is ``bytes_between``. It looks at 64 bytes at once and answers with a
mask of 64 bits, the first byte's bit lowest (drawn here from left to right):

    text                            The egg, 'tis 12
    bytes_between(text, a, z)       .##.###...###...
    bytes_between(text, 0, 9)       ..............##
    bytes_between(text, ' ', ' ')   ...#....#....#..

A compiler does not find this in a loop over bytes, so it is spelled out as one vector comparison,
which becomes AVX-512, AVX2, SSE2 or NEON, whichever there is. Its scalar twin is
``bytes_between_twin``; a test holds the two equal.
"""

from __future__ import annotations

import ctypes
from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as numba_intrinsic
from numba.extending import models, register_model
from numpy.typing import NDArray

intrinsic: Any = numba_intrinsic
"""What Numba makes of such a function has other arguments than it says."""

Int: TypeAlias = int | np.int64
"""An address, a place, a count: int64 in a kernel."""

WINDOW = 64
"""How many bytes one mask describes."""

_BYTE, _INT32, _INT64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def bytes_between_twin(window: bytes, low: int, high: int) -> int:
    """Return what ``bytes_between`` returns, a byte at a time.

    >>> f"{bytes_between_twin(b'a, b', ord('a'), ord('z')):04b}"
    '1001'
    """
    mask = 0
    for place, byte in enumerate(window[:WINDOW]):
        if low <= byte <= high:
            mask |= 1 << place
    return mask


@intrinsic
def bytes_between(typingctx: Any, address: Any, low: Any, high: Any) -> Any:
    """Return which of the 64 bytes at an address lie from ``low`` to ``high``, as uint64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(_BYTE, WINDOW)
        place, lowest, highest = arguments
        window = builder.load(builder.inttoptr(place, vector.as_pointer()))
        window.align = 1

        def everywhere(value: Any) -> Any:
            return in_every_lane(builder, builder.trunc(value, _BYTE), vector)

        # One unsigned comparison: what lies below ``low`` wraps around to the far end.
        distance = builder.sub(window, everywhere(lowest))
        inside = builder.icmp_unsigned("<=", distance, everywhere(builder.sub(highest, lowest)))
        return builder.bitcast(inside, _INT64)

    return types.uint64(types.int64, types.int64, types.int64), emit


def in_every_lane(builder: Any, value: Any, vector: Any) -> Any:
    """Emit a vector that holds a value, known at run time, as often as it has room."""
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, _INT32(0))
    first = ir.Constant(ir.VectorType(_INT32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, one, first)


def _loading(kind: Any, width: int) -> Any:
    @intrinsic
    def load(typingctx: Any, address: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], ir.IntType(width).as_pointer())
            loaded = builder.load(pointer)
            loaded.align = 1
            return loaded

        return kind(types.int64), emit

    return load


def _storing(kind: Any, width: int) -> Any:
    @intrinsic
    def store(typingctx: Any, address: Any, value: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], ir.IntType(width).as_pointer())
            builder.store(arguments[1], pointer, align=1)
            return context.get_dummy_value()

        return types.void(types.int64, kind), emit

    return store


# Little-endian, at any address.
load_u8: Any = _loading(types.uint8, 8)
load_u16: Any = _loading(types.uint16, 16)
load_u32: Any = _loading(types.uint32, 32)
load_i32: Any = _loading(types.int32, 32)
load_u64: Any = _loading(types.uint64, 64)
load_i64: Any = _loading(types.int64, 64)
store_u8: Any = _storing(types.uint8, 8)
store_u16: Any = _storing(types.uint16, 16)
store_u32: Any = _storing(types.uint32, 32)
store_i32: Any = _storing(types.int32, 32)
store_u64: Any = _storing(types.uint64, 64)
store_i64: Any = _storing(types.int64, 64)


@intrinsic
def widen_8(typingctx: Any, source: Any, target: Any) -> Any:
    """Copy eight uint16 from one address to eight uint32 at another."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        narrow, wide = ir.VectorType(ir.IntType(16), 8), ir.VectorType(ir.IntType(32), 8)
        loaded = builder.load(builder.inttoptr(arguments[0], narrow.as_pointer()))
        loaded.align = 1
        to = builder.inttoptr(arguments[1], wide.as_pointer())
        builder.store(builder.zext(loaded, wide), to, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


class Row(types.Type):
    """Some uint32 that stay in the processor's vector registers: 16, 32 or 64 of them.

    In memory, to write one number and then read all of them makes the processor wait until the
    first has arrived there. Words of 9 to 15 bytes in 46 languages took 320 ns to merge so, and 285
    in registers.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(name=f"Row{count}")

    @property
    def vector(self) -> Any:
        """What the compiler calls it."""
        return ir.VectorType(ir.IntType(32), self.count)


@register_model(Row)
class _RowModel(models.PrimitiveModel):
    def __init__(self, manager: Any, row: Row) -> None:
        super().__init__(manager, row, row.vector)


def _loading_row(count: int) -> Any:
    @intrinsic
    def load_row(typingctx: Any, address: Any) -> Any:
        row = Row(count)

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            loaded = builder.load(builder.inttoptr(arguments[0], row.vector.as_pointer()))
            loaded.align = 1
            return loaded

        return row(types.int64), emit

    return load_row


# The uint32 at an address as a row.
load_row_16: Any = _loading_row(16)
load_row_32: Any = _loading_row(32)
load_row_64: Any = _loading_row(64)


@intrinsic
def with_number(typingctx: Any, row: Any, place: Any, number: Any) -> Any:
    """Return a row with one of its numbers replaced."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        old, index, value = arguments
        places = ir.Constant(row.vector, list(range(row.count)))

        def everywhere(scalar: Any) -> Any:
            return in_every_lane(builder, builder.trunc(scalar, _INT32), row.vector)

        here = builder.icmp_unsigned("==", everywhere(index), places)
        return builder.select(here, everywhere(value), old)

    return row(row, types.int64, types.int64), emit


@intrinsic
def lowest_in(typingctx: Any, row: Any) -> Any:
    """Return the lowest number of a row, as int64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_INT32, [row.vector])
        name = f"llvm.vector.reduce.umin.v{row.count}i32"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.zext(builder.call(function, [arguments[0]]), _INT64)

    return types.int64(row), emit


@intrinsic
def prefetch(typingctx: Any, address: Any) -> Any:
    """Ask for the cache line at an address, which will be read soon."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit_prefetch(builder, arguments[0])
        return context.get_dummy_value()

    return types.void(types.int64), emit


def emit_prefetch(builder: Any, address: Any) -> None:
    """Emit what asks for the cache line at an address."""
    pointer = _BYTE.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, _INT32, _INT32, _INT32])
    function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
    read, keep, data = _INT32(0), _INT32(3), _INT32(1)
    builder.call(function, [builder.inttoptr(address, pointer), read, keep, data])


@intrinsic
def trailing_zeros(typingctx: Any, mask: Any) -> Any:
    """Return the place of a mask's lowest bit as int64; 64 where there is none."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), emit


@intrinsic
def leading_zeros(typingctx: Any, mask: Any) -> Any:
    """Return how many bits stand above a mask's highest, as int64; 64 where there is none."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), emit


@intrinsic
def count_bits(typingctx: Any, mask: Any) -> Any:
    """Return how many bits a mask has, as int64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), emit


def address_of(array: np.ndarray) -> int:
    """Return where an array's first element stands; keep the array while it is in use."""
    return array.__array_interface__["data"][0]


address_of_bytes: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(
    ("PyBytes_AsString", ctypes.pythonapi)
)
"""Return where the content of ``bytes`` stands; a tenth of the time it takes through an array."""

unwritten_bytes: Any = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t)(
    ("PyBytes_FromStringAndSize", ctypes.pythonapi)
)
"""Return ``bytes`` to be written before anybody sees them: ``unwritten_bytes(None, size)``."""

Content: TypeAlias = bytes | memoryview | NDArray[np.uint8]
"""A text as bytes."""


def address_of_content(content: Content) -> int:
    """Return where a text stands; keep it while the address is in use."""
    if isinstance(content, bytes):
        return address_of_bytes(content) or 0
    if isinstance(content, np.ndarray):
        return address_of(content)
    return address_of(np.frombuffer(content, dtype=np.uint8))
