"""Lines, paragraphs and sentences that are in many texts are cut, as a naive count says, whatever the cut of the input."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import zstandard
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tamis.transforms.beam.exchange import PartState
from tamis.transforms.core.documents import hosts
from tamis.transforms.dedup.repeats.cut_repeats import RESULTS, FindRepeats
from tamis.transforms.dedup.repeats.repeat_options import RepeatedLines, RepeatedParagraphs, RepeatedSentences, Repeats
from tamis.transforms.dedup.repeats.text_units import units_of
from tamis.transforms.text.hashing import hash128, text_buffer
from tests.transforms.beam.beam_run import part_states_of, rows_of, run

Document = tuple[str | None, str]
"""The group and the text of a document."""


def table_of(documents: Sequence[Document]) -> pa.Table:
    text = pa.array([text for _, text in documents], pa.large_string())
    return pa.table(
        {
            "id": [str(number) for number in range(len(documents))],
            "group": pa.array([group for group, _ in documents], pa.string()),
            "text": text,
            "text_hash_0": pa.array(np.ascontiguousarray(hash128(text)[:, 0])),
            "bytes": pc.binary_length(text),
            "quality": pa.array(np.array([QUALITY[number % len(QUALITY)] for number in range(len(documents))], np.float32)),
            "tie_break": pa.array(np.arange(len(documents), dtype=np.uint64)[::-1]),
            "id_hash": pa.array(np.zeros(len(documents), np.uint64)),
        }
    )


QUALITY = (0.5, 1.0, 0.5, np.nan, 0.0, 1.0)
"""Of the documents, in turns; of two equal ones the later is better."""


def rank(number: int) -> tuple[float, int]:
    quality = QUALITY[number % len(QUALITY)]
    return (-np.inf if np.isnan(quality) else quality, number)


def grouped(part_state: PartState) -> pa.Table:
    table = pa.Table.from_batches([rows_of(part_state)])
    return table.filter(pc.is_valid(table["group"]))


def texts(part_state: PartState, rows: np.ndarray):
    for chunk in np.array_split(rows, 2):
        if len(chunk):
            yield chunk, rows_of(part_state)["text"].take(pa.array(chunk))


def cuts_of(
    documents: Sequence[Document], parts: Sequence[Sequence[int]], folder: Path, options: Repeats | int, partitions: int = 3
):
    """{number of the document: [(start, stop, detail)]}, by the transform. A number stands for lines of a host
    in so many texts."""
    chosen = RepeatedLines(documents=options) if isinstance(options, int) else options
    states = part_states_of(table_of(documents), parts)
    found = defaultdict(list)
    for state in run(states, lambda spill: FindRepeats("step", chosen, grouped, texts, spill, partitions), folder):
        result = state.result("step")
        if result is None:
            continue
        assert result.schema == RESULTS
        assert set(result["reason"].to_pylist()) == {"step"}
        ids = dict(zip(rows_of(state)["doc_ref"].to_pylist(), rows_of(state)["id"].to_pylist(), strict=True))
        for row in result.to_pylist():
            found[int(ids[row["doc_ref"]])].append((row["start"], row["stop"], row["detail"]))
    return {number: sorted(spans) for number, spans in found.items()}


def without(text: str, spans: Sequence[tuple[int, int, str]]) -> str:
    data, drop = text.encode(), set()
    for start, stop, _ in spans:
        assert 0 <= start < stop <= len(data)
        drop |= set(range(start, stop))
    return bytes(byte for place, byte in enumerate(data) if place not in drop).decode()


def reference(documents: Sequence[Document], least: int) -> tuple[list[str], dict[tuple[str, str], int]]:
    """The cut texts, and in how many different texts of its group each line is."""
    having: dict[tuple[str, str], set[str]] = defaultdict(set)
    for group, text in documents:
        for line in text.split("\n"):
            if group is not None and line.strip():
                having[group, line.strip()].add(text)
    cut = []
    for group, text in documents:
        lines = text.split("\n")
        kept = [line for line in lines if group is None or len(having.get((group, line.strip()), ())) < least]
        result = "\n".join(kept)
        if len(kept) == len(lines):
            assert result == text
        elif not text.endswith("\n") and (lines[-1].strip() and len(having[group, lines[-1].strip()]) >= least):
            # Trailing blank lines end with the lines that they came before.
            while kept and not kept[-1].strip():
                kept.pop()
            result = "\n".join(kept)
        cut.append(result)
    return cut, {key: len(texts) for key, texts in having.items()}


LINES = (
    "Home",
    " Home ",
    "Contact us",
    "\u3000Contact us\x1f",
    "",
    " ",
    "\xa0",
    "été",
    "漢字",
    "x" * 70,
    "a",
    "b",
    "c",
    "d",
    "\x00",
    "Home\r",
)
DOCUMENTS = st.lists(
    st.tuples(
        st.sampled_from(["a.example", "b.example", "ü.example", None]),
        st.lists(st.sampled_from(LINES), max_size=6).map("\n".join),
    ),
    min_size=1,
    max_size=24,
)


@pytest.mark.slow
@settings(max_examples=40)
@given(documents=DOCUMENTS, least=st.integers(2, 4), seed=st.integers(0, 99), partitions=st.integers(1, 5))
def test_equals_a_naive_count_for_any_cut_of_the_input(tmp_path_factory, documents, least, seed, partitions):
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(documents)).tolist()
    edges = sorted(draw.integers(0, len(order) + 1, 2).tolist())
    parts = [order[: edges[0]], order[edges[0] : edges[1]], order[edges[1] :]]
    found = cuts_of(documents, parts, tmp_path_factory.mktemp("spill"), least, partitions)
    expected, counts = reference(documents, least)
    assert [without(text, found.get(number, [])) for number, (_, text) in enumerate(documents)] == expected
    for number, spans in found.items():
        group, text = documents[number]
        for start, stop, detail in spans:
            lines = [line.strip() for line in text.encode()[start:stop].decode().split("\n")]
            numbers = {counts[group, line] for line in lines if line}
            count, name = re.fullmatch(r"in (\d+) texts of (.*)", detail).groups()
            assert name == group
            assert int(count) in numbers
            assert min(numbers) >= least


def test_a_text_ends_in_a_line_break_only_if_it_did_before(tmp_path):
    pages = [f"page {number}\n\nMenu\n \nFooter" for number in range(3)]
    ended = [f"other {number}\nFooter\n" for number in range(2)]
    documents = [("a", text) for text in [*pages, *ended, "Menu\nFooter", "\n\nMenu"]]
    found = cuts_of(documents, [list(range(4)), list(range(4, len(documents)))], tmp_path, 3)
    left = [without(text, found.get(number, [])) for number, (_, text) in enumerate(documents)]
    assert left == ["page 0", "page 1", "page 2", "other 0\n", "other 1\n", "", ""]


def test_equal_texts_count_once_but_all_are_cut(tmp_path):
    """Five copies of a page are not a reason to empty it."""
    documents = [("a", "one\ntwo")] * 5 + [("b", f"{number}\ntwo") for number in range(5)] + [("b", "0\ntwo")] * 3
    found = cuts_of(documents, [list(range(7)), list(range(7, len(documents)))], tmp_path, 5)
    left = [without(text, found.get(number, [])) for number, (_, text) in enumerate(documents)]
    assert left == ["one\ntwo"] * 5 + [str(number) for number in range(5)] + ["0"] * 3
    assert {spans[0][2] for spans in found.values()} == {"in 5 texts of b"}


def test_lines_are_those_of_python():
    texts = pa.array(
        ["", "\n", "one line", "\n \n a \n\nb\n", "\u2028x\u2028\ny", "x" * 1_000_000, "\x00\n\x00"], pa.large_string()
    )
    group = np.zeros((len(texts), 2), np.uint64)
    data, first = text_buffer(texts)
    lines = units_of(data, first, group, RepeatedLines())
    found = defaultdict(list)
    for document, start, stop in zip(lines.document, lines.start, lines.stop, strict=True):
        found[int(document)].append(texts[int(document)].as_py().encode()[start:stop].decode())
    assert dict(found) == {
        number: [line for line in text.split("\n") if line.strip()]
        for number, text in enumerate(texts.to_pylist())
        if text.strip()
    }
    stripped = pa.array([line.strip() for spans in found.values() for line in spans], pa.large_string())
    keys = [[int.from_bytes(half.tobytes(), "little") for half in key] for key in lines.key]
    assert keys == [[key[0], key[0]] for key in hash128(stripped).tolist()]  # both halves of this group are seed 0


@pytest.mark.parametrize("port", ["", ":8080"])
def test_hosts_are_those_of_the_standard_library(port):
    urls = [
        f"https://Example.ORG{port}/a/b?c=http://d.e/",
        f"http://user:p%40ss@www.example.org{port}#x",
        f"http://[2001:DB8::1]{port}/",
        f"ftp://example.org{port}?q@r",
        "file:///etc/hosts",
        "example.org/page",
        "",
    ]
    assert hosts(pa.array([*urls, None])).to_pylist() == [
        f"[{host}]" if ":" in (host := urlsplit(url).hostname or "") else host or None for url in urls
    ] + [None]


def test_nothing_is_cut_without_a_group_or_below_the_count(tmp_path):
    documents = [(None, f"{number}\nsame") for number in range(9)] + [("a", f"{number}\nsame") for number in range(4)]
    assert cuts_of(documents, [list(range(len(documents)))], tmp_path, 5) == {}


@pytest.mark.slow
def test_what_goes_from_real_pages_is_boilerplate(shared, tmp_path):
    """5,988 random pages of Common Crawl: few hosts have five of them, and those lose what is on every page."""
    pages = []
    for file in sorted((shared / "web").glob("*.jsonl.zst")):
        with zstandard.open(file, "rt", encoding="utf-8") as lines:
            pages += [json.loads(line) for line in lines]
    group = hosts(pa.array([page["url"] for page in pages], pa.string())).to_pylist()
    documents = [(host, page["text"]) for host, page in zip(group, pages, strict=True)]
    found = cuts_of(documents, np.array_split(np.arange(len(documents)), 3), tmp_path, 5)
    expected, counts = reference(documents, 5)
    left = [without(text, found.get(number, [])) for number, (_, text) in enumerate(documents)]
    assert left == expected
    lost = sum(len(text) for _, text in documents) - sum(map(len, left))
    assert 0.0005 < lost / sum(len(text) for _, text in documents) < 0.005
    frequent = [line for (_, line), texts in counts.items() if texts >= 8]
    assert {"From Wikipedia, the free encyclopedia", "Jump to: navigation, search", "Add Your Answer"} <= set(frequent)
    assert all(len(line) < 150 for line in frequent)  # nobody's sentences


# --- paragraphs and sentences -----------------------------------------------------------------------------------------

Piece = tuple[int, int]
"""Where a stripped paragraph or sentence starts and stops, in characters."""


def stripped(text: str, start: int, stop: int) -> list[Piece]:
    inner = text[start:stop]
    return [(start + len(inner) - len(inner.lstrip()), start + len(inner.rstrip()))] if inner.strip() else []


def paragraphs(text: str) -> list[Piece]:
    found: list[Piece] = []
    place, inside = 0, False
    for line in text.split("\n"):
        for first, last in stripped(text, place, place + len(line)):
            found = [*found[:-1], (found[-1][0], last)] if inside else [*found, (first, last)]
        inside = bool(line.strip())
        place += len(line) + 1
    return found


def sentences(text: str) -> list[Piece]:
    marks = r"(?:[.?!…।](?P<more>[.?!…।。？！｡\"')\]»’”」』】）]*)|(?P<wide>[。？！｡])[.?!…।。？！｡\"')\]»’”」』】）]*)"
    found: list[Piece] = []
    begin = place = 0
    while match := re.compile(rf"\n|{marks}").search(text, place):
        place = match.end()
        wide = match["wide"] or set(match["more"] or "") & set("。？！｡")
        if match[0] == "\n" or wide or place == len(text) or re.match(r"\s", text[place:]):
            found += stripped(text, begin, place)
            begin = place
    return found + stripped(text, begin, len(text))


def cut_by_hand(documents: Sequence[Document], options: Repeats) -> list[str]:
    """The cut texts."""
    pieces = [(paragraphs if options.unit == "paragraph" else sentences)(text) for _, text in documents]
    having: dict[tuple[str, str], set[str]] = defaultdict(set)
    best: dict[tuple[str, str], int] = {}
    runs = []
    for number, (group, text) in enumerate(documents):
        mine = {}
        for first in range(len(pieces[number]) - options.length + 1 if group is not None else 0):
            key = (group, " ".join(text[start:stop] for start, stop in pieces[number][first : first + options.length]))
            if len(key[1]) >= options.characters:
                mine[first] = key
                having[key].add(text)
                best[key] = max(best.get(key, number), number, key=rank)
        runs.append(mine)
    left = []
    for number, (_, text) in enumerate(documents):
        gone: set[int] = set()
        for first, key in runs[number].items():
            if len(having[key]) >= options.documents and not (options.keep == "best" and best[key] == number):
                gone |= set(range(first, first + options.length))
        own, kept, place, index = pieces[number], "", 0, 0
        while index < len(own):
            behind = index
            while behind in gone:
                behind += 1
            if behind == index:
                kept, place, behind = kept + text[place : own[index][1]], own[index][1], index + 1
            elif behind == len(own):
                place = own[-1][1]
            else:
                kept, place = kept + text[place : own[index][0]], own[behind][0]
            index = behind
        left.append(kept + text[place:])
    return left


WITHOUT_SHRINKING = [phase for phase in Phase if phase not in (Phase.shrink, Phase.explain)]
"""Each example is a run of a pipeline: shrinking one that fails takes minutes."""

PARAGRAPHS = st.lists(
    st.sampled_from(
        ["One of many.", " One of many. ", "Two\nlines", "zwei\n\u3000Zeilen ", "漢字。", "a", "", "\xa0", "b", "c"]
    ),
    max_size=6,
).map("\n\n".join)
SENTENCES = st.lists(
    st.sampled_from(
        [
            "It rains. ",
            "It snows! ",
            "Why?\n",
            '"So," he said.) ',
            "3.14 is. ",
            "雨です。",
            "雪？」",
            "no end\n",
            "\n",
            " ",
            "… ",
            "A.",
            "B. ",
        ]
    ),
    max_size=10,
).map("".join)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [RepeatedParagraphs, RepeatedSentences])
@settings(max_examples=25, phases=WITHOUT_SHRINKING)
@given(data=st.data(), least=st.integers(2, 3), characters=st.sampled_from([0, 0, 10]), seed=st.integers(0, 99))
def test_pieces_are_cut_as_by_hand(tmp_path_factory, kind, data, least, characters, seed) -> None:
    text = PARAGRAPHS if kind is RepeatedParagraphs else SENTENCES
    documents = data.draw(st.lists(st.tuples(st.sampled_from(["a", "b", None]), text), min_size=1, max_size=12))
    more = {} if kind is RepeatedParagraphs else {"in_a_row": data.draw(st.integers(1, 3))}
    options = kind(documents=least, characters=characters, keep=data.draw(st.sampled_from(["none", "best"])), **more)
    order = np.random.default_rng(seed).permutation(len(documents)).tolist()
    found = cuts_of(documents, [order[::2], order[1::2]], tmp_path_factory.mktemp("spill"), options)
    assert [without(text, found.get(number, [])) for number, (_, text) in enumerate(documents)] == cut_by_hand(
        documents, options
    )


@pytest.mark.slow
@settings(max_examples=60)
@given(texts=st.lists(SENTENCES, min_size=1, max_size=10), in_a_row=st.integers(1, 3))
def test_no_sentence_is_lost_that_the_best_document_keeps(tmp_path_factory, texts, in_a_row) -> None:
    documents = [("", text) for text in texts]
    found = cuts_of(
        documents, [list(range(len(texts)))], tmp_path_factory.mktemp("spill"), RepeatedSentences(in_a_row=in_a_row)
    )
    left = "".join(without(text, found.get(number, [])) for number, text in enumerate(texts))
    for text in texts:
        for start, stop in sentences(text):
            assert text[start:stop] in left


def test_three_sentences_of_two_texts_stay_in_the_better_one(tmp_path):
    documents = [("", "Mine. One. Two. Three. Own."), ("", "One.\nTwo. Three. Four.\n"), ("", "One. Two. Other. Three.")]
    found = cuts_of(documents, [[0, 1, 2]], tmp_path, RepeatedSentences())
    left = [without(text, found.get(number, [])) for number, (_, text) in enumerate(documents)]
    assert left == ["Mine. Own.", "One.\nTwo. Three. Four.\n", "One. Two. Other. Three."]


def test_documents_above_the_share_are_dropped(tmp_path):
    documents = [
        ("", "One. Two. Three."),
        ("", "One. Two. Three. Four."),
        ("", "Five. One. Two. Three. Six. Seven, and more of it."),
    ]
    options = RepeatedSentences(drop_above=0.7)
    states = part_states_of(table_of(documents), [[0, 1, 2]])
    (state,) = run(states, lambda spill: FindRepeats("step", options, grouped, texts, spill, 1), tmp_path)
    result = state.result("step").to_pylist()
    assert [(row["doc_ref"], row["repeated"]) for row in result] == [(0, 1.0), (2, None)]  # the second is the best
