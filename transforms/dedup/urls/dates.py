"""Reads the dates that documents bring along, in the forms that crawls write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.core.arrays import Ints

UNKNOWN: Final = -(1 << 63)
"""The time of a document without a date that can be read; before all others."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 14: "%Y%m%d%H%M%S"}
_SINCE_1970 = {10: 1_000_000, 13: 1_000, 16: 1}  # digits, and the microseconds of one unit


def times(dates: pa.Array) -> Ints:
    """Microseconds since 1970 of each date, UTC if it names no other zone; `UNKNOWN` where there is none.

    Dates are those of ISO 8601 (also a year, or a year and a month: its first day), of HTTP and mail
    (RFC 9110, RFC 5322), 14 digits as in web archives, and seconds, milli- or microseconds since 1970.
    """
    encoded = dates.dictionary_encode()
    each = np.array([*(_time(text) for text in encoded.dictionary.to_pylist()), UNKNOWN], np.int64)
    return each[pc.fill_null(encoded.indices, len(encoded.dictionary)).to_numpy(zero_copy_only=False)]


def _time(text: str) -> int:
    text = text.strip()
    try:
        if text.isascii() and text.isdigit():
            if len(text) in _SINCE_1970:
                return int(text) * _SINCE_1970[len(text)]
            when = datetime.strptime(text, _DIGITS.get(len(text), "")).replace(tzinfo=UTC)
        elif re.fullmatch(r"\d{4}-\d{2}", text):
            when = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
        elif text[:1].isdigit() and text[4:5] == "-":
            when = datetime.fromisoformat(text)
        else:
            when = parsedate_to_datetime(text)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return (when - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, TypeError, OverflowError, IndexError):
        return UNKNOWN
