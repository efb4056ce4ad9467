"""Replaces the personal data of a line: finds them with the finder of each kind until none is left."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tamis.transforms.edit.changes_of_text import Change, changed, composed
from tamis.transforms.edit.pii.account_numbers import card_numbers, ibans
from tamis.transforms.edit.pii.found_value import KINDS, FoundValue, Kind
from tamis.transforms.edit.pii.ip_addresses import ip_addresses
from tamis.transforms.edit.pii.plain_text import PlainText, plain
from tamis.transforms.edit.pii.scan import personal_lines as lines
from tamis.transforms.edit.pii.secret_values import secret_values

ROUNDS = 8
"""How often a line is searched at most; one is left alone as soon as nothing is found in it."""

_MASK = "\u02cd"
"""A letter in no address or number stands for each character of a replacement, which is a word of no finder then."""


@dataclass(frozen=True)
class Finder:
    """What to look for, and what takes the place of a value."""

    kinds: frozenset[Kind]
    public_only: bool
    countries: tuple[str, ...]
    replacement: Callable[[FoundValue], str]
    replacements: re.Pattern[str]
    """Matches all that `replacement` returns; nothing inside such a text is a value."""
    inert: bool
    """Whether all that `replacement` returns begins with `<` and ends with `>`, so that it makes no
    sign of a value together with what is beside it, but for an IBAN that stuck to what it replaces."""

    def values(self, line: str, kinds: int = lines.ALL) -> list[FoundValue]:
        """The values in a line, in order, of the kinds that the kernel saw signs of.

        They do not overlap: of two that would, the secret stays, then the address, IBAN, card, IP
        address, and the telephone number last.
        """
        covered = bytearray(len(line))
        text, covers = line, False
        for match in self.replacements.finditer(line):
            covered[match.start() : match.end()] = b"\1" * len(match[0])
            covers = True
        if covers:
            text = self.replacements.sub(lambda match: _MASK * len(match[0]), line)
        written = plain(text)
        found: list[FoundValue] = []
        for value in self._candidates(written, kinds):
            start, stop = written.original(value.start, value.stop)
            if not any(covered[start:stop]):
                covered[start:stop] = b"\1" * (stop - start)
                found.append(FoundValue(value.kind, start, stop, value.value))
        return sorted(found, key=lambda value: value.start)

    def _candidates(self, text: PlainText, kinds: int) -> Iterator[FoundValue]:
        wanted = self.kinds
        if kinds & (lines.SECRET | lines.EMAIL) and "secret" in wanted:
            yield from secret_values(text.text)
        dashed = text.dashed
        if kinds & lines.EMAIL and "email" in wanted:
            from tamis.transforms.edit.pii.email_addresses import email_addresses  # whose patterns take .03 s

            yield from email_addresses(dashed)
        if kinds & lines.IBAN and "iban" in wanted:
            yield from ibans(dashed)
        if kinds & lines.CARD and "card" in wanted:
            yield from card_numbers(dashed)
        if kinds & lines.IP and "ip" in wanted:
            yield from ip_addresses(dashed, self.public_only)
        if kinds & lines.NUMBER and "phone" in wanted:
            from tamis.transforms.edit.pii.phone_numbers import phone_numbers  # whose library takes .02 s

            yield from phone_numbers(dashed, self.countries)

    def replace(self, line: str, kinds: int = lines.ALL) -> tuple[list[Change], list[FoundValue]]:
        """The changes of a line, with the number of the kind in `KINDS` as their reason, and the
        values that they replace. Their result has no more values."""
        changes: list[Change] = []
        replaced: list[FoundValue] = []
        current = line
        for _ in range(ROUNDS):
            values = self.values(current, kinds)
            if not values:
                break
            step = [Change(each.start, each.stop, self.replacement(each), KINDS.index(each.kind)) for each in values]
            changes = composed(line, changes, step) if changes else step
            current = changed(line, changes)
            replaced += values
            kinds = kinds | lines.IBAN if self.inert else lines.ALL  # which may have stuck to what was replaced
        return changes, replaced
