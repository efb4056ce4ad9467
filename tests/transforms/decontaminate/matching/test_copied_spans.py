"""Copies of benchmark items are cut with a margin: the item is gone, no word is cut in two, and the rest stays."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis.transforms.decontaminate.benchmarks import Benchmark, items
from tamis.transforms.decontaminate.contamination_rater import Decontaminate
from tamis.transforms.decontaminate.matching.copied_spans import copied_spans
from tamis.transforms.decontaminate.matching.index import Index, load_or_build
from tamis.transforms.text.words import DEFAULT_WORDS
from tests.transforms.decontaminate.matching.small_benchmarks import evidence_of_none, index_of, scores

FIRST = "How many copper kettles did the tinker mend before Michaelmas if he began in August?"
SECOND = "Which glacier feeds the turquoise lake below the abandoned monastery near Shkhara?"
FILLER = "and then nothing else of note was said about it until supper came"


def spans_of(texts: Sequence[str], index: Index, margin: int = 0) -> list[list[tuple[int, int]]]:
    """The spans of each text, in bytes."""
    section = {"benchmarks": [{"name": "b", "path": "b", "question": "q"}], "margin": margin}
    options = Decontaminate.model_validate(section)
    found = copied_spans(pa.array(texts, pa.large_string()), index, evidence_of_none(index), options, DEFAULT_WORDS)
    spans: list[list[tuple[int, int]]] = [[] for _ in texts]
    for document, start, stop in zip(found.matches.document.tolist(), found.start.tolist(), found.stop.tolist(), strict=True):
        spans[document].append((start, stop))
    return spans


def without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    data, pieces, left = text.encode(), [], 0
    for start, stop in spans:
        assert left <= start < stop <= len(data)
        pieces.append(data[left:start])
        left = stop
    return b"".join([*pieces, data[left:]]).decode()


def test_the_margin_goes_on_to_white_space(tmp_path: Path) -> None:
    index = index_of(tmp_path, [FIRST])
    text = f"One first-second third,\n({FIRST}) fourth fifth-sixth end"
    expected = {
        0: ["One first-second third,\n", " fourth fifth-sixth end"],
        2: ["One first-second third,", " fourth fifth-sixth end"],
        4: ["One first-second ", " fifth-sixth end"],
        18: ["One ", " end"],
        1000: ["", ""],
    }
    for margin, rest in expected.items():
        (spans,) = spans_of([text], index, margin)
        assert len(spans) == 1
        assert without(text, spans) == "".join(rest)


def test_every_copy_of_every_item_is_cut(tmp_path: Path) -> None:
    index = index_of(tmp_path, [FIRST, SECOND])
    filler = f"{FILLER} " * 12
    text = f"one {FIRST} two {filler}{SECOND} three {filler}{FIRST} four"
    (spans,) = spans_of([text], index)
    assert without(text, spans) == f"one  two {filler} three {filler} four"


def test_a_copy_that_arises_where_two_pieces_meet_is_cut(tmp_path: Path) -> None:
    index = index_of(tmp_path, [FIRST, SECOND])
    middle = len(FIRST) // 2 + FIRST[len(FIRST) // 2 :].index(" ")
    text = f"start {FIRST[:middle]} {SECOND}{FIRST[middle:]} end"
    (spans,) = spans_of([text], index)
    assert len(spans) == 1
    assert without(text, spans) == "start  end"


@pytest.mark.parametrize("margin", range(12))
def test_words_do_not_grow_together(tmp_path: Path, margin: int) -> None:
    index = index_of(tmp_path, [FIRST])
    text = f"one two three {FIRST} four five six"
    (spans,) = spans_of([text], index, margin)
    assert set(without(text, spans).split()) <= set(text.split())


def test_awkward_texts(tmp_path: Path) -> None:
    index = index_of(tmp_path, [FIRST])
    texts = ["", " ", "word", "x" * 1_000_000, "\x00", FIRST, f"\n{FIRST}\n", "x" * 100_000 + f" {FIRST}"]
    spans = spans_of(texts, index, margin=200)
    left = [without(text, each) for text, each in zip(texts, spans, strict=True)]
    assert left[:5] == texts[:5]
    assert left[5:7] == ["", ""]
    assert FIRST not in left[7]
    assert spans_of([], index) == []


pieces = st.sampled_from([FIRST, SECOND, FILLER, FIRST[:40], SECOND[40:], "\n", "word", ". "])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.lists(pieces, max_size=8).map(" ".join), max_size=5), margin=st.integers(0, 30))
def test_no_copy_is_left_and_texts_do_not_depend_on_each_other(tmp_path: Path, texts: list[str], margin: int) -> None:
    index = index_of(tmp_path, [FIRST, SECOND])
    spans = spans_of(texts, index, margin)
    left = [without(text, each) for text, each in zip(texts, spans, strict=True)]
    assert spans_of(left, index, margin) == [[] for _ in texts]
    for text, each in zip(texts, spans, strict=True):
        assert spans_of([text], index, margin) == [each]
        assert not each or (FIRST in text or SECOND in text or FIRST[:40] in text or SECOND[40:] in text)


@pytest.mark.parametrize("file", ["gsm8k_test.jsonl", "arc_challenge.jsonl"])
def test_a_planted_item_is_gone_and_the_page_around_it_stays(shared: Path, file: str) -> None:
    benchmark = Benchmark.model_validate({"name": "b", "path": str(shared / "benchmarks" / file), "question": _QUESTION[file]})
    index = load_or_build(Decontaminate(benchmarks=[benchmark]))
    with zstandard.open(shared / "web" / "weborganizer-00.jsonl.zst", "rt", encoding="utf-8") as lines:
        pages = [json.loads(line)["text"] for line in itertools.islice(lines, 100)]
    margin, documents = 200, []
    for number, item in enumerate(items(benchmark)[:400]):
        page = pages[number % len(pages)]
        middle = page.find(" ", len(page) // 2)
        documents.append((page[:middle], f"\n{item.question[0]}\n", page[middle:]))
    texts = ["".join(each) for each in documents]
    found = spans_of(texts, index, margin)
    assert sum(map(bool, found)) >= 0.99 * len(texts)
    for (before, _, after), spans, text in zip(documents, found, texts, strict=True):
        if len(spans) == 1:
            ((start, stop),) = spans
            head, tail = text.encode()[:start].decode(), text.encode()[stop:].decode()
            assert not head or head[-1].isspace() or text[len(head)].isspace()
            assert not tail or tail[0].isspace()
            assert before.startswith(head) or after.endswith(tail)
    left = [without(text, spans) for text, spans in zip(texts, found, strict=True)]
    assert spans_of(left, index, margin) == [[] for _ in texts]
    assert (
        scores(pages, index) == [{} for _ in pages]
        or max(value for each in scores(pages, index) for _, value in each.values()) < 0.62
    )


_QUESTION = {"gsm8k_test.jsonl": "question", "arc_challenge.jsonl": "query"}
