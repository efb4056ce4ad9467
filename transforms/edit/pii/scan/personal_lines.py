"""Finds, in one pass over the bytes, the lines that may hold personal data, and of which kinds."""

from __future__ import annotations

from string import ascii_uppercase
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Ints
from tamis.transforms.edit.pii.account_numbers import iban_length
from tamis.transforms.edit.pii.scan.byte_classes import ascii_digit, digit, letter, separator
from tamis.transforms.edit.pii.scan.telephone_runs import WORDS, maybe_telephone
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.blocks import SIZE, masks
from tamis.transforms.text.hashing import trailing_zeros

# mypy: disable-error-code="no-untyped-def"

EMAIL = 1
IP = 2
NUMBER = 4
"""A telephone: seven digits in a row, but for separators, in a form or behind a word that a number has."""
IBAN = 8
SECRET = 16
CARD = 32
"""Thirteen digits in a row, but for separators."""
PRIVATE_KEY = 64
"""The first line of a private key."""
ALL = EMAIL | IP | NUMBER | IBAN | SECRET | CARD

_STRIDE = SIZE - 4
"""Bytes between blocks: a mask is looked at up to four bytes further."""
_LEAST_DIGITS, _CARD_DIGITS = 7, 13
_LEAST_RUN = 16
_COUNTRIES = np.array([[iban_length(a + b) > 0 for b in ascii_uppercase] for a in ascii_uppercase])
"""[26, 26]: whether two letters begin the IBANs of a country."""

_signs = masks(
    (
        *(
            (0x30, 10, 0),
            (0x40, 1, 0),
            (0x25, 2, 0),
            (0x28, 1, 0),
            (0x3A, 1, 0),
            (0x3C, 1, 0),
            (0x7B, 1, 0x20),
        ),  # digits @%&(:<[{
        *((0xC2, 1, 0), (0xD9, 1, 0), (0xDB, 1, 0), (0xE0, 1, 0), (0xE2, 1, 0), (0xEF, 1, 0)),
    ),
    ((0x20, 1, 0),),
    ((0x64, 1, 0x20),),
    ((0x6F, 1, 0x20),),
    ((0x74, 1, 0x20),),
    ((0x2D, 1, 0),),
    ((0x42, 1, 0),),
)
"""Masks of what may begin a sign of personal data, of a space, `d`, `o`, `t`, a dash and `B`."""


class PersonalLines(NamedTuple):
    """Lines, `text.split("\\n")`, that a finder must look at; all others hold nothing."""

    document: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    """Bytes of the batch."""
    kinds: npt.NDArray[np.int64]
    """EMAIL, IP, …: bits."""


def personal_lines(data: npt.NDArray[np.uint8], text_start: Ints) -> PersonalLines:
    """The lines in the order of the texts."""
    return PersonalLines(*_find(data, text_start, WORDS, _COUNTRIES))


@njit(cache=True, nogil=True)
def _hex(byte):
    return ascii_digit(byte) or 0x61 <= byte | 0x20 <= 0x66


@njit(cache=True, nogil=True)
def _number(data, i, first, end, words):
    """Behind the last digit of the digits and separators from `i` on, and what they may be."""
    begin = i
    digits = dots = gap = 0
    foreign = False
    last = i
    while i < end:
        size = digit(data, i, end)
        if size:
            digits += 1
            foreign = foreign or size > 1
            gap = 0
            i += size
            last = i
            continue
        size = separator(data, i, end)
        if size == 0 or gap == 6:
            break
        gap += 1
        if data[i] == 0x2E or (data[i] == 0xEF and data[i + 2] == 0x8E):
            dots += 1
        i += size
    kinds = 0
    if digits >= _LEAST_DIGITS and (foreign or maybe_telephone(data, begin, last, first, end, digits, words)):
        kinds |= NUMBER
    if digits >= _CARD_DIGITS:
        kinds |= CARD
    if dots >= 3:
        kinds |= IP
    if foreign and digits >= 4:
        kinds |= IBAN | SECRET | IP
    return last, kinds


@njit(cache=True, nogil=True)
def _in_key(byte):
    """Whether a key may contain it: ASCII letters, digits, and `+/_=.~-`."""
    return letter(byte) or 0x2D <= byte <= 0x39 or byte == 0x2B or byte == 0x3D or byte == 0x5F or byte == 0x7E


@njit(cache=True, nogil=True)
def _key(data, i, first, end):
    """Where the run of characters of a key around the digit at `i` ends, and whether it may be one."""
    start, stop = i, i + 1
    while start > first and _in_key(data[start - 1]):
        start -= 1
    while stop < end and _in_key(data[stop]):
        stop += 1
    if stop - start >= _LEAST_RUN:
        for k in range(start, stop):
            if letter(data[k]):
                return stop, SECRET
    return stop, 0


@njit(cache=True, nogil=True)
def _iban(data, i, first, end, countries):
    """Whether two letters, the two digits at `i`, and eleven letters and digits follow each other. A separator may
    stand between capital letters and the digits."""
    if i + 1 >= end or not ascii_digit(data[i + 1]):
        return 0
    last = i - 1
    while last > first and 0x80 <= data[last] <= 0xBF:
        last -= 1
    if last >= first and not letter(data[last]) and last + separator(data, last, end) == i:
        last -= 1
        if last < first or data[last] >= 0x60:
            return 0
    if last - 1 < first or not (letter(data[last]) and letter(data[last - 1])):
        return 0
    if not countries[(data[last - 1] | 0x20) - 0x61, (data[last] | 0x20) - 0x61]:
        return 0
    if last - 2 >= first and (letter(data[last - 2]) or ascii_digit(data[last - 2])):
        return 0
    count = 0
    i += 2
    while i < end and count < 11:
        if not (letter(data[i]) or ascii_digit(data[i])):
            size = separator(data, i, end)
            if size == 0 or i + size >= end:
                return 0
            i += size
            if not (letter(data[i]) or ascii_digit(data[i])):
                return 0
        count += 1
        i += 1
    return IBAN if count == 11 else 0


@njit(cache=True, nogil=True)
def _colons(data, i, first, end):
    """Where the run of hexadecimal digits and colons from the colon at `i` ends, and whether it may be an IPv6 address."""
    colons, double, stop = 0, False, i
    while stop < end and (data[stop] == 0x3A or _hex(data[stop])):
        if data[stop] == 0x3A:
            colons += 1
            double = double or (stop > i and data[stop - 1] == 0x3A)
        stop += 1
    return stop, IP if (double and stop - i > 2) or (double and i > first and _hex(data[i - 1])) or colons >= 5 else 0


@njit(cache=True, nogil=True)
def _same(data, i, end, byte):
    """Whether the byte at `i` is this one, letters in any case."""
    return i < end and data[i] | 0x20 == byte


@njit(cache=True, nogil=True)
def _in_name(byte):
    """Whether a name or a host may contain it."""
    return letter(byte) or ascii_digit(byte) or byte == 0x5F or byte >= 0x80


@njit(cache=True, nogil=True)
def _name_and_host(data, i, first, end):
    """Whether a name may end before the @ at `i`, and a host with a dot begin behind it."""
    j = i - 2 if i - 1 >= first and data[i - 1] == 0x20 else i - 1
    if j < first or not (_in_name(data[j]) or (j == i - 1 and (data[j] == 0x25 or data[j] == 0x27 or 0x2B <= data[j] <= 0x2E))):
        return False
    j = i + 2 if i + 1 < end and data[i + 1] == 0x20 else i + 1
    start = j
    while j < end and (_in_name(data[j]) or data[j] == 0x2D):
        if data[j] >= 0x80:
            return True
        j += 1
    if j in (start, end):
        return False
    if data[j] == 0x20 and j + 1 < end:
        j += 1
    byte = data[j]
    return byte == 0x2E or byte == 0x2D or byte == 0x28 or byte == 0x5B or byte == 0x7B or byte | 0x20 == 0x64 or byte >= 0x80


@njit(cache=True, nogil=True)
def _email(data, i, first, end):
    """Whether the sign at `i` may stand for the @ of an address."""
    byte = data[i]
    if byte == 0x40:
        return EMAIL if _name_and_host(data, i, first, end) else 0
    if byte == 0x25:
        return EMAIL if i + 2 < end and data[i + 1] == 0x34 and data[i + 2] == 0x30 else 0
    if byte == 0x26:
        return EMAIL if i + 1 < end and (data[i + 1] == 0x23 or data[i + 1] | 0x20 == 0x63) else 0
    j = i + 1
    size = separator(data, j, end) if j < end else 0
    j += size
    return EMAIL if _same(data, j, end, 0x61) and _same(data, j + 1, end, 0x74) else 0


@njit(cache=True, nogil=True)
def _invisible(data, i, end):
    """Whether one of `plain_text.INVISIBLE` is at `i`."""
    byte = data[i]
    if byte == 0xC2:
        return i + 1 < end and data[i + 1] == 0xAD
    if i + 2 >= end:
        return False
    a, b = data[i + 1], data[i + 2]
    if byte == 0xE2:
        return (a == 0x80 and (0x8B <= b <= 0x8F or 0xAA <= b <= 0xAE)) or (a == 0x81 and (b == 0xA0 or 0xA6 <= b <= 0xA9))
    return byte == 0xEF and a == 0xBB and b == 0xBF


@njit(cache=True, nogil=True)
def _line(data, i, first, end):
    """Where the line around `i` starts and stops."""
    start, stop = i, i
    while start > first and data[start - 1] != 0x0A:
        start -= 1
    while stop < end and data[stop] != 0x0A:
        stop += 1
    return start, stop


@njit(cache=True, nogil=True)
def _anything(data, start, stop):
    """What a line with invisible characters may hold, by the digits and the signs in it."""
    digits, found = 0, 0
    for k in range(start, stop):
        byte = data[k]
        if digit(data, k, stop):
            digits += 1
        elif byte == 0x40 or byte == 0x25 or byte == 0x26 or byte == 0x28 or byte == 0x5B or byte == 0x7B or byte == 0x3C:
            found = EMAIL | SECRET
        found |= EMAIL | SECRET if byte == 0xEF and data[k + 1] == 0xBC and data[k + 2] == 0xA0 else 0
    if digits:
        found |= SECRET | IP
    if digits >= 2:
        found |= IBAN
    if digits >= _LEAST_DIGITS:
        found |= NUMBER
    return found | CARD if digits >= _CARD_DIGITS else found


@njit(cache=True, nogil=True)
def _tail(data, i, end):
    """What a sign of several plain bytes at `i` may be: ` dot ` or `----B`."""
    if data[i] == 0x20:
        dot = i + 4 < end and _same(data, i + 1, end, 0x64) and _same(data, i + 2, end, 0x6F) and _same(data, i + 3, end, 0x74)
        return EMAIL if dot and data[i + 4] == 0x20 else 0
    if data[i] == 0x2D and i + 4 < end and data[i + 4] == 0x42:
        return PRIVATE_KEY if data[i + 1] == 0x2D and data[i + 2] == 0x2D and data[i + 3] == 0x2D else 0
    return 0


@njit(cache=True, nogil=True)
def _find(data, text_start, words, countries):
    document, start, stop, kinds = [0], [0], [0], [0]
    for d in range(len(text_start) - 1):
        first, end = text_start[d], text_start[d + 1]
        number_end = key_end = colon_end = looked = line_stop = first
        i = first
        while i < end:
            if i + SIZE <= end:
                signs, space, letter_d, letter_o, letter_t, dash, letter_b = _signs(data, i)
                dots = space & (letter_d >> np.uint64(1)) & (letter_o >> np.uint64(2)) & (letter_t >> np.uint64(3))
                dots &= space >> np.uint64(4)
                begins = (
                    dash & (dash >> np.uint64(1)) & (dash >> np.uint64(2)) & (dash >> np.uint64(3)) & (letter_b >> np.uint64(4))
                )
                left = (signs | dots | begins) & np.uint64((1 << _STRIDE) - 1)
                size = _STRIDE
            else:
                size = min(_STRIDE, end - i)
                left = np.uint64((1 << _STRIDE) - 1) >> np.uint64(_STRIDE - size)
            while left:
                at = i + np.int64(trailing_zeros(left))
                left &= left - np.uint64(1)
                byte = data[at]
                found = 0
                width = digit(data, at, end)
                if width:
                    if at >= number_end:
                        number_end, found = _number(data, at, first, end, words)
                    if width == 1:
                        if at >= key_end:
                            key_end, key = _key(data, at, first, end)
                            found |= key
                        found |= _iban(data, at, first, end, countries)
                elif byte == 0x3A:
                    if at >= colon_end:
                        colon_end, found = _colons(data, at, first, end)
                elif byte == 0x20 or byte == 0x2D:
                    found = _tail(data, at, end)
                elif byte < 0x80:
                    if (
                        byte == 0x40
                        or byte == 0x25
                        or byte == 0x26
                        or byte == 0x28
                        or byte == 0x3C
                        or byte == 0x5B
                        or byte == 0x7B
                    ):
                        found = _email(data, at, first, end)
                elif byte == 0xEF and at + 2 < end and data[at + 1] == 0xBC and data[at + 2] == 0xA0:
                    found = EMAIL
                elif at >= looked and _invisible(data, at, end):
                    left_end, looked = _line(data, at, first, end)
                    found = _anything(data, left_end, looked)
                if found:
                    if at >= line_stop or len(document) == 1 or document[-1] != d:
                        line_start, line_stop = _line(data, at, first, end)
                        document.append(d)
                        start.append(line_start)
                        stop.append(line_stop)
                        kinds.append(found)
                    else:
                        kinds[-1] |= found
            i += size
    return np.array(document[1:]), np.array(start[1:]), np.array(stop[1:]), np.array(kinds[1:])
