"""Finds telephone numbers: by Google's libphonenumber where a number is complete, by the words before it where it is not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, format_number, is_valid_number, parse

from tamis.transforms.edit.pii.found_value import FoundValue

_SEPARATOR = r"(?: ?[-./·] ?| ?\) ?[-./]? ?| ?\( ?| {1,2})"
_DIGITS = rf"\d(?:{_SEPARATOR}?\d)"
_BEFORE = r"(?<![\w$€£¥#=~^&_])(?<!\d[.,:/-])(?<!\w[./-])"
_AFTER = r"(?![\w%°€£$])(?![.,:/-]\d)"
_EXTENSION = re.compile(r"(?i),? {0,2}(?:\(? ?(?:extension|extn|ext|x|durchwahl|poste|anexo|ramal|int)\.?:? ?|# ?)\d{1,6}(?!\d) ?\)?")

_INTERNATIONAL = re.compile(rf"(?<![\w+])(?:\(? ?\+ ?|00 ?|011[ -])(?=[1-9 (]){_DIGITS}{{6,14}}(?!\d)")
_AMERICAN = re.compile(
    rf"{_BEFORE}(?:\+?1(?: ?[-./] ?| )?)?(?:\( ?[2-9]\d\d ?\) ?[-./]? ?|[2-9]\d\d ?[-.·/] ?)\d{{3}} ?[-.· ] ?\d{{4}}{_AFTER}(?! ?-\d)"
)
_SPACED_AMERICAN = re.compile(rf"{_BEFORE}(?:1 )?[2-9]\d\d [2-9]\d\d[ -]\d{{4}}{_AFTER}(?! \d)")
_NATIONAL = re.compile(rf"{_BEFORE}(?:\( ?\d{{1,5}} ?\)|0\d|8 \()(?:{_SEPARATOR}?\d){{5,12}}{_AFTER}")
_TOLD = re.compile(rf"\(?{_DIGITS}{{6,14}}(?!\d)")

_WORDS = re.compile(
    r"(?i)(?:(?<![^\W\d_])(?:tele?(?:ph|f)one?s?|telefono|teléfonos?|téléphone|telefon(?:nummer|szám)?|telefax|tel[eé]?f|tels?|tél"
    r"|t[eé]l[eé]c|phones?|ph|fax|mobiles?|mob|m[oó]vil(?:es)?|mobil(?:nummer)?|portable|cellulare?|celular(?:es)?|cell|cel"
    r"|handy|gsm|whats ?app|viber|sms|pager|hotline|helpline|toll[ -]?free|freephone|landline|voicemail|rufnummer|puhelin|tlf"
    r"|mobiel|telefoon|puh|gsm|tlfn|telepon|hp|call|dial|reach|ring|text|t/f|τηλ(?:έφωνο)?|тел(?:ефон)?|моб(?:ильный)?|факс"
    r"|هاتف|الهاتف|جوال|تلفن|موبایل|טל|טלפון|נייד|फोन|मोबाइल|โทร|điện thoại|đt)(?![^\W\d_])|電話|电话|手机|手機|传真|傳真"
    r"|携帯|전화|휴대폰|연락처|[☎☏✆📞📱📠℡]|(?:(?<=\W)|^)[TFPM](?=[:.]))"
    r"(?: ?(?:nummer|numbers?|no|nr|num|n°|nº|№|us|me|him|her|them|at|on|is|are|to|番号|号码|번호|und|and|&|/|or|\+|fax|phone|toll[ -]free"
    r"|free|line|today|now|office|home|work|direct|mobile|cell)(?![^\W\d_]))*[ .:：/()\-–=#\"'>|]*\Z"
)
"""What introduces a number. Behind `call` and its like a number is one of a telephone if it is long enough."""
_ANOTHER = re.compile(r"(?i) ?(?:/|,|;|\||&|or|and|und|oder|ou|et|y|o|e|или|и) ?\(?\Z")
_DATE = re.compile(
    r"(?:19|20)\d\d ?[-./ ] ?[01]?\d ?[-./ ] ?[0-3]?\d(?!\d)|[0-3]?\d ?[-./ ] ?[0-3]?\d ?[-./ ] ?(?:19|20)?\d\d(?:(?!\d)| \d\d )"
    r"|(?:19|20)\d\d ?[-/] ?(?:19|20)\d\d(?!\d)|(?:\d{1,3}\.){3}\d{1,3}(?!\d)"
)
"""Dates, ranges of years, and IP addresses."""
_MOST_TOLD = 15


def phone_numbers(text: str, countries: Sequence[str]) -> Iterator[FoundValue]:
    """The telephone numbers of a line; their digits, with the code of the country if it is known, are
    their values. An extension belongs to its number.

    Found are international numbers that are valid; numbers as North America writes them, if `US` or
    `CA` is among the countries; numbers in groups that begin with 0 or a bracket and are valid in one
    of the countries; and 7 to 15 digits behind a word such as `Tel.` or `call`.
    """
    last = 0
    for start, stop, value in sorted(_candidates(text, countries), key=lambda found: (found[0], -found[1])):
        if start < last:
            continue
        if extension := _EXTENSION.match(text, stop):
            stop = extension.end()
        last = stop
        yield FoundValue("phone", start, stop, value)


def _candidates(text: str, countries: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    for match in _INTERNATIONAL.finditer(text):
        if found := _international(match):
            yield found
    if not {"US", "CA"}.isdisjoint(countries):
        for match in (*_AMERICAN.finditer(text), *_SPACED_AMERICAN.finditer(text)):
            digits = _digits(match[0])[-10:]
            if match.re is _AMERICAN or _valid(digits, "US"):
                yield (*match.span(), f"+1{digits}")
    for match in _NATIONAL.finditer(text):
        if not _DATE.match(match[0]) and (found := _national(match, countries)):
            yield found
    told = None
    for match in _TOLD.finditer(text):
        before = text[max(0, match.start() - 40) : match.start()]
        another = told is not None and text[told : match.start()] and _ANOTHER.fullmatch(text[told : match.start()])
        if (another or _WORDS.search(before)) and (found := _told(match, countries)):
            told = found[1]
            yield found


def _international(match: re.Match[str]) -> tuple[int, int, str] | None:
    """The longest part from the start that is a valid number, or one of North America by its form."""
    plus = "+" in match[0][:3]
    lead = 0 if plus else re.match("00 ?|011[ -]", match[0]).end()  # type: ignore[union-attr]
    for stop in _ends(match[0]):
        digits = _digits(match[0][lead:stop])
        if len(digits) < 7:
            return None
        number = _parsed(f"+{digits}", None)
        american = plus and len(digits) == 11 and digits[0] == "1" and digits[1] > "1"
        if number is not None and (is_valid_number(number) or american):
            return match.start(), match.start() + stop, _written(number)
    return None


def _national(match: re.Match[str], countries: Sequence[str]) -> tuple[int, int, str] | None:
    """The longest part from the start, of two groups or more, that is valid in the first country for which one is."""
    for stop in _ends(match[0]):
        written = match[0][:stop]
        digits = _digits(written)
        groups = re.findall(r"\d+", written)
        if not 8 <= len(digits) <= 12 or len(groups) < 2 or (len(groups[0]) < 2 and written[0] not in "(8"):
            continue
        for country in countries:
            if country not in ("US", "CA") and (number := _parsed(digits, country)) and is_valid_number(number):
                return match.start(), match.start() + stop, _written(number)
    return None


def _told(match: re.Match[str], countries: Sequence[str]) -> tuple[int, int, str] | None:
    """The longest part that is valid in a country, or else all of it."""
    if _DATE.match(match[0]):
        return None
    first = None
    for stop in _ends(match[0]):
        digits = _digits(match[0][:stop])
        if not 7 <= len(digits) <= _MOST_TOLD:
            continue
        first = first or (match.start(), match.start() + stop, digits)
        for country in countries:
            if (number := _parsed(digits, country)) and is_valid_number(number):
                return match.start(), match.start() + stop, _written(number)
    return first


def _ends(written: str) -> list[int]:
    """Where a number may end, the longest first: behind its groups."""
    return [group.end() for group in re.finditer(r"\d+(?: ?\))?", written)][::-1]


def _digits(written: str) -> str:
    return re.sub(r"\D", "", written)


def _parsed(number: str, country: str | None) -> PhoneNumber | None:
    try:
        return parse(number, country)
    except NumberParseException:
        return None


def _valid(number: str, country: str) -> bool:
    parsed = _parsed(number, country)
    return parsed is not None and is_valid_number(parsed)


def _written(number: PhoneNumber) -> str:
    return format_number(number, PhoneNumberFormat.E164)
