"""Rate proposes the items that a document has, with their words, and nothing of clean pages."""

from __future__ import annotations

import itertools
import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from pydantic import ValidationError

from tamis.testing import check_rater
from tamis.transforms.decontaminate.benchmarks import items
from tamis.transforms.decontaminate.contamination_rater import Contamination, Decontaminate
from tamis.transforms.decontaminate.matching.candidate_records import OFFERS, unpack
from tamis.transforms.decontaminate.matching.candidates import propose
from tamis.transforms.decontaminate.matching.index import Index, load_or_build
from tamis.transforms.text.segment import segment
from tests.transforms.decontaminate.matching.small_benchmarks import benchmark, candidates_of, index_of, scores

QUESTION = "Why do copper pipes in old greenhouses turn green after 7 humid summers?"


def test_a_candidate_says_which_words_are_there_and_where(tmp_path: Path) -> None:
    index = index_of(tmp_path, [QUESTION])
    text = "é Listen: why do copper pipes in big old greenhouses turn green after 9 humid summers? Yes"
    found = candidates_of(["nothing", text], index)
    assert found.document.tolist() == [1]
    assert text.encode()[found.start[0] : found.stop[0]].decode() == text[len("é Listen: ") : -len("? Yes")]
    assert found.matched.all()
    assert np.flatnonzero(~found.joined).tolist() == [5]  # old, behind the inserted word
    assert np.flatnonzero(found.changed).tolist() == [10]
    assert found.flags[0] == 1 | 2 | 4


def test_choices_are_candidates_near_their_question_alone(tmp_path: Path) -> None:
    index = index_of(tmp_path, [{"question": QUESTION, "choices": ["verdigris forms", "algae settle inside", "mice"]}])
    near, far = f"{QUESTION}\nmice, verdigris forms", f"{QUESTION} {'word ' * 300} verdigris forms"
    found = candidates_of([near, far], index)
    texts = [(int(d), int(t)) for d, t in zip(found.document, found.text, strict=True)]
    assert sorted(texts) == [(0, 0), (0, 1), (0, 3), (1, 0)]


@pytest.mark.parametrize(
    ("behind", "offered"),
    [
        ("\nA. rust\nB. moss", True),
        ("\n\n (a) rust\n - (b) moss", True),
        ("\nAnswer: rust\nBirds: moss", False),
        ("\nA. rust", False),
        (" A. rust B. moss", False),
        ("\nB. rust\nA. moss", False),
    ],
)
def test_choices_behind_a_copy_are_seen_whosever_they_are(behind: str, offered: bool, tmp_path: Path) -> None:
    found = candidates_of([f"Before.\n{QUESTION}{behind}"], index_of(tmp_path, [QUESTION]))
    assert (found.flags & OFFERS > 0).tolist() == [offered]


def test_a_number_alone_is_a_choice_by_its_digits(tmp_path: Path) -> None:
    index = index_of(tmp_path, [{"question": QUESTION, "choices": ["12", "350"]}])
    found = candidates_of([f"{QUESTION}\nA. 350\nB. 40"], index)
    assert found.text.tolist() == [0, 2]


def test_candidates_do_not_depend_on_other_documents(shared: Path) -> None:
    options = _arc(shared)
    index = load_or_build(options)
    questions = [item.question[0] for item in items(options.benchmarks[0])[:60]]
    texts = [f"{page[:300]}\n{question}\n{page[300:500]}" for page, question in zip(_pages(shared, 60), questions, strict=True)]
    whole = propose(segment(pa.array(texts, pa.large_string())), index)
    single = [propose(segment(pa.array([text], pa.large_string())), index) for text in texts]
    assert whole.equals(pa.concat_arrays(single))
    assert whole.value_lengths().to_numpy().min() >= 1


def test_a_slice_unpacks_as_the_whole_does(tmp_path: Path) -> None:
    index = index_of(tmp_path, [QUESTION])
    column = propose(segment(pa.array([QUESTION, "", f"x {QUESTION}"], pa.large_string())), index)
    part = unpack(column.slice(2), index)
    assert part.document.tolist() == [0]
    assert part.start.tolist() == [2]
    assert unpack(pa.concat_arrays([column, column]), index).document.tolist() == [0, 2, 3, 5]


def test_a_saved_index_is_the_same_index(tmp_path: Path) -> None:
    index = index_of(tmp_path, [QUESTION])
    index.save(str(tmp_path / "saved.arrow"))
    loaded = Index.load(str(tmp_path / "saved.arrow"))
    assert loaded.fingerprint == index.fingerprint
    assert scores([QUESTION], loaded) == scores([QUESTION], index)
    (tmp_path / "broken.arrow").write_bytes(b"none")
    with pytest.raises(ValueError, match="not a file of arrays"):
        Index.load(str(tmp_path / "broken.arrow"))


def test_items_without_a_word_to_find_them_by_are_named(tmp_path: Path) -> None:
    index = index_of(tmp_path, [QUESTION, "?", "Is it?", "Zygomorphic calyxes"])
    assert index.unmatchable.tolist() == [1, 2]


def test_thresholds_do_not_rate_again_and_items_do(tmp_path: Path) -> None:
    options = Decontaminate(benchmarks=[benchmark(tmp_path, [QUESTION])])
    rater = Contamination(options)
    check_rater(rater)
    assert pickle.loads(pickle.dumps(rater)).fingerprint == rater.fingerprint
    for changed in ({"drop": 0.9}, {"score": "ngram"}, {"action": "cut"}):
        assert Contamination(options.model_copy(update=changed)).fingerprint == rater.fingerprint
    other = Decontaminate(benchmarks=[benchmark(tmp_path, [QUESTION.replace("copper", "iron")], name="c")])
    assert Contamination(other).fingerprint != rater.fingerprint


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_ngram": 8}, "items of all lengths are matched"),
        ({"max_items": 8}, "counts for little by itself"),
        ({"drop": 0.5, "review": 0.6}, "review 0.6 is above drop 0.5"),
        ({"thresholds": {"x": {"drop": 0.5}}}, "none of the benchmarks: b"),
        ({"thresholds": {"b": {"drop": 0.5, "review": 0.6}}}, "above drop 0.5 for b"),
        ({"classes": {"copied": "cut"}}, "drop"),
    ],
)
def test_contradictory_options_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Decontaminate.model_validate({"benchmarks": [{"name": "b", "path": "b.jsonl", "question": "q"}], **wrong})


def test_questions_are_found_in_web_pages_and_nothing_in_pages_without_them(shared: Path) -> None:
    options = _arc(shared)
    index = load_or_build(options)
    pages, read = _pages(shared, 300), items(options.benchmarks[0])
    texts = []
    for number, item in enumerate(read):
        page = pages[number % len(pages)]
        texts.append(f"{page[:1500]}\n{item.question[0]}\n{page[1500:3000]}")
    found = scores(texts, index)
    recall = np.mean([each.get(item.id, ("", 0.0))[1] >= 0.62 for each, item in zip(found, read, strict=True)])
    assert recall >= 0.995
    clean = scores(pages, index)
    assert max((value for each in clean for _, value in each.values()), default=0) < 0.62
    assert len(index.unmatchable) <= 0.01 * len(read)


def _arc(shared: Path) -> Decontaminate:
    arc = {"name": "arc_challenge", "path": str(shared / "benchmarks" / "arc_challenge.jsonl")}
    return Decontaminate.model_validate({"benchmarks": [arc]})


def _pages(shared: Path, count: int) -> list[str]:
    with zstandard.open(shared / "web" / "weborganizer-00.jsonl.zst", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in itertools.islice(lines, count)]
