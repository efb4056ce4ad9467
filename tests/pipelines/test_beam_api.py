"""In other people's pipelines, Rate, Curate and Deduplicate give what a run gives."""

from __future__ import annotations

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

import tamis
from tamis.beam import Batches, Curate, Deduplicate, Rate
from tamis.pipelines.recipe.load import load_recipe
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import write_recipe

RECORDS = corpus(300, seed=41)


COLLECTED: dict[str, list[dict[str, object]]] = {}


class Collect(beam.PTransform):
    """Keeps the rows of all batches in this process."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        COLLECTED[name] = []

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        return batches | beam.Map(keep, self.name)


def keep(batch: pa.RecordBatch, name: str) -> None:
    COLLECTED[name].extend(batch.to_pylist())


@pytest.fixture
def recipe(tmp_path):
    return load_recipe(str(write_recipe(tmp_path)))


def test_rate_adds_the_signals_of_a_recipe(recipe):
    with beam.Pipeline(FnApiRunner()) as pipeline:
        pipeline | beam.Create(RECORDS) | Batches(50) | Rate(recipe) | Collect("rated")
    rows = COLLECTED["rated"]
    assert len(rows) == len(RECORDS)
    assert {"gopher.word_count", "repetition.top_2gram_chars", "tokens.count"} <= rows[0].keys()
    by_id = {row["id"]: row for row in rows}
    assert all(by_id[record["id"]]["text"] == record["text"] for record in RECORDS)


def test_curate_keeps_what_a_run_keeps(recipe, tmp_path):
    release = tamis.run(recipe, str(save(tmp_path / "in", dealt(RECORDS, 3, seed=1))), str(tmp_path / "run"), workers=1)
    with beam.Pipeline(FnApiRunner()) as pipeline:
        kept, decisions = pipeline | beam.Create(RECORDS) | Batches(70) | Curate(recipe, str(tmp_path / "beam"), partitions=2)
        kept | "Keep" >> Collect("kept")
        decisions | "Decide" >> Collect("decisions")
    table = release.documents.to_table()
    ordered = sorted(COLLECTED["kept"], key=lambda row: (row["phase"], row["place"]))
    assert sorted(row["id"] for row in ordered) == sorted(table["id"].to_pylist())
    assert [row["quality"] for row in ordered] == table["quality"].to_pylist()
    reasons = {row["id"]: row["reason"] for row in COLLECTED["decisions"]}
    decided = release.decisions.to_table()
    assert reasons == dict(zip(decided["id"].to_pylist(), decided["reason"].to_pylist(), strict=True))


def test_deduplicate_needs_no_recipe(tmp_path):
    rows = [{"text": f"the bread and the water of mill {n} " * 20} for n in (1, 2, 1, 3, 2)]
    with beam.Pipeline(FnApiRunner()) as pipeline:
        kept, decisions = pipeline | beam.Create(rows) | Batches(2) | Deduplicate(str(tmp_path / "beam"), minhash=None)
        kept | "Keep" >> Collect("unique")
        decisions | "Decide" >> Collect("copies")
    assert sorted(row["text"] for row in COLLECTED["unique"]) == sorted({row["text"] for row in rows})
    assert sum(row["decision"] == "drop" for row in COLLECTED["copies"]) == 2


def test_a_batch_needs_only_texts(recipe):
    batch = pa.record_batch({"text": ["one", "two", "two"]})
    with beam.Pipeline(FnApiRunner()) as pipeline:
        pipeline | beam.Create([batch]) | Rate(recipe) | Collect("texts")
    rows = COLLECTED["texts"]
    assert [row["source"] for row in rows] == ["default"] * 3
    assert rows[0]["id"] != rows[1]["id"] == rows[2]["id"]


def test_a_dict_without_text_is_an_error(recipe):
    with pytest.raises(Exception, match="needs a string `text`"), beam.Pipeline(FnApiRunner()) as pipeline:
        pipeline | beam.Create([{"body": "no"}]) | Batches() | Rate(recipe)
