"""Benchmark fields are read from every format, and errors name the place and the cure."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tamis.transforms.decontaminate.benchmarks import Benchmark, Passage, passages

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


def test_the_real_formats(shared: Path) -> None:
    folder = shared / "benchmarks"
    for path, fields, items in [
        ("gsm8k_test.jsonl", ["question", "answer"], 1319),
        ("mmlu_test.jsonl.zst", ["question"], 56168),
        ("truthfulqa.csv", ["Question", "Best Answer"], 790),
        ("arc_*.jsonl", ["query", "choices"], 3548),
    ]:
        result = passages(Benchmark(name=path, path=str(folder / path), fields=fields))
        assert len({p.item for p in result}) == items
        assert {p.field for p in result} == set(fields)
