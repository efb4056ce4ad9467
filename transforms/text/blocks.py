"""Classifies 64 bytes at a time (ASCII letters, spaces, …) by vector instructions."""

from functools import reduce
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

SIZE = 64
"""Bytes of a block."""

LETTERS = ((0x61, 26, 0x20),)
"""A class is a tuple of byte ranges: first byte, number of bytes, and the bits to set in a byte
before it is compared."""
DIGITS = ((0x30, 10, 0),)
SPACES = ((0x20, 1, 0),)


def masks(*byte_classes: tuple[tuple[int, int, int], ...]) -> Any:
    """An intrinsic `(data, index)` that returns one u64 per class, without a bounds check.

    Bit k is set if `data[index + k]` is in the class.
    """

    def find(_context: Any, data: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            block = ir.VectorType(ir.IntType(8), SIZE)

            def fill(byte: int) -> Any:
                return ir.Constant(block, [byte] * SIZE)

            def in_range(first: int, count: int, bits: int) -> Any:
                folded = builder.or_(values, fill(bits)) if bits else values
                return builder.icmp_unsigned("<", builder.sub(folded, fill(first)), fill(count))

            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            address = builder.gep(array.data, [context.cast(builder, arguments[1], signature.args[1], types.intp)])
            values = builder.load(builder.bitcast(address, block.as_pointer()))
            values.align = 1
            matches = [reduce(builder.or_, [in_range(*one) for one in ranges]) for ranges in byte_classes]
            words = [builder.bitcast(match, ir.IntType(SIZE)) for match in matches]
            return context.make_tuple(builder, signature.return_type, words)

        return types.UniTuple(types.uint64, len(byte_classes))(data, index), generate

    return intrinsic(find)


classes = masks(LETTERS + DIGITS, SPACES)
"""Two masks: ASCII letters and digits, and spaces."""


@intrinsic
def ones(_context: Any, word: Any) -> Any:
    """Number of one bits of a u64. Callable from kernels."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate
