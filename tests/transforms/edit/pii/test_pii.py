"""`pii` finds what people write, leaves what looks like it, overlooks no line, and has nothing left to do afterwards."""

from __future__ import annotations

import hashlib
import random
import re
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pii_cases import FOUND, NOTHING
from pydantic import ValidationError

from tamis.testing import check_editor
from tamis.transforms.edit.apply import Edited, apply, record
from tamis.transforms.edit.pii.found_value import KINDS, Kind
from tamis.transforms.edit.pii.pii_editor import COUNTRIES, Pii, PiiEditor
from tamis.transforms.edit.pii.scan.personal_lines import personal_lines
from tamis.transforms.edit.pii.secret_values import private_keys
from tamis.transforms.provenance.changes import original_text
from tamis.transforms.text.segment import unsegmented

EVERYTHING = Pii(ips="all")
FINEWEB = Pii(kinds=("email", "ip"), tokens={"email": "email@example.com", "ip": "22.214.171.124"})

PIECES = st.sampled_from(
    [
        *(text for texts in FOUND.values() for text in texts),
        *NOTHING,
        *(
            "@",
            "＠",
            "%40",
            "&#64;",
            "(at)",
            " at ",
            " dot ",
            "[dot]",
            ".com",
            "user",
            "host",
            "name@",
            "@host.org",
            "://",
            "a:b@",
        ),
        *(
            "1",
            "12",
            "555",
            "0187",
            "2125550187",
            "٠٥",
            "１２",
            "०१",
            "-",
            ".",
            " ",
            "(",
            ")",
            "/",
            "+",
            "+44",
            "00",
            "–",
            "\xa0",
            "·",
        ),
        *(
            "8.8.",
            "1.",
            ":",
            "::",
            "2001:",
            "fe80",
            "DE89",
            "gb29",
            "Tel: ",
            "card ",
            "key=",
            "AKIA",
            "-----BEGIN PRIVATE KEY-----",
        ),
        *(
            "-----END PRIVATE KEY-----",
            "-----B",
            "\n",
            "\r\n",
            "\u200b",
            "\xad",
            "\u200e",
            "\u202b",
            "\ufeff",
            "é",
            "漢",
            "한",
            "x" * 20,
        ),
        *("<EMAIL>", "<PHONE>", "<", ">", "email@example.com", "22.214.171.124", "<EMAIL-0123456789ab>"),
    ]
)
TEXTS = st.lists(PIECES | st.characters(codec="utf-8"), max_size=12).map("".join)


NUMBERS = st.lists(
    st.sampled_from(
        [
            *(
                "0",
                "00",
                "011",
                "1",
                "3",
                "8",
                "12",
                "20",
                "199",
                "555",
                "0187",
                "0221",
                "1869",
                "2012",
                "7946",
                "1212",
                "5551234",
            ),
            *(" ", " ", "-", " - ", "  ", ".", "/", "(", ")", ") ", "+", "+ ", "–", " – ", "\xa0", ":", ", ", "_", "・"),
            *(
                "Tel ",
                "tel",
                "at ",
                "in ",
                "xTel ",
                "call us ",
                "T: ",
                "Fax (KR): ",
                "電話",
                "é ",
                "@",
                "@ x",
                "bob @",
                ".org",
                " . com",
            ),
        ]
    ),
    max_size=14,
).map("".join)
"""Numbers that are telephone numbers, dates, and neither, behind words; and what is around an @."""


def edited(texts: list[str], options: Pii) -> Edited:
    array = pa.array(texts, pa.large_string())
    return apply(PiiEditor(options), unsegmented(array), array)


def after(texts: list[str], options: Pii = Pii()) -> list[str]:  # noqa: B008 (options are immutable)
    result: list[str] = edited(texts, options).texts.to_pylist()
    return result


def without(kind: Kind, text: str) -> str:
    """The token of a kind, or what is left if it is not all that was found."""
    return re.sub(f"(?:<{kind.upper()}>)+", "", text)


def slow(text: str, options: Pii) -> str:
    """The text after every finder has looked at every line outside of private keys."""
    finder = PiiEditor(options).finder()
    pieces, left = [], 0
    blocks = list(private_keys(text.encode())) if "secret" in options.kinds else []
    data = text.encode()
    for start, stop in [*blocks, (len(data), len(data))]:
        lines = data[left:start].decode().split("\n")
        for number, line in enumerate(lines):
            changes, _ = finder.replace(line)
            for change in reversed(changes):
                line = line[: change.start] + change.new + line[change.stop :]
            lines[number] = line
        pieces += ["\n".join(lines), "<SECRET>" if start < stop else ""]
        left = stop
    return "".join(pieces)


def test_every_kind_has_cases() -> None:
    assert set(FOUND) == set(KINDS) == set(get_args(Kind))
    assert all(len(texts) > 15 for texts in FOUND.values())


@pytest.mark.parametrize("kind", KINDS)
def test_what_people_write_is_found_and_nothing_else_of_it(kind: Kind) -> None:
    for text, result in zip(FOUND[kind], after(FOUND[kind]), strict=True):
        assert f"<{kind.upper()}>" in result, text
        others = [other for other in KINDS if other != kind and f"<{other.upper()}>" in result]
        assert not others, (text, result)


def test_what_looks_like_it_stays() -> None:
    assert after(NOTHING) == NOTHING
    assert len(NOTHING) > 100


def negatives() -> dict[str, list[str]]:
    """300 made-up values of each kind that looks like personal data and is none."""
    source = random.Random(17)

    def number(digits: int) -> str:
        return "".join(source.choices("0123456789", k=digits))

    def below(*limits: int) -> list[int]:
        return [source.randrange(limit) for limit in limits]

    makers: dict[str, Callable[[], str]] = {
        "version": lambda: "version " + ".".join(map(str, below(30, 100, 1000, 300)[: source.choice([3, 4])])),
        "object identifier": lambda: "1.3.6.1." + ".".join(map(str, below(9, 9, 40_000, 99)[: source.choice([1, 2, 4])])),
        "day": lambda: f"{1900 + below(130)[0]:04}-{1 + below(12)[0]:02}-{1 + below(28)[0]:02}",
        "time": lambda: "{:02}/{:02}/{:04} {:02}:{:02}".format(*below(12, 28), 2000 + below(30)[0], *below(24, 60)),
        "years": lambda: f"({1700 + below(100)[0]}-{1800 + below(200)[0]})",
        "ISBN": lambda: f"ISBN 978-{number(1)}-{number(3)}-{number(5)}-{number(1)}",
        "hash": lambda: hashlib.new(source.choice(["md5", "sha1", "sha256"]), number(9).encode()).hexdigest(),
        "UUID": lambda: str(uuid.UUID(int=source.getrandbits(128))),
        "coordinates": lambda: f"{below(90)[0]}.{number(6)}, -{below(180)[0]}.{number(6)}",
        "price": lambda: f"${1 + below(999)[0]},{number(3)},{number(3)}.{number(2)}",
        "amount": lambda: f"{1 + below(99)[0]} {number(3)} {number(3)} EUR",
        "order": lambda: f"order number {number(16)}",
    }
    return {kind: [make() for _ in range(300)] for kind, make in makers.items()}


@pytest.mark.parametrize(("kind", "texts"), negatives().items())
def test_of_what_only_looks_like_it_hardly_any_goes(kind: str, texts: list[str]) -> None:
    touched = [text for text, result in zip(texts, after(texts), strict=True) if text != result]
    assert len(touched) / len(texts) <= 0.005, (kind, touched[:5])


def test_a_value_goes_with_all_of_it_and_leaves_what_is_beside_it() -> None:
    texts = {
        "Mail (jane.doe@example.org).": "Mail (<EMAIL>).",
        "see http://x.org/?u=jane.doe@example.org&y=2": "see http://x.org/?u=<EMAIL>&y=2",
        "Fax 713-853-7161 ext. 123, room 7": "Fax <PHONE>, room 7",
        "(+44) 20 7946 0958 or +44 (0)20 7946 0959!": "<PHONE> or <PHONE>!",
        "DE89 3704 0044 0532 0130 00 bei der Bank": "<IBAN> bei der Bank",
        "http://93.184.216.34:8080/x": "http://<IP>:8080/x",
        "api_key = 9f8e7d6c5b4a39281706f5e4d3c2b1a0;": "api_key = <SECRET>;",
        "4111 1111 1111 1111, 12/27": "<CARD>, 12/27",
        "Tel: 555-1234 / 555-1235": "Tel: <PHONE> / <PHONE>",
    }
    assert dict(zip(texts, after(list(texts)), strict=True)) == texts


def test_numbers_of_every_country_are_found_as_they_are_written_abroad_and_behind_a_word() -> None:
    abroad, told = [], []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE):
            number = phonenumbers.example_number_for_type(region, kind)
            if number is not None:
                abroad.append(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL))
                national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
                told += [f"Tel.: {national}"] if sum(map(str.isdecimal, national)) >= 7 else []
    assert len(abroad) > 450
    missed = [text for text, result in zip(abroad, after(abroad), strict=True) if result != "<PHONE>" and len(text) > 10]
    assert len(missed) <= 2, missed
    missed = [text for text, result in zip(told, after(told), strict=True) if result != "Tel.: <PHONE>"]
    assert len(missed) / len(told) < 0.02, missed


def test_numbers_of_listed_countries_are_found_as_they_are_written_at_home() -> None:
    """Those that begin with 0 or a bracket; others cannot be told from a number with a space in it."""
    assert set(COUNTRIES) <= phonenumbers.SUPPORTED_REGIONS
    texts = []
    for region in COUNTRIES:
        for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE):
            number = phonenumbers.example_number_for_type(region, kind)
            text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
            if text[0] in "(0" and len(re.findall("[0-9]", text)) > 8 and len(re.findall("[0-9]+", text)) > 1:
                texts.append(text)
    assert len(texts) > 30
    missed = [text for text, result in zip(texts, after(texts), strict=True) if result != "<PHONE>"]
    assert len(missed) / len(texts) < 0.05, missed


@settings(max_examples=150)
@given(st.lists(TEXTS, max_size=4), st.sampled_from([EVERYTHING, Pii(), FINEWEB]))
@example(["john.doe@example.com" * 5 + "DE89 3704 0044 0532 0130 00"], EVERYTHING)
@example(["tel <PHONE> 12345678 <PHONE> 12345678"], EVERYTHING)
@example(["1" * 400 + "\n" + "1.1." * 99 + "\n" + "a@" * 99 + "\n" + "::" * 99], EVERYTHING)
def test_kernel_overlooks_nothing_and_editing_again_changes_nothing(texts: list[str], options: Pii) -> None:
    once = edited(texts, options)
    results = once.texts.to_pylist()
    if options is not FINEWEB:
        assert results == [slow(text, options) for text in texts]
    assert after(results, options) == results
    for text, result, edits in zip(texts, results, record([once], len(texts)).to_pylist(), strict=True):
        assert original_text(result, edits or []) == text


@settings(max_examples=300)
@given(st.lists(NUMBERS, min_size=4, max_size=12))
def test_kernel_overlooks_no_number_and_no_address(texts: list[str]) -> None:
    assert after(texts, EVERYTHING) == [slow(text, EVERYTHING) for text in texts]


@pytest.mark.parametrize("before", ["", "a word of prose, and another, " * 3])
@pytest.mark.parametrize("behind", ["", " and more words of prose follow it, and others," * 3])
def test_values_are_found_anywhere_in_a_long_line(before: str, behind: str) -> None:
    """The kernel reads long texts in blocks, and their ends byte by byte."""
    for kind, texts in FOUND.items():
        for text, result in zip(texts, after([f"{before}{text}{behind}" for text in texts]), strict=True):
            assert f"<{kind.upper()}>" in result, (text, result)


@settings(max_examples=100)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_lines_that_hold_nothing_are_not_looked_at_twice(texts: list[str]) -> None:
    array = unsegmented(pa.array(texts, pa.large_string()))
    found = personal_lines(array.data, array.text_start)
    lines = list(zip(found.start.tolist(), found.stop.tolist(), strict=True))
    assert lines == sorted(set(lines))
    assert all(b"\n" not in array.data[start:stop].tobytes() for start, stop in lines)


def test_one_value_has_one_placeholder_however_it_is_written() -> None:
    options = Pii(replace="placeholders")
    one, other, third = after(["JANE@Example.org", "mail jane@example.org", "john@example.org"], options)
    assert other == f"mail {one}" != f"mail {third}"
    assert re.fullmatch("<EMAIL-[0-9a-f]{12}>", one)
    numbers = after(["+44 20 7946 0958", "020 7946 0958", "+44 (0)20-7946-0958"], options)
    assert len(set(numbers)) == 1
    assert len(set(after(["4111 1111 1111 1111", "4111-1111-1111-1111"], options))) == 1
    assert after([one, numbers[0]], options) == [one, numbers[0]]
    assert after(["jane@example.org"], Pii(replace="placeholders", seed=1)) != [one]


def test_placeholders_depend_on_the_bytes_of_the_key_alone(tmp_path: Path) -> None:
    texts = ["jane@example.org 8.8.8.8"]
    results, prints = [], []
    for name, key in (("a", b"k" * 32), ("b", b"k" * 32), ("c", b"l" * 32)):
        (tmp_path / name).write_bytes(key)
        options = Pii(replace="placeholders", key_file=str(tmp_path / name))
        results.append(after(texts, options))
        prints.append(PiiEditor(options).fingerprint)
    assert results[0] == results[1] != results[2]
    assert len(set(prints)) == 3  # the path is part of it, as in every recipe
    (tmp_path / "short").write_bytes(b"short")
    with pytest.raises(ValueError, match="needs 16 bytes"):
        _ = PiiEditor(Pii(replace="placeholders", key_file=str(tmp_path / "short"))).fingerprint
    with pytest.raises(FileNotFoundError, match="head -c 32"):
        _ = PiiEditor(Pii(replace="placeholders", key_file=str(tmp_path / "none"))).fingerprint


def test_signals_count_values_and_headings() -> None:
    cv = "Jane Doe\njane@example.org\nJANE@example.org\n(212) 555-0187\n\nWork Experience:\n…\n# Education\n…\nSkills\n"
    row = edited([cv, "no value\nEducation\nSkills"], Pii()).signals.to_pylist()
    assert [row[0][f"edit.pii.{name}"] for name in ("emails", "phones", "ips", "values", "cv_headings")] == [2, 1, 0, 2, 3]
    assert [row[1][f"edit.pii.{name}"] for name in ("emails", "values", "cv_headings")] == [0, 0, 0]


def test_kinds_that_are_not_asked_for_stay() -> None:
    text = "jane@example.org 93.184.216.34 (212) 555-0187"
    assert after([text], Pii(kinds=("ip",))) == ["jane@example.org <IP> (212) 555-0187"]
    assert after([text], FINEWEB) == ["email@example.com 22.214.171.124 (212) 555-0187"]


def test_addresses_of_local_networks_go_if_they_are_asked_for() -> None:
    text = "10.0.0.1 192.168.1.254 203.0.113.7 fe80::1 2001:db8::7 127.0.0.1 255.255.255.0 ::1 8.8.8.8"
    assert after([text]) == ["10.0.0.1 192.168.1.254 203.0.113.7 fe80::1 2001:db8::7 127.0.0.1 255.255.255.0 ::1 <IP>"]
    assert after([text], EVERYTHING) == ["<IP> <IP> <IP> <IP> <IP> 127.0.0.1 255.255.255.0 ::1 <IP>"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": []}, "at least 1 item"),
        ({"kinds": ["name"]}, "email"),
        ({"countries": ["UK"]}, "as GB"),
        ({"tokens": {"email": "a\nb"}}, "pattern"),
        ({"replace": "placeholders", "tokens": {"email": "x"}}, "leave one of them out"),
        ({"seed": 3}, "add `replace: placeholders`"),
    ],
)
def test_options_that_say_nothing_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Pii.model_validate(options)


@pytest.mark.parametrize("options", [EVERYTHING, Pii(replace="placeholders"), FINEWEB])
def test_contract(options: Pii) -> None:
    check_editor(PiiEditor(options), documents=200)


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        "1 ",
        "a@",
        "1.1.1.1 ",
        "(at)",
        "x1",
        "::1",
        "+1 ",
        "tel 1",
        "DE89 1234 ",
        "key=a1",
        " dot ",
        "\u200b1",
        "-----BEGIN PRIVATE KEY-----",
    ],
)
def test_a_long_line_takes_time_in_proportion(unit: str) -> None:
    """A line of 100 kB takes at most 30 times what one of 10 kB takes."""
    spent = []
    for size in (10_000, 100_000):
        text = unit * (size // len(unit))
        begun = time.process_time()
        after([text])
        spent.append(time.process_time() - begun)
    assert spent[1] < max(30 * spent[0], 1.0), spent
