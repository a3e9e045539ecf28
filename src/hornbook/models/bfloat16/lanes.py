"""Sixteen numbers at once: the few machine instructions that loops in bfloat16 are made of.

    sums     sixteen float32                        s₀          s₁          …   s₁₅
    pairs    sixteen pairs of bfloat16, 32 bits     (a₀, b₀)    (a₁, b₁)    …   (a₁₅, b₁₅)

    add_products(s, p, q)     s₀ + a₀ c₀ + b₀ d₀, …      where q holds pairs (c, d)

Numba turns loops over plain numbers into such instructions by itself, but for this one it has no
words: ``VDPBF16PS``, which multiplies 32 pairs of bfloat16.scalars and adds them up in float32
(AVX-512 BF16; AMD since Zen 4, Intel servers since Cooper Lake). So it gets some here.

Places in arrays are counted in elements and not checked; what lies behind an array is not ours.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as numba_intrinsic
from numba.extending import models, register_model

intrinsic: Any = numba_intrinsic

COUNT = 16
"""Numbers that are handled at once."""

_FLOATS = ir.VectorType(ir.FloatType(), COUNT)
_PAIRS = ir.VectorType(ir.IntType(32), COUNT)
_SHORTS = ir.VectorType(ir.IntType(16), COUNT)


class _Sums(types.Type):
    """Sixteen float32 numbers in a register."""


class _Pairs(types.Type):
    """Sixteen pairs of bfloat16.scalars in a register."""


_sums, _pairs = _Sums("sums"), _Pairs("pairs")


@register_model(_Sums)
class _SumsModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _FLOATS)


@register_model(_Pairs)
class _PairsModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _PAIRS)


def _address(context: Any, builder: Any, kind: Any, place: Any, vector: Any) -> Any:
    """Where an element lies, ``place`` being a matrix, a row and a column; address of a vector."""
    array, row, column = place
    made = context.make_array(kind)(context, builder, array)
    rows, columns = cgutils.unpack_tuple(builder, made.strides, 2)
    offset = builder.add(builder.mul(row, rows), builder.mul(column, columns))
    first = builder.bitcast(made.data, ir.IntType(8).as_pointer())
    return builder.bitcast(builder.gep(first, [offset]), vector.as_pointer())


@intrinsic
def no_sums(typing_context: Any) -> Any:
    """Sixteen zeros."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(_FLOATS, [0.0] * COUNT)

    return _sums(), generate


@intrinsic
def no_pairs(typing_context: Any) -> Any:
    """Sixteen pairs of zeros."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(_PAIRS, [0] * COUNT)

    return _pairs(), generate


@intrinsic
def load_pairs(typing_context: Any, matrix: Any, row: Any, column: Any) -> Any:
    """Sixteen pairs of a row of an ``int32`` matrix, from a column on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _address(context, builder, signature.args[0], arguments, _PAIRS)
        return builder.load(place, align=4)

    return _pairs(matrix, types.intp, types.intp), generate


@intrinsic
def spread_pair(typing_context: Any, matrix: Any, row: Any, column: Any) -> Any:
    """One pair of an ``int32`` matrix, sixteen times."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _address(context, builder, signature.args[0], arguments, ir.IntType(32))
        pair = builder.load(place)
        nothing = ir.Constant(_PAIRS, ir.Undefined)
        first = builder.insert_element(nothing, pair, ir.Constant(ir.IntType(32), 0))
        everywhere = ir.Constant(_PAIRS, [0] * COUNT)
        return builder.shuffle_vector(first, nothing, everywhere)

    return _pairs(matrix, types.intp, types.intp), generate


@intrinsic
def store_pairs(typing_context: Any, matrix: Any, row: Any, column: Any, pairs: Any) -> Any:
    """Write sixteen pairs into a row of an ``int32`` matrix, from a column on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _address(context, builder, signature.args[0], arguments[:3], _PAIRS)
        builder.store(arguments[3], place, align=4)

    return types.none(matrix, types.intp, types.intp, _pairs), generate


def _weaving(first: int) -> Any:
    chosen = [place for n in range(COUNT) for place in (first + n, 2 * COUNT + first + n)]
    choice = ir.Constant(ir.VectorType(ir.IntType(32), 2 * COUNT), chosen)

    @intrinsic
    def weave(typing_context: Any, upper: Any, lower: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            numbers = ir.VectorType(ir.IntType(16), 2 * COUNT)
            both = (builder.bitcast(pairs, numbers) for pairs in arguments)
            return builder.bitcast(builder.shuffle_vector(*both, choice), _PAIRS)

        return _pairs(_pairs, _pairs), generate

    return weave


woven_first = _weaving(0)
"""Of two rows of 32 numbers, the first sixteen of each: a pair from each column."""

woven_last = _weaving(COUNT)
"""The same of the last sixteen."""


@intrinsic
def add_products(typing_context: Any, sums: Any, left: Any, right: Any) -> Any:
    """What ``sums`` become when the products of both halves of all pairs are added."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # LLVM took whole numbers here up to version 15, and still understands it so.
        form = ir.FunctionType(_FLOATS, [_FLOATS, _PAIRS, _PAIRS])
        name = "llvm.x86.avx512bf16.dpbf16ps.512"
        return builder.call(cgutils.get_or_insert_function(builder.module, form, name), arguments)

    return _sums(_sums, _pairs, _pairs), generate


@intrinsic
def load_sums(typing_context: Any, matrix: Any, row: Any, column: Any) -> Any:
    """Sixteen numbers of a row of a ``float32`` matrix, from a column on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _address(context, builder, signature.args[0], arguments, _FLOATS)
        return builder.load(place, align=4)

    return _sums(matrix, types.intp, types.intp), generate


@intrinsic
def store_sums(typing_context: Any, matrix: Any, row: Any, column: Any, sums: Any) -> Any:
    """Write sixteen numbers into a row of a matrix, from a column on.

    The matrix is ``float32``; or ``int16``, and takes what is left of them in bfloat16.
    """
    short = matrix.dtype == types.int16

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers = arguments[3]
        if short:
            form = ir.FunctionType(_SHORTS, [_FLOATS])
            name = "llvm.x86.avx512bf16.cvtneps2bf16.512"
            rounding = cgutils.get_or_insert_function(builder.module, form, name)
            numbers = builder.call(rounding, [numbers])
        vector = _SHORTS if short else _FLOATS
        place = _address(context, builder, signature.args[0], arguments[:3], vector)
        builder.store(numbers, place, align=2)

    return types.none(matrix, types.intp, types.intp, _sums), generate
