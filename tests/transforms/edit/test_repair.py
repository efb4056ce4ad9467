"""`repair` does what a plain chain of rules does to each line of each text, and its kernel overlooks no line."""

from __future__ import annotations

import itertools
import re
import time
import unicodedata

import ftfy
import numpy as np
import pyarrow as pa
import pytest
from ftfy.badness import BADNESS_RE, MOJIBAKE_CATEGORIES, is_bad
from ftfy.fixes import remove_control_chars, remove_terminal_escapes, unescape_html
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tamis.testing import EDGES, check_editor
from tamis.transforms.core.options import Options
from tamis.transforms.edit.apply import Edited, apply, record
from tamis.transforms.edit.repair import Repair, RepairEditor
from tamis.transforms.edit.repair_rules import ROUNDS, RULES
from tamis.transforms.edit.suspect_lines import find
from tamis.transforms.provenance.changes import original_text
from tamis.transforms.text.segment import unsegmented

ALL = frozenset(RULES)

PIECES = st.sampled_from(
    [
        *("word", " ", "\n", "\r", "\r\n", "\u2028", "\u2029", "\x85", "\t", "\x0b", "\x00", "\x7f", "\x1b[0;31m", "\x1b"),
        *("&amp;", "&amp;lt;", "&lt;", "&#10;", "&#13;", "&#x2028;", "&nosuch;", "&#0;", "&EACUTE;", "&", ";", "#39;", "<b>"),
        *("é", "e\u0301", "\u0301", "\u0316\u0301", "\u0301\u0316", "Å", "\u212b", "가", "\u1100\u1161\u11a8", "\u0915\u093c"),
        *("Ã©", "â€™", "Ã", "Â ", "à", "²", "œ", "œ ", "вЂ™", "Ñ€Ð¾", "ÃƒÂ©", "ï»¿", "\x93", "\xa0", "\ufffd", "ð\x9f\x98\x80"),
        *("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\xad", "\ufe0f", "ប", "ไ", "می", "क्", "👨", "漢", "ﬁ", "“", "”"),
    ]
)
TEXTS = st.lists(PIECES | st.characters(codec="utf-8"), max_size=14).map("".join)
RULE_SETS = st.sets(st.sampled_from(sorted(ALL))).map(frozenset)


def repaired(text: str, rules: frozenset[str]) -> str:
    """The text after the rules, in plain Python."""
    if "line_ends" in rules:
        text = re.sub("\r\n|[\r\u2028\u2029]", "\n", text)
    return "\n".join(repaired_line(line, rules) for line in text.split("\n"))


def repaired_line(line: str, rules: frozenset[str]) -> str:
    for _ in range(ROUNDS):
        before = line
        if "entities" in rules:
            line = "\n".join(part if "<" in part else unescape_html(part) for part in line.split("\n"))
        if "mojibake" in rules:
            line = "\n".join(map(ftfy.fix_encoding, line.split("\n")))
        if "line_ends" in rules:
            line = re.sub("\r\n|[\r\x85\u2028\u2029]", "\n", line)
        if "controls" in rules:
            line = remove_terminal_escapes(line).replace("\ufeff", "\U0010ffff")
            line = remove_control_chars(line).replace("\U0010ffff", "\ufeff")
        if "zero_width" in rules:
            line = "\n".join(map(without_zero_width, line.split("\n")))
        if "soft_hyphens" in rules:
            line = "\n".join(map(without_soft_hyphens, line.split("\n")))
        if "normal_form" in rules:
            line = unicodedata.normalize("NFC", line)
        if line == before:
            break
    return line


def without_zero_width(line: str) -> str:
    kept = [character for character in line if character not in "\u2060\ufeff"]
    for invisible, stays in (("\u200b", lambda run, sides: any(map(southeast_asian, sides))), ("\u200c\u200d", joins)):
        runs = [
            (inside, list(run))
            for inside, run in itertools.groupby(kept, lambda character, those=invisible: character in those)
        ]
        kept = []
        for number, (inside, run) in enumerate(runs):
            sides = [runs[number - 1][1][-1] if number else "", runs[number + 1][1][0] if number + 1 < len(runs) else ""]
            kept += run if not inside or stays(run, sides) else []
    return "".join(kept)


def joins(_: list[str], sides: list[str]) -> bool:
    return not all(side == "" or (side < "\u0250" and side not in "©®") or "\u1e00" <= side <= "\u1eff" for side in sides)


def southeast_asian(character: str) -> bool:
    name = unicodedata.name(character, "") if character else ""
    return bool(re.match(r"(THAI|LAO|MYANMAR|KHMER|TAI|NEW TAI) ", name)) or character in unassigned_southeast_asian


unassigned_southeast_asian = {
    chr(point)
    for start, stop in ((0xE00, 0xF00), (0x1000, 0x10A0), (0x1780, 0x1800), (0x1950, 0x19E0), (0x1A20, 0x1AB0))
    for point in range(start, stop)
} | {chr(point) for start, stop in ((0xA9E0, 0xAA00), (0xAA60, 0xAAE0)) for point in range(start, stop)}


def without_soft_hyphens(line: str) -> str:
    body = line.rstrip()
    while body.endswith("\xad"):
        body = body[:-1].rstrip()
    return body.replace("\xad", "") + line[len(body) :] if body else line


def edited(texts: list[str], rules: frozenset[str] = ALL) -> Edited:
    array = pa.array(["before", *texts, "after"], pa.large_string()).slice(1, len(texts))
    return apply(RepairEditor(Repair(**{name: name in rules for name in RULES})), unsegmented(array), array)


def repair(text: str, rules: frozenset[str] = ALL) -> str:
    return edited([text], rules).texts[0].as_py()


@pytest.mark.slow
@settings(max_examples=600)
@example(["\xad\xad", "a\xadb\xad \xad\n\xad"], ALL)
@given(st.lists(TEXTS, max_size=6), RULE_SETS | st.just(ALL))
def test_a_batch_is_repaired_as_a_plain_chain_of_rules_repairs_each_text(texts: list[str], rules: frozenset[str]) -> None:
    done = edited(texts, rules)
    assert done.texts.to_pylist() == [repaired(text, rules) for text in texts]
    for text, new, edits in zip(texts, done.texts.to_pylist(), record([done], len(texts)).to_pylist(), strict=True):
        assert original_text(new, edits or []) == text
        assert all(edit["removed"] != edit["inserted"] for edit in edits or [])


@settings(max_examples=600)
@given(TEXTS)
def test_a_repaired_text_stays(text: str) -> None:
    once = repair(text)
    assert repair(once) == once


def test_no_mojibake_is_overlooked() -> None:
    """Whatever ftfy's pattern matches in random neighbours from its own alphabet is in a line that the kernel finds."""
    everything = "".join(map(chr, range(0x10000))).replace("\n", "")
    alphabet = [*"aZ1. \t?\xa0", *re.findall(f"[{''.join(MOJIBAKE_CATEGORIES.values())}ÃÂŸŠšžâÄìîïêäā]", everything)]
    drawn = np.random.Generator(np.random.PCG64(0)).integers(0, len(alphabet), (400_000, 4)).tolist()
    lines = ["".join(alphabet[number] for number in row) for row in drawn]
    pairs = list(map("".join, itertools.product(alphabet, repeat=2)))
    lines += [*(f" {pair} " for pair in pairs), *(f"a{pair}a" for pair in pairs)]
    lines += ["ГўВЂВ“a", "a ГўВЂВ™ ", "‚Äì", "‚âà", "√±", "≈°"]
    texts = unsegmented(pa.array(["\n".join(lines)], pa.large_string()))
    found = find(texts.data, texts.text_start, frozenset({"mojibake"}))
    marked = set(found.start.tolist())
    place = 0
    bad = 0
    for line in lines:
        if is_bad(line):
            bad += 1
            assert place in marked, (line, BADNESS_RE.search(line))
        place += len(line.encode()) + 1
    assert len(lines) // 10 < bad
    assert len(marked) < 3 * bad


def test_each_character_that_normal_form_changes_is_found() -> None:
    points = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000 and chr(point) not in "\n"]
    changing = [point for point in points if not unicodedata.is_normalized("NFC", point)]
    pairs = {unicodedata.normalize("NFD", point) for point in points} | {"\u0301\u0316", "a\u0301\u0316", "\u1100\u1161"}
    lines = [*changing, *(pair for pair in pairs if not unicodedata.is_normalized("NFC", pair))]
    texts = unsegmented(pa.array(lines, pa.large_string()))
    found = find(texts.data, texts.text_start, frozenset({"normal_form"}))
    assert len(set(found.document.tolist())) == len(lines)
    assert len(lines) > 10_000


def test_clean_text_is_not_given_to_python() -> None:
    clean = [
        "Plain words, (brackets) & marks; 3 < 4 and AT&T.",
        "L’été, « où » naïf — ça va ? Größe, Ärger: „so“ … 5 € 20 °C",
        "می‌خواهم کتاب را می‌خوانم",
        "Обычный русский текст, «в кавычках» — 5 №",
        "漢字とかな。한국어 문장",
        "👨‍👩‍👧 ☺️",
        "שָׁלוֹם",
    ]
    texts = unsegmented(pa.array(clean, pa.large_string()))
    assert find(texts.data, texts.text_start, ALL - {"normal_form"}).document.tolist() == []
    assert edited(clean).texts.to_pylist()[:6] == clean[:6]


@pytest.mark.parametrize(
    ("before", "after"),
    [  # from the documentation of ftfy 6.3
        ("âœ” No problems", "✔ No problems"),
        ("The Mona Lisa doesnÃƒÂ¢Ã¢â€šÂ¬Ã¢â€žÂ¢t have eyebrows.", "The Mona Lisa doesn’t have eyebrows."),
        ("l’humanitÃ©", "l’humanité"),
        ("Ã perturber la rÃ©flexion", "à perturber la réflexion"),
        ("P&EACUTE;REZ", "PÉREZ"),
        ("schÃ¶n", "schön"),
        ("<em>Don&apos;t</em>", "<em>Don&apos;t</em>"),
        ("made of two things:\u20291. Unicode\u20282. Spite", "made of two things:\n1. Unicode\n2. Spite"),
        ("\x1b[36;44mI'm blue, da ba dee da ba doo...\x1b[0m", "I'm blue, da ba dee da ba doo..."),
        ("\ufeffWhere do you want to go today?", "Where do you want to go today?"),
        ("ﬂuﬃeﬆ “quotes” ＬＯＵＤ", "ﬂuﬃeﬆ “quotes” ＬＯＵＤ"),  # typography stays
    ],
)
def test_published_examples(before: str, after: str) -> None:
    assert repair(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Auf\u200clage\u200d", "Auflage"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष क्\u200d", "क्\u200dष क्\u200d"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("zero\u200bwidth", "zerowidth"),
        ("ភាសា\u200bខ្មែរ", "ភាសា\u200bខ្មែរ"),
        ("con\xadtin\xad\nue", "contin\xad\nue"),
        ("a\r\nb\rc\r", "a\nb\nc\n"),
        ("&lt; &amp;amp;", "< &amp;"),
        ("&amp;amp;amp;", "&"),
        ("a &lt; b\nc &gt; d", "a < b\nc > d"),
    ],
)
def test_what_is_said_of_each_rule(before: str, after: str) -> None:
    assert repair(before) == after


def test_each_edit_says_why() -> None:
    (edits,) = record([edited(["sÃ³ &amp; e\u0301\x07\ufeff\xad.\r\n"])], 1).to_pylist()
    assert {edit["reason"] for edit in edits} == set(RULES) == set(RepairEditor.reasons)
    assert tuple(RULES) == RepairEditor.reasons
    assert issubclass(Repair, Options)
    assert set(Repair.model_fields) == set(RULES)


def test_what_is_switched_off_stays() -> None:
    damaged = "sÃ³ &amp; e\u0301\x07\ufeff\xad.\r\n"
    assert repair(damaged, frozenset()) == damaged
    for name in RULES:
        (edits,) = record([edited([damaged], frozenset({name}))], 1).to_pylist()
        assert {edit["reason"] for edit in edits} == {name}


@pytest.mark.parametrize("options", [Repair(), Repair(line_ends=False, mojibake=False)])
def test_it_keeps_the_contract(options: Repair) -> None:
    check_editor(RepairEditor(options), documents=300)


@pytest.mark.slow
def test_a_long_damaged_line_takes_no_long_time() -> None:
    begun = time.process_time()
    for text in ("&amp;" * 200_000, "&" + "amp;" * 250_000, "Ã© and so on " * 80_000, "e\u0301" * 300_000, *EDGES):
        repair(text)
    assert time.process_time() - begun < 60
