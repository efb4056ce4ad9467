"""Copies of benchmark passages are cut with a margin: the passage is gone, no word is cut in two, and the rest stays."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamis.transforms.decontaminate.benchmarks import Benchmark, passages
from tamis.transforms.decontaminate.copied_spans import copied_spans
from tamis.transforms.decontaminate.index import Index, build, load_or_build
from tamis.transforms.decontaminate.contamination_rater import Decontaminate
from tamis.transforms.text.segment import segment
from tamis.transforms.text.words import DEFAULT_WORDS, Words

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def index_of(folder: Path, items: Sequence[str], words: Words = DEFAULT_WORDS, **sizes: int) -> Index:
    (folder / "b.jsonl").write_text("".join(json.dumps({"q": item}) + "\n" for item in items))
    benchmark = Benchmark(name="b", path=str(folder / "b.jsonl"), fields=["q"])
    return build(Decontaminate(benchmarks=[benchmark], **sizes), words)


def spans_of(
    texts: Sequence[str], index: Index, least: float = 0.5, margin: int = 0, words: Words = DEFAULT_WORDS
) -> list[list[tuple[int, int]]]:
    """The spans of each text, in bytes."""
    found = copied_spans(pa.array(texts, pa.large_string()), index, words, least, margin)
    spans: list[list[tuple[int, int]]] = [[] for _ in texts]
    for document, start, stop in zip(found.document.tolist(), found.start.tolist(), found.stop.tolist(), strict=True):
        spans[document].append((start, stop))
    return spans


def without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    data, pieces, left = text.encode(), [], 0
    for start, stop in spans:
        assert left <= start < stop <= len(data)
        pieces.append(data[left:start])
        left = stop
    return b"".join([*pieces, data[left:]]).decode()


def coverage(texts: Sequence[str], index: Index, words: Words = DEFAULT_WORDS) -> list[float]:
    values = [0.0] * len(texts)
    matches = index.match(segment(pa.array(texts, pa.large_string()), words))
    for document, value in zip(matches.document, matches.coverage, strict=True):
        values[document] = float(value)
    return values


def letters(word: str) -> str:
    return " ".join(word)


def test_the_margin_goes_on_to_white_space(tmp_path: Path) -> None:
    index = index_of(tmp_path, [letters(LETTERS[:20])])
    text = f"One first-second third,\n({letters(LETTERS[:20])}.) fourth fifth-sixth end"
    expected = {
        0: ["One first-second third,\n", " fourth fifth-sixth end"],
        1: ["One first-second third,\n", " fourth fifth-sixth end"],
        2: ["One first-second third,", " fourth fifth-sixth end"],
        3: ["One first-second ", " fifth-sixth end"],
        18: ["One ", " end"],
        1000: ["", ""],
    }
    for margin, rest in expected.items():
        (spans,) = spans_of([text], index, margin=margin)
        assert len(spans) == 1
        assert without(text, spans) == "".join(rest)


def test_copies_far_apart_are_cut_each(tmp_path: Path) -> None:
    item = letters(LETTERS[:20])
    index = index_of(tmp_path, [item])
    near, far = (" ".join(["x"] * count) for count in (39, 42))
    for between, spans in ((near, 1), (far, 2)):
        (found,) = spans_of([f"{item} {between} {item} y"], index)
        assert len(found) == spans


def test_every_item_of_a_document_is_cut(tmp_path: Path) -> None:
    """Not only the one that the rater names; what is covered less stays."""
    first, second, third = letters(LETTERS[:20]), letters("zyxwvutsrqpon"), letters("acegikmoqsuwybdfhjlnprtvxz")
    index = index_of(tmp_path, [first, second, third])
    little = letters("acegikmoqsuwy")  # one of fourteen n-grams
    text = f"one {first} two {'filler ' * 80}{second} three {little} four"
    (spans,) = spans_of([text], index)
    assert without(text, spans) == f"one  two {'filler ' * 80} three {little} four"


def test_a_copy_that_arises_where_two_pieces_meet_is_cut(tmp_path: Path) -> None:
    inner, outer = letters("zyxwvutsrqpon"), letters("abcdefghijklm")
    index = index_of(tmp_path, [inner, outer])
    text = f"start abcd {letters('abcdef')} {inner} {letters('ghijklm')} end"
    (spans,) = spans_of([text], index)
    assert len(spans) == 1
    assert without(text, spans) == "start abcd  end"


def test_words_without_spaces_stay_whole(tmp_path: Path) -> None:
    item = "小明有三个苹果又买了五个一共有几个"
    index = index_of(tmp_path, [item])
    text = f"这是很长的一段话没有空格老师问{item}的时候大家都在听"
    (spans,) = spans_of([text], index, margin=3)
    assert without(text, spans) == "这是很长的一段话没有空格大家都在听"
    (spans,) = spans_of([f"one-word{item}another-word"], index, margin=2)
    assert spans == [(0, len(f"one-word{item}another-word".encode()))]


@pytest.mark.parametrize("margin", range(12))
def test_words_do_not_grow_together(tmp_path: Path, margin: int) -> None:
    index = index_of(tmp_path, [letters(LETTERS[:20])])
    text = f"one two three {letters(LETTERS[:20])} four five six"
    (spans,) = spans_of([text], index, margin=margin)
    assert set(without(text, spans).split()) <= set(text.split())


def test_awkward_texts(tmp_path: Path) -> None:
    index = index_of(tmp_path, [letters(LETTERS)])
    texts = [
        "",
        " ",
        "word",
        "x" * 1_000_000,
        "\x00",
        letters(LETTERS),
        f"\n{letters(LETTERS)}\n",
        "x" * 100_000 + letters(LETTERS),
    ]
    spans = spans_of(texts, index, margin=200)
    assert [without(text, each) for text, each in zip(texts, spans, strict=True)][:5] == texts[:5]
    assert [without(text, each) for text, each in zip(texts, spans, strict=True)][5:] == ["", "", ""]
    assert spans_of([], index) == []


# --- a slow reference ------------------------------------------------------------------------------------------------


def naive(text: str, items: Sequence[str], ngram: int, min_ngram: int, least: float, margin: int) -> list[int]:
    """The places of the characters of `text` that stay, by sets of tuples and one pass of words a round."""
    stay = list(range(len(text)))
    while True:
        left = "".join(text[place] for place in stay)
        words = [(match.start(), match.end(), match.group()) for match in re.finditer(r"\S+", left)]
        cut: set[int] = set()
        for item in items:
            own = item.split()
            width = min(len(own), ngram)
            grams = {tuple(own[i : i + width]) for i in range(len(own) - width + 1)} if len(own) >= min_ngram else set()
            grams = {gram for gram in grams if len(set(gram)) >= min(4, min_ngram)}
            places = [i for i in range(len(words) - width + 1) if tuple(word for *_, word in words[i : i + width]) in grams]
            found = {tuple(word for *_, word in words[i : i + width]) for i in places}
            if not grams or len(found) / len(grams) < least:
                continue
            runs: list[list[int]] = []
            for place in places:
                if runs and place - runs[-1][1] <= 2 * (len(grams) + width - 1):
                    runs[-1][1] = place + width
                else:
                    runs.append([place, place + width])
            for first, end in runs:
                start, stop = max(0, words[first][0] - margin), min(len(left), words[end - 1][1] + margin)
                while start > 0 and not (left[start - 1].isspace() or left[start].isspace()):
                    start -= 1
                while stop < len(left) and not left[stop].isspace():
                    stop += 1
                cut |= set(range(start, stop))
        if not cut:
            return stay
        stay = [place for number, place in enumerate(stay) if number not in cut]


words_of = st.lists(st.sampled_from("abcdefg"), max_size=16).map(" ".join)
documents_of = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([" ", "\n", "  ", " \u3000"])), max_size=40).map(
    lambda pairs: "".join(itertools.chain.from_iterable(pairs))
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    items=st.lists(words_of, min_size=1, max_size=4),
    texts=st.lists(documents_of, max_size=6),
    min_ngram=st.integers(1, 5),
    more=st.integers(0, 3),
    least=st.sampled_from([0.2, 0.5, 1.0]),
    margin=st.integers(0, 6),
)
def test_equals_a_slow_reference_and_leaves_no_copy(
    tmp_path: Path, items: list[str], texts: list[str], min_ngram: int, more: int, least: float, margin: int
) -> None:
    index = index_of(tmp_path, items, ngram=min_ngram + more, min_ngram=min_ngram)
    spans = spans_of(texts, index, least, margin)
    left = [without(text, each) for text, each in zip(texts, spans, strict=True)]
    expected = [naive(text, items, min_ngram + more, min_ngram, least, margin) for text in texts]
    assert left == ["".join(text[place] for place in stay) for text, stay in zip(texts, expected, strict=True)]
    assert all(value < least for value in coverage(left, index))
    for one, each in zip(texts, spans, strict=True):
        assert spans_of([one], index, least, margin) == [each]


# --- real benchmarks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "file", "field"), [("gsm8k", "gsm8k_test.jsonl", "question"), ("arc", "arc_challenge.jsonl", "query")]
)
def test_a_planted_item_is_gone_and_the_page_around_it_stays(shared: Path, name: str, file: str, field: str) -> None:
    benchmark = Benchmark(name=name, path=str(shared / "benchmarks" / file), fields=[field])
    index = load_or_build(Decontaminate(benchmarks=[benchmark]))
    with zstandard.open(shared / "web" / "weborganizer-00.jsonl.zst", "rt", encoding="utf-8") as lines:
        pages = [json.loads(line)["text"] for line in itertools.islice(lines, 300)]
    margin, documents = 200, []
    for number, question in enumerate(passages(benchmark)):
        page = pages[number % len(pages)]
        middle = page.find(" ", len(page) // 2)
        documents.append((page[:middle], f"\n{question.text}\n", page[middle:]))
    texts = ["".join(pieces) for pieces in documents]
    covered = [value >= 0.8 for value in coverage(texts, index)]
    assert sum(covered) > 0.9 * len(texts)
    found = spans_of(texts, index, 0.5, margin)
    assert [bool(spans) for spans in found] == [value >= 0.5 for value in coverage(texts, index)]
    left = [without(text, spans) for text, spans in zip(texts, found, strict=True)]
    assert max(coverage(left, index)) < 0.5
    whole = 0
    for (before, item, after), spans, text in zip(documents, found, texts, strict=True):
        if len(spans) != 1:
            continue
        ((start, stop),) = spans
        head, tail = text.encode()[:start].decode(), text.encode()[stop:].decode()
        if len(head) > len(before) or len(tail) > len(after):
            continue  # the match ends inside: n-grams at the end of the item are its template
        whole += 1
        assert before.startswith(head)
        assert after.endswith(tail)
        for side in (before[len(head) :][::-1], after[: len(after) - len(tail)]):
            assert not re.search(r"\s", side[margin + 1 :])  # nothing but the rest of a word beyond the margin
        assert not head or head[-1].isspace() or text[len(head)].isspace()
        assert not tail or tail[0].isspace()
        assert len(before) - len(head) + len(item) >= min(len(before), margin)
    assert whole > 0.9 * sum(covered)
