"""Decodes pages: by a byte order mark, else by what the bytes prove, else by what is declared.

A declaration stands unless the bytes contradict it. The detector is Firefox's (`chardetng`), which
knows the encodings of the web and no others; so it may overrule a declaration only where the
declared encoding gives text that nobody writes, and its own does not.
"""

import codecs
import re
from functools import cache
from typing import NamedTuple

from chardetng_py import EncodingDetector

from tamis.transforms.read.web.charset import decode, encoding_of

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16le"), (codecs.BOM_UTF16_BE, "utf-16be"))
_UTF_16 = ("utf-16le", "utf-16be")
_UTF_16_START = (re.compile(rb"(?:[\t\n\f\r ]\0)*<\0"), re.compile(rb"(?:\0[\t\n\f\r ])*\0<"))
_EAST_ASIAN = ("shift_jis", "euc-jp", "euc-kr", "gb18030", "big5", "iso-2022-jp")
_SAME = {"gbk": "gb18030", "koi8-r": "koi8-u", "iso-8859-8-i": "iso-8859-8"}  # for the detector, and for readers

_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_JUDGED = 1 << 16
"""Bytes from the first one on that is not ASCII, by which the encoding of a page is judged."""

_DECLARATION_BYTES = 4096
"""Where a page may declare its encoding; browsers look at 1,024 bytes, or at all of the head."""

_META = re.compile(
    rb"<!--.*?(?:-->|\Z)|<meta[\s/]((?:\"[^\"]*\"|'[^']*'|[^>\"'])*)|\A\s*<\?xml\s[^>]*?encoding\s*=\s*[\"']([^\"']*)",
    re.I | re.S,
)
_META_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([^\"'\s;,>/]+)", re.I)

_PARTIAL_ENCODINGS = {  # those with undefined bytes, and their names in Python
    "shift_jis": "cp932",
    "euc-jp": "euc-jp",
    "euc-kr": "cp949",
    "gb18030": "gb18030",
    "big5": "big5hkscs",
    "windows-874": "cp874",
    "windows-1253": "cp1253",
    "windows-1255": "cp1255",
    "windows-1257": "cp1257",
    **{name: name for name in ("iso-8859-6", "iso-8859-7", "iso-8859-8")},
}
_LEAST_SOUND = 16
"""Sound characters for each bad one in a text whose encoding is told despite bad bytes."""

_HOST = re.compile(r"[a-z]+://[^/?#]*?\.([a-z]{2,63}|xn--[a-z0-9-]{1,59})\.?(?::\d*)?(?:[/?#]|\Z)", re.IGNORECASE | re.ASCII)

_ISO_2022_JP = re.compile(rb"\x1b(?:\$[@B]|\([IJ])")
_JIS_TEXT = re.compile(rb"\x1b\$[@B]([\x21-\x7e]*)")
_ISO_2022_KR = re.compile(rb"\x1b\$\)C")
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_HZ = re.compile(rb"~\{[\x21-\x7e]{2}")

_MAYBE_EAST_ASIAN = re.compile(rb"(?<![A-Za-z])[\xc3-\xdf][\xa1-\xbf](?![A-Za-z])")

_ODD = re.compile(
    "[\x80-\x9f\ufffd\ue000-\uf8ff]"  # controls, replacements, private characters
    "|(?<=[^\\W\\d_])(?!´[^\\W\\d_])[¡-¦¨-©¬®-¶¸¹»-¿×÷†‡•…‰‹›™„“”]+(?=[^\\W\\d_])"  # signs inside a word
    "|[¢-¦¨©¬®-±´¶¸¼-¾×÷]{2}"  # signs in a row
    "|(?<=\\w)[\u2500-\u259f]|[\u2500-\u259f](?=\\w)"  # a piece of a frame in a word
    "|[A-Za-z][\u0370-\u06ff]|[\u0370-\u06ff][A-Za-z]"  # two alphabets in a word
    "|[а-џ][А-Я]|[ά-ώ][Ά-Ω]|[a-zß-öø-ÿ][À-ÖØ-ÞŠŽŸŒ]"  # a capital after a small letter
    "|[À-ÖØ-öø-ɏ]{4}"  # Latin words of accented letters alone
    "|[\uff61-\uff9f]{4}"  # half-width katakana
    "|[a-z][\u3400-\u9fff\uac00-\ud7a3][a-z]"  # one East Asian character in a Latin word
)
_LEAST_ODD = 3
"""Places that must look wrong before a declaration is overruled: fewer may be slips of the author."""

_ODD_SHARE = 5
"""A text has no language if one in so many of its characters that are not ASCII looks wrong."""

_ICELANDIC = re.compile(rb"[\xd0\xdd\xde\xf0\xfd\xfe]")
_LEAST_TURKISH = 5
"""Turkish is often declared as Latin-1, which differs in six letters: in Latin-1 they are Icelandic."""


class Decoded(NamedTuple):
    """A page as text; `conflict` is the encoding that was declared, if the bytes contradict it."""

    text: str
    encoding: str
    conflict: str | None = None


def decode_page(page: bytes, header: str | None, url: str | None = None) -> Decoded:
    """An HTML page, or a text, whose server declared the label `header`, or nothing. If nothing is
    declared, the country of its address is a hint. U+FFFD stands for what cannot be decoded."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if page.startswith(mark) and (encoding == "utf-8" or _has_utf_16_tags(page)):
            return _judged(page[len(mark) :], encoding, tuple(filter(None, [_encoding(header)])))
    if b"\0" in page:
        declared = _declarations(page, header)
        wide = _utf_16(page, declared)
        if wide is not None:
            return _judged(page, wide, declared)
    try:
        text = page.decode()
    except UnicodeDecodeError:
        return _decode_invalid_utf_8(page, _declarations(page, header), _top_level_domain(url or ""))
    if len(text) == len(page):
        return _decode_ascii(page, text, header)
    declared = _declarations(page, header)
    if declared and len(page) - len(text) <= 2 and _SAME.get(declared[0], declared[0]) in _EAST_ASIAN:
        legacy = decode(page, declared[0])  # two such characters may be valid UTF-8 by chance
        if "\ufffd" not in legacy and len(_MAYBE_EAST_ASIAN.findall(page)) == len(page) - len(text):
            return Decoded(legacy, declared[0])
    return Decoded(text, "utf-8", _conflict("utf-8", declared))


def declared_in_page(page: bytes) -> str | None:
    """The label in the page's first <meta> or XML declaration that has one."""
    for tag in _META.finditer(page[:_DECLARATION_BYTES]):
        label = tag[2] or None
        if tag[1] and (charset := _META_CHARSET.search(tag[1])):
            label = charset[1]
        if label:
            return label.decode("ascii", "replace").strip()
    return None


def _declarations(page: bytes, header: str | None) -> tuple[str, ...]:
    """The encodings that the server and the page declare, in the order of their weight."""
    inner = _encoding(declared_in_page(page))
    # The declaration was read as ASCII, so UTF-16 cannot be true; the other name is what browsers take it for.
    inner = "utf-8" if inner in _UTF_16 else "windows-1252" if inner == "x-user-defined" else inner
    return tuple(dict.fromkeys(name for name in (_encoding(header), inner) if name is not None))


def _encoding(label: str | None) -> str | None:
    return encoding_of(label) if label else None


def _judged(page: bytes, encoding: str, declared: tuple[str, ...]) -> Decoded:
    return Decoded(decode(page, encoding), encoding, _conflict(encoding, declared))


def _conflict(encoding: str, declared: tuple[str, ...]) -> str | None:
    agrees = not declared or _SAME.get(declared[0], declared[0]) == _SAME.get(encoding, encoding)
    return None if agrees else declared[0]


def _has_utf_16_tags(page: bytes) -> bool:
    return b"<\0" in page or b"\0<" in page


def _utf_16(page: bytes, declared: tuple[str, ...]) -> str | None:
    """UTF-16 without a byte order mark, if the page begins with a tag in it or is declared so."""
    for encoding, start in zip(_UTF_16, _UTF_16_START, strict=True):
        if start.match(page):
            return encoding
    return next((name for name in declared if name in _UTF_16 and _has_utf_16_tags(page)), None)


def _decode_ascii(page: bytes, text: str, header: str | None) -> Decoded:
    """Encodings of seven bits, which say themselves by their escapes."""
    if b"\x1b" in page or b"~{" in page:
        declared = _declarations(page, header)
        if _ISO_2022_JP.search(page):
            return _judged(page, "iso-2022-jp", declared)
        if _ISO_2022_KR.search(page):
            return Decoded(decode(page, "iso-2022-kr"), "iso-2022-kr")
        if "replacement" in declared:
            name = "hz" if _HZ.search(page) else "replacement"
            return Decoded(decode(page, name), name)
    return Decoded(text, "utf-8")


def _decode_invalid_utf_8(page: bytes, declared: tuple[str, ...], domain: bytes | None) -> Decoded:
    text = page.decode("utf-8", "replace")
    surrogates = len(_SURROGATE.findall(page))  # of UTF-8 that an old system made of UTF-16
    bad = text.count("\ufffd") - page.count(b"\xef\xbf\xbd") - 3 * surrogates
    good = len(text) - len(text.encode("ascii", "ignore")) - bad
    if good >= (bad if "utf-8" in declared or not declared else 2 * bad):
        return Decoded(text, "utf-8", _conflict("utf-8", declared))
    if sum(map(len, _JIS_TEXT.findall(page))) > 2 * (good + bad):
        return _judged(page, "iso-2022-jp", declared)
    possible = [name for name in declared if name not in (*_UTF_16, "replacement")]
    sample = _sample(page)
    detected = _detect(sample, None if possible else domain)
    for name in possible:
        if _SAME.get(name, name) == _SAME.get(detected, detected) or _is_despite_bad_bytes(sample, name):
            return _judged(page, name, declared)
    odd = {name: sum(1 for _ in _ODD.finditer(decode(sample, name))) for name in (*possible, detected)}
    if odd[detected] >= _LEAST_ODD or detected in _EAST_ASIAN:
        sound = next((name for name in _PARTIAL_ENCODINGS if _is_despite_bad_bytes(sample, name)), None)
        if sound is not None:
            detected, odd[sound] = sound, 0
    if not possible:
        strange = _ODD_SHARE * odd[detected]
        no_language = strange > len(_NOT_ASCII.findall(sample))  # then each byte that is not ASCII becomes U+FFFD
        chosen = "utf-8" if no_language else detected
    else:
        chosen = min(possible, key=odd.__getitem__)
        contradicted = odd[chosen] >= _LEAST_ODD and odd[chosen] > 2 * odd[detected]
        east_asian = detected in _EAST_ASIAN and _SAME.get(chosen, chosen) in _EAST_ASIAN and not odd[detected]
        turkish = detected == "windows-1254" and chosen == "windows-1252" and len(_ICELANDIC.findall(page)) >= _LEAST_TURKISH
        if contradicted or east_asian or turkish:
            chosen = detected
    return _judged(page, chosen, declared)


def _sample(page: bytes) -> bytes:
    """What follows the first byte that is not ASCII."""
    first = _NOT_ASCII.search(page)
    return page[max(0, first.start() - 1) :][:_JUDGED] if first else page[:_JUDGED]


def _is_despite_bad_bytes(sample: bytes, name: str) -> bool:
    """Whether a page is in this encoding but for a few bytes, which make the detector exclude it."""
    encoding = _SAME.get(name, name)
    if encoding not in _PARTIAL_ENCODINGS:
        return False
    text = decode(sample, encoding)
    few = 0 < text.count("\ufffd") * _LEAST_SOUND < len(text) - len(text.encode("ascii", "ignore"))
    return few and _detect(text.replace("\ufffd", "").encode(_PARTIAL_ENCODINGS[encoding], "ignore")) == encoding


def _top_level_domain(url: str) -> bytes | None:
    host = _HOST.match(url)
    return host[1].lower().encode() if host else None


def _detect(sample: bytes, domain: bytes | None = None) -> str:
    detector = EncodingDetector()
    detector.feed(sample, last=True)
    return _name(detector.guess(tld=domain, allow_utf8=False))


@cache
def _name(label: str) -> str:
    name = encoding_of(label)
    assert name is not None, f"the detector answers {label}"
    return name
