"""A dataset is filtered, ordered, binned and guarded by the scores that it brings along, with no code; and by a function."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tamis
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run.launch import launch
from tamis.transforms.core.errors import RunError
from tamis.transforms.feed.export import export
from tests.pipelines.corpus import corpus

RECIPE = """\
signals:
  metadata.score: {kind: float64, direction: up, range: [0, 5], unit: points}
  metadata.int_score: {kind: int64, direction: up, range: [0, 5]}
  metadata.language_score: {kind: float64, direction: up, range: [0, 1]}
  metadata.dump: {kind: string}
  metadata.topics: {kind: list<string>}
thresholds:
  metadata.int_score: {min: 2}
  metadata.language_score: {min: 0.5}
  metadata.topics: {one_of: [science, news]}
quality: [{signal: metadata.score}]
curriculum: {order: ascending, interleave_by: none}
"""


def rows(count: int = 200) -> list[dict[str, Any]]:
    """Documents as FineWeb-Edu has them: a score, a rounded one, a language score and a dump."""
    return [
        {
            "id": f"d{number:04d}",
            "text": f"{record['text']} {number}",
            "score": None if number % 50 == 0 else (number * 37 % 500) / 100,
            "int_score": None if number % 50 == 0 else round((number * 37 % 500) / 100),
            "language_score": 0.4 if number % 7 == 0 else 0.9,
            "dump": "CC-MAIN-2024-10" if number % 2 else "CC-MAIN-2023-50",
            "topics": [["science"], ["news", "sports"], ["sports"], []][number % 4],
        }
        for number, record in enumerate(corpus(count))
    ]


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("edu") / "edu.parquet"
    pq.write_table(pa.Table.from_pylist(rows()), path)
    return path


def run(folder: Path, text: str, source: Path, *sets: str, **raters: Any) -> tuple[Path, dict[str, Any]]:
    (folder / "r.yaml").write_text(text)
    result = launch(load_recipe(str(folder / "r.yaml"), sets, [str(source)], **raters), str(folder / "run"), workers=1)
    return folder / "run", dict(result.manifest)


def corpus_ids(run: Path) -> list[str]:
    shards = sorted(path for path in run.rglob("data/**/*.parquet") if path.is_file())
    return pa.concat_tables(pq.read_table(path, columns=["id"]) for path in shards)["id"].to_pylist()


def test_it_is_filtered_and_ordered_by_its_own_score(tmp_path: Path, parquet: Path) -> None:
    kept = [
        row
        for row in rows()
        if row["int_score"] is not None
        and row["int_score"] >= 2
        and row["language_score"] >= 0.5
        and {"science", "news"} & set(row["topics"])
    ]
    directory, manifest = run(tmp_path, RECIPE, parquet)
    by_score = {row["id"]: row["score"] for row in kept}
    found = corpus_ids(directory)
    assert sorted(found) == sorted(by_score)
    assert [by_score[name] for name in found] == sorted(by_score.values())
    reasons = {reason["reason"]: reason["documents"] for reason in manifest["counts"]["reasons"]}
    assert reasons.keys() == {"metadata.int_score", "metadata.language_score", "metadata.topics"}


def test_the_columns_are_typed_and_a_value_of_another_type_is_counted(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    records = [{"id": "a", "text": "one", "score": 3}, {"id": "b", "text": "two", "score": "4"}, {"id": "c", "text": "three"}]
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    text = "signals: {metadata.score: {}, metadata.scor: {range: [0, 1]}}\n"
    directory, manifest = run(tmp_path, text, source)
    (part,) = directory.rglob("rated/**/*.parquet")
    table = pq.ParquetFile(part).read()
    assert table["metadata.score"].to_pylist() == [3.0, None, None]
    assert table["metadata.mistyped"].to_pylist() == [0, 1, 0]
    warnings = {warning["code"]: warning for warning in manifest["warnings"]}
    assert warnings["signals-mistyped"]["numbers"] == {"documents": 1}
    assert "'metadata.scor'" in warnings["signal-missing"]["message"]


def test_an_undeclared_score_needs_no_rating(tmp_path: Path, parquet: Path) -> None:
    directory, _ = run(tmp_path, "", parquet)
    before = {path.name: path.stat().st_mtime_ns for path in directory.rglob("rated/**/*.parquet")}
    sets = ("thresholds.metadata.score.min=3", "thresholds.metadata.dump.one_of=[CC-MAIN-2024-10]")
    directory, manifest = run(tmp_path, "", parquet, *sets)
    assert {path.name: path.stat().st_mtime_ns for path in directory.rglob("rated/**/*.parquet")} == before
    expected = sum((row["score"] or 0) >= 3 and row["dump"].endswith("10") for row in rows())
    assert manifest["counts"]["kept"] == expected


def test_bins_and_guards_take_it(tmp_path: Path, parquet: Path) -> None:
    sets = (
        "select={bins: [metadata.dump, metadata.topics], epochs: {'*': 1, 'CC-MAIN-2023-50|science': 0.5}}",
        "guards.shares.best={where: {metadata.score: {min: 4}}, warn_above: 1}",
        "guards.shares.news={where: {metadata.topics: [news]}, warn_above: 1}",
    )
    _, manifest = run(tmp_path, RECIPE, parquet, *sets)
    shares = manifest["guards"]["shares"]
    assert 0 < shares["best"] < 1
    assert 0 < shares["news"] < 1


def test_signals_are_typed_columns_of_the_corpus_and_of_exports(tmp_path: Path, parquet: Path) -> None:
    signals = "output.signals=[metadata.score, metadata.int_score, metadata.dump, metadata.topics, tokens.count]"
    directory, _ = run(tmp_path, RECIPE, parquet, signals)
    (shard,) = directory.rglob("data/**/*.parquet")
    table = pq.ParquetFile(shard).read()
    names = ("metadata.score", "metadata.int_score", "metadata.dump", "metadata.topics", "tokens.count")
    types = [table.schema.field(name).type for name in names]
    assert types == [pa.float64(), pa.int64(), pa.string(), pa.list_(pa.string()), pa.int64()]
    of_input = {row["id"]: row for row in rows()}
    for row in table.to_pylist():
        assert [row[f"metadata.{name}"] for name in ("score", "int_score", "dump", "topics")] == [
            of_input[row["id"]][name] for name in ("score", "int_score", "dump", "topics")
        ]
    (exported,) = export(str(directory), "jsonl", str(tmp_path / "out")).files
    lines = [json.loads(line) for line in Path(exported).read_text().splitlines()]
    assert [line["metadata.score"] for line in lines] == table["metadata.score"].to_pylist()


@pytest.mark.parametrize("format", ["mds", "litdata"])
def test_loaders_of_others_get_typed_signals(tmp_path: Path, parquet: Path, format: Literal["mds", "litdata"]) -> None:
    library = pytest.importorskip({"mds": "streaming", "litdata": "litdata"}[format], reason="it is not installed")
    directory, _ = run(tmp_path, RECIPE, parquet, "output.signals=[metadata.score, metadata.int_score, metadata.topics]")
    out = str(tmp_path / "out")
    export(str(directory), format, out)
    more = {"batch_size": 1, "local": out} if format == "mds" else {"input_dir": out}
    of_input = {row["id"]: row for row in rows()}
    documents = list(library.StreamingDataset(shuffle=False, **more))
    assert documents
    for row in documents:
        for name in ("score", "int_score", "topics"):
            assert row[f"metadata.{name}"] == of_input[row["id"]][name]


def count_vowels(text: str) -> float | None:
    return sum(letter in "aeiou" for letter in text) / len(text) if text else None


def test_a_function_is_a_rater(tmp_path: Path, parquet: Path) -> None:
    vowels = tamis.rater(name="vowels", version="1", direction="up", range=(0, 0.5))(count_vowels)
    text = "thresholds: {vowels.score: {min: 0.29}}\nquality: [{signal: vowels.score}]\n"
    _, manifest = run(tmp_path, text, parquet, raters=[vowels])
    assert manifest["counts"]["kept"] == sum(count_vowels(row["text"]) >= 0.29 for row in rows())
    assert manifest["recipe"]["rate"]["vowels"]["version"] == "1"

    same = load_recipe(str(tmp_path / "r.yaml"), raters=[vowels])
    newer = tamis.rater(name="vowels", version="2", direction="up", range=(0, 0.5))(count_vowels)
    assert load_recipe(str(tmp_path / "r.yaml"), raters=[newer]).rate_fingerprint != same.rate_fingerprint


def test_a_function_that_fails_always_is_named_and_one_that_fails_on_a_document_costs_it(tmp_path: Path, parquet: Path) -> None:
    with pytest.raises(RunError, match="rater 'faulty': ZeroDivisionError"):
        run(tmp_path, "", parquet, raters=[tamis.rater(name="faulty", version="1")(lambda text: 1 / 0)])

    def picky(text: str) -> float:
        return 1 / (not text.endswith(" 7"))

    _, manifest = run(tmp_path, "", parquet, raters=[tamis.rater(name="picky", version="1")(picky)])
    assert (manifest["counts"]["rejected"], manifest["counts"]["records"]) == (1, 200)


SCRIPT = """
import tamis
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run.launch import launch
import weights

def weigh(text):
    return len(text) * weights.FACTOR if text else None

if __name__ == "__main__":
    raters = [tamis.rater(name="mine", version="1")(weigh), tamis.rater(name="theirs", version="1")(weights.weigh)]
    launch(load_recipe("gopher", (), ["{source}"], raters=raters), "{run}", workers=2)
"""


@pytest.mark.slow
def test_functions_travel_to_worker_processes_from_a_script_and_from_a_module_beside_it(tmp_path: Path, parquet: Path) -> None:
    (tmp_path / "weights.py").write_text("FACTOR = 2\ndef weigh(text):\n    return FACTOR + len(text)\n")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(source=parquet, run=tmp_path / "run"))
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    table = pa.concat_tables(pq.ParquetFile(path).read() for path in (tmp_path / "run").rglob("rated/**/*.parquet"))
    lengths = [len(text) for text in table["text"].to_pylist()]
    assert table["mine.score"].to_pylist() == [2.0 * length for length in lengths]
    assert table["theirs.score"].to_pylist() == [2.0 + length for length in lengths]


def test_what_is_no_rater_or_is_there_twice_is_named() -> None:
    with pytest.raises(RunError, match="is no rater: make one of a function"):
        load_recipe("gopher", raters=[len])  # type: ignore[list-item]
    with pytest.raises(RunError, match="two raters are called 'mine'"):
        load_recipe("gopher", raters=[tamis.rater(name="mine", version=version)(len) for version in "12"])


@pytest.mark.parametrize(("name", "version"), [("gopher", "1"), ("mine", ""), ("My Rater", "1"), ("metadata", "1")])
def test_a_function_needs_a_name_of_its_own_and_a_version(name: str, version: str) -> None:
    with pytest.raises((ValueError, RunError), match=r"version|name|two raters"):
        load_recipe("gopher", raters=[tamis.rater(name=name, version=version)(len)])
