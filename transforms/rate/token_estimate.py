"""Estimates how many tokens a byte-pair tokenizer makes of a text, from runs of byte classes."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from transforms.kernels import njit

# Costs in sixteenths of a token, rounded from a least-squares fit to cl100k_base over English web pages, documentation,
# e-mail, encyclopaedia prose, Python, HTML and arithmetic problems, and over Article 1 of the Universal Declaration in
# thirteen languages.
WORD: Final = 16  # a run of letters, accented Latin ones among them, with the space before it
LONG_LETTER: Final = 3  # each letter of the run beyond the sixth
ACCENT: Final = 5  # each letter from U+0080 to U+037F
DIGITS: Final = 16  # each three digits, and what is left
LINE: Final = 17  # a run of white space with a line break in it, so the break and its indentation
GAP: Final = 26  # another run of white space, if longer than one or before a digit: neither joins what follows
PUNCTUATION: Final = 12  # a run of other ASCII
TYPOGRAPHY: Final = 2  # each character from U+2000 to U+2FFF (quotes, dashes): most join their neighbours
WIDE_BYTE: Final = 6  # each UTF-8 byte of everything else
LONG_RUN: Final = 16  # bytes of white space or punctuation that one token holds


@njit(cache=True, nogil=True, inline="always")
def _letter(byte: int) -> bool:
    return byte < 128 and 65 <= (byte & 0xDF) <= 90


@njit(cache=True, nogil=True, inline="always")
def _accented(byte: int) -> bool:
    return 0xC2 <= byte < 0xCE


@njit(cache=True, nogil=True, inline="always")
def _space(byte: int) -> bool:
    return byte == 32 or 9 <= byte <= 13


@njit(cache=True, nogil=True, inline="always")
def _digit(byte: int) -> bool:
    return 48 <= byte <= 57


@njit(cache=True, nogil=True)
def estimate(data: npt.NDArray[np.uint8], start: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Tokens of each text `data[start[d]:start[d + 1]]` of UTF-8: at least 1, but 0 for an empty text; int64[n]."""
    tokens = np.zeros(len(start) - 1, np.int64)
    for d in range(len(tokens)):
        end = start[d + 1]
        cost = 0
        i = start[d]
        while i < end:
            byte = data[i]
            j = i
            if _letter(byte) or _accented(byte):
                letters = 0
                while j < end:
                    if _letter(data[j]):
                        j += 1
                    elif _accented(data[j]):
                        cost += ACCENT
                        j += 2
                    else:
                        break
                    letters += 1
                cost += WORD + LONG_LETTER * max(0, letters - 6)
            elif _digit(byte):
                while j < end and _digit(data[j]):
                    j += 1
                cost += DIGITS * ((j - i + 2) // 3)
            elif _space(byte):
                broken = False
                while j < end and _space(data[j]):
                    broken |= data[j] == 10
                    j += 1
                if broken:
                    cost += LINE
                elif j - i > 1 or (j < end and _digit(data[j])):
                    cost += GAP
                cost += (j - i - 1) // LONG_RUN * 16
            elif byte < 128:
                while j < end and data[j] < 128 and not (_letter(data[j]) or _digit(data[j]) or _space(data[j])):
                    j += 1
                cost += PUNCTUATION + (j - i - 1) // LONG_RUN * 16
            elif byte == 0xE2:
                cost += TYPOGRAPHY
                j += 3
            else:
                cost += WIDE_BYTE
                j += 1
            i = j
        tokens[d] = max((cost + 8) >> 4, min(1, end - start[d]))
    return tokens
