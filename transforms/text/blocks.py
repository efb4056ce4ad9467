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


def _bytes(byte: int) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(8), SIZE), [byte] * SIZE)


def _address(context: Any, builder: Any, types_: Any, array: Any, index: Any) -> Any:
    """Where a block of an array begins, for a load or a store."""
    first = context.make_array(types_[0])(context, builder, array).data
    address = builder.gep(first, [context.cast(builder, index, types_[1], types.intp)])
    return builder.bitcast(address, ir.VectorType(ir.IntType(8), SIZE).as_pointer())


def _load(context: Any, builder: Any, types_: Any, array: Any, index: Any) -> Any:
    values = builder.load(_address(context, builder, types_, array, index))
    values.align = 1
    return values


def masks(*byte_classes: tuple[tuple[int, int, int], ...]) -> Any:
    """An intrinsic `(data, index)` that returns one u64 per class, without a bounds check.

    Bit k is set if `data[index + k]` is in the class.
    """

    def find(_context: Any, data: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            def in_range(first: int, count: int, bits: int) -> Any:
                folded = builder.or_(values, _bytes(bits)) if bits else values
                return builder.icmp_unsigned("<", builder.sub(folded, _bytes(first)), _bytes(count))

            values = _load(context, builder, signature.args, *arguments)
            matches = [reduce(builder.or_, [in_range(*one) for one in ranges]) for ranges in byte_classes]
            words = [builder.bitcast(match, ir.IntType(SIZE)) for match in matches]
            return context.make_tuple(builder, signature.return_type, words)

        return types.UniTuple(types.uint64, len(byte_classes))(data, index), generate

    return intrinsic(find)


classes = masks(LETTERS + DIGITS, SPACES)
"""Two masks: ASCII letters and digits, and spaces."""


@intrinsic
def fold_ascii(_context: Any, data: Any, index: Any, out: Any) -> Any:
    """Writes the block at `data[index]` to `out`, with ASCII in lower case and every digit 0, without bounds checks."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def among(first: int, count: int) -> Any:
            return builder.icmp_unsigned("<", builder.sub(values, _bytes(first)), _bytes(count))

        values = _load(context, builder, signature.args, *arguments[:2])
        lower = builder.select(among(0x41, 26), builder.or_(values, _bytes(0x20)), values)
        folded = builder.select(among(0x30, 10), _bytes(0x30), lower)
        begin = ir.Constant(ir.IntType(64), 0)
        address = _address(context, builder, (signature.args[2], types.intp), arguments[2], begin)
        builder.store(folded, address).align = 1
        return context.get_dummy_value()

    return types.void(data, index, out), generate


@intrinsic
def ones(_context: Any, word: Any) -> Any:
    """Number of one bits of a u64. Callable from kernels."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate
