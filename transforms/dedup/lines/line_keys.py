"""Scans texts for their lines, and hashes each within its group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.characters import characters, strip
from tamis.transforms.text.hashing import load64, trailing_zeros, xxh64

# mypy: disable-error-code="no-untyped-def"

Hashes = npt.NDArray[np.uint64]
Offsets = npt.NDArray[np.uint32]

_ONES = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of n texts that are not blank, in text order. Offsets are bytes in the own text."""

    document: npt.NDArray[np.int64]
    key: Hashes
    """[k, 2]: 128 bits of the stripped line and its group."""
    after: Offsets
    """Where the last line before that is not blank ends; 0 for the first."""
    start: Offsets
    stop: Offsets
    """The line as it stands there, without its line break."""


def lines_of(data: npt.NDArray[np.uint8], text_start: npt.NDArray[np.int64], group: Hashes) -> Lines:
    """The lines of the texts `data[text_start[d]:text_start[d + 1]]`, each of less than 4 GiB, which
    belong to the groups u64[n, 2].

    Lines end at a line feed and are stripped as by `str.strip`. The key is XXH64 with the two halves of
    the group as seeds. Among n different pairs of group and line, two share a key with a chance of
    n² / 2^129: 1.5e-15 for 10^12.
    """
    document, key, after, start, stop = _lines(data, text_start, np.ascontiguousarray(group), characters().flags)
    return Lines(document, key, after, start, stop)


@njit(cache=True, nogil=True, inline="always")
def _break(data, i, end):
    """The first line break in `data[i:end]`, or `end`."""
    while i < end:
        unlike = load64(data, i) ^ _ONES * np.uint64(0x0A)
        breaks = (unlike - _ONES) & ~unlike & _HIGH  # the lowest one bit is exact
        if breaks:
            return min(i + np.int64(trailing_zeros(breaks) >> np.uint64(3)), end)
        i += 8
    return end


@njit(cache=True, nogil=True)
def _lines(data, text_start, group, flags):
    n = len(text_start) - 1
    most = n
    for byte in data[text_start[0] : text_start[n]]:
        most += byte == 0x0A
    document = np.empty(most, np.int64)
    key = np.empty((most, 2), np.uint64)
    after = np.empty(most, np.uint32)
    start = np.empty(most, np.uint32)
    stop = np.empty(most, np.uint32)
    size = 0
    for d in range(n):
        origin = text_start[d]
        end = text_start[d + 1]
        before = origin
        i = origin
        while i < end:
            line_end = _break(data, i, end)
            first, last = strip(data, i, line_end, flags)
            if first < last:
                document[size] = d
                for half in range(2):
                    key[size, half] = xxh64(data, first, last, group[d, half])
                after[size] = before - origin
                start[size] = i - origin
                stop[size] = line_end - origin
                before = line_end
                size += 1
            i = line_end + 1
    return document[:size], key[:size], after[:size], start[:size], stop[:size]
