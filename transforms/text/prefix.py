"""Finds the first code points of each text."""

import numpy as np
import numpy.typing as npt

from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.characters import LETTER, characters, decode
from tamis.transforms.text.segment import Texts


def prefix(texts: Texts, chars: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Ends of the first `chars` code points of each text, i64[n]; whether any is a letter."""
    return _prefix(texts.data, texts.text_start, texts.text_chars, chars, characters().flags)


@njit(cache=True, nogil=True)
def _prefix(data, text_start, text_chars, chars, flags):  # type: ignore[no-untyped-def]
    n = len(text_chars)
    ends = np.empty(n, np.int64)
    lettered = np.zeros(n, np.bool_)
    for d in range(n):
        i = text_start[d]
        end = text_start[d + 1]
        if text_chars[d] > chars:
            remaining = chars  # code points; the first byte of the next one ends the last
            end = i
            while remaining or data[end] & 0xC0 == 0x80:
                remaining -= data[end] & 0xC0 != 0x80
                end += 1
        ends[d] = end
        while i < end and not lettered[d]:
            point, size = decode(data, i)
            lettered[d] = flags[point] & LETTER != 0
            i += size
    return ends, lettered
