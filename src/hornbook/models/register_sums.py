"""Sums that stay in registers from beginning to end: the innermost loops of kernels.

A compiler that turns a loop into vector instructions keeps its sums in memory where it cannot prove
that nobody else looks, and asks at each turn how long the loop is. Here the instructions are said.
Kernels call these with raw addresses, of which they know that they hold enough.

    dot_product    a0·b0 + a1·b1 + …                 a query and a key
    add_weighted   out += s0 · v0 + s1 · v1 + …      what a query takes of 16, 32 or 64 numbers
                                                     of each value
    add_tile       eight outputs of a product, for 16 rows that lie across (``few_rows``)

Vectors of 16 numbers become two or four registers on processors that have shorter ones.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as numba_intrinsic

intrinsic: Any = numba_intrinsic
"""What Numba makes of such a function has other arguments than it says."""

LANES = 16
"""Numbers in a vector."""

OUTPUTS = 8
"""How many outputs' sums ``add_tile`` keeps."""

_FLOAT, _INT64, _INT32 = ir.FloatType(), ir.IntType(64), ir.IntType(32)
_NUMBER = 4
"""Bytes of a float32."""


class _Vectors:
    """Vectors of ``lanes`` float32 in the code that is being built."""

    def __init__(self, builder: Any, lanes: int = LANES) -> None:
        self.builder, self.lanes = builder, lanes
        self.kind = ir.VectorType(_FLOAT, lanes)
        function = ir.FunctionType(self.kind, [self.kind] * 3)
        name = f"llvm.fma.v{lanes}f32"
        self._fma = cgutils.get_or_insert_function(builder.module, function, name)

    def zeros(self) -> Any:
        """A variable that holds zeros."""
        return cgutils.alloca_once_value(self.builder, ir.Constant(self.kind, [0.0] * self.lanes))

    def at(self, address: Any, offset: int = 0) -> Any:
        """A pointer to the vector ``offset`` bytes behind an address."""
        return self.builder.inttoptr(
            self.builder.add(address, _INT64(offset)), self.kind.as_pointer()
        )

    def load(self, address: Any, offset: int = 0) -> Any:
        """The vector there."""
        return self.builder.load(self.at(address, offset), align=_NUMBER)

    def everywhere(self, address: Any) -> Any:
        """The one number at an address in all lanes."""
        number = self.builder.load(self.builder.inttoptr(address, _FLOAT.as_pointer()))
        one = self.builder.insert_element(ir.Constant(self.kind, ir.Undefined), number, _INT32(0))
        places = ir.Constant(ir.VectorType(_INT32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, one, places)

    def add_to(self, total: Any, first: Any, second: Any) -> None:
        """Add a product to a variable."""
        self.builder.store(
            self.builder.call(self._fma, [first, second, self.builder.load(total)]), total
        )

    def pour(self, total: Any, address: Any, offset: int) -> None:
        """Add a variable to what stands in memory."""
        target = self.at(address, offset)
        before = self.builder.load(target, align=_NUMBER)
        self.builder.store(
            self.builder.fadd(before, self.builder.load(total)), target, align=_NUMBER
        )


@intrinsic
def dot_product(typingctx: Any, first: Any, second: Any, vectors: Any) -> Any:
    """The dot product of so many vectors of LANES numbers at two addresses, as float32."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, second, vectors = arguments
        own = _Vectors(builder)
        total = own.zeros()
        with cgutils.for_range(builder, vectors, intp=_INT64) as loop:
            offset = builder.mul(loop.index, _INT64(_NUMBER * LANES))
            own.add_to(
                total,
                own.load(builder.add(first, offset)),
                own.load(builder.add(second, offset)),
            )
        kind = ir.FunctionType(_FLOAT, [_FLOAT, own.kind])
        name = f"llvm.vector.reduce.fadd.v{LANES}f32"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        start = ir.Constant(_FLOAT, 0.0)
        return builder.call(function, [start, builder.load(total)], fastmath=("reassoc",))

    return types.float32(types.int64, types.int64, types.int64), emit


def _adding_weighted(width: int) -> Any:
    @intrinsic
    def add_weighted(
        typingctx: Any, shares: Any, vectors: Any, stride: Any, count: Any, out: Any
    ) -> Any:
        """Arguments: where [count] shares are, and the first vector; bytes from one vector to the
        next; how many there are; where the sum goes."""

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            shares, vectors, stride, count, out = arguments
            own = _Vectors(builder)
            sums = [own.zeros() for _ in range(width)]
            with cgutils.for_range(builder, count, intp=_INT64) as loop:
                share = own.everywhere(
                    builder.add(shares, builder.mul(loop.index, _INT64(_NUMBER)))
                )
                vector = builder.add(vectors, builder.mul(loop.index, stride))
                for place, total in enumerate(sums):
                    own.add_to(total, share, own.load(vector, _NUMBER * LANES * place))
            for place, total in enumerate(sums):
                own.pour(total, out, _NUMBER * LANES * place)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), emit

    return add_weighted


add_weighted_16: Any = _adding_weighted(1)
add_weighted_32: Any = _adding_weighted(2)
add_weighted_64: Any = _adding_weighted(4)


def _adding_tile(lanes: int) -> Any:
    @intrinsic
    def add_tile(typingctx: Any, weight: Any, stride: Any, inputs: Any, x: Any, out: Any) -> Any:
        """Arguments: where the first output's weights are; bytes from one output's to the next's;
        how many inputs there are; where [inputs, LANES] are; where [OUTPUTS, LANES] are."""

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            weight, stride, inputs, x, out = arguments
            own = _Vectors(builder, lanes)
            streams = [builder.add(weight, builder.mul(stride, _INT64(n))) for n in range(OUTPUTS)]
            sums = [own.zeros() for _ in range(OUTPUTS)]
            with cgutils.for_range(builder, inputs, intp=_INT64) as loop:
                offset = builder.mul(loop.index, _INT64(_NUMBER))
                numbers = own.load(builder.add(x, builder.mul(loop.index, _INT64(_NUMBER * LANES))))
                for stream, total in zip(streams, sums, strict=True):
                    own.add_to(total, own.everywhere(builder.add(stream, offset)), numbers)
            for number, total in enumerate(sums):
                own.pour(total, out, _NUMBER * LANES * number)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), emit

    return add_tile


add_tile: Any = _adding_tile(LANES)
add_half_tile: Any = _adding_tile(LANES // 2)
