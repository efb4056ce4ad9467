"""The rules of `repair` for one line, from ftfy; they run in turn until none changes anything."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Container, Iterator
from itertools import accumulate

import ftfy
from ftfy.chardata import HTML_ENTITY_RE
from ftfy.fixes import ANSI_RE, unescape_html

from tamis.transforms.edit.changes_of_text import Change, changed, composed, difference
from tamis.transforms.edit.suspect_lines import BREAKABLE, PLAIN, may_be_mojibake

ROUNDS = 8
"""How often the rules run at most. Text that was escaped more often than that keeps the rest; without
a limit, a line of `&amp;amp;amp;…` would take time that grows with the square of its length."""

_LINE_ENDS = re.compile(r"[\r\u0085\u2028\u2029]")
_CONTROLS = re.compile(rf"{ANSI_RE.pattern}|[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufff9-\ufffc]")
_ZERO_WIDTH = re.compile(
    rf"[\u2060\ufeff]|(?<![{BREAKABLE}\u200b])\u200b+(?![{BREAKABLE}\u200b])|(?<![^{PLAIN}])[\u200c\u200d]+(?![^{PLAIN}])"
)
_SOFT_HYPHENS = re.compile("\xad+")


def _entities(text: str) -> Iterator[Change]:
    for start, line in _lines(text):
        if "<" not in line:
            for match in HTML_ENTITY_RE.finditer(line):
                if (new := unescape_html(match[0])) != match[0]:
                    yield Change(start + match.start(), start + match.end(), new)


def _mojibake(text: str) -> Iterator[Change]:
    for start, line in _lines(text):
        if line.isascii() or not may_be_mojibake(line):  # ftfy takes far longer to see that nothing is wrong
            continue
        for change in difference(line, ftfy.fix_encoding(line)):
            yield Change(start + change.start, start + change.stop, change.new)


def _line_ends(text: str) -> Iterator[Change]:
    for match in _LINE_ENDS.finditer(text):
        crlf = match[0] == "\r" and text[match.end() : match.end() + 1] == "\n"
        yield Change(match.start(), match.end(), "" if crlf else "\n")


def _removing(pattern: re.Pattern[str], any_of: str = "") -> Callable[[str], Iterator[Change]]:
    """A rule that removes what matches, which contains one of these characters."""

    def rule(text: str) -> Iterator[Change]:
        if not any_of or any(character in text for character in any_of):
            yield from (Change(match.start(), match.end(), "") for match in pattern.finditer(text))

    return rule


def _soft_hyphens(text: str) -> Iterator[Change]:
    for start, line in _lines(text):
        end = len(line) if "\xad" in line else 0
        while end and (line[end - 1] == "\xad" or line[end - 1].isspace()):
            end -= 1
        for match in _SOFT_HYPHENS.finditer(line, 0, end):
            yield Change(start + match.start(), start + match.end(), "")


def _normal_form(text: str) -> Iterator[Change]:
    if not unicodedata.is_normalized("NFC", text):
        yield from difference(text, unicodedata.normalize("NFC", text))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text, and the places where they begin."""
    lines = text.split("\n")
    return zip(accumulate((len(line) + 1 for line in lines), initial=0), lines, strict=False)


RULES: dict[str, Callable[[str], Iterator[Change]]] = {
    "entities": _entities,
    "mojibake": _mojibake,
    "line_ends": _line_ends,
    "controls": _removing(_CONTROLS),
    "zero_width": _removing(_ZERO_WIDTH, "\u200b\u200c\u200d\u2060\ufeff"),
    "soft_hyphens": _soft_hyphens,
    "normal_form": _normal_form,
}
"""The rules by their names, in the order in which they run. Each treats the lines of a text alike, as if each were alone."""


def repaired_line(line: str, rules: Container[str]) -> list[Change]:
    """What these rules change in a line; the reason of a change is the position of the rule in `RULES`."""
    changes: list[Change] = []
    text = line
    for _ in range(ROUNDS):
        before = text
        for reason, (name, rule) in enumerate(RULES.items()):
            if name not in rules:
                continue
            if found := [Change(change.start, change.stop, change.new, reason) for change in rule(text)]:
                changes = composed(line, changes, found)
                text = changed(line, changes)
        if text == before:
            break
    return changes
