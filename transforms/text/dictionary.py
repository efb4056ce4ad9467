"""Finds words in scripts without spaces by ICU's dictionaries (UAX #29)."""

import numpy as np
import numpy.typing as npt

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.characters import EXTENDS, UNSPACED, decode
from tamis.transforms.text.words import icu_version


def joints(
    data: npt.NDArray[np.uint8], text_start: npt.NDArray[np.int64], flags: npt.NDArray[np.uint16]
) -> npt.NDArray[np.int64]:
    """Ascending byte offsets of the characters in unspaced runs at which ICU begins no word.

    Each run is segmented separately, so neither its surroundings nor the batch matter. Raises
    ImportError as `icu_version` does.
    """
    icu_version()
    from icu4py.breakers import WordBreaker

    start, end = _runs(data, text_start, flags)
    if not len(start):
        return start
    runs, origin = _lines(data, start, end)
    characters = origin[runs & 0xC0 != 0x80]
    # We use lengths, because the offsets of the package count UTF-16 units.
    lengths = np.fromiter(map(len, WordBreaker(runs.tobytes().decode(), "und")), np.int64)
    inside = np.ones(len(characters), np.bool_)
    inside[np.cumsum(lengths) - lengths] = False
    return characters[inside]


@njit(cache=True, nogil=True)
def _runs(data, text_start, flags):  # type: ignore[no-untyped-def]
    """Start and end of each maximal run of unspaced letters and their marks."""
    start = []
    end = []
    for d in range(len(text_start) - 1):
        i = text_start[d]
        inside = False
        while i < text_start[d + 1]:
            point, size = decode(data, i)
            flag = flags[point]
            if flag & UNSPACED:
                if not inside:
                    start.append(i)
                inside = True
            elif inside and not flag & EXTENDS:
                end.append(i)
                inside = False
            i += size
        if inside:
            end.append(text_start[d + 1])
    return np.array(start, np.int64), np.array(end, np.int64)


@njit(cache=True, nogil=True)
def _lines(data, start, end):  # type: ignore[no-untyped-def]
    """The bytes of all runs, each followed by a newline, and the offset in `data` of each byte."""
    size = (end - start).sum() + len(start)
    runs = np.empty(size, np.uint8)
    origin = np.empty(size, np.int64)
    at = 0
    for k in range(len(start)):
        for i in range(start[k], end[k]):
            runs[at] = data[i]
            origin[at] = i
            at += 1
        runs[at] = 0x0A
        origin[at] = end[k]
        at += 1
    return runs, origin
