"""Sixty-four bytes at a time: which of them are ASCII letters and digits, which are spaces, in a few vector instructions."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

SIZE = 64
"""Bytes of a block."""


@intrinsic
def classes(_context: Any, data: Any, index: Any) -> Any:
    """Two u64 of `data[index:index + 64]`, bit k for byte k: ASCII letters and digits; spaces. No bounds check; for kernels."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        block = ir.VectorType(ir.IntType(8), SIZE)

        def all_of(byte: int) -> Any:
            return ir.Constant(block, [byte] * SIZE)

        def among(values: Any, first: int, count: int) -> Any:
            return builder.icmp_unsigned("<", builder.sub(values, all_of(first)), all_of(count))

        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.gep(array.data, [context.cast(builder, arguments[1], signature.args[1], types.intp)])
        values = builder.load(builder.bitcast(address, block.as_pointer()))
        values.align = 1
        letters = among(builder.or_(values, all_of(0x20)), 0x61, 26)
        masks = builder.or_(letters, among(values, 0x30, 10)), among(values, 0x20, 1)
        words = [builder.bitcast(mask, ir.IntType(SIZE)) for mask in masks]
        return context.make_tuple(builder, signature.return_type, words)

    return types.UniTuple(types.uint64, 2)(data, index), generate
