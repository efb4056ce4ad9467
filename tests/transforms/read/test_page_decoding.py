"""A page is decoded by its byte order mark, else by what its bytes prove, else by what is declared."""

from __future__ import annotations

import pytest

from tamis.transforms.read.web.charset import decode
from tamis.transforms.read.web.page_decoding import Decoded, declared_in_page, decode_page

PYTHON_NAMES = {
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "x-mac-cyrillic": "mac-cyrillic",
    "windows-874": "cp874",
}

RUSSIAN = "Утром мы пошли на рынок и купили свежий хлеб, яблоки и немного мёда для чая."
UKRAINIAN = "Вранці ми пішли на ринок і купили свіжий хліб, яблука та трохи меду до чаю."
BULGARIAN = "Сутринта отидохме на пазара и купихме пресен хляб, ябълки и малко мед за чая."
GREEK = "Το πρωί πήγαμε στην αγορά και αγοράσαμε φρέσκο ψωμί, μήλα και λίγο μέλι για το τσάι."
HEBREW = "בבוקר הלכנו לשוק וקנינו לחם טרי, תפוחים ומעט דבש לתה, ואחר כך חזרנו הביתה ברגל."
ARABIC = "ذهبنا في الصباح إلى السوق واشترينا خبزا طازجا وتفاحا وقليلا من العسل للشاي."
THAI = "ตอนเช้าเราไปตลาดและซื้อขนมปังสด แอปเปิล และน้ำผึ้งเล็กน้อยสำหรับชา"
JAPANESE = "朝、私たちは市場へ行って、焼きたてのパンとりんごと、お茶に入れる蜂蜜を少し買いました。"
CHINESE = "早上我们去市场买了新鲜的面包、苹果和一点泡茶用的蜂蜜，然后慢慢走回家。"
TAIWANESE = "早上我們去市場買了新鮮的麵包、蘋果和一點泡茶用的蜂蜜，然後慢慢走回家。"
KOREAN = "아침에 우리는 시장에 가서 갓 구운 빵과 사과, 차에 넣을 꿀을 조금 샀습니다."
POLISH = "Rano poszliśmy na targ i kupiliśmy świeży chleb, jabłka i trochę miodu, żeby osłodzić gorącą herbatę."
CZECH = "Ráno jsme šli na trh a koupili čerstvý chléb, jablka a trochu medu, abychom si osladili černý čaj."
HUNGARIAN = "Délelőtt elmentünk a hűvös erdőbe, szőlőt és mézet vettünk, később erős esőben jöttünk haza."
TURKISH = (
    "Sabah pazara gittik, taze ekmek, elma ve çayımıza koymak için biraz bal aldık, sonra yağmur başladı, şemsiyemiz yoktu."
)
LITHUANIAN = "Rytą nuėjome į turgų ir nusipirkome šviežios duonos, obuolių ir truputį medaus, kad galėtume pasaldinti arbatą."
FRENCH = "Le matin, nous sommes allés au marché où nous avons acheté du pain très frais et du miel pour le thé."
GERMAN = "Am Morgen gingen wir über die Brücke zum Markt und kauften schönes Brot, Äpfel und etwas Honig für den süßen Tee."
SPANISH = "Por la mañana compramos pan recién hecho y un poco de miel; después llovió muchísimo en la montaña."
SWEDISH = (
    "På morgonen gick vi till torget och köpte färskt bröd, äpplen och lite honung att söta téet med, sedan började det snöa."
)

TEXTS = [
    *((RUSSIAN, name) for name in ("windows-1251", "koi8-r", "iso-8859-5", "ibm866")),
    *((UKRAINIAN, name) for name in ("windows-1251", "koi8-u")),
    (BULGARIAN, "windows-1251"),
    *((GREEK, name) for name in ("windows-1253", "iso-8859-7")),
    *((HEBREW, name) for name in ("windows-1255", "iso-8859-8")),
    *((ARABIC, name) for name in ("windows-1256", "iso-8859-6")),
    (THAI, "windows-874"),
    *((JAPANESE, name) for name in ("shift_jis", "euc-jp", "iso-2022-jp")),
    (CHINESE, "gbk"),
    (CHINESE, "gb18030"),
    (TAIWANESE, "big5"),
    (KOREAN, "euc-kr"),
    *((POLISH, name) for name in ("windows-1250", "iso-8859-2")),
    *((CZECH, name) for name in ("windows-1250", "iso-8859-2")),
    (TURKISH, "windows-1254"),
    *((LITHUANIAN, name) for name in ("windows-1257", "iso-8859-4")),
    *((text, "windows-1252") for text in (FRENCH, GERMAN, SPANISH, SWEDISH)),
]
ONLY_DECLARED = [  # what the detector does not know: encodings in which hardly a page is that does not say so, Hungarian
    (RUSSIAN, "x-mac-cyrillic"),
    *((HUNGARIAN, name) for name in ("windows-1250", "iso-8859-2")),
    (FRENCH, "macintosh"),
    (FRENCH, "iso-8859-15"),
    (LITHUANIAN, "iso-8859-13"),
]
ENCODINGS = [encoding for _, encoding in TEXTS]


def page(text: str, encoding: str, meta: str = "") -> bytes:
    html = f"<html><head>{meta}<title>Home</title></head><body><a href='/'>Contact</a><p>{text}</p></body></html>"
    return html.encode(PYTHON_NAMES.get(encoding, encoding))


@pytest.mark.parametrize(("text", "encoding"), TEXTS + ONLY_DECLARED, ids=lambda value: value if len(value) < 20 else value[:5])
@pytest.mark.parametrize("where", ["header", "meta", "http-equiv", "both"])
def test_a_declaration_that_is_true(text: str, encoding: str, where: str) -> None:
    content = f"<meta http-equiv='Content-Type' content='text/html; charset={encoding}'>"
    meta = {"header": "", "http-equiv": content}.get(where, f'<meta charset="{encoding}">')
    decoded = decode_page(page(text, encoding, meta), encoding if where in ("header", "both") else None)
    assert text in decoded.text
    assert (decoded.encoding, decoded.conflict) == (encoding, None)


@pytest.mark.parametrize(("text", "encoding"), TEXTS, ids=lambda value: value if len(value) < 20 else value[:5])
def test_no_declaration(text: str, encoding: str) -> None:
    assert text in decode_page(page(text, encoding), None).text


@pytest.mark.parametrize(("text", "encoding"), TEXTS, ids=lambda value: value if len(value) < 20 else value[:5])
@pytest.mark.parametrize("lie", ["utf-8", "utf-16le", "nonsense", "hex", "us-ascii"])
def test_a_declaration_that_the_bytes_contradict(text: str, encoding: str, lie: str) -> None:
    if lie == "us-ascii" and encoding.startswith(("windows-1250", "windows-1257", "iso-8859-2", "iso-8859-4")):
        pytest.skip("Latin letters for Latin letters: nothing contradicts")
    decoded = decode_page(page(text, encoding), lie)
    assert text in decoded.text
    if encoding != "windows-1252" or lie != "us-ascii":
        assert decoded.conflict == {"us-ascii": "windows-1252", "nonsense": None, "hex": None}.get(lie, lie)


@pytest.mark.parametrize(("text", "encoding"), TEXTS + ONLY_DECLARED, ids=lambda value: value if len(value) < 20 else value[:5])
@pytest.mark.parametrize("lie", ["utf-8", "iso-8859-1"])
def test_a_server_that_lies_about_a_page_that_tells_the_truth(text: str, encoding: str, lie: str) -> None:
    if (text, encoding) in ONLY_DECLARED and lie == "iso-8859-1":
        pytest.skip("two declarations that no byte contradicts: the server's counts")
    decoded = decode_page(page(text, encoding, f"<meta charset={encoding}>"), lie)
    assert text in decoded.text


@pytest.mark.parametrize("text", sorted({text for text, _ in TEXTS}), ids=lambda value: value[:5])
@pytest.mark.parametrize("label", ["iso-8859-1", "windows-1251", "gbk", "shift_jis", "euc-kr", "utf-16", None])
def test_utf_8_is_what_it_is(text: str, label: str | None) -> None:
    meta = f'<meta charset="{label}">' if label else ""
    assert text in decode_page(page(text, "utf-8", meta), label).text


@pytest.mark.parametrize("text", sorted({text for text, _ in TEXTS}), ids=lambda value: value[:5])
@pytest.mark.parametrize("label", ["utf-8", None])
@pytest.mark.parametrize("bad", [b"\x80", b"\xff", b"\xe9", b"\xc3", b"\xf0\x9f\x98", b"\xed\xa0\x80"])
def test_a_bad_byte_in_utf_8_costs_itself(text: str, label: str | None, bad: bytes) -> None:
    decoded = decode_page(page(text, "utf-8").replace(b"</p>", b" " + bad + b"</p>"), label)
    assert text + " \ufffd" in decoded.text
    assert decoded.encoding == "utf-8"


@pytest.mark.parametrize(
    ("text", "encoding"), [item for item in TEXTS if item[1] in ("shift_jis", "gbk", "euc-kr", "big5", "euc-jp")]
)
@pytest.mark.parametrize("where", ["header", "nowhere"])
def test_a_bad_byte_in_an_east_asian_page_costs_itself(text: str, encoding: str, where: str) -> None:
    data = page(text, encoding).replace(b"</p>", b"\xff</p>")
    decoded = decode_page(data, encoding if where == "header" else None)
    assert text + "\ufffd</p>" in decoded.text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("label", [None, "iso-8859-1", "gbk", "utf-8"])
def test_a_byte_order_mark_decides(encoding: str, label: str | None) -> None:
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    decoded = decode_page(mark + page(RUSSIAN, encoding, "<meta charset=koi8-r>"), label)
    assert decoded.text.startswith("<html>")
    assert RUSSIAN in decoded.text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["plain English words", RUSSIAN, JAPANESE])
@pytest.mark.parametrize("label", ["utf-16", "utf-16le", "utf-16be", None])
def test_utf_16_without_a_byte_order_mark(encoding: str, text: str, label: str | None) -> None:
    assert text in decode_page(b"" + page(text, encoding), label).text


@pytest.mark.parametrize("label", ["utf-16", "utf-16be", "unicode", "ucs-2"])
def test_a_page_that_says_utf_16_and_is_not(label: str) -> None:
    assert decode_page(page("plain English words", "utf-8"), label) == Decoded(
        page("plain English words", "utf-8").decode(), "utf-8"
    )
    assert RUSSIAN in decode_page(page(RUSSIAN, "windows-1251"), label).text


def test_encodings_of_seven_bits() -> None:
    korean = page(KOREAN, "utf-8").decode().encode("iso2022_kr")
    assert KOREAN in decode_page(korean, "iso-2022-kr").text
    chinese = page(CHINESE, "hz")
    assert CHINESE in decode_page(chinese, "hz-gb-2312").text
    english = page("Use ~{x} and \x1b as they are.", "ascii")
    assert decode_page(english, None) == Decoded(english.decode(), "utf-8")
    # The standard replaces what browsers refuse to decode, and so do we what Python cannot.
    assert decode_page(b"\x1b$)A\x0e8`\x0f", "iso-2022-cn") == Decoded("\ufffd", "replacement")


def test_a_bad_byte_in_a_page_of_seven_bits() -> None:
    data = page(JAPANESE, "iso-2022-jp").replace(b"</p>", b"\xff\xfe\xfd</p>")
    for label in ("iso-2022-jp", "utf-8", None):
        assert f"{JAPANESE}\ufffd\ufffd\ufffd</p>" in decode_page(data * 2, label).text


def test_text_behind_a_long_head() -> None:
    script = "<script>" + "x = 1;\n" * 200_000 + "</script>"
    assert RUSSIAN in decode_page(page(script + RUSSIAN, "koi8-r"), None).text
    assert CHINESE in decode_page(page(script + CHINESE, "gbk"), "iso-8859-1").text


def test_what_cannot_be_told_is_no_other_language() -> None:
    """Two bytes are too few to overrule the page; and noise is not Chinese."""
    assert decode_page(page("word \xe9 word \xe8", "latin-1"), "utf-8").text.count("\ufffd") == 2
    noise = bytes(range(0x80, 0x100)) * 3
    assert set(decode_page(b"<p>" + noise, None).text.removeprefix("<p>")) == {"\ufffd"}


@pytest.mark.parametrize(
    ("text", "encoding", "url"),
    [
        ("мы", "windows-1251", "http://www.x.ru/a.html"),
        ("čaj.", "windows-1250", "https://x.CZ"),
        ("ir nusipirkome šviežios duonos,", "windows-1257", "http://x.lt:8080/?a=b.com"),
        ("şemsiyemiz yoktu.", "windows-1254", "http://x.com.tr#y"),
        ("φρέσκο ψωμί,", "windows-1253", "http://user:p.de@x.gr./"),
        (HUNGARIAN, "windows-1250", "http://x.hu"),
    ],
)
def test_the_country_of_a_page_that_declares_nothing_is_a_hint(text: str, encoding: str, url: str) -> None:
    assert text in decode_page(page(text, encoding), None, url).text


@pytest.mark.parametrize(
    "url", ["", "x", "http://", "http://10.0.0.1/", "http://localhost/", "http://[::1]/", "http://x.рф/", "http://x.R\0U"]
)
def test_addresses_without_a_country(url: str) -> None:
    assert decode_page(page(FRENCH, "windows-1252"), None, url) == decode_page(page(FRENCH, "windows-1252"), None)


def test_a_short_word_of_a_declared_encoding_that_happens_to_be_utf_8() -> None:
    data = "<p>책</p>".encode("euc-kr")
    assert data.decode() == "<p>å</p>"
    assert decode_page(data, "euc-kr").text == "<p>책</p>"
    assert decode_page(data, None).text == "<p>å</p>"


@pytest.mark.parametrize(
    ("html", "label"),
    [
        ('<meta charset="koi8-r">', "koi8-r"),
        ("<META CHARSET = koi8-r >", "koi8-r"),
        ("<meta\ncharset='koi8-r'/>", "koi8-r"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=koi8-r">', "koi8-r"),
        ('<meta content="text/html;charset=koi8-r" http-equiv=content-type>', "koi8-r"),
        ('<meta name=x content="a>b"><meta charset=koi8-r>', "koi8-r"),
        ('<?xml version="1.0" encoding="koi8-r"?><html>', "koi8-r"),
        ('<!-- <meta charset="utf-8"> --><meta charset=koi8-r>', "koi8-r"),
        ('<!-- <meta charset="utf-8">', None),
        ('<metadata charset="koi8-r">', None),
        ("<meta name=description content=words>", None),
        ("<p>charset=koi8-r</p>", None),
        ("", None),
        (" " * 5000 + "<meta charset=koi8-r>", None),
    ],
)
def test_where_a_page_declares_its_encoding(html: str, label: str | None) -> None:
    assert declared_in_page(html.encode()) == label


@pytest.mark.parametrize("data", [b"", b" ", b"\0", b"\xff", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"<", b"\x1b", b"~{"])
@pytest.mark.parametrize("label", [None, "", "utf-8", "utf-16", "gbk", "iso-2022-jp", "replacement", "x-user-defined"])
def test_pages_of_a_few_bytes(data: bytes, label: str | None) -> None:
    decoded = decode_page(data, label)
    assert decode(b"", decoded.encoding) == ""
