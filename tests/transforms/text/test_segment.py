"""Words, lines, lengths and hashes are those of Python's `re`, `str` and the xxhash package, on any Unicode text."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xxhash
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.text.segment import ALPHABETIC, ELLIPSIS, FOLDED, HASH, SYMBOL, SegmentedTexts, segment
from tamis.transforms.text.words import DEFAULT_WORDS, Words
from tests.transforms.text.word_reference import EVERY, words_of

DEFINITIONS = [
    Words(definition=definition, unspaced=unspaced)
    for definition in ("punctuation", "whitespace")
    for unspaced in ("character", "clause")
]
EDGES = [
    "",
    " \n\t ",
    "word",
    "no newline here",
    "汉字とかな 한국어 हिन्दी العربية",
    "x" * 100_000,
    "\n",
    "a\n",
    "\x00\x00a",
    "don't 'tis e-mail 3.14 a..b a...b .... #tag # … ___ -",
    "\u2028\x85 a\r\nb",
    "İSTANBUL Å ﬁ ǅ Ⱥ",
]

alphabet = st.one_of(
    st.sampled_from("aB0_.,-/@:'’# \n\t…é٣\u0301語한İ🙂\u00a0\x1c\u2028"),
    st.sampled_from("漢字かなカ゛ー々ไทยก็ำ๓ລາວ့မြន្តីहिन्दीம்\u200c\u200d\ufe0f\u20e3"),
    st.characters(exclude_categories=["Cs"]),
)
texts = st.lists(st.text(alphabet, max_size=60), max_size=6)


def folded(word: str) -> str:
    """Lower case, no diacritics, no punctuation, every digit 0; character by character."""
    out = []
    for c in word:
        category = unicodedata.category(c)
        if category == "Nd":
            out.append("0")
        elif category != "Mn" and (c.isalnum() or c.isspace() or category[0] == "M"):
            base = unicodedata.normalize(
                "NFC", "".join(m for m in unicodedata.normalize("NFD", c.lower()) if unicodedata.category(m) != "Mn")
            )
            out.append(base if len(base) == 1 else c.lower()[0])
    return "".join(out)


def kind(word: str, whitespace: bool) -> int:
    symbol = all(not c.isalnum() and unicodedata.category(c)[0] != "M" for c in word)
    return (
        ALPHABETIC * any(c.isalpha() for c in word)
        | SYMBOL * symbol
        | HASH * ("#" in word if whitespace else word == "#")
        | ELLIPSIS * (("..." in word or "…" in word) if whitespace else word in ("...", "…"))
        | FOLDED * (folded(word) == word)
    )


def xxh(text: str) -> int:
    return xxhash.xxh64_intdigest(text.encode())


def word_hash(word: str) -> int:
    """`word_hash64` by its description."""
    data = word.encode()
    h = len(data) * 0xC2B2AE3D27D4EB4F & ALL
    if len(data) <= 8:
        return finish(h ^ int.from_bytes(data, "little"))
    for i in range(0, len(data) - 8, 8):
        h = (h ^ int.from_bytes(data[i : i + 8], "little")) * 0x9E3779B185EBCA87 & ALL
        h ^= h >> 32
    return finish(h ^ int.from_bytes(data[-8:], "little"))


def finish(z: int) -> int:
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & ALL
    z = (z ^ z >> 27) * 0x94D049BB133111EB & ALL
    return z ^ z >> 31


ALL = 2**64 - 1


def check(cut: SegmentedTexts, documents: list[str], definition: Words = DEFAULT_WORDS) -> None:
    assert len(cut) == len(documents)

    def spans(start: np.ndarray, end: np.ndarray) -> list[str]:
        return [bytes(cut.data[a:b]).decode() for a, b in zip(start.tolist(), end.tolist(), strict=True)]

    words = [words_of(d, definition) for d in documents]
    lines = [d.split("\n") for d in documents]
    flat = [w for document in words for w in document]
    assert cut.word_first.tolist() == np.cumsum([0, *map(len, words)]).tolist()
    assert spans(cut.word_start, cut.word_end) == flat
    assert cut.word_chars.tolist() == [len(w) for w in flat]
    assert cut.word_kind.tolist() == [kind(w, definition.definition == "whitespace") for w in flat]
    assert cut.word_hash.tolist() == [word_hash(w) for w in flat]
    assert cut.fold_hash.tolist() == [word_hash(folded(w)) if folded(w) else 0 for w in flat]
    assert spans(cut.text_start[:-1], cut.text_start[1:]) == documents
    assert cut.text_chars.tolist() == [len(d) for d in documents]
    assert cut.line_first.tolist() == np.cumsum([0, *map(len, lines)]).tolist()
    flat_lines = [line for document in lines for line in document]
    assert spans(cut.line_start, cut.line_end) == flat_lines
    assert cut.line_chars.tolist() == [len(line) for line in flat_lines]
    assert cut.line_hash.tolist() == [xxh(line) for line in flat_lines]
    assert np.diff(cut.line_word_first).tolist() == [len(words_of(line, definition)) for line in flat_lines]
    assert len(cut.line_word_first) == len(flat_lines) + 1


@settings(max_examples=400)
@given(texts, st.sampled_from(DEFINITIONS))
def test_equals_the_regular_expression(documents: list[str], words: Words) -> None:
    check(segment(pa.array(documents, pa.large_string()), words), documents, words)


@settings(max_examples=50)
@given(texts, st.integers(0, 3), st.integers(0, 3), st.sampled_from(DEFINITIONS))
def test_sliced_and_32_bit_arrays(documents: list[str], first: int, length: int, words: Words) -> None:
    for kind_ in (pa.string(), pa.large_string()):
        check(segment(pa.array(documents, kind_).slice(first, length), words), documents[first : first + length], words)


@settings(max_examples=100)
@given(texts, st.sampled_from([Words(definition=d, unspaced="icu") for d in ("punctuation", "whitespace")]))
def test_dictionary_words(documents: list[str], words: Words) -> None:
    pytest.importorskip("icu4py")
    check(segment(pa.array(documents, pa.large_string()), words), documents, words)
    check(segment(pa.array(EDGES[:5]).slice(4), words), EDGES[4:5], words)


def test_a_dictionary_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "icu4py", None)
    for refused in (lambda words: words.identity, lambda words: segment(pa.array(["語"]), words)):
        with pytest.raises(ImportError, match="icu4py"):
            refused(Words(unspaced="icu"))


@pytest.mark.parametrize("words", DEFINITIONS, ids=str)
@pytest.mark.parametrize("document", EDGES, ids=lambda document: document[:20])
def test_edges(document: str, words: Words) -> None:
    check(segment(pa.array([document, "after"], pa.large_string()), words), [document, "after"], words)


@pytest.mark.parametrize("words", DEFINITIONS, ids=str)
def test_words_that_meet_the_ends_of_blocks(words: Words) -> None:
    behind = ("b", "b.", "# ", "é", " ")
    documents = [before * count + word * 70 for count in range(60, 68) for before in "a .語" for word in behind]
    check(segment(pa.array(documents, pa.large_string()), words), documents, words)


@pytest.mark.parametrize("words", DEFINITIONS, ids=str)
def test_every_code_point(words: Words) -> None:
    documents = ["a".join(EVERY[k : k + 5000]) for k in range(0, 0x40000, 5000)]
    check(segment(pa.array(documents, pa.large_string()), words), documents, words)


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("iPhone手机, 3月", Words(), "iPhone|手|机|,|3|月"),
        ("iPhone手机, 3月", Words(unspaced="clause"), "iPhone手机|,|3月"),
        ("iPhone手机, 3月", Words(definition="whitespace"), "iPhone|手|机|,|3|月"),
        ("don't (stop) 手机!", Words(definition="whitespace", unspaced="clause"), "don't|(stop)|手机!"),
        ("हिन्दी में लिखो", Words(), "हिन्दी|में|लिखो"),
        ("می\u200cخواهم", Words(), "می\u200cخواهم"),
        ("น้ำใจ", Words(), "น้|ำ|ใ|จ"),
        ("កម្ពុជា", Words(), "ក|ម្|ពុ|ជា"),
        ("cafe\u0301 ☺\ufe0f", Words(), "cafe\u0301|☺|\ufe0f"),
        ("한국어 བོད་ཡིག", Words(), "한국어|བོད|་|ཡིག"),
    ],
)
def test_scripts(text: str, words: Words, expected: str) -> None:
    cut = segment(pa.array([text]), words)
    assert [bytes(cut.data[a:b]).decode() for a, b in zip(cut.word_start, cut.word_end, strict=True)] == expected.split("|")
    check(cut, [text], words)


def test_a_line_of_a_megabyte() -> None:
    cut = segment(pa.array(["xX" * 500_000]))
    assert cut.word_end.tolist() == cut.text_chars.tolist() == [1_000_000]
    assert cut.word_hash.tolist() == [word_hash("xX" * 500_000)]
    assert cut.fold_hash.tolist() == [word_hash("x" * 1_000_000)]


def test_batches_do_not_matter() -> None:
    together = segment(pa.array(EDGES, pa.large_string()))
    parts = [segment(pa.array(EDGES[k : k + 1], pa.large_string())) for k in range(len(EDGES))]
    for name in ("word_hash", "fold_hash", "word_chars", "word_kind", "line_hash", "line_chars", "text_chars"):
        assert getattr(together, name).tolist() == np.concatenate([getattr(p, name) for p in parts]).tolist()


def test_nulls_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2"):
        segment(pa.array(["a", None], pa.large_string()))


@pytest.mark.slow
def test_real_texts(shared: Path) -> None:
    import json

    with (shared / "web/weborganizer-00.jsonl.zst").open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file).read()
    documents = [json.loads(line)["text"] for line in stream.splitlines()[:200]]
    check(segment(pa.array(documents, pa.large_string())), documents)
