"""Benchmark fields are read from every format, and errors name the place and the cure."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tamis.transforms.decontaminate.benchmarks import Benchmark, Item, Passage, items, passages

ROWS = [
    {"qid": "a", "question": "Why?", "choices": {"text": ["Because", "No\n"]}, "turns": [{"say": "hi"}, {"say": "ho"}]},
    {"qid": "b", "question": None, "choices": {"text": []}, "turns": []},
    {"qid": "c", "question": "Où ça ?", "choices": {"text": ["là"]}, "turns": [{"say": 7}]},
]  # fmt: skip
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
PASSAGES = [
    Passage("a", "question", "Why?"),
    Passage("a", "choices.text", "Because"),
    Passage("a", "choices.text", "No\n"),
    Passage("a", "turns.say", "hi"),
    Passage("a", "turns.say", "ho"),
    Passage("c", "question", "Où ça ?"),
    Passage("c", "choices.text", "là"),
    Passage("c", "turns.say", "7"),
]


def benchmark(path: Path, **options: object) -> Benchmark:
    defaults = {"name": "b", "path": str(path), "fields": ["question", "choices.text", "turns.say"], "id": "qid"}
    return Benchmark.model_validate(defaults | options)


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("b.jsonl", bytes),
        ("b.jsonl.gz", gzip.compress),
        ("b.jsonl.bz2", bz2.compress),
        ("b.jsonl.zst", zstandard.compress),
        ("b.ndjson.zst", lambda raw: zstandard.compress(raw[:50]) + zstandard.compress(raw[50:])),
    ],
)
def test_json_lines_with_every_compression(tmp_path: Path, name: str, compress) -> None:
    (tmp_path / name).write_bytes(compress(LINES))
    assert passages(benchmark(tmp_path / name)) == PASSAGES


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"question": ["Why?", None], "choices": [{"text": ["Because", "No"]}, {"text": []}]})
    pq.write_table(table, tmp_path / "b.parquet")
    result = passages(benchmark(tmp_path / "b.parquet", fields=["choices.text", "question"], id=None))
    assert [(p.item, p.field, p.text) for p in result] == [
        ("0", "choices.text", "Because"),
        ("0", "choices.text", "No"),
        ("0", "question", "Why?"),
    ]


def test_csv_keeps_line_breaks_and_long_cells(tmp_path: Path) -> None:
    with open(tmp_path / "b.csv", "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["question", "x"], ["one\ntwo", "1"], ["w" * 200_000, "2"]])
    result = passages(benchmark(tmp_path / "b.csv", fields=["question"], id=None))
    assert [p.text for p in result] == ["one\ntwo", "w" * 200_000]


def test_row_numbers_continue_over_the_files_of_a_glob(tmp_path: Path) -> None:
    for name in ("2.jsonl", "1.jsonl"):
        (tmp_path / name).write_text(json.dumps({"question": name}) + "\n\n")
    result = passages(benchmark(tmp_path / "*.jsonl", fields=["question"], id=None))
    assert [(p.item, p.text) for p in result] == [("0", "1.jsonl"), ("1", "2.jsonl")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": ["qestion"]}, "'qestion'; did you mean 'question'"),
        ({"fields": ["question"], "id": "id"}, "'id'; did you mean 'qid'"),
        ({"fields": ["choices"]}, "line 1: 'choices' is an object; name its fields: choices.text"),
        ({"fields": ["choices.texts"]}, "did you mean 'choices.text'"),
    ],
)
def test_wrong_fields_name_the_right_ones(tmp_path: Path, options: dict[str, object], message: str) -> None:
    (tmp_path / "b.jsonl").write_bytes(LINES)
    with pytest.raises(ValueError, match=message):
        passages(benchmark(tmp_path / "b.jsonl", **options))


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("b.jsonl", b'{"question": "x"}\n{"question": ', "b.jsonl: line 2"),
        ("b.jsonl", b"[1]\n", "line 1: not an object"),
        ("b.jsonl", b"", "has no rows"),
        ("b.jsonl", b'{"question": "\xff"}\n', "line 1"),
        ("b.csv", b"question\n\xff\n", "b.csv: .*utf-8"),
        ("b.csv", b'question\n"open', "b.csv: unexpected end"),
        ("b.parquet", b"PAR1 no", "b.parquet"),
        ("b.txt", b"x", "a benchmark must be .jsonl"),
        ("b.jsonl.gz", gzip.compress(LINES, mtime=0)[:-9], "b.jsonl.gz"),
        ("b.jsonl.gz", gzip.compress(LINES, mtime=0)[:10] + b"\xff" * 20, "b.jsonl.gz: Error -3"),
        ("b.jsonl.bz2", bz2.compress(LINES)[:-9], "b.jsonl.bz2"),
        ("b.jsonl.zst", zstandard.compress(LINES)[:-9], "truncated"),
        ("b.jsonl.zst", LINES, "b.jsonl.zst"),
    ],
)
def test_unreadable_files_are_errors_that_name_them(tmp_path: Path, name: str, raw: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(ValueError, match=message):
        passages(benchmark(tmp_path / name))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jsonl"):
        passages(benchmark(tmp_path / "nowhere.jsonl"))


def written(path: Path, *rows: object) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def parsed(path: str, **fields: object) -> list[Item]:
    return items(Benchmark.model_validate({"name": "b", "path": path, **fields}))


def test_parts_of_an_item_are_separate(tmp_path: Path) -> None:
    row = {"q": ["How many?", "And now?"], "text": "Two hens.", "a": "1", "b": "2", "gold": 1, "n": 7}
    path = written(tmp_path / "b.jsonl", row)
    fields = {"question": "q", "passage": "text", "choices": ["a", "b"], "answer": "gold", "answer_is": "index", "id": "n"}
    assert parsed(path, **fields) == [Item("b", "7", ("How many?", "And now?"), ("Two hens.",), ("1", "2"), ("2",))]


@pytest.mark.parametrize(
    ("answer_is", "answer", "text"),
    [
        ("index", 0, ["ant"]),
        ("index", "2", ["cow"]),
        ("number", "2", ["bee"]),
        ("letter", "C", ["cow"]),
        ("letter", ["A", "C"], ["ant", "cow"]),
        ("label", "y", ["bee"]),
        ("text", "an ant", ["an ant"]),
        ("index", "", []),  # of a test split, whose answers are kept secret
        ("index", -1, []),
        ("letter", None, []),
    ],
)
def test_an_answer_is_the_text_of_its_choice(tmp_path: Path, answer_is: str, answer: object, text: list[str]) -> None:
    path = written(tmp_path / "b.jsonl", {"q": "Which?", "c": ["ant", "bee", "cow"], "l": ["x", "y", "z"], "a": answer})
    labels = {"labels": "l"} if answer_is == "label" else {}
    (item,) = parsed(path, question="q", choices="c", answer="a", answer_is=answer_is, **labels)
    assert list(item.answer) == text


@pytest.mark.parametrize(("answer_is", "answer"), [("index", 3), ("number", 0), ("letter", "D"), ("letter", "ant")])
def test_an_answer_that_is_no_choice_is_an_error(tmp_path: Path, answer_is: str, answer: object) -> None:
    path = written(tmp_path / "b.jsonl", {"q": "Which?", "c": ["ant", "bee", "cow"], "a": answer})
    with pytest.raises(ValueError, match=f"benchmark b: .*line 1: the answer '{answer}' is none of"):
        parsed(path, question="q", choices="c", answer="a", answer_is=answer_is)


@pytest.mark.parametrize(
    ("choices", "texts"),
    [
        (["A. ant", "B. bee"], ["ant", "bee"]),
        (["(A)ant", "(B) bee", "(C)cow"], ["ant", "bee", "cow"]),
        (["A. Milne", "C. Lewis"], ["A. Milne", "C. Lewis"]),
        (["ant", "B. bee"], ["ant", "B. bee"]),
        (["A. Milne"], ["A. Milne"]),
    ],
)
def test_letters_of_choices_are_no_part_of_them(tmp_path: Path, choices: list[str], texts: list[str]) -> None:
    path = written(tmp_path / "b.jsonl", {"q": "Which?", "c": choices})
    (item,) = parsed(path, question="q", choices="c")
    assert list(item.choices) == texts


def test_fields_that_are_no_part_of_an_item_are_questions(tmp_path: Path) -> None:
    path = written(tmp_path / "b.jsonl", *ROWS)
    first, *_ = parsed(path, fields=["turns.say", "question", "choices.text"])
    assert first == Item("b", "0", ("hi", "ho", "Why?"), (), ("Because", "No\n"))


def test_a_prompt_is_taken_apart(tmp_path: Path) -> None:
    path = written(tmp_path / "b.jsonl", {"p": "Q: Which\none?\nA. ant\nB. bee\nAnswer:", "gold": "B"})
    pattern = r"Q: (?P<question>.*?)\n(?P<choices>A\. .*)\nAnswer:"
    (item,) = parsed(path, prompt="p", pattern=pattern, answer="gold", answer_is="letter")
    assert item == Item("b", "0", ("Which\none?",), (), ("ant", "bee"), ("bee",))
    with pytest.raises(ValueError, match=r"line 1: the prompt 'Q: Which.* does not match"):
        parsed(path, prompt="p", pattern=r"(?P<question>nothing)")


def test_rows_of_choices_are_one_item(tmp_path: Path) -> None:
    rows = [
        {"n": n, "q": question, "c": choice, "right": right}
        for n, question, choice, right in [(0, "Q", "x", False), (0, "Q", "y", True), (1, "Q", "x", True), (1, "Q", "z", False)]
    ]
    path = written(tmp_path / "b.jsonl", *rows)
    assert parsed(path, id="n", question="q", choices="c", answer="right", answer_is="flag") == [
        Item("b", "0", ("Q",), (), ("x", "y"), ("y",)),
        Item("b", "1", ("Q",), (), ("x", "z"), ("x",)),
    ]


def test_the_form_is_the_first_of_which_the_files_have_every_field(tmp_path: Path) -> None:
    forms = [{"question": "question", "answer": "gold"}, {"question": "question"}]
    path = written(tmp_path / "b.jsonl", {"question": "Q", "answer": "A"})
    (item,) = parsed(path, question="problem", forms=forms)
    assert item == Item("b", "0", ("Q",))
    path = written(tmp_path / "b.jsonl", {"question": "Q", "gold": "A"})
    (item,) = parsed(path, question="problem", forms=forms)
    assert item.answer == ("A",)
    with pytest.raises(ValueError, match=r"no row of .* has the field 'problem'"):
        parsed(path, question="problem")


def test_columns_without_a_header_and_lines_have_names(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text('"Which, then?",ant,bee,B\n')
    columns = {"columns": ["q", "c", "c", "a"], "question": "q", "choices": "c", "answer": "a", "answer_is": "letter"}
    assert parsed(str(tmp_path / "b.csv"), **columns) == [Item("b", "0", ("Which, then?",), (), ("ant", "bee"), ("bee",))]
    (tmp_path / "b.txt").write_text("Which?\nant\nbee\nAnd?\ncow\ndog\n")
    lines = {"lines": ["q", "c", "c"], "question": "q", "choices": "c"}
    assert [item.choices for item in parsed(str(tmp_path / "b.txt"), **lines)] == [("ant", "bee"), ("cow", "dog")]
    (tmp_path / "b.txt").write_text("Which?\nant\n")
    with pytest.raises(ValueError, match=r"b\.txt: its 2 lines are not a multiple of 3"):
        parsed(str(tmp_path / "b.txt"), **lines)


def test_of_a_folder_the_files_of_the_split_count(tmp_path: Path) -> None:
    written(tmp_path / "test.jsonl", {"question": "test"})
    written(tmp_path / "train.jsonl", {"question": "train"})
    (tmp_path / "README.md").write_text("no rows")
    assert [item.question for item in parsed(str(tmp_path), question="question", split="test")] == [("test",)]
    assert [item.question for item in parsed(str(tmp_path), question="question")] == [("test",), ("train",)]
    whole = Benchmark.model_validate({"name": "b", "path": str(tmp_path), "question": "question"})
    (train,) = whole.model_copy(update={"split": "test"}).siblings
    assert [item.question for item in items(train)] == [("train",)]
    assert whole.siblings == []
    assert whole.model_copy(update={"path": str(tmp_path / "train.jsonl"), "split": "test"}).siblings == []
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match=r"none of its files is \.jsonl"):
        parsed(str(tmp_path / "none"), question="question")


def test_what_datasets_saves_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same items from a folder that it saved, and from a data set that it loads as it loads those of the hub."""
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [{"question": "Which?", "choices": {"text": ["ant", "bee"], "label": ["A", "B"]}, "answerKey": "B"}]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    (tmp_path / "hub").mkdir()
    written(tmp_path / "hub" / "test.jsonl", *rows)
    written(tmp_path / "hub" / "train.jsonl", {**rows[0], "question": "Not this one"})
    fields = {"question": "question", "choices": "choices.text", "answer": "answerKey"}
    fields |= {"answer_is": "label", "labels": "choices.label"}
    expected = [Item("b", "0", ("Which?",), (), ("ant", "bee"), ("bee",))]
    assert parsed(str(tmp_path / "saved"), **fields) == expected
    hub = Benchmark.model_validate({"name": "b", "hub": str(tmp_path / "hub"), "split": "test", **fields})
    assert items(hub) == expected
    assert [(one.split, items(one)[0].question) for one in hub.siblings] == [("train", ("Not this one",))]
    with pytest.raises(ValueError, match=r"datasets cannot load .*hub.*split other"):
        items(hub.model_copy(update={"split": "other"}))


def test_without_datasets_the_error_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    hub = Benchmark.model_validate({"name": "b", "hub": "some/set", "split": "test", "question": "question"})
    with pytest.raises(ImportError, match=r"some/set .* needs the package datasets: pip install 'datasets'; or .*`path`"):
        items(hub)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "b.jsonl"}, "name its question field"),
        ({"question": "q"}, "give the path of its files"),
        ({"question": "q", "hub": "some/set"}, "needs a split"),
        ({"question": "q", "hub": "some/set", "split": "test[:10]"}, "a whole one"),
        ({"question": "q", "path": "b", "fields": ["q"]}, "either fields, or question"),
        ({"path": "b", "prompt": "q"}, "prompt and pattern belong together"),
        ({"path": "b", "prompt": "q", "pattern": "(?P<other>.*)"}, "the groups of pattern are named question"),
        ({"path": "b", "prompt": "q", "pattern": "(?P<question>"}, "no regular expression"),
        ({"path": "b", "question": "q", "labels": "l"}, "answer_is: label and labels"),
    ],
)
def test_contradictions_are_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Benchmark.model_validate({"name": "b", **options})
