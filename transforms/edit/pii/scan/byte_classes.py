"""Tells of bytes of UTF-8 what finders of personal data ask of them: letters, digits, separators."""

from __future__ import annotations

from tamis.transforms.runtime.kernels import njit

# mypy: disable-error-code="no-untyped-def"


@njit(cache=True, nogil=True)
def letter(byte):
    return 0x61 <= byte | 0x20 <= 0x7A


@njit(cache=True, nogil=True)
def ascii_digit(byte):
    return 0x30 <= byte <= 0x39


@njit(cache=True, nogil=True)
def digit(data, i, end):
    """The bytes of the digit at `i`, of one of the scripts of `plain_text.DIGITS`; 0 if there is none."""
    byte = data[i]
    if byte < 0x80:
        return 1 if ascii_digit(byte) else 0
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
def separator(data, i, end):
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
