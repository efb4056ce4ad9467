"""From Python: run a recipe, look at what was dropped, move a threshold, compare, load batches."""

from __future__ import annotations

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import tamis
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import RECIPE, write_recipe


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """(recipe file, glob of the input, run directory, its first release)."""
    folder = tmp_path_factory.mktemp("walk")
    source = save(folder / "in", dealt(corpus(300, seed=31), 3, seed=1))
    recipe, output = str(write_recipe(folder)), str(folder / "run")
    return recipe, str(source), output, tamis.run(recipe, source.as_posix(), output, workers=1)


def test_a_release_tells_what_was_dropped(walk):
    _, _, output, release = walk
    counts = release.manifest["counts"]
    dropped = release.table("text", "gopher.word_count", decision="drop")
    assert len(dropped) == counts["dropped"]
    assert set(dropped["decision"].to_pylist()) == {"drop"}
    short = release.table("gopher.word_count", reason="gopher.word_count")
    assert pc.max(short["gopher.word_count"]).as_py() < 20
    assert release.table(decision="drop", limit=3).num_rows == 3
    assert tamis.Release.open(output).name == release.name == f"{output}@1"
    assert release.explain(dropped["id"][0].as_py())["decision"] == "drop"
    assert release.verify() == []
    with pytest.raises(KeyError, match="no document"):
        release.explain("nobody")


def test_documents_and_decisions_are_datasets(walk):
    _, _, _, release = walk
    counts = release.manifest["counts"]
    assert release.documents.count_rows() == counts["kept"]
    assert release.decisions.count_rows() == counts["records"] - counts["rejected"]
    in_order = [id for batch in release.batches("id") for id in batch["id"].to_pylist()]
    assert in_order == release.documents.to_table(columns=["id"])["id"].to_pylist()
    assert release.plan.tokens == release.manifest["curriculum"]["tokens"]


def test_duckdb_reads_the_glob(walk):
    _, _, _, release = walk
    ((count,),) = duckdb.sql(f"select count(*) from read_parquet('{release.data}')").fetchall()
    assert count == release.manifest["counts"]["kept"]


def test_a_moved_threshold_makes_a_release_to_compare(walk):
    recipe, source, output, first = walk
    second = tamis.run(recipe, source, output, set={"thresholds.gopher.word_count.min": 120}, workers=1)
    assert second.name == f"{output}@2"
    rows = {(row["decision"], row["reason"]): (row["other"], row["this"]) for row in second.compare(first)}
    before, after = rows["drop", "gopher.word_count"]
    assert before < after
    assert first.manifest["counts"]["kept"] > second.manifest["counts"]["kept"]
    assert tamis.Release.open(f"{output}@1").manifest == first.manifest
    dataset = tamis.CurriculumDataset(second.name, "bytes", sequence_length=64, batch_size=4)
    assert next(iter(dataset)).tokens.shape == (4, 64)


def test_a_recipe_may_be_its_sections_and_a_function_may_rate(walk, tmp_path):
    _, source, _, first = walk

    @tamis.rater(name="vowels", version="1", direction="up", range=(0, 1))
    def vowels(text: str) -> float | None:
        return sum(letter in "aeiou" for letter in text) / len(text) if text else None

    sections = {**RECIPE, "thresholds": {**RECIPE["thresholds"], "vowels.score": {"min": 0.2}}}
    release = tamis.run(sections, source, str(tmp_path / "run"), raters=[vowels], workers=1)
    table = release.table("text", "vowels.score")
    for text, score in zip(table["text"].to_pylist(), table["vowels.score"].to_pylist(), strict=True):
        assert score == vowels_of(text)
    assert release.manifest["counts"]["records"] == first.manifest["counts"]["records"]
    with pytest.raises(tamis.RunError, match="thresholds"):
        tamis.run({**RECIPE, "thresholds": {"nothing.here": {"min": 1}}}, source, str(tmp_path / "wrong"))


def vowels_of(text: str) -> float | None:
    return sum(letter in "aeiou" for letter in text) / len(text) if text else None


def test_shards_of_json_lines_are_a_dataset_too(walk, tmp_path):
    recipe, source, _, first = walk
    release = tamis.run(recipe, source, str(tmp_path / "run"), set={"output.format": "jsonl.zst"}, workers=1)
    assert release.documents.count_rows() == first.documents.count_rows()
    assert release.data.endswith("*.jsonl.zst")
    assert pq.read_table(f"{first.run}/latest/decisions").num_rows == release.decisions.count_rows()
