"""Raters measure the n-grams that a document shares with benchmark passages: all of a copy, none of a template."""

from __future__ import annotations

import itertools
import json
import pickle
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tamis.testing import check_rater
from tamis.transforms.decontaminate.benchmarks import Benchmark, passages
from tamis.transforms.decontaminate.index import Index, build
from tamis.transforms.decontaminate.contamination_rater import Contamination, Decontaminate
from tamis.transforms.text.segment import segment
from tamis.transforms.text.words import DEFAULT_WORDS, Words

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Row(NamedTuple):
    """The signals of `Contamination` for a document."""

    ngrams: int
    coverage: float
    benchmark: str | None
    item: str | None


CLEAN = Row(0, 0.0, None, None)


def rated(rater: Contamination, documents: Sequence[str]) -> list[Row]:
    batch = rater.rate(segment(pa.array(documents, pa.large_string())))
    batch.validate(full=True)
    assert batch.schema.names == [signal.name for signal in rater.signals]
    return [Row(*row) for row in zip(*batch.to_pydict().values(), strict=True)]


def options(folder: Path, benchmarks: dict[str, list[list[str]]], **sizes: int) -> Decontaminate:
    """One JSON lines file per benchmark; an item is a list of passages."""
    for name, items in benchmarks.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"q": item}) + "\n" for item in items))
    files = [Benchmark(name=name, path=str(folder / f"{name}.jsonl"), fields=["q"]) for name in benchmarks]
    return Decontaminate(benchmarks=files, **sizes)


def letters(word: str) -> str:
    return " ".join(word)


# --- hand-made vectors -----------------------------------------------------------------------------------------------


def test_coverage_is_the_share_of_the_best_passages_ngrams(tmp_path: Path) -> None:
    alphabet = letters(LETTERS[:20])  # twenty words: eight 13-grams
    rater = Contamination(options(tmp_path, {"b": [[alphabet]]}))
    complete, thirteen, fifteen, twelve, broken = rated(
        rater,
        [
            f"before {alphabet} after",
            letters(LETTERS[3:16]),
            letters(LETTERS[:15]),
            letters(LETTERS[:12]),
            letters(LETTERS[:10] + "ß" + LETTERS[11:20]),
        ],
    )
    assert complete == Row(8, 1.0, "b", "0:q")
    assert thirteen == Row(1, 1 / 8, "b", "0:q")
    assert fifteen == Row(3, 3 / 8, "b", "0:q")
    assert twelve == broken == CLEAN


def test_a_short_passage_is_matched_whole(tmp_path: Path) -> None:
    items = [[letters("abcdefgh")], [letters("ijklmnopqrst")], [letters("uvwxyz")], [""]]
    rater = Contamination(options(tmp_path, {"b": items}))
    inside, cut, alone, too_short = rated(rater, [letters("0abcdefghx"), letters("ijklmnopqrs"), *(i[0] for i in items[1:3])])
    assert inside == Row(1, 1.0, "b", "0:q")
    assert alone == Row(1, 1.0, "b", "1:q")
    assert cut == too_short == CLEAN


def test_an_ngram_of_many_items_is_a_template_of_that_benchmark_alone(tmp_path: Path) -> None:
    template = letters("abcdefgh")
    benchmarks = {"many": [[f"{template} {c}"] for c in "xyz"], "one": [[template]], "same": [[template]] * 3}
    config = options(tmp_path, benchmarks, ngram=8, max_items=2)
    # Each item of "many" keeps the n-gram that ends in its own word; its template alone does not match.
    assert rated(Contamination(config), [template, f"{template} y"]) == [Row(1, 1.0, "one", "0:q"), Row(2, 1.0, "many", "1:q")]
    assert rated(Contamination(config.model_copy(update={"max_items": 3})), [template])[0].benchmark == "one"


def test_repeats_within_an_item_make_no_template(tmp_path: Path) -> None:
    config = options(tmp_path, {"b": [[letters("abcdefgh")] * 5]}, max_items=1)
    assert rated(Contamination(config), [letters("abcdefgh")]) == [Row(1, 1.0, "b", "0:q")]


def test_runs_of_numbers_are_no_ngrams(tmp_path: Path) -> None:
    config = options(tmp_path, {"b": [["0 1 2 3 4 5 6 7 8 9"], [letters("abababab")], [letters("abcdabcd")]]})
    assert rated(Contamination(config), ["9 8 7 6 5 4 3 2 1 0 1 2 3", letters("abababab"), letters("abcdabcd")]) == [
        CLEAN,
        CLEAN,
        Row(1, 1.0, "b", "2:q"),
    ]


def test_ties_go_to_more_ngrams_then_the_earlier_benchmark_then_the_earlier_item(tmp_path: Path) -> None:
    eight, ten = letters("abcdefgh"), letters("ijklmnopqr")
    benchmarks = {"first": [[eight], [eight]], "second": [[eight], [ten]]}
    config = options(tmp_path, benchmarks, ngram=8)
    # A passage of ten words has three 8-grams.
    assert rated(Contamination(config), [eight, f"{eight} . {ten}", ten]) == [
        Row(1, 1.0, "first", "0:q"),
        Row(4, 1.0, "second", "1:q"),
        Row(3, 1.0, "second", "1:q"),
    ]


# --- properties ------------------------------------------------------------------------------------------------------


def reference(
    benchmarks: dict[str, list[list[str]]], documents: list[str], ngram: int, min_ngram: int, max_items: int
) -> list[Row]:
    """Sets of tuples of words."""
    passages = []  # (benchmark, item, n-grams)
    users: dict[tuple[str, tuple[str, ...]], set[int]] = defaultdict(set)
    for name, items in benchmarks.items():
        for number, item in enumerate(items):
            for text in item:
                words = text.split()
                width = min(len(words), ngram)
                windows = [tuple(words[i : i + width]) for i in range(len(words) - width + 1)]
                grams = {w for w in windows if len(w) >= min_ngram and len(set(w)) >= min(4, min_ngram)}
                passages.append((name, number, grams))
                for gram in grams:
                    users[name, gram].add(number)
    live = [(name, item, {g for g in grams if len(users[name, g]) <= max_items}) for name, item, grams in passages]
    rows = []
    for text in documents:
        words = text.split()
        windows = {tuple(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
        ngrams = len(set().union(*(grams & windows for _, _, grams in live)))
        best = CLEAN
        most = (0.0, 0)
        for name, item, grams in live:
            if grams and (len(grams & windows) / len(grams), len(grams & windows)) > most:
                most = (len(grams & windows) / len(grams), len(grams & windows))
                best = Row(ngrams, most[0], name, f"{item}:q")
        rows.append(best)
    return rows


texts = st.lists(st.sampled_from("abcdef"), max_size=14).map(" ".join)
benchmark_items = st.lists(st.lists(texts, min_size=1, max_size=2), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    benchmarks=st.dictionaries(st.sampled_from(["x", "y", "z"]), benchmark_items, min_size=1),
    documents=st.lists(texts, max_size=8),
    min_ngram=st.integers(1, 5),
    more=st.integers(0, 3),
    max_items=st.integers(1, 3),
)
def test_equals_sets_of_tuples(
    tmp_path: Path, benchmarks: dict[str, list[list[str]]], documents: list[str], min_ngram: int, more: int, max_items: int
) -> None:
    sizes = {"ngram": min_ngram + more, "min_ngram": min_ngram, "max_items": max_items}
    rater = Contamination(options(tmp_path, benchmarks, **sizes))
    assert rated(rater, documents) == reference(benchmarks, documents, **sizes)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=st.lists(texts, min_size=1, max_size=8), cut=st.integers(0, 8))
def test_a_batch_may_be_split_anywhere(tmp_path: Path, documents: list[str], cut: int) -> None:
    rater = Contamination(options(tmp_path, {"b": [["a b c d e f"], ["b c d a c"]]}, ngram=4, min_ngram=4))
    assert rated(rater, documents) == rated(rater, documents[:cut]) + rated(rater, documents[cut:])


def test_case_marks_spaces_accents_and_numbers_do_not_hide_a_copy(tmp_path: Path) -> None:
    question = "In 1987, Zoë's café sold 12 cakes; how many did the other two shops sell that year?"
    rater = Contamination(options(tmp_path, {"b": [[question]]}))
    copies = [
        question.upper(),
        question.replace(" ", "\n\t "),
        question.replace("é", "e\u0301").replace("ë", "e").replace("'", "’"),
        question.replace("1987", "2024").replace("12", "95"),
        "**" + question.replace(",", " -- ").replace(";", "…") + "**",
    ]
    assert {row.coverage for row in rated(rater, copies)} == {1.0}
    changed = [question.replace("1987", "19870"), question.replace("Zoë's", "Zoës")]
    assert max(row.coverage for row in rated(rater, changed)) < 1


def test_it_keeps_the_contract(tmp_path: Path) -> None:
    check_rater(
        Contamination(
            options(tmp_path, {"a": [["the of and to a in is that for it was on are as with"]]}, ngram=8, min_ngram=3)
        )
    )


def test_awkward_documents_are_clean(tmp_path: Path) -> None:
    rater = Contamination(options(tmp_path, {"b": [[letters(LETTERS)]]}))
    documents = ["", " \n ", "word", "汉字与假名混在一起的一段话", "x" * 1_000_000, "a " * 500_000, "\x00", "... !!! ---"]
    assert rated(rater, documents) == [CLEAN] * len(documents)
    assert rated(rater, []) == []


def test_benchmarks_of_nothing_but_short_passages_match_nothing(tmp_path: Path) -> None:
    assert rated(Contamination(options(tmp_path, {"b": [["too short"]]})), ["too short", letters(LETTERS)]) == [CLEAN] * 2


# --- the index as a file, the rater on another machine ----------------------------------------------------------------


def test_a_saved_index_is_the_same_index(tmp_path: Path) -> None:
    config = options(tmp_path, {"b": [[letters(LETTERS)], [letters("abcdefgh")]], "c": [["x"]]})
    index = build(config)
    for name in ("one", "two"):
        build(config).save(str(tmp_path / name))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    loaded = Index.load(str(tmp_path / "one"))
    assert loaded.fingerprint == index.fingerprint
    direct, mapped = Contamination(config), Contamination(config, str(tmp_path / "one"))
    assert direct.fingerprint == mapped.fingerprint
    documents = [letters(LETTERS[2:]), letters("abcdefgh"), "clean"]
    assert rated(direct, documents) == rated(mapped, documents)


def test_a_file_that_is_no_index_is_named(tmp_path: Path) -> None:
    (tmp_path / "index").write_bytes(b"nonsense" * 100)
    with pytest.raises(ValueError, match="not an index"):
        Index.load(str(tmp_path / "index"))


def test_the_rater_travels_and_notices_a_changed_benchmark(tmp_path: Path) -> None:
    config = options(tmp_path, {"b": [[letters(LETTERS)]]})
    packed = pickle.dumps(Contamination(config))
    rater = pickle.loads(packed)
    rater.setup()
    assert rated(rater, [letters(LETTERS)])[0].coverage == 1.0
    options(tmp_path, {"b": [[letters(LETTERS[::-1])]]})
    with pytest.raises(ValueError, match="changed"):
        pickle.loads(packed).setup()


def test_fingerprint_follows_what_changes_a_value(tmp_path: Path) -> None:
    benchmarks = {"b": [[letters(LETTERS)]], "c": [[letters("abcdefgh")]]}
    base = options(tmp_path, benchmarks)
    seen = {Contamination(base).fingerprint}
    for change in ({"ngram": 12}, {"min_ngram": 9}, {"benchmarks": base.benchmarks[::-1]}):
        seen.add(Contamination(base.model_copy(update=change)).fingerprint)
    assert len(seen) == 4
    assert Contamination(base.model_copy(update={"drop": 0.9})).fingerprint in seen  # a threshold re-rates nothing


@pytest.mark.parametrize(
    ("words", "matches"), [(Words(), True), (Words(definition="whitespace"), True), (Words(unspaced="clause"), False)]
)
def test_items_and_documents_are_cut_alike(tmp_path: Path, words: Words, matches: bool) -> None:
    """A question in a script without spaces, in the middle of a sentence."""
    config = options(tmp_path, {"b": [["小明有三个苹果又买了五个一共有几个"]]})
    rater = Contamination(config, words=words)
    rater.setup()
    cut = segment(pa.array(["老师问小明有三个苹果又买了五个一共有几个的时候"]), words)
    assert rater.rate(cut)["contamination.coverage"].to_pylist() == [1.0 * matches]
    assert (rater.fingerprint == Contamination(config).fingerprint) == (words == DEFAULT_WORDS)
    assert pickle.loads(pickle.dumps(rater)).words == words


def test_contradictory_options_are_refused() -> None:
    one = {"name": "b", "path": "b.jsonl", "fields": ["q"]}
    for wrong in ({"ngram": 7}, {"review": 0.9}, {"benchmarks": [one, one]}, {"benchmarks": []}, {"ngrams": 13}):
        with pytest.raises(ValidationError):
            Decontaminate.model_validate({"benchmarks": [one]} | wrong)


# --- real benchmarks -------------------------------------------------------------------------------------------------


def web(shared: Path, count: int) -> list[str]:
    with zstandard.open(shared / "web" / "weborganizer-00.jsonl.zst", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in itertools.islice(lines, count)]


@pytest.mark.parametrize(
    ("name", "path", "field"),
    [("gsm8k", "gsm8k_test.jsonl", "question"), ("arc", "arc_challenge.jsonl", "query"), ("arc", "arc_easy.jsonl", "query")],
)
def test_long_enough_questions_are_found_in_web_text(shared: Path, name: str, path: str, field: str) -> None:
    benchmark = Benchmark(name=name, path=str(shared / "benchmarks" / path), fields=[field])
    rater = Contamination(Decontaminate(benchmarks=[benchmark]))
    rater.setup()
    pages = web(shared, 300)
    questions = passages(benchmark)
    documents = []
    for number, question in enumerate(questions):
        page = pages[number % len(pages)]
        middle = page.find(" ", len(page) // 2)
        documents.append(f"{page[:middle]}\n{question.text}\n{page[middle:]}")
    words = segment(pa.array([question.text for question in questions], pa.large_string()))
    rows = rated(rater, documents)
    matchable = [(words.fold_hash[a:b] != 0).sum() >= 8 for a, b in itertools.pairwise(words.word_first)]
    assert all(row.coverage == 1.0 for row, long in zip(rows, matchable, strict=True) if long)
    assert sum(matchable) > 0.94 * len(questions)
    exact = [row.item == f"{q.item}:{field}" for row, q, long in zip(rows, questions, matchable, strict=True) if long]
    assert sum(exact) > 0.98 * len(exact)  # the others occur twice in the benchmark
    assert rated(rater, pages) == [CLEAN] * len(pages)


def test_clean_prose_is_not_flagged(shared: Path) -> None:
    sources = {
        "gsm8k": ("gsm8k_test.jsonl", ["question", "answer"]),
        "arc": ("arc_*.jsonl", ["query", "choices"]),
        "piqa": ("piqa.jsonl", ["query", "choices"]),
        "openbook_qa": ("openbook_qa.jsonl", ["query", "choices"]),
        "truthfulqa": ("truthfulqa.csv", ["Question", "Best Answer"]),
        "humaneval": ("humaneval.jsonl", ["prompt"]),
    }
    folder = shared / "benchmarks"
    benchmarks = [Benchmark(name=n, path=str(folder / p), fields=f) for n, (p, f) in sources.items()]
    rater = Contamination(Decontaminate(benchmarks=benchmarks))
    prose = (shared / "quality" / "wikitext2_valid.txt").read_text().split("\n")
    assert rated(rater, prose) == [CLEAN] * len(prose)
