"""Hashes byte spans, words and Arrow texts, and mixes hashes with a seed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tamis.transforms.runtime.kernels import njit

PADDING = 8
"""Bytes that are readable after the last text in a buffer from `text_buffer`."""

_CONTENT_SEEDS = (0, 1)
"""Seeds of the two XXH64 of `hash128`. Every stored key depends on them, so never change them."""

_PRIME_1 = np.uint64(0x9E3779B185EBCA87)
_PRIME_2 = np.uint64(0xC2B2AE3D27D4EB4F)
_PRIME_3 = np.uint64(0x165667B19E3779F9)
_PRIME_4 = np.uint64(0x85EBCA77C2B2AE63)
_PRIME_5 = np.uint64(0x27D4EB2F165667C5)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_UPPER = np.uint64(0xFFFFFFFF00000000)
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
"""A slot of `slots_of` without a key."""


def _loader(bits: int) -> Any:
    """An intrinsic `(data, index)` that loads `bits` bits, little-endian, unchecked."""

    def load(_context: Any, data: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            address = builder.gep(array.data, [context.cast(builder, arguments[1], signature.args[1], types.intp)])
            word = builder.load(builder.bitcast(address, ir.IntType(bits).as_pointer()))
            word.align = 1
            return builder.zext(word, ir.IntType(64)) if bits < 64 else word

        return types.uint64(data, index), generate

    return intrinsic(load)


_load32 = _loader(32)
load64 = _loader(64)


@intrinsic
def trailing_zeros(_context: Any, word: Any) -> Any:
    """Number of zero bits below the lowest one bit of a u64; 64 for zero. Callable from kernels."""

    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@intrinsic
def prefetch(_context: Any, array: Any, index: Any) -> Any:
    """Asks for the cache line of `array[index]`, unchecked, and does not wait for it. Callable from kernels."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.gep(values.data, [context.cast(builder, arguments[1], signature.args[1], types.intp)])
        number, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        read, every_cache, data = (ir.Constant(number, constant) for constant in (0, 3, 1))
        builder.call(function, [builder.bitcast(address, pointer), read, every_cache, data])
        return context.get_dummy_value()

    return types.void(array, index), generate


@njit(cache=True, nogil=True, inline="always")
def _rotate(word: np.uint64, bits: int) -> np.uint64:
    return (word << np.uint64(bits)) | (word >> np.uint64(64 - bits))


@njit(cache=True, nogil=True, inline="always")
def _round(lane: np.uint64, word: np.uint64) -> np.uint64:
    return _rotate(lane + word * _PRIME_2, 31) * _PRIME_1


@njit(cache=True, nogil=True)
def xxh64(data: npt.NDArray[np.uint8], start: int, end: int, seed: np.uint64) -> np.uint64:
    """XXH64 of `data[start:end]` (xxHash, `doc/xxhash_spec.md`); callable from kernels."""
    i = start
    if end - start >= 32:
        a, b, c, d = seed + _PRIME_1 + _PRIME_2, seed + _PRIME_2, seed, seed - _PRIME_1
        while i + 32 <= end:
            a = _round(a, load64(data, i))
            b = _round(b, load64(data, i + 8))
            c = _round(c, load64(data, i + 16))
            d = _round(d, load64(data, i + 24))
            i += 32
        h = _rotate(a, 1) + _rotate(b, 7) + _rotate(c, 12) + _rotate(d, 18)
        for lane in (a, b, c, d):
            h = (h ^ _round(np.uint64(0), lane)) * _PRIME_1 + _PRIME_4
    else:
        h = seed + _PRIME_5
    h += np.uint64(end - start)
    while i + 8 <= end:
        h = _rotate(h ^ _round(np.uint64(0), load64(data, i)), 27) * _PRIME_1 + _PRIME_4
        i += 8
    if i + 4 <= end:
        h = _rotate(h ^ (_load32(data, i) * _PRIME_1), 23) * _PRIME_2 + _PRIME_3
        i += 4
    while i < end:
        h = _rotate(h ^ (np.uint64(data[i]) * _PRIME_5), 11) * _PRIME_1
        i += 1
    h = (h ^ (h >> np.uint64(33))) * _PRIME_2
    h = (h ^ (h >> np.uint64(29))) * _PRIME_3
    return h ^ (h >> np.uint64(32))


@njit(cache=True, nogil=True, inline="always")
def _finish(z: np.uint64) -> np.uint64:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def mix64(h: np.uint64, seed: np.uint64) -> np.uint64:
    """SplitMix64 (Steele, Lea, Flood 2014) of `h` on stream `seed`. Callable from kernels."""
    return _finish(h + (seed + np.uint64(1)) * _GOLDEN)


@njit(cache=True, nogil=True, inline="always")
def word_begin(length: int) -> np.uint64:
    """State of `word_hash64` before the first byte of a span of `length` bytes."""
    return np.uint64(length) * _PRIME_2


@njit(cache=True, nogil=True, inline="always")
def word_step(h: np.uint64, block: np.uint64) -> np.uint64:
    """State after another eight bytes, which are not the last."""
    h = (h ^ block) * _PRIME_1
    return h ^ (h >> np.uint64(32))


@njit(cache=True, nogil=True, inline="always")
def word_finish(h: np.uint64, block: np.uint64) -> np.uint64:
    """The hash; `block` is the last eight bytes, or a shorter span padded with zeros."""
    return _finish(h ^ block)


@njit(cache=True, nogil=True, inline="always")
def low_bytes(block: np.uint64, count: int) -> np.uint64:
    """The first `count` bytes (1 to 8) of a loaded block; the rest becomes zero."""
    return block & (_ALL >> np.uint64(64 - 8 * count))


@njit(cache=True, nogil=True, inline="always")
def word_hash64(data: npt.NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """64-bit hash of a word, a short span that is not empty. Callable from kernels.

    `data` must be readable for `PADDING` bytes past `end`. From h = length · P₂, each eight bytes
    give h = (h ^ block) · P₁, folded onto itself; SplitMix64's finaliser ends it. The last block is
    the last eight bytes, which overlap the block before; a shorter span is padded with zeros. Most
    words need three multiplications, where XXH64 needs nine. Different spans of the same length up
    to eight never collide.
    """
    h = word_begin(end - start)
    if end - start <= 8:
        return word_finish(h, low_bytes(load64(data, start), end - start))
    i = start
    while i + 8 < end:
        h = word_step(h, load64(data, i))
        i += 8
    return word_finish(h, load64(data, end - 8))


@njit(cache=True, nogil=True)
def slots_of(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A hash table of distinct keys for `find`, with linear probing: the upper half of a key and its
    position, or `EMPTY`. Its size is a power of two, and at most half of it is used. Keys must be hashes."""
    capacity = 2
    while capacity < 2 * len(keys):
        capacity *= 2
    slots = np.full(capacity, EMPTY, np.uint64)
    for k in range(len(keys)):
        slot = np.int64(keys[k] & np.uint64(capacity - 1))
        while slots[slot] != EMPTY:
            slot = (slot + 1) & (capacity - 1)
        slots[slot] = (keys[k] & _UPPER) | np.uint64(k)
    return slots


@njit(cache=True, nogil=True, inline="always")
def find(key: np.uint64, keys: npt.NDArray[np.uint64], slots: npt.NDArray[np.uint64]) -> np.int64:
    """The position of a key in `keys`, or -1. Callable from kernels."""
    slot = np.int64(key & np.uint64(len(slots) - 1))
    while slots[slot] != EMPTY:
        k = np.int64(slots[slot] & ~_UPPER)
        if (slots[slot] ^ key) & _UPPER == 0 and keys[k] == key:
            return k
        slot = (slot + 1) & (len(slots) - 1)
    return np.int64(-1)


@njit(cache=True, nogil=True)
def _hash_spans(
    data: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], end: npt.NDArray[np.int64], seed: np.uint64
) -> npt.NDArray[np.uint64]:
    hashes = np.empty(len(start), np.uint64)
    for k in range(len(start)):
        hashes[k] = xxh64(data, start[k], end[k], seed)
    return hashes


@njit(cache=True, nogil=True)
def _hash_words(data: npt.NDArray[np.uint8], start: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    hashes = np.empty(len(start) - 1, np.uint64)
    for k in range(len(hashes)):
        hashes[k] = word_hash64(data, start[k], start[k + 1])
    return hashes


@njit(cache=True, nogil=True)
def _mix(hashes: npt.NDArray[np.uint64], seed: np.uint64) -> npt.NDArray[np.uint64]:
    mixed = np.empty(len(hashes), np.uint64)
    for k in range(len(hashes)):
        mixed[k] = mix64(hashes[k], seed)
    return mixed


def hash_spans(
    data: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], end: npt.NDArray[np.int64], seed: int = 0
) -> npt.NDArray[np.uint64]:
    """XXH64 of each `data[start[k]:end[k]]`; spans inside `data` may overlap or be empty."""
    return _hash_spans(_read_only(data), np.ascontiguousarray(start), np.ascontiguousarray(end), np.uint64(seed))


def hash_texts(array: pa.Array, seed: int = 0) -> npt.NDArray[np.uint64]:
    """XXH64 of the bytes of each row of a (large) string or binary array without nulls."""
    data, start = text_buffer(array)
    return hash_spans(data, start[:-1], start[1:], seed)


def hash128(array: pa.Array) -> npt.NDArray[np.uint64]:
    """A 128-bit hash of each row, u64[n, 2], by XXH64 with two seeds; it identifies the text."""
    data, start = text_buffer(array)
    return np.stack([hash_spans(data, start[:-1], start[1:], seed) for seed in _CONTENT_SEEDS], axis=1)


def hash_words(words: Sequence[str]) -> npt.NDArray[np.uint64]:
    """The `word_hash` that segmentation gives each of these words; none may be empty."""
    data, start = text_buffer(pa.array(words, pa.large_string()))
    return _hash_words(data, start)


def mix(hashes: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """`mix64` of each hash, a permutation for every seed, so distinct hashes stay distinct."""
    return _mix(np.ascontiguousarray(hashes), np.uint64(seed))


def text_buffer(array: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes of all rows, read-only, and the n + 1 offsets of the rows in them.

    This is a view of the Arrow buffer if `PADDING` bytes after the last row are readable, else a
    padded copy. (Arrow pads its own allocations, but does not say which buffers are its own.)
    Raises ValueError on nulls, and TypeError if the array is neither text nor binary.
    """
    if array.null_count:
        raise ValueError(f"texts must not be null: {array.null_count} of {len(array)} are")
    if pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type):
        width: npt.DTypeLike = np.int64
    elif pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        width = np.int32
    else:
        raise TypeError(f"texts must be a string or binary array, not {array.type}")
    if len(array) == 0:
        return _read_only(np.zeros(PADDING, np.uint8)), np.zeros(1, np.int64)
    _, offsets, values = array.buffers()
    start = np.frombuffer(offsets, width, len(array) + 1, array.offset * np.dtype(width).itemsize).astype(np.int64)
    first, last = int(start[0]), int(start[-1])
    if values is not None and values.size >= last + PADDING:
        return _read_only(np.frombuffer(values, np.uint8)), start
    data = np.zeros(last - first + PADDING, np.uint8)
    if last > first:
        data[: last - first] = np.frombuffer(values, np.uint8, last - first, first)
    return _read_only(data), start - first


def _read_only(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A read-only contiguous view, like Arrow's buffers, so that kernels compile only once."""
    view = np.ascontiguousarray(data).view()
    view.flags.writeable = False
    return view
