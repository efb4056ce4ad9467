"""Writes text in the characters that the finders of personal data know: ASCII digits, spaces, dashes and letters."""

from __future__ import annotations

import re
from dataclasses import dataclass

INVISIBLE = "\xad\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff"
"""Soft hyphens, zero-width characters and marks of direction, as in a regular expression."""

DIGITS = (0xFF10, 0x0660, 0x06F0, 0x0966)
"""The zeros of full-width, Arabic, Persian and Devanagari digits."""

SPACES = "\t\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"

_PLAIN = (
    {chr(0xFF01 + number): chr(0x21 + number) for number in range(94)}
    | {chr(zero + digit): str(digit) for zero in DIGITS for digit in range(10)}
    | dict.fromkeys(SPACES, " ")
)
_OTHER = re.compile(f"[{SPACES}\uff01-\uff5e\u0660-\u0669\u06f0-\u06f9\u0966-\u096f]")
_DASH = re.compile(f"[{DASHES}]")
_ANY_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_VISIBLE = re.compile(f"[^{INVISIBLE}]")


@dataclass(frozen=True)
class PlainText:
    """A text without invisible characters, and the places of its characters in the original."""

    text: str
    places: list[int] | None
    """[len(text)]: places in the original; None if they are the same."""

    def original(self, start: int, stop: int) -> tuple[int, int]:
        """The span of the original for one that is not empty."""
        if self.places is None:
            return start, stop
        return self.places[start], self.places[stop - 1] + 1

    @property
    def dashed(self) -> str:
        """The text with every dash as a hyphen."""
        return self.text if self.text.isascii() else _DASH.sub("-", self.text)


def plain(text: str) -> PlainText:
    """The text with full-width ASCII, digits of four scripts and spaces as ASCII."""
    if text.isascii() and "\t" not in text:
        return PlainText(text, None)
    written = _OTHER.sub(lambda other: _PLAIN[other[0]], text)
    if not _ANY_INVISIBLE.search(written):
        return PlainText(written, None)
    places = [match.start() for match in _VISIBLE.finditer(written)]
    return PlainText("".join(written[place] for place in places), places)
