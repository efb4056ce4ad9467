"""Sixty-four bytes at a time: which of them are ASCII letters, spaces and so on, in a few vector instructions each."""

from __future__ import annotations

from functools import reduce
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

SIZE = 64
"""Bytes of a block."""

LETTERS = ((0x61, 26, 0x20),)
"""A class is ranges of bytes: the first, how many, and the bits that are set in a byte before it is looked for."""
DIGITS = ((0x30, 10, 0),)
SPACES = ((0x20, 1, 0),)


def masks(*of: tuple[tuple[int, int, int], ...]) -> Any:
    """An intrinsic `(data, index)`: one u64 for each class, bit k for byte k of `data[index:index + 64]`. No bounds check."""

    def find(_context: Any, data: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            block = ir.VectorType(ir.IntType(8), SIZE)

            def all_of(byte: int) -> Any:
                return ir.Constant(block, [byte] * SIZE)

            def among(first: int, count: int, fold: int) -> Any:
                folded = builder.or_(values, all_of(fold)) if fold else values
                return builder.icmp_unsigned("<", builder.sub(folded, all_of(first)), all_of(count))

            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            address = builder.gep(array.data, [context.cast(builder, arguments[1], signature.args[1], types.intp)])
            values = builder.load(builder.bitcast(address, block.as_pointer()))
            values.align = 1
            found = [reduce(builder.or_, [among(*part) for part in parts]) for parts in of]
            words = [builder.bitcast(mask, ir.IntType(SIZE)) for mask in found]
            return context.make_tuple(builder, signature.return_type, words)

        return types.UniTuple(types.uint64, len(of))(data, index), generate

    return intrinsic(find)


classes = masks(LETTERS + DIGITS, SPACES)
"""ASCII letters and digits; spaces."""


@intrinsic
def ones(_context: Any, word: Any) -> Any:
    """One bits of a u64. Callable from kernels."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate
