"""Labels, tables and the cost of a bad byte are those of the WHATWG Encoding Standard."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pytest
import webencodings

from tamis.transforms.read.web.charset import decode, encoding_of

# Digests of tables that encoding_rs 0.8.44 gave, Firefox's implementation of the standard: of the texts of all bytes.
SINGLE_BYTE_TABLES = {
    "ibm866": "e4d6ff5ca5ada13a",
    "iso-8859-10": "4f9e6ea68a80234a",
    "iso-8859-13": "e0dc2e83c4600e7f",
    "iso-8859-14": "cc0467a122c68308",
    "iso-8859-15": "02da73e6cb687359",
    "iso-8859-16": "1695e6848a2fa540",
    "iso-8859-2": "f06000761c8bcf26",
    "iso-8859-3": "202a1b363622d2ae",
    "iso-8859-4": "f7076eceae60e496",
    "iso-8859-5": "93b826201406f5c1",
    "iso-8859-6": "7bd8ab9b93da30d5",
    "iso-8859-7": "6990b4f2c0f41585",
    "iso-8859-8": "3fece254a648dccd",
    "iso-8859-8-i": "3fece254a648dccd",
    "koi8-r": "4864274e118185ef",
    "koi8-u": "0fdfdda8e9261a58",
    "macintosh": "07da6af6067c9558",
    "windows-1250": "01dd09bae2d209f4",
    "windows-1251": "64bc96a197c74f59",
    "windows-1252": "d486335e5257b059",
    "windows-1253": "9e4c70ccbbd0778f",
    "windows-1254": "390edd6fb0372487",
    "windows-1255": "eb0725777360879e",
    "windows-1256": "5526d72d1fce45fa",
    "windows-1257": "6df262bb978fac4d",
    "windows-1258": "4744ca2fc1f4eb72",
    "windows-874": "17408160a539642a",
    "x-mac-cyrillic": "ce302a812a98d7f3",
    "x-user-defined": "eeb486ac8bd5c248",
}

# Of all bytes and all pairs that begin with one that is not ASCII, mapped or not; EUC-JP: and all triples of JIS X 0212.
# Left out: A241 and A242 of Big5, two slashes.
DOUBLE_BYTE_TABLES = {
    "big5": "aea07306c990125a",
    "euc-jp": "40bc0c5c900ddf7f",
    "euc-kr": "f421ebee147d7d3f",
    "gbk": "1fc9e1f2b08f77d2",
    "shift_jis": "afe61df68127c081",
}


def digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


@pytest.mark.parametrize("encoding", SINGLE_BYTE_TABLES)
def test_every_character_of_a_single_byte_table(encoding: str) -> None:
    assert digest(decode(bytes([byte]), encoding) for byte in range(256)) == SINGLE_BYTE_TABLES[encoding]


@pytest.mark.parametrize("encoding", DOUBLE_BYTE_TABLES)
def test_every_character_of_a_double_byte_table(encoding: str) -> None:
    codes = [bytes([byte]) for byte in range(256)]
    codes += [bytes([lead, trail]) for lead in range(0x80, 0x100) for trail in range(0x100)]
    if encoding == "big5":
        codes = [code for code in codes if code not in (b"\xa2\x41", b"\xa2\x42")]
    if encoding == "euc-jp":
        codes += [bytes([0x8F, lead, trail]) for lead in range(0xA0, 0x100) for trail in range(0xA0, 0x100)]
    assert digest(decode(code, encoding) for code in codes) == DOUBLE_BYTE_TABLES[encoding]


def test_codes_of_four_bytes() -> None:
    codes = (
        bytes([first, second, third, fourth])
        for first in range(0x81, 0xFF)
        for second in range(0x30, 0x3A)
        for third in range(0x81, 0xFF)
        for fourth in range(0x30, 0x3A)
    )
    sample = [code for number, code in enumerate(codes) if number % 101 == 0]
    assert digest(decode(code, "gb18030") for code in sample) == "e27ae075b0f4d0ea"


def test_every_label_of_the_standard() -> None:
    assert len(webencodings.LABELS) == 228
    for label, name in webencodings.LABELS.items():
        assert encoding_of(label) == name
        assert encoding_of(f"\t {label.upper()}\n") == name
        assert isinstance(decode(b"abc \xe4\xf6\xfc", name), str)


@pytest.mark.parametrize(
    ("label", "encoding"),
    [
        ("latin1", "windows-1252"),
        ("us-ascii", "windows-1252"),
        ("iso-8859-9", "windows-1254"),
        ("tis-620", "windows-874"),
        ("gb2312", "gbk"),
        ("ks_c_5601-1987", "euc-kr"),
        ("sjis", "shift_jis"),
        ("x-mac-ukrainian", "x-mac-cyrillic"),
        ("logical", "iso-8859-8-i"),
        ("unicode", "utf-16le"),
        ("iso-2022-kr", "replacement"),
        # not of the standard, but plain
        ("cp949", "euc-kr"),
        ("x-windows-949", "euc-kr"),
        ("win-1251", "windows-1251"),
        ("CP-1252", "windows-1252"),
        ("cp932", "shift_jis"),
        ("cp936", "gbk"),
        ("cp65001", "utf-8"),
        ("utf_8", "utf-8"),
        ("utf8mb4", "utf-8"),
        ("latin-1", "windows-1252"),
        ("iso8859_2", "iso-8859-2"),
        ("EUC_JP", "euc-jp"),
        # names of Python's codecs, and others that mean nothing
        ("hex", None),
        ("rot13", None),
        ("idna", None),
        ("utf-7", None),
        ("unicode_escape", None),
        ("none", None),
        ("windows-1249", None),
        ("", None),
        ("x\0y", None),
        ("é" * 1000, None),
    ],
)
def test_labels(label: str, encoding: str | None) -> None:
    assert encoding_of(label) == encoding


BAD_BYTES = [
    ("utf-8", "a\xe2\x82 b", "a\ufffd b"),
    ("utf-8", "\xf0\x9f\x98", "\ufffd"),
    ("utf-8", "\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
    ("utf-8", "\xc0\xaf", "\ufffd\ufffd"),
    ("gbk", "\x80", "€"),
    ("gbk", "\xff<p>", "\ufffd<p>"),
    ("gbk", "\x81<p>", "\ufffd<p>"),
    ("gbk", "\xd6\xd0\xff\xce\xc4", "中\ufffd文"),
    ("gb18030", "\x810\x81<", "\ufffd0\ufffd<"),
    ("gb18030", "\x84\x31\xa4\x37", "\ufffd"),
    ("big5", "\xa4\xa4\x80\xa4\xe5", "中\ufffd文"),
    ("big5", "\x88\x62\x88\xa3", "\u00ca\u0304\u00ea\u0304"),
    ("big5", "\xa4<b>", "\ufffd<b>"),
    ("euc-kr", "\xb0\xa1\xff\xb0\xa1", "가\ufffd가"),
    ("euc-kr", "\xb0<b>", "\ufffd<b>"),
    ("shift_jis", "\x82\xa0\xfd\x82\xa0", "あ\ufffdあ"),
    ("shift_jis", "\x81<b>", "\ufffd<b>"),
    ("shift_jis", "\xb1\xb2", "ｱｲ"),
    ("shift_jis", "\x87\x40\xfb\xfc", "①髙"),
    ("euc-jp", "\xa4\xa2\x80\xa4\xa4", "あ\ufffdい"),
    ("euc-jp", "\xad\xa1\x8f\xa2\xb7", "①～"),
    ("euc-jp", "\x8e\xb1\x8e<", "ｱ\ufffd<"),
    ("iso-2022-jp", '\x1b$B$"\x1b(Ba\x1b(J\\~', "あa¥‾"),
    ("iso-2022-jp", "\x1b(I12\x1b(B", "ｱｲ"),
    ("iso-2022-jp", "\x1b$B-!\x1b(B", "①"),
    ("iso-2022-jp", '\x1b$B$"\x80$$\x1b(B', "あ\ufffdい"),
    ("iso-2022-jp", "a\x1bb\x0e", "a\ufffdb\ufffd"),
    ("iso-2022-jp", "\x1b$B\x1b(B", "\ufffd"),
    ("windows-1252", "\x81\x8d\x93", "\x81\x8d“"),
    ("windows-1253", "\xaa\xd2\xff", "\ufffd\ufffd\ufffd"),
    ("iso-8859-6", "\xc7\xff", "ا\ufffd"),
    ("utf-16le", "a\0\0\xd8b\0c", "a\ufffdb\ufffd"),
    ("utf-16be", "\0a\xd8\x3d\xde\0", "a😀"),
    ("replacement", "anything", "\ufffd"),
    ("replacement", "", ""),
    ("x-user-defined", "a\x80\xff", "a\uf780\uf7ff"),
]


@pytest.mark.parametrize(("encoding", "data", "text"), BAD_BYTES)
def test_a_bad_byte_costs_one_character(encoding: str, data: str, text: str) -> None:
    assert decode(data.encode("latin-1"), encoding) == text


@pytest.mark.parametrize("encoding", sorted({*webencodings.LABELS.values(), "iso-2022-kr", "hz"}))
def test_any_bytes_of_any_length(encoding: str) -> None:
    assert decode(b"", encoding) == ""
    noise = hashlib.shake_128(encoding.encode()).digest(100_000)
    assert isinstance(decode(noise, encoding), str)
    decode(noise, encoding).encode()  # has no lone surrogates
