"""Finds, in one pass over the bytes, the lines that may hold personal data, and of which kinds."""

from __future__ import annotations

from string import ascii_uppercase
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tamis.transforms.core.arrays import Ints
from tamis.transforms.edit.pii import phone_words
from tamis.transforms.edit.pii.account_numbers import iban_length
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
_NEAR = 40
"""Bytes before a number in which its word ends and begins, or it may be cut off there."""
_WORDS = np.unique(
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
    return PersonalLines(*_find(data, text_start, _WORDS, _COUNTRIES))


@njit(cache=True, nogil=True)
def _letter(byte):
    return 0x61 <= byte | 0x20 <= 0x7A


@njit(cache=True, nogil=True)
def _ascii_digit(byte):
    return 0x30 <= byte <= 0x39


@njit(cache=True, nogil=True)
def _hex(byte):
    return _ascii_digit(byte) or 0x61 <= byte | 0x20 <= 0x66


@njit(cache=True, nogil=True)
def _digit(data, i, end):
    """The bytes of the digit at `i`, of one of the scripts of `plain_text.DIGITS`; 0 if there is none."""
    byte = data[i]
    if byte < 0x80:
        return 1 if _ascii_digit(byte) else 0
    if i + 1 < end:
        if byte == 0xD9 and 0xA0 <= data[i + 1] <= 0xA9:
            return 2
        if byte == 0xDB and 0xB0 <= data[i + 1] <= 0xB9:
            return 2
    if i + 2 < end:
        if byte == 0xEF and data[i + 1] == 0xBC and 0x90 <= data[i + 2] <= 0x99:
            return 3
        if byte == 0xE0 and data[i + 1] == 0xA5 and 0xA6 <= data[i + 2] <= 0xAF:
            return 3
    return 0


@njit(cache=True, nogil=True)
def _separator(data, i, end):
    """The bytes of what may stand between the digits of a number; 0 if it is nothing of that."""
    byte = data[i]
    if byte < 0x80:
        separates = byte == 0x20 or byte == 0x09 or byte == 0x2D or byte == 0x2E or byte == 0x2F or byte == 0x28 or byte == 0x29
        return 1 if separates else 0
    if byte == 0xC2:
        return 2 if i + 1 < end and (data[i + 1] == 0xA0 or data[i + 1] == 0xB7) else 0
    if i + 2 >= end:
        return 0
    a, b = data[i + 1], data[i + 2]
    if byte == 0xE2:
        general = a == 0x80 and (b <= 0x8A or 0x90 <= b <= 0x95 or b == 0xAF)
        return 3 if general or (a == 0x81 and b == 0x9F) or (a == 0x88 and b == 0x92) else 0
    if byte == 0xEF:
        return 3 if a == 0xBC and (0x88 <= b <= 0x89 or 0x8D <= b <= 0x8F) else 0
    return 3 if (byte == 0xE3 and a == 0x80 and b == 0x80) or (byte == 0xE1 and a == 0x9A and b == 0x80) else 0


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
    while i + size < last and _ascii_digit(data[i + size]):
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
    while j >= first and data[j] != 0x0A and not (_letter(data[j]) or _ascii_digit(data[j])):
        if data[j] >= 0x80 or data[j] == 0x29 or i - j > _NEAR:
            return data[j] >= 0x80 or data[j] == 0x29
        j -= 1
    word, size = np.uint64(0), 0
    while j >= first and (_letter(data[j]) or _ascii_digit(data[j]) or data[j] >= 0x80):
        if data[j] >= 0x80 or i - j > _NEAR:
            return True
        if size < 8:
            word |= np.uint64(data[j] | 0x20) << np.uint64(8 * size)
        size += 1
        j -= 1
    at = np.searchsorted(words, word)
    return at < len(words) and words[at] == word


@njit(cache=True, nogil=True)
def _telephone(data, i, last, first, end, digits, words):
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
        while p < last and not _ascii_digit(data[p]):
            mark = _mark(data, p, last)
            marks += mark > 0
            bracket |= data[p] == 0x28
            p += max(mark, 1)
            gap += 1
        glued = gap == 1 and marks == 1
        marked = gap <= 3 and marks == 1 and not bracket
    return _introduced(data, i, first, words) and not _date(data, i, last, end)


@njit(cache=True, nogil=True)
def _number(data, i, first, end, words):
    """Behind the last digit of the digits and separators from `i` on, and what they may be."""
    begin = i
    digits = dots = gap = 0
    foreign = False
    last = i
    while i < end:
        size = _digit(data, i, end)
        if size:
            digits += 1
            foreign = foreign or size > 1
            gap = 0
            i += size
            last = i
            continue
        size = _separator(data, i, end)
        if size == 0 or gap == 6:
            break
        gap += 1
        if data[i] == 0x2E or (data[i] == 0xEF and data[i + 2] == 0x8E):
            dots += 1
        i += size
    kinds = 0
    if digits >= _LEAST_DIGITS and (foreign or _telephone(data, begin, last, first, end, digits, words)):
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
    return _letter(byte) or 0x2D <= byte <= 0x39 or byte == 0x2B or byte == 0x3D or byte == 0x5F or byte == 0x7E


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
            if _letter(data[k]):
                return stop, SECRET
    return stop, 0


@njit(cache=True, nogil=True)
def _iban(data, i, first, end, countries):
    """Whether two letters, the two digits at `i`, and eleven letters and digits follow each other. A separator may
    stand between capital letters and the digits."""
    if i + 1 >= end or not _ascii_digit(data[i + 1]):
        return 0
    last = i - 1
    while last > first and 0x80 <= data[last] <= 0xBF:
        last -= 1
    if last >= first and not _letter(data[last]) and last + _separator(data, last, end) == i:
        last -= 1
        if last < first or data[last] >= 0x60:
            return 0
    if last - 1 < first or not (_letter(data[last]) and _letter(data[last - 1])):
        return 0
    if not countries[(data[last - 1] | 0x20) - 0x61, (data[last] | 0x20) - 0x61]:
        return 0
    if last - 2 >= first and (_letter(data[last - 2]) or _ascii_digit(data[last - 2])):
        return 0
    count = 0
    i += 2
    while i < end and count < 11:
        if not (_letter(data[i]) or _ascii_digit(data[i])):
            size = _separator(data, i, end)
            if size == 0 or i + size >= end:
                return 0
            i += size
            if not (_letter(data[i]) or _ascii_digit(data[i])):
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
    return _letter(byte) or _ascii_digit(byte) or byte == 0x5F or byte >= 0x80


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
    size = _separator(data, j, end) if j < end else 0
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
        if _digit(data, k, stop):
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
                digit = _digit(data, at, end)
                if digit:
                    if at >= number_end:
                        number_end, found = _number(data, at, first, end, words)
                    if digit == 1:
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
