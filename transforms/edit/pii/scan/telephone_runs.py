"""Tells of a run of digits whether it may hold a telephone number, by its groups and the word before it."""

from __future__ import annotations

import numpy as np

from tamis.transforms.edit.pii import phone_words
from tamis.transforms.edit.pii.scan.byte_classes import ascii_digit, letter
from tamis.transforms.runtime.kernels import njit

# mypy: disable-error-code="no-untyped-def"

_NEAR = 40
"""Bytes before a number in which its word ends and begins, or it may be cut off there."""
WORDS = np.unique(
    np.array(
        [
            int.from_bytes(word.lower().encode()[-8:], "big")
            for word in phone_words.WORDS | phone_words.BETWEEN | phone_words.LETTERS
            if word.isascii()
        ],
        np.uint64,
    )
)
"""The last eight bytes of the words that stand before a telephone number."""


@njit(cache=True, nogil=True)
def _mark(data, i, last):
    """The bytes of a dash, a dot or a slash at `i`; 0 if there is none."""
    byte = data[i]
    if 0x2D <= byte <= 0x2F:
        return 1
    return 3 if byte == 0xE2 and i + 2 < last and data[i + 1] == 0x80 and 0x90 <= data[i + 2] <= 0x95 else 0


@njit(cache=True, nogil=True)
def _year(data, i, size):
    """Whether a group of so many digits is a year of two centuries."""
    return size == 4 and ((data[i] == 0x31 and data[i + 1] == 0x39) or (data[i] == 0x32 and data[i + 1] == 0x30))


@njit(cache=True, nogil=True)
def _group(data, i, last):
    """The digits at `i`."""
    size = 0
    while i + size < last and ascii_digit(data[i + size]):
        size += 1
    return size


@njit(cache=True, nogil=True)
def _between(data, i, last):
    """The bytes between two groups of a date, and whether a mark is among them; (0, False) if it is none."""
    if i < last and _mark(data, i, last) == 0 and data[i] == 0x20:
        size = _mark(data, i + 1, last) if i + 1 < last else 0
        if size == 0:
            return 1, False
        i, before = i + 1, 1
    else:
        size, before = (_mark(data, i, last) if i < last else 0), 0
    if size == 0:
        return 0, False
    after = 1 if i + size < last and data[i + size] == 0x20 else 0
    return before + size + after, True


@njit(cache=True, nogil=True)
def _short(data, i, size, most):
    """Whether a group is a day or a month: one digit, or two of which the first is at most `most`."""
    return size == 1 or (size == 2 and data[i] <= most)


@njit(cache=True, nogil=True)
def _date(data, i, last, end):
    """Whether a date or a range of years surely begins at `i`; `phone_numbers` takes none for a number."""
    one = _group(data, i, last)
    j = i + one
    gap, marked = _between(data, j, last)
    if gap == 0:
        return False
    j += gap
    two = _group(data, j, last)
    if _year(data, i, one) and _year(data, j, two):
        return marked and data[i + one] != 0x2E and data[i + one + 1] != 0x2E
    k = j + two
    gap, again = _between(data, k, last)
    if gap == 0:
        return False
    k += gap
    three = _group(data, k, last)
    if _year(data, i, one):
        return _short(data, j, two, 0x31) and _short(data, k, three, 0x33)
    if not (_short(data, i, one, 0x33) and _short(data, j, two, 0x33)):
        return False
    behind = data[k + three] if k + three < end else np.uint8(0x20)
    return _year(data, k, three) or (three == 2 and marked and again and behind != 0x2D and behind < 0x80)


@njit(cache=True, nogil=True)
def _introduced(data, i, first, words):
    """Whether a word before `i` may say that a telephone number follows: it is one of `words`, or not of ASCII letters."""
    j = i - 1
    while j >= first and data[j] != 0x0A and not (letter(data[j]) or ascii_digit(data[j])):
        if data[j] >= 0x80 or data[j] == 0x29 or i - j > _NEAR:
            return data[j] >= 0x80 or data[j] == 0x29
        j -= 1
    word, size = np.uint64(0), 0
    while j >= first and (letter(data[j]) or ascii_digit(data[j]) or data[j] >= 0x80):
        if data[j] >= 0x80 or i - j > _NEAR:
            return True
        if size < 8:
            word |= np.uint64(data[j] | 0x20) << np.uint64(8 * size)
        size += 1
        j -= 1
    known = False
    for one in words:
        known |= one == word
    return known


@njit(cache=True, nogil=True)
def maybe_telephone(data, i, last, first, end, digits, words):
    """Whether these digits and separators may hold a telephone number: what `phone_numbers` needs of each form."""
    for k in range(max(first, i - 5), i):
        if data[k] == 0x2B or data[k] >= 0x80:
            return True
    closed = False
    for k in range(i, last):
        closed |= data[k] == 0x29
        if data[k] >= 0x80 and not (data[k] == 0xE2 or data[k] == 0x80 or 0x90 <= data[k] <= 0x95):
            return True
    p, left, one, two, lead_one, lead_two = i, digits, 0, 0, 0, 0
    bracket = (i - 1 >= first and data[i - 1] == 0x28) or (i - 2 >= first and data[i - 1] == 0x20 and data[i - 2] == 0x28)
    glued = marked = False
    while p < last:
        size = _group(data, p, last)
        if data[p] == 0x30 and size >= 2:
            if not glued and left >= 9 and (data[p + 1] == 0x30 or (size == 3 and data[p + 1] == 0x31 == data[p + 2])):
                return True  # 0044, 011-44
            if not marked and left >= 9 and (closed or not _date(data, p, last, end)):
                return True  # 020 7946 0958
        if bracket and size <= 5 and left >= 8 and not _year(data, p, size):
            return True  # (0221) 92 54 72 12
        if size == 4 and one == 3 and (two == 3 or (two == 4 and lead_two == 0x31)):
            return True  # 212-555-0187
        two, lead_two, one, lead_one = one, lead_one, size, data[p]
        left -= size
        p += size
        gap = marks = 0
        bracket = False
        while p < last and not ascii_digit(data[p]):
            mark = _mark(data, p, last)
            marks += mark > 0
            bracket |= data[p] == 0x28
            p += max(mark, 1)
            gap += 1
        glued = gap == 1 and marks == 1
        marked = gap <= 3 and marks == 1 and not bracket
    return _introduced(data, i, first, words) and not _date(data, i, last, end)
