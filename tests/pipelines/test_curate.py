"""The whole DAG on a few documents: what every step does with them, and which decision they get."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tamis.pipelines.lookup.explanation import explanation
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.yaml_file import RecipeError
from tamis.pipelines.run.launch import launch
from tamis.transforms.core.errors import RunError
from tamis.transforms.feed.loader import read_in_order

QUESTION = "A baker sold twelve loaves on Monday and three times as many on Tuesday so how many loaves did he sell in all"
PROSE = (
    "The river that ran past the mill was slow in summer and the children of the village would wade in it to the other bank. "
    "They knew that the miller did not mind, and that he would be there with bread when they came back in the evening. "
)


def prose(number: int) -> str:
    """A unique text: every sentence has the number, in letters, since a shingle has one digit for all."""
    letters = "".join(chr(ord("a") + int(digit)) for digit in str(number))
    names = [f"{word}{letters}" for word in ("Anna", "Bela", "Cato", "Dora", "Emil", "Fred", "Gina", "Hugo")]
    return " ".join(
        f"{name} walked to the river {letters} and message that the water was cold, and {name} went home." for name in names
    )


DOCUMENTS = [
    *({"id": f"web-{n}", "text": prose(n), "source": "web"} for n in range(8)),
    *({"id": f"book-{n}", "text": PROSE + prose(100 + n), "source": "book"} for n in range(4)),
    {"id": "copy", "text": prose(3), "source": "web"},
    {"id": "short", "text": "Too short.", "source": "web"},
    {"id": "leak", "text": PROSE + QUESTION + "? " + PROSE, "source": "web"},
]

RECIPE = {
    "rate": {"gopher": {}, "repetition": {}},
    "thresholds": {"gopher.word_count": {"min": 20}},
    "dedup": {"minhash": {}},
    "quality": [{"signal": "gopher.alphabetic_words", "range": [0, 1]}],
    "curriculum": {"order": "ascending", "schedule": {"shape": "wsd", "peak": 3e-3, "final": 1e-3}},
}


def curated(folder: Path, **sections: object) -> tuple[dict, dict[str, dict], str]:
    """(manifest, ledger rows by id, run directory) of a run over DOCUMENTS, with other sections in its recipe."""
    (folder / "in.jsonl").write_text("".join(json.dumps(document) + "\n" for document in DOCUMENTS))
    (folder / "benchmark.jsonl").write_text(json.dumps({"question": QUESTION, "answer": "48"}) + "\n")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE | sections))
    run = str(folder / "run")
    loaded = load_recipe(str(folder / "recipe.yaml"), paths=[str(folder / "in.jsonl")])
    result = launch(loaded, run, workers=1)
    rows = [row for file in sorted(Path(result.release.uri("decisions")).iterdir()) for row in pq.read_table(file).to_pylist()]
    return result.manifest, {row["id"]: row for row in rows}, run


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    benchmark = {"name": "bakery", "path": str(folder / "benchmark.jsonl"), "fields": ["question"]}
    return curated(folder, decontaminate={"benchmarks": [benchmark]})


def test_the_first_rule_that_a_document_fails_decides(plain):
    manifest, ledger, _ = plain
    assert (ledger["short"]["decision"], ledger["short"]["reason"], ledger["short"]["detail"]) == (
        "drop",
        "gopher.word_count",
        "2 < 20",
    )
    assert (ledger["leak"]["decision"], ledger["leak"]["reason"]) == ("drop", "contamination")
    assert "bakery" in ledger["leak"]["detail"]
    pair = {ledger["web-3"]["decision"], ledger["copy"]["decision"]}
    assert pair == {"keep", "drop"}
    dropped, kept = sorted((ledger["web-3"], ledger["copy"]), key=lambda row: row["decision"])
    assert (dropped["reason"], dropped["representative"], dropped["jaccard"]) == ("dedup.exact", kept["id"], 1.0)
    assert kept["copies"] == 2
    counts = manifest["counts"]
    assert (counts["records"], counts["kept"], counts["dropped"], counts["review"], counts["rejected"]) == (15, 12, 3, 0, 0)


def test_the_corpus_reads_back_in_order_with_its_learning_rates(plain):
    manifest, ledger, run = plain
    stretches = list(read_in_order(run))
    ids = [identifier for stretch in stretches for identifier in stretch.documents["id"].to_pylist()]
    assert sorted(ids) == sorted(name for name, row in ledger.items() if row["decision"] == "keep")
    assert ids == sorted(ids, key=lambda name: ledger[name]["place"])
    assert stretches[0].first_token == 0
    assert sum(stretch.tokens for stretch in stretches) == manifest["curriculum"]["tokens"]
    assert (stretches[-1].lr_min, stretches[0].lr_max) == (pytest.approx(1e-3), pytest.approx(3e-3))


def test_a_document_can_be_explained(plain):
    _, _, run = plain
    dropped = explanation(run, "short")
    assert (dropped["reason"], dropped["detail"], dropped["signals"]["gopher.word_count"]) == ("gopher.word_count", "2 < 20", 2)
    kept = explanation(run, "web-1")
    assert kept["decision"] == "keep"
    assert kept["shard"] == "releases/000001/data/phase-1/shard-00000.parquet"
    assert kept["row"] is not None


def test_contamination_below_the_drop_goes_to_review(tmp_path):
    benchmark = {"name": "bakery", "path": str(tmp_path / "benchmark.jsonl"), "fields": ["question"]}
    _, ledger, _ = curated(tmp_path, decontaminate={"benchmarks": [benchmark], "drop": 2.0, "review": 0.5})
    assert (ledger["leak"]["decision"], ledger["leak"]["reason"]) == ("review", "contamination")


def test_a_budget_keeps_the_best_documents_and_is_never_exceeded(tmp_path):
    manifest, ledger, _ = curated(tmp_path, select={"tokens": 1200})
    kept = [row for row in ledger.values() if row["decision"] == "keep"]
    over = [row for row in ledger.values() if row["reason"] == "select.tokens"]
    assert 0 < sum(row["tokens"] for row in kept) <= 1200
    assert sum(row["tokens"] for row in kept) + min(row["tokens"] for row in over) > 1200
    assert min(row["quality"] for row in kept) >= max(row["quality"] for row in over)
    assert manifest["counts"]["tokens"]["kept"] == sum(row["tokens"] for row in kept)


def test_a_budget_can_be_set_for_each_source(tmp_path):
    _, ledger, _ = curated(tmp_path, select={"tokens": {"web": 500, "book": 0}})
    kept = [row for row in ledger.values() if row["decision"] == "keep"]
    assert {row["source"] for row in kept} == {"web"}
    assert sum(row["tokens"] for row in kept) <= 500


def test_lr_weighted_with_a_constant_rate_and_blended_without_temperature_are_ascending(tmp_path):
    schedule = {"shape": "constant"}
    roots = set()
    for order in ({"order": "ascending"}, {"order": "lr_weighted", "half_life": 0.1}, {"order": "blended", "temperature": 0.0}):
        (tmp_path / order["order"]).mkdir()
        manifest, _, _ = curated(tmp_path / order["order"], curriculum={**order, "schedule": schedule})
        roots.add(manifest["corpus_root"])
    assert len(roots) == 1


def test_lr_weighted_puts_the_best_of_each_source_where_the_schedule_gives_it_most_weight(tmp_path):
    curriculum = {"order": "lr_weighted", "half_life": None, "schedule": {"shape": "linear", "final": 0.0}}
    _, ledger, _ = curated(tmp_path, curriculum=curriculum)
    for source in ("web", "book"):
        rows = [row for row in ledger.values() if row["decision"] == "keep" and row["source"] == source]
        quality = [row["quality"] for row in sorted(rows, key=lambda row: row["place"])]
        assert quality == sorted(quality, reverse=True)


def test_phases_are_ranges_of_quality_each_in_its_order(tmp_path):
    phases = [{"name": "stable", "share": 0.5, "order": "uniform"}, {"name": "decay", "share": 0.5, "order": "ascending"}]
    curriculum = {"phases": phases, "schedule": {"shape": "wsd", "peak": 3e-3, "final": 1e-3}}
    manifest, ledger, _ = curated(tmp_path, curriculum=curriculum)
    assert [shard["phase"] for shard in manifest["curriculum"]["shards"]] == ["stable", "decay"]
    for source in ("web", "book"):
        rows = [row for row in ledger.values() if row["decision"] == "keep" and row["source"] == source]
        early = [row["quality"] for row in rows if row["phase"] == 0]
        late = [row["quality"] for row in rows if row["phase"] == 1]
        assert early
        assert late
        assert max(early) <= min(late)
    assert manifest["warnings"][0]["code"] == "last-phase-only"


def test_a_corpus_without_documents_is_refused_and_its_causes_are_named(tmp_path):
    with pytest.raises(RunError, match=r"no document of 15 is kept.*dropped by gopher\.word_count 15"):
        curated(tmp_path, output={"format": "jsonl.zst"}, thresholds={"gopher.word_count": {"min": 9999}})
    assert not (tmp_path / "run/manifest.json").exists()


def test_a_phase_of_empty_documents_has_a_shard(tmp_path: Path) -> None:
    source, output = tmp_path / "in.jsonl", str(tmp_path / "run")
    source.write_text('{"id": "empty", "text": ""}\n{"id": "words", "text": "one two"}\n')
    halves = {"curriculum": {"phases": [{"name": "first", "share": 0.5}, {"name": "last", "share": 0.5}]}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(halves))
    result = launch(load_recipe(str(tmp_path / "recipe.yaml"), paths=[str(source)]), output, workers=1)
    assert [shard["documents"] for shard in result.manifest["curriculum"]["shards"]] == [1, 1]


def test_each_source_is_ordered_by_a_metric_of_its_own(tmp_path: Path) -> None:
    by = {"web": "-gopher.mean_word_length", "nowhere": "quality"}
    phases = [{"name": name, "share": 0.5, "order": "ascending"} for name in ("low", "high")]
    for name, order in (("order", {"order": "ascending"}), ("phases", {"phases": phases})):
        (tmp_path / name).mkdir()
        manifest, ledger, run = curated(tmp_path / name, curriculum={**order, "by": by})
        length = {
            row["id"]: row["gopher.mean_word_length"]
            for file in sorted(Path(run, "rated").glob("*.parquet"))
            for row in pq.read_table(file, columns=["id", "gopher.mean_word_length"]).to_pylist()
        }
        kept = sorted(
            (row for row in ledger.values() if row["decision"] == "keep"), key=lambda row: (row["phase"], row["place"])
        )
        web = [-length[row["id"]] for row in kept if row["source"] == "web"]
        book = [row["quality"] for row in kept if row["source"] == "book"]
        assert web == sorted(web)
        assert book == sorted(book)
        assert len(set(web)) > 1
        assert "names-nothing" in {warning["code"] for warning in manifest["warnings"]}


@pytest.mark.parametrize(
    ("curriculum", "message"),
    [
        ({"by": {"web": "gopher.words"}}, "did you mean"),
        ({"by": {"web": "tokens.count"}}, "+tokens.count or -tokens.count"),
        ({"by": {"web": "source"}}, "is text"),
        ({"by": {"web": "+tokens.count"}, "interleave_by": "none"}, "set interleave_by: source"),
    ],
)
def test_a_metric_that_cannot_order_a_source_is_an_error(tmp_path: Path, curriculum: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        curated(tmp_path, curriculum=curriculum)
    assert message in str(error.value)
    assert "recipe.yaml:" in str(error.value)


def test_items_that_cannot_be_matched_are_named(tmp_path):
    rows = [json.dumps({"question": text}) for text in ("Why?", QUESTION, "2 + 2")]
    (tmp_path / "short.jsonl").write_text("\n".join(rows))
    benchmark = {"name": "short", "path": str(tmp_path / "short.jsonl"), "question": "question"}
    manifest, ledger, _ = curated(tmp_path, decontaminate={"benchmarks": [benchmark]})
    (warning,) = (warning for warning in manifest["warnings"] if warning["code"] == "items-unmatchable")
    assert "2 of 3 items of benchmark short" in warning["message"]
    assert ": 0, 2." in warning["message"]
    assert ledger["leak"]["reason"] == "contamination"
