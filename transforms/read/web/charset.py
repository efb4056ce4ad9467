"""Labels and decoders of the WHATWG Encoding Standard, which browsers follow.

Labels come from `webencodings`. Python has all the tables; its decoders differ from the standard in
what this module corrects: bytes that Python leaves undefined, newer characters, and how much of the
text a bad byte costs.
"""

import codecs
import re
from collections.abc import Callable, Mapping
from functools import cache

import webencodings

OUTSIDE_THE_STANDARD = ("iso-2022-kr", "hz")
"""Encodings that the standard replaces with U+FFFD because pages can attack browsers with them."""

_BAD = "\ufffd"

_PYTHON_NAMES = {
    "windows-874": "cp874",
    "iso-8859-8-i": "iso-8859-8",
    "x-mac-cyrillic": "mac-cyrillic",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "gbk": "gb18030",
    "big5": "big5hkscs",
}
_CORRECTIONS = {"windows-1255": {0xCA: "\u05ba"}, "koi8-u": {0xAE: "\u045e", 0xBE: "\u040e"}}

# Characters that Python decodes otherwise. None of them can come from other bytes: so two of Big5, A241
# and A242, are left as they are, full-width slashes instead of a division slash and a small backslash.
_TRANSLATIONS: dict[str, Mapping[int, int | str | None]] = {
    "big5": str.maketrans(
        "\u2022\uff64\u203e\u223c\u2641\u2609\xa5\xa2\xa3", "\u2027\ufe51\xaf\uff5e\u2295\u2299\uffe5\uffe0\uffe1"
    ),
    "shift_jis": dict.fromkeys(range(0xF8F0, 0xF8F4), _BAD),
    "euc-jp": str.maketrans("\u301c\u2016\u2212\u00a2\u00a3\u00ac", "\uff5e\u2225\uff0d\uffe0\uffe1\uffe2"),
    "gb18030": str.maketrans(
        "\ue5e5\ue78d\ue78e\ue78f\ue790\ue791\ue792\ue793\ue794\ue795\ue796\ue7c7\u1e3f"
        "\ue81e\ue826\ue82b\ue82c\ue832\ue843\ue854\ue864",
        "\u3000\ufe10\ufe12\ufe11\ufe13\ufe14\ufe15\ufe16\ufe17\ufe18\ufe19\u1e3f\ue7c7"
        "\u9fb4\u9fb5\u9fb6\u9fb7\u9fb8\u9fb9\u9fba\u9fbb",
    ),
}

# Big5: the additions of HKSCS-2008, the control pictures, and second codes of some characters.
_BIG5_RUNS = {
    0x877A: "㡵𡵓𣚞𦀡㻬𥣞㫵竼龗𤅡𨤍𣇪𠪊𣉞䌊蒄龖鐯䤰蘓墖靊鈘秐稲晠権袝瑌篅枂稬剏遆㓦珄𥶹瓆鿇垳䤯呌䄱𣚎堘穲𧭥讏"
    "䚮𦺈䆁𥶙箮𢒼鿈𢓁𢓉𢓌鿉蔄𣖻䂴鿊䓡𪷿拁灮鿋",
    0xA3C0: "␀␁␂␃␄␅␆␇␈␉␊␋␌␍␎␏␐␑␒␓␔␕␖␗␘␙␚␛␜␝␞␟␡€",
    0x92AF: "兙兛兝兞",
}
_BIG5_SINGLES = (
    "8E69箸 8E6F簆 8E7E糎 8EAB緒 8EB4縝 8ECD者 8ED0耨 8F57菁 8F69蒨 8F6E萏 8FCB覦 8FCC覩 8FFE起 906D都 907A銹 90DC靜 "
    "90F1響 91BF鼖 9244蔃 92C8鍮 92D1瑹 9447浧 94CA禛 95D9邗 9644靝 96ED瀞 96FC嬨 9B76爁 9B78矗 9B7B纇 9BC6駖 9BDE釔 "
    "9BEC惞 9BF6澶 9C42輶 9C53侻 9C62營 9C68鄄 9C6B鷰 9C77菏 9CBC尐 9CBD秣 9CD0婧 9D57輋 9D5A筑 9DC4拐 9EA9恢 9EEF痹 "
    "9EFD汊 9F60鬮 9F66鼗 9FCB僭 9FD8弌 A063蠏 A077拎 A0D5瑨 A0DF煢 A0E4牐 C6CF廴 C6D3无 C6D5癶 C6D7隶 C6DE〃 C6DF仝 "
    "FA5F倩 FA66偽 FABD包 FAC5卄 FAD5卿 FB48嘅 FBB8婷 FBF3幵 FBF9廐 FC4F彘 FC6C悤 FCB9撐 FCE2晴 FCF1杞 FDB7沜 FDB8渝 "
    "FDBB港 FDF1煮 FE52猪 FE6F瑜 FEAA瓩 FEDD砉"
)

_ISO_2022_JP_ESCAPE = re.compile(rb"\x1b(\([BJI]|\$[@B])")
_ISO_2022_JP_RUN = re.compile(rb"(?:[\x21-\x7e]{2})+|[\x21-\x7e](?=\x1b)|[\x21-\x7e]?[^\x21-\x7e]|[\x21-\x7e]", re.DOTALL)
_NOT_TEXT = re.compile(r"[\x0e\x0f\x1b\x80-\xff]")


@cache
def encoding_of(label: str) -> str | None:
    """The name of the encoding that a label means, in lower case; None if the standard has none.
    Other spellings of its labels count too: `cp1251`, `utf_8`, `win-1252`, `latin-1`."""
    encoding = webencodings.lookup(label)
    if encoding is not None:
        return encoding.name
    plain = _plain(label)
    page_code = re.fullmatch(r"(?:cp|ms|win|windows|ibm)0*(\d+)", plain.removeprefix("x"))
    if page_code:
        number = int(page_code[1])
        name = {932: "shift_jis", 936: "gbk", 950: "big5", 65001: "utf-8", 51932: "euc-jp", 51949: "euc-kr", 20866: "koi8-r"}
        encoding = webencodings.lookup(name.get(number, f"windows-{number}"))
        return encoding.name if encoding is not None else None
    return "utf-8" if plain.startswith("utf8") else _spellings().get(plain)


def decode(data: bytes, encoding: str) -> str:
    """The text of `data`, in which U+FFFD stands for what cannot be decoded. `encoding` is a name
    that `encoding_of` returns, or one of OUTSIDE_THE_STANDARD. A byte order mark is kept."""
    return _decoder(encoding)(data)


def _plain(label: str) -> str:
    return re.sub(r"[^a-z0-9]", "", label[:100].lower())


@cache
def _spellings() -> dict[str, str]:
    return {_plain(label): name for label, name in webencodings.LABELS.items()}


@cache
def _decoder(encoding: str) -> Callable[[bytes], str]:
    if encoding == "replacement":
        return lambda data: _BAD if data else ""
    if encoding == "iso-2022-jp":
        return _decode_iso_2022_jp
    if encoding in ("utf-8", "utf-16le", "utf-16be", *OUTSIDE_THE_STANDARD):
        return lambda data: data.decode(encoding, "replace")
    if encoding in ("gbk", "gb18030", "big5", "euc-kr", "shift_jis", "euc-jp"):
        return _double_byte_decoder("gb18030" if encoding == "gbk" else encoding)
    table = _single_byte_table(encoding)
    return lambda data: codecs.charmap_decode(data, "strict", table)[0]


def _single_byte_table(encoding: str) -> str:
    if encoding == "x-user-defined":
        return "".join(chr(byte if byte < 0x80 else 0xF700 + byte) for byte in range(256))
    table = list(bytes(range(256)).decode(_PYTHON_NAMES.get(encoding, encoding), "replace"))
    for byte in range(0x80, 0xA0):  # the standard maps undefined bytes here to control characters
        table[byte] = table[byte].replace(_BAD, chr(byte))
    for byte, character in _CORRECTIONS.get(encoding, {}).items():
        table[byte] = character
    return "".join(table)


def _double_byte_decoder(encoding: str) -> Callable[[bytes], str]:
    python_name = _PYTHON_NAMES.get(encoding, encoding)
    errors = f"tamis-{encoding}"
    codecs.register_error(errors, _ERROR_HANDLERS.get(encoding, _recover))
    translation = _TRANSLATIONS.get(encoding)

    def decode(data: bytes) -> str:
        if encoding == "euc-jp":  # Python decodes this one to the tilde of ASCII
            data = data.replace(b"\x8f\xa2\xb7", b"\xa1\xc1")
        text = data.decode(python_name, errors)
        return text.translate(translation) if translation and not text.isascii() else text

    return decode


def _recover(error: UnicodeError) -> tuple[str, int]:
    """A bad pair costs one character. Its second byte is read again if it is ASCII, so that no bad
    byte can swallow a tag."""
    assert isinstance(error, UnicodeDecodeError)
    trail = error.object[error.start + 1 : error.start + 2]
    swallowed = trail >= b"\x80" and _is_lead(error.object[error.start], error.encoding)
    return _BAD, error.start + (2 if swallowed else 1)


def _is_lead(byte: int, python_name: str) -> bool:
    if python_name == "cp932":
        return 0x81 <= byte <= 0x9F or 0xE0 <= byte <= 0xFC
    if python_name == "euc_jp":
        return byte in (0x8E, 0x8F) or 0xA1 <= byte <= 0xFE
    return 0x81 <= byte <= 0xFE


def _recover_big5(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    character = _big5_additions().get(error.object[error.start : error.start + 2])
    return (character, error.start + 2) if character else _recover(error)


@cache
def _big5_additions() -> dict[bytes, str]:
    additions = {bytes.fromhex(item[:4]): item[4:] for item in _BIG5_SINGLES.split(" ")}
    for code, characters in _BIG5_RUNS.items():
        lead, trail = divmod(code, 256)
        for character in characters:
            additions[bytes((lead, trail))] = character
            lead, trail = (lead + 1, 0x40) if trail == 0xFE else (lead, 0xA1) if trail == 0x7E else (lead, trail + 1)
    return additions


def _recover_gb18030(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    data, start = error.object, error.start
    if data[start] == 0x80:
        return "\u20ac", start + 1
    if data[start] != 0xFF and b"0" <= data[start + 1 : start + 2] <= b"9":
        third, fourth = data[start + 2 : start + 3], data[start + 3 : start + 4]
        if (third and not b"\x81" <= third <= b"\xfe") or (fourth and not b"0" <= fourth <= b"9"):
            return _BAD, start + 1
        return _BAD, min(start + 4, len(data))
    return _recover(error)


def _recover_euc_jp(error: UnicodeError) -> tuple[str, int]:
    """Rows that only Microsoft's tables have are those of Shift_JIS in another arrangement."""
    assert isinstance(error, UnicodeDecodeError)
    data, start = error.object, error.start
    if data[start] == 0x8F:
        if not b"\xa1" <= data[start + 1 : start + 2] <= b"\xfe":
            return _recover(error)
        return _BAD, min(start + (3 if data[start + 2 : start + 3] >= b"\x80" else 2), len(data))
    if 0xA1 <= data[start] <= 0xFE and b"\xa1" <= data[start + 1 : start + 2] <= b"\xfe":
        row, cell = data[start] - 0xA1, data[start + 1] - 0xA1
        lead = 0x81 + row // 2 + (0x40 if row >= 62 else 0)
        trail = 0x9F + cell if row % 2 else 0x40 + cell + (cell >= 63)
        return decode(bytes((lead, trail)), "shift_jis")[0], start + 2
    return _recover(error)


_ERROR_HANDLERS = {"big5": _recover_big5, "gb18030": _recover_gb18030, "euc-jp": _recover_euc_jp}


def _decode_iso_2022_jp(data: bytes) -> str:
    parts: list[str] = []
    state, switched = b"(B", False
    pieces = _ISO_2022_JP_ESCAPE.split(data)  # text, escape, text, …
    for number, piece in enumerate(pieces):
        if number % 2:
            if switched:  # two escapes in a row are an error
                parts.append(_BAD)
            state, switched = (b"$B" if piece == b"$@" else piece), True
        elif piece:
            text = _iso_2022_jp_text(piece, state)
            parts.append(text)
            switched = False
    return "".join(parts)


def _iso_2022_jp_text(piece: bytes, state: bytes) -> str:
    if state == b"$B":
        return "".join(map(_iso_2022_jp_pairs, _ISO_2022_JP_RUN.findall(piece)))
    if state == b"(I":
        return "".join(chr(0xFF40 + byte) if 0x21 <= byte <= 0x5F else _BAD for byte in piece)
    text = _NOT_TEXT.sub(_BAD, piece.decode("latin-1"))
    return text.replace("\\", "¥").replace("~", "‾") if state == b"(J" else text


def _iso_2022_jp_pairs(run: bytes) -> str:
    pairs = len(run) % 2 == 0 and 0x21 <= run[-1] <= 0x7E
    return decode(bytes(byte | 0x80 for byte in run), "euc-jp") if pairs else _BAD
