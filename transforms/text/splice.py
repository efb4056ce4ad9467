"""Replaces spans of texts, and measures and copies them."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.hashing import PADDING, text_buffer

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def _copy(source: Bytes, start: int, stop: int, target: Bytes, position: int) -> int:
    piece, place = source[start:stop], target[position : position + stop - start]
    for i in range(len(piece)):
        place[i] = piece[i]
    return position + stop - start


@njit(cache=True, nogil=True)
def _splice(
    data: Bytes, text_start: Ints, document: Ints, start: Ints, stop: Ints, inserted: Bytes, insert_start: Ints
) -> tuple[Bytes, Ints]:
    documents = len(text_start) - 1
    size = text_start[documents] - text_start[0] + insert_start[-1] - insert_start[0]
    for k in range(len(document)):  # np.sum would import SciPy's linear algebra, for a seventh of a start
        size -= stop[k] - start[k]
    result = np.empty(size + PADDING, np.uint8)
    result[size:] = 0
    first = np.zeros(documents + 1, np.int64)
    position = k = 0
    for d in range(documents):
        left = text_start[d]
        while k < len(document) and document[k] == d:
            position = _copy(data, left, start[k], result, position)
            position = _copy(inserted, insert_start[k], insert_start[k + 1], result, position)
            left = stop[k]
            k += 1
        position = _copy(data, left, text_start[d + 1], result, position)
        first[d + 1] = position
    return result, first


@njit(cache=True, nogil=True)
def _gather(data: Bytes, start: Ints, stop: Ints) -> tuple[Bytes, Ints]:
    first = np.zeros(len(start) + 1, np.int64)
    for k in range(len(start)):
        first[k + 1] = first[k] + stop[k] - start[k]
    result = np.zeros(first[-1] + PADDING, np.uint8)
    for k in range(len(start)):
        _copy(data, start[k], stop[k], result, first[k])
    return result, first


@njit(cache=True, nogil=True)
def _lengths(data: Bytes, start: Ints, stop: Ints) -> Ints:
    lengths = np.zeros(len(start), np.int64)
    for k in range(len(start)):
        for i in range(start[k], stop[k]):
            lengths[k] += data[i] & 0xC0 != 0x80
    return lengths


def splice(data: Bytes, text_start: Ints, document: Ints, start: Ints, stop: Ints, inserted: pa.Array | None) -> pa.Array:
    """The texts with k spans replaced, as large_string[n]. `start` and `stop` are offsets into `data`,
    in text order and without overlaps; `inserted` is large_string[k], or None if nothing replaces
    them."""
    texts = inserted if inserted is not None else pa.array([""] * len(document), pa.large_string())
    return _strings(*_splice(data, text_start, document, start, stop, *text_buffer(texts)))


def without_cuts(texts: pa.Array, cuts: pa.ListArray) -> pa.Array:
    """Texts without their cuts: null, or structs with `start` and `stop`, bytes of the text, in order."""
    data, text_start = text_buffer(texts)
    document = pc.list_parent_indices(cuts).to_numpy().astype(np.int64)
    span = pc.list_flatten(cuts)
    start, stop = (text_start[document] + pc.struct_field(span, name).to_numpy() for name in ("start", "stop"))
    return splice(data, text_start, document, start, stop, None)


def spans(data: Bytes, start: Ints, stop: Ints) -> pa.Array:
    """The text of each span, as large_string[k]."""
    return _strings(*_gather(data, start, stop))


def lengths(data: Bytes, start: Ints, stop: Ints) -> Ints:
    """The code points of each span."""
    return np.asarray(_lengths(data, start, stop))


def _strings(data: Bytes, first: Ints) -> pa.Array:
    return pa.LargeStringArray.from_buffers(len(first) - 1, pa.py_buffer(first), pa.py_buffer(data))
