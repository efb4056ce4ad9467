"""Finds telephone numbers: by Google's libphonenumber where a number is complete, by the words before it where it is not."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberFormat, format_number, parse

from tamis.transforms.edit.pii import phone_words
from tamis.transforms.edit.pii.found_value import FoundValue

_SEPARATOR = r"(?: ?[-./·] ?| ?\) ?[-./]? ?| ?\( ?| {1,2})"
_DIGITS = rf"[0-9](?:{_SEPARATOR}?[0-9])"
_BEFORE = r"(?<![\w$€£¥#=~^&_])(?<![0-9][.,:/-])(?<!\w[./-])"
_AFTER = r"(?![\w%°€£$])(?![.,:/-][0-9])"
_EXTENDED = r"(?:(?:extension|extn|ext|x|durchwahl|poste|anexo|ramal|int)\.? ?:? ?|# ?)[0-9]{1,6}(?![0-9])"
_EXTENSION = re.compile(rf"(?i),? {{0,2}}(?:\( ?{_EXTENDED} ?\)|{_EXTENDED})")

_INTERNATIONAL = re.compile(rf"(?:(?<![0-9+])\+ ?|(?<![\w+])(?<!\w[./-])(?:00 ?|011[ -]))(?=[1-9 (]){_DIGITS}{{6,14}}(?![0-9])")
_MARK = r"(?: ?- ?| ?/ ?|[.·]| \. )"
_AMERICAN = re.compile(
    rf"{_BEFORE}(?:\+?1(?: ?[-./] ?| )?)?(?:\( ?[2-9][0-9][0-9] ?\) ?[-./]? ?|[2-9][0-9][0-9]{_MARK})"
    rf"[0-9]{{3}}(?:{_MARK}| )[0-9]{{4}}{_AFTER}"
    r"(?! ?-[0-9])"
)
_SPACED_AMERICAN = re.compile(rf"{_BEFORE}(?:1 )?[2-9][0-9][0-9] [2-9][0-9][0-9](?: - |[ -])[0-9]{{4}}{_AFTER}(?! [0-9])")
_LOCAL = re.compile(rf"(?<=\bat )[2-9][0-9][0-9] ?- ?[0-9]{{4}}{_AFTER}(?! ?(?:rpm|feet|ft|mm|km|m|k?hz|degrees|[ap]\.?m)\b)")
"""`reception at 447-3167`"""
_NATIONAL = re.compile(
    rf"{_BEFORE}(?<!\+)(?<![0-9] [-/.:] )(?<![0-9][-/.:] )(?<![0-9] [-/.:])"
    rf"(?:(?:8 )?\( ?(?!(?:19|20)[0-9][0-9] ?\))[0-9]{{1,5}} ?\) ?[-./]? ?[0-9]|0[0-9])"
    rf"(?:(?: ?[-./·] ?| )?[0-9]){{5,12}}{_AFTER}"
)
_GOES_ON = re.compile(r" ?[-.·] ?[0-9]|/")
_RUN = re.compile(rf"{_DIGITS}{{6,}}")
_FIRST_DIGITS = re.compile(rf"{_DIGITS}{{6,47}}")
_DIGIT = re.compile("[0-9]")

_TOKEN = re.compile(r"[^\W_]+")
_WORDS_BETWEEN = 4
"""At most."""
_CONTEXT = 48
"""Characters before a number that are looked at."""
_ASIDE = re.compile(r" ?\([^()\d]{1,16}\)(?=\W*\Z)")
"""`Phone number (KR): 82-31-627-6600`"""
_ANOTHER = re.compile(r"(?i) ?(?:/|,|;|\||&|or|and|und|oder|ou|et|y|o|e|или|и) ?\(?\Z")
_DATE = re.compile(
    r"(?:19|20)[0-9][0-9] ?[-./ ] ?[01]?[0-9] ?[-./ ] ?[0-3]?[0-9](?![0-9])"
    r"|[0-3]?[0-9] ?[-./ ] ?[0-3]?[0-9] ?[-./ ] ?(?:19|20)[0-9][0-9](?![0-9])"
    r"|[0-3]?[0-9] ?[-./] ?[0-3]?[0-9] ?[-./] ?[0-9][0-9](?![0-9-])"
    r"|(?:19|20)[0-9][0-9] ?[-/] ?(?:19|20)[0-9][0-9](?![0-9])|(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9])"
)
"""Dates, ranges of years, and IP addresses."""
_OTHER = re.compile(
    r"[0-9]{3}-[0-9][0-9]-[0-9]{4}(?![0-9])|[0-9]{5}-[0-9]{4}(?![0-9])|[0-9]-[0-9]{2,5}-[0-9]{3,6}-[0-9X](?![0-9])|97[89]-[0-9]"
)
"""US social security numbers and postcodes, and ISBN."""
_KINDS = (
    *(
        "fixed_line",
        "mobile",
        "toll_free",
        "premium_rate",
        "shared_cost",
        "personal_number",
        "voip",
        "pager",
        "uan",
        "voicemail",
    ),
)
"""The kinds of numbers, each with a pattern, in the metadata of a country."""
_LEAST_DIGITS, _MOST_DIGITS = 7, 15
_UNKNOWN_DIGITS = 9
"""Digits of an international number that is not valid, or no longer."""
_CALLING_CODE = re.compile(
    "(?:2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|7|8[1246]|9[0-58]|2[1-689][0-9]|3[578][0-9]|42[0-9]|5[09][0-9]|6[7-9][0-9]"
    "|8[058][0-9]|9[679][0-9])[1-9]"
)
"""A country's code but North America's, and a digit that is not 0."""
_LONGEST = 48
"""Characters of a number that are looked at."""
_AHEAD = 4
"""Characters behind a run of digits that tell whether a number ends there."""


_Candidate = tuple[int, int, int, str]
"""A number that may overlap others: a rank, of which the lower one stays, its span, and its value."""


_Run = tuple[int, re.Match[str]]
"""A run of digits and separators, and the place before it from which on a number may begin."""


def phone_numbers(text: str, countries: Sequence[str]) -> list[FoundValue]:
    """The telephone numbers of a line; their digits, with the code of the country if it is known, are
    their values. An extension belongs to its number.

    Found are international numbers that are valid; numbers as North America writes them, if `US` or
    `CA` is among the countries; numbers in groups that begin with 0 or a bracket and are valid in one
    of the countries; and 7 to 15 digits behind a word such as `Tel.` or `call`.
    """
    found: list[FoundValue] = []
    covered = bytearray(len(text))

    def take(candidates: Iterator[_Candidate]) -> None:
        for _, start, stop, value in sorted(candidates):
            if not any(covered[start:stop]):
                if extension := _EXTENSION.match(text, stop):
                    stop = extension.end()
                covered[start:stop] = b"\1" * (stop - start)
                found.append(FoundValue("phone", *_with_brackets(text, start, stop), value))

    runs = list(_runs(text))
    take(_by_form(text, runs, countries))
    take(_at_home(text, runs, countries, covered))
    return sorted(found, key=lambda each: each.start)


def _with_brackets(text: str, start: int, stop: int) -> tuple[int, int]:
    """The span with both brackets, or neither, if one of them is at its end."""
    opened = text.count("(", start, stop) - text.count(")", start, stop)
    if opened > 0 and text[start] == "(":
        return (start, stop + 1) if text[stop : stop + 1] == ")" else (start + 1, stop)
    if opened < 0 and text[max(start - 1, 0)] == "(":
        return start - 1, stop
    return start, stop


def _by_form(text: str, runs: Sequence[_Run], countries: Sequence[str]) -> Iterator[_Candidate]:
    """International numbers, and those of North America."""
    american = not {"US", "CA"}.isdisjoint(countries)
    for first, run in runs:
        end = run.end()
        written = text[first:end]
        if "+" in written or "00" in written or "011" in written:
            for match in _inside(_INTERNATIONAL, text, first, end):
                if found := _international(match):
                    yield 0, *found
        if american and (local := _LOCAL.match(text, run.start(), end + _AHEAD)):
            yield 1, *local.span(), _digits(local[0])
        if american and end - run.start() >= 10:
            for match in _inside(_AMERICAN, text, first, end):
                yield 1, *match.span(), f"+1{_digits(match[0])[-10:]}"
            if " " in written:
                for match in _inside(_SPACED_AMERICAN, text, first, end):
                    if _of_the_world(f"1{_digits(match[0])[-10:]}"):
                        yield 1, *match.span(), f"+1{_digits(match[0])[-10:]}"


def _at_home(text: str, runs: Sequence[_Run], countries: Sequence[str], covered: bytearray) -> Iterator[_Candidate]:
    """Numbers as they are written in these countries, but where another begins or lies; and those behind a word."""
    told = -1
    for first, run in runs:
        end = run.end()
        written = text[first:end]
        if "0" in written or "(" in written:
            for match in _inside(_NATIONAL, text, first, end):
                number = match[0].rpartition(")")[2].lstrip()
                if covered[match.start()] or _DATE.match(number) or _OTHER.match(match[0]):
                    continue
                if found := _national(match, countries):
                    yield 2, *found
        start = run.start()
        while rest := _FIRST_DIGITS.match(text, start):
            before = start - text.endswith("(", 0, start)
            if not _introduced(text, before) and not (told >= 0 and _ANOTHER.fullmatch(text, told, start)):
                break
            told_number = _told(rest, before, countries)
            if told_number is None:
                break
            yield 3, *told_number
            told = told_number[1]
            following = _DIGIT.search(text, told, end)
            if following is None:
                break
            start = following.start()


def _runs(text: str) -> Iterator[_Run]:
    """The runs of digits but dates."""
    done = 0
    for run in _RUN.finditer(text):
        if not _DATE.fullmatch(text, run.start(), run.end()):
            yield max(run.start() - 5, done), run
        done = run.end()


def _introduced(text: str, start: int) -> bool:
    """Whether the words before a place say that a telephone number follows."""
    before = _ASIDE.sub("", text[max(0, start - _CONTEXT) : start])
    if before.rstrip(" .:()-=>|\ufe0f").endswith(phone_words.SIGNS):
        return True
    words = list(_TOKEN.finditer(before))[-1 - _WORDS_BETWEEN :][::-1]
    for word in words:
        written = word[0]
        if written in phone_words.LETTERS and word is words[0] and before[word.end() : word.end() + 1] in (":", "."):
            return True
        if written.lower() in phone_words.WORDS and written != "pH":
            return True
        if written.lower() not in phone_words.BETWEEN:
            return False
    return False


def _inside(pattern: re.Pattern[str], text: str, first: int, end: int) -> Iterator[re.Match[str]]:
    """The matches that begin between these places."""
    while (match := pattern.search(text, first, end + _AHEAD)) and match.start() < end:
        yield match
        first = match.end()


def _international(match: re.Match[str]) -> tuple[int, int, str] | None:
    """The longest part from the start that is a valid number, or one of North America by its form."""
    plus = "+" in match[0][:3]
    lead = 0 if plus else re.match("00 ?|011[ -]", match[0]).end()  # type: ignore[union-attr]
    for stop in _ends(match[0]):
        digits = _digits(match[0][lead:stop])
        if len(digits) < _LEAST_DIGITS:
            break
        american = plus and len(digits) == 11 and digits[0] == "1" and digits[1] > "1"
        if number := f"+{digits}" if american else _of_the_world(digits):
            return match.start(), match.start() + stop, number
    whole = _digits(match[0])
    if plus and len(whole) >= _UNKNOWN_DIGITS and _CALLING_CODE.match(whole):
        return match.start(), match.end(), f"+{whole}"  # countries change their numbers
    return None


def _of_the_world(digits: str) -> str | None:
    """The number, if it is valid in one of the countries that have its first digits."""
    for size in (1, 2, 3):
        for country in COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:size]), ()):
            if country.isalpha() and (number := _valid(digits[size:], country)):
                return number
    return None


def _national(match: re.Match[str], countries: Sequence[str]) -> tuple[int, int, str] | None:
    """The longest part from the start, of two groups or more, that is valid in the first country for which one is."""
    for stop in _ends(match[0], at_spaces=True):
        written = match[0][:stop]
        digits = _digits(written)
        groups = re.findall(r"[0-9]+", written)
        if not 9 <= len(digits) <= 12 or len(groups) < 2 or not (1 < len(groups[0]) < 7 or written[0] in "(8"):
            continue
        for country in countries:
            number = _valid(digits, country) if country not in ("US", "CA") else None
            if number and _grouped(groups, number):
                return match.start(), match.start() + stop, number
    return None


def _told(match: re.Match[str], start: int, countries: Sequence[str]) -> tuple[int, int, str] | None:
    """The longest part that is valid in a country, or else all of it; it begins at `start`."""
    if _DATE.match(match[0]) or _OTHER.match(match[0]):
        return None
    written = match[0]
    if (one := written.partition(" / ")[0]) != written and len(_digits(one)) >= _LEAST_DIGITS:
        written = one
    first = None
    for stop in _ends(written):
        digits = _digits(written[:stop])
        if not _LEAST_DIGITS <= len(digits) <= _MOST_DIGITS:
            continue
        first = first or (start, match.start() + stop, digits)
        for country in countries if not _GOES_ON.match(match[0], stop) else ():
            if number := _valid(digits, country):
                return start, match.start() + stop, number
    return first


def _ends(written: str, at_spaces: bool = False) -> list[int]:
    """Where a number may end, the longest first: behind its groups, or only where a space follows."""
    ends = [group.end() for group in re.finditer(r"[0-9]+(?: ?\))?", written[:_LONGEST])]
    return [end for end in reversed(ends) if not (at_spaces and _GOES_ON.match(written, end))]


def _grouped(groups: Sequence[str], number: str) -> bool:
    """Whether the area code begins its first group (`08000 614 631`), and the rest is one group, or some of two to four."""
    national = re.findall(r"[0-9]+", format_number(parse(number), PhoneNumberFormat.NATIONAL))
    first, area = groups[0].lstrip("0"), national[0].lstrip("0")
    same = first == area or groups[0] == "8" or (len(groups[0]) == 5 and len(groups) > 2 and first.startswith(area))
    short = all(1 < len(group) < 5 for group in groups[1:-1]) and len(groups[-1]) < 5
    return same and (len(groups) == 2 or short or groups == national)


def _digits(written: str) -> str:
    return re.sub("[^0-9]", "", written)


@functools.cache
def _form(country: str) -> tuple[re.Pattern[str], str, int]:
    """What valid numbers of a country match: without the digits that stand before one at home, which
    are the second value; the third is its code."""
    metadata = PhoneMetadata.metadata_for_region(country)
    assert metadata is not None
    assert metadata.country_code is not None
    kinds = [getattr(metadata, kind) for kind in _KINDS]
    patterns = dict.fromkeys(kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern)
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns)), metadata.national_prefix or "", metadata.country_code


def _valid(number: str, country: str) -> str | None:
    """The number as the world dials it, if it is valid in this country."""
    form, prefix, code = _form(country)
    for first in (0, len(prefix)) if prefix and number.startswith(prefix) else (0,):
        if form.fullmatch(number, first):
            return f"+{code}{number[first:]}"
    return None
