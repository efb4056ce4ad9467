"""Mixtures, epochs by phase, guards: whole runs compared with a slow reading of their ledgers."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tamis.pipelines.lookup.explanation import explanation
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.yaml_file import RecipeError
from tamis.pipelines.run.launch import launch
from tamis.transforms.core.errors import RunError
from tamis.transforms.curriculum.lint import spearman
from tamis.transforms.feed.loader import read_in_order
from tamis.transforms.provenance.verify import verify
from tamis.transforms.select.allocation import Selection, allocate
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import corpus_of, run, write_recipe

SCHEDULE = {"shape": "wsd", "peak": 3e-3, "final": 1e-3, "decay": 0.18}
PHASES = [{"name": "p1", "share": 0.6, "order": "uniform"}, {"name": "p2", "share": 0.4, "order": "ascending"}]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("selection") / "in", dealt(corpus(240, sentences=(4, 12)), 3, seed=1))


def selected(folder: Path, source: Path, **sections: object) -> tuple[Any, list[dict[str, Any]], list[dict[str, Any]]]:
    """(manifest, ledger, documents in training order)."""
    result = run(write_recipe(folder, **sections), source, folder / "run")
    assert verify(str(folder / "run")) == []
    ledger = [
        row for file in sorted(Path(result.release.uri("decisions")).iterdir()) for row in pq.read_table(file).to_pylist()
    ]
    documents = []
    for stretch in read_in_order(str(folder / "run")):
        phase = stretch.path.split("/")[-2]
        documents += [row | {"phase": phase} for row in stretch.documents.drop_columns(["text"]).to_pylist()]
    return result.manifest, ledger, documents


def eligible(ledger: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """By source, the documents that reached the selection."""
    by_source: dict[str, list[dict[str, Any]]] = {}
    for row in ledger:
        if row["decision"] == "keep" or row["reason"].startswith("select."):
            by_source.setdefault(row["source"], []).append(row)
    return by_source


def expected_copies(rows: list[dict[str, Any]], budget: int) -> dict[str, int]:
    """Copies of each document: from best to worst, again and again, within the budget. Ties are those of the run."""
    rows = sorted(rows, key=lambda row: (-row["quality"], -row["epochs"]))
    copies, tokens = dict.fromkeys((row["id"] for row in rows), 0), 0
    while True:
        for row in rows:
            tokens += row["tokens"]
            if tokens > budget:
                return copies
            copies[row["id"]] += 1


def test_a_mixture_fills_each_bin_and_repeats_documents_of_a_small_one(tmp_path: Path, source: Path) -> None:
    select = {"tokens": 40_000, "mixture": {"weights": {"web": 1, "books": 3, "code": 2}}, "max_epochs": 3, "distance": 0.1}
    manifest, ledger, documents = selected(tmp_path, source, select=select)
    by_source = eligible(ledger)
    budget = allocate(
        {name: sum(row["tokens"] for row in rows) for name, rows in by_source.items()}, Selection.model_validate(select)
    )
    for name, rows in by_source.items():
        assert {row["id"]: row["epochs"] for row in rows} == expected_copies(rows, budget[name])
    emitted = [row["id"] for row in documents]
    assert {row["id"]: emitted.count(row["id"]) for row in ledger} == {row["id"]: row["epochs"] for row in ledger}
    epochs: dict[str, list[int]] = {}
    for row in documents:
        epochs.setdefault(row["id"], []).append(row["epoch"])
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in epochs.values())
    counts = manifest["counts"]
    assert counts["repeated"]["documents"] == len(documents) - counts["kept"] > 0
    assert counts["repeated"]["tokens"] == manifest["curriculum"]["tokens"] - counts["tokens"]["kept"]
    assert sum(row["tokens"] for row in documents) <= 40_000
    assert not [warning for warning in manifest["warnings"] if warning["code"] == "repeats-too-close"]
    assert {row["reason"] for row in ledger if row["epochs"] == 0} >= {"select.mixture"}


def test_a_repeated_corpus_does_not_depend_on_how_its_input_is_split(tmp_path: Path) -> None:
    records = corpus(200, sentences=(4, 12))
    roots = set()
    for pieces in (1, 4):
        folder = tmp_path / str(pieces)
        folder.mkdir()
        source = save(folder / "in", dealt(records, pieces, seed=pieces))
        select = {"epochs": {"web": 0.4, "books": 2.5, "*": 1}, "temperature": 0.3}
        curriculum = {"order": "blended", "schedule": SCHEDULE}
        selected(folder, source, select=select, curriculum=curriculum)
        roots.add(corpus_of(folder / "run")[0])
    assert len(roots) == 1


def test_each_phase_takes_its_own_share(tmp_path: Path, source: Path) -> None:
    epochs = {"web": [1, 0.25], "books": [1, 2.5], "*": [0, 1]}
    curriculum = {"phases": PHASES, "schedule": SCHEDULE}
    manifest, ledger, documents = selected(tmp_path, source, select={"epochs": epochs}, curriculum=curriculum)
    for name, rows in eligible(ledger).items():
        source_tokens = sum(row["tokens"] for row in rows)
        for index, phase in enumerate(("p1", "p2")):
            times = epochs.get(name, epochs["*"])[index]
            tokens = sum(row["tokens"] for row in documents if (row["source"], row["phase"]) == (name, phase))
            assert times * source_tokens - max(row["tokens"] for row in rows) < tokens <= times * source_tokens + 1
    once = [row["quality"] for row in documents if (row["source"], row["phase"]) == ("web", "p2")]
    assert once == sorted(once)
    books = [row for row in documents if (row["source"], row["phase"]) == ("books", "p2")]
    assert books[-1]["quality"] == max(row["quality"] for row in books)
    assert all(row["phase"] == (1 if row["source"] == "code" else 0) for row in ledger if row["decision"] == "keep")
    assert {shard["phase"] for shard in manifest["curriculum"]["shards"]} == {"p1", "p2"}


def test_bins_can_be_metadata_and_top_limits_them(tmp_path: Path, source: Path) -> None:
    select = {"bins": ["source", "metadata.trap"], "epochs": {"web|near": 0.0, "web|plain": 2.0}, "top": {"books|plain": 0.5}}
    _, ledger, documents = selected(tmp_path, source, select=select)
    web = [row for row in documents if row["source"] == "web"]
    assert not [row for row in web if json.loads(row["metadata"])["trap"] == "near"]
    plain = [row["id"] for row in web if json.loads(row["metadata"])["trap"] == "plain"]
    assert len(plain) == 2 * len(set(plain)) > 0
    assert {row["reason"] for row in ledger if row["reason"] and row["reason"].startswith("select")} == {
        "select.top",
        "select.epochs",
    }


def test_a_failing_guard_leaves_no_release_and_a_warning_guard_warns(tmp_path: Path, source: Path) -> None:
    guard = {"synthetic": {"where": {"source": ["code"]}, "warn_above": 0.01, "fail_above": 0.02}}
    with pytest.raises(RunError, match=r"The share of synthetic documents is .* above the limit of 2%"):
        run(write_recipe(tmp_path, guards=guard), source, tmp_path / "run")
    assert not (tmp_path / "run/manifest.json").exists()
    guard["synthetic"]["fail_above"] = 1.0
    manifest, _, documents = selected(tmp_path, source, guards=guard)
    assert [warning["code"] for warning in manifest["warnings"]] == ["guard-synthetic"]
    tokens = {kind: sum(row["tokens"] for row in documents if (row["source"] == "code") == kind) for kind in (True, False)}
    assert manifest["guards"]["real_tokens"] == tokens[False]
    assert manifest["guards"]["shares"]["synthetic"] == pytest.approx(tokens[True] / sum(tokens.values()))
    assert set(documents[0]).isdisjoint({"guarded.synthetic", "epoch"})


@pytest.mark.slow
def test_a_release_has_no_fewer_real_tokens_than_the_one_before(tmp_path: Path, source: Path) -> None:
    guard = {"real_tokens": True}
    first, _, _ = selected(tmp_path, source, guards=guard)
    fewer = write_recipe(tmp_path, guards=guard, select={"tokens": 1000})
    with pytest.raises(RunError, match=r"real tokens, .* fewer than the"):
        run(fewer, source, tmp_path / "run")
    with pytest.raises(RunError, match=r"real tokens, .* fewer than the"):
        run(fewer, source, tmp_path / "run")  # and again
    again, _, _ = selected(tmp_path, source, guards=guard)
    assert again["guards"]["real_tokens"] == first["guards"]["real_tokens"]
    selected(tmp_path, source, guards={"real_tokens": False}, select={"tokens": 1000})


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"select": {"epochs": {"*": [1, 2, 3]}}, "curriculum": {"phases": PHASES}},
            "curriculum: select.epochs has numbers for 3 phases",
        ),
        ({"select": {"epochs": {"*": [1, 2]}}}, "for 2 phases, but curriculum.phases has 1"),
        ({"select": {"bins": ["gopher.wrod_count"], "epochs": {"*": 1}}}, "select.bins.0: no signal 'gopher.wrod_count'"),
        ({"select": {"bins": ["gopher.word_count"], "epochs": {"*": 1}}}, "is a number, not a label"),
        ({"guards": {"clean": {"where": {"qualiti": {"min": 1}}}}}, "guards.clean.where.qualiti: no signal"),
        ({"guards": {"shares": {"x": {"where": {"source": {"min": 1}}, "warn_above": 1}}}}, "'source' is text, not a number"),
        ({"guards": {"shares": {"x": {"where": {"source": ["a"]}}}}}, "guards.shares.x: has no limit"),
    ],
)
def test_an_impossible_selection_is_an_error(tmp_path: Path, sections: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe(str(write_recipe(tmp_path, **sections)), paths=["x"])
    assert message in str(error.value)


def test_a_mixture_of_unknown_bins_is_an_error(tmp_path: Path, source: Path) -> None:
    with pytest.raises(RunError, match=r"select.mixture: the mixture names a bin 'wbe' .* bins are books, code, web"):
        run(write_recipe(tmp_path, select={"tokens": 5, "mixture": {"weights": {"wbe": 1}}}), source, tmp_path / "run")


def test_the_phases_of_kaiyuan_shrink_and_all_have_the_best_documents(tmp_path: Path, source: Path) -> None:
    loaded = load_recipe("kaiyuan", ["output.shard_bytes=60000"], [str(source)])
    manifest = launch(loaded, str(tmp_path), workers=1).manifest
    assert verify(str(tmp_path)) == []
    by_phase: dict[str, list[str]] = {}
    tokens: Counter[str] = Counter()
    for stretch in read_in_order(str(tmp_path)):
        phase = stretch.path.split("/")[-2]
        by_phase.setdefault(phase, []).extend(stretch.documents["id"].to_pylist())
        tokens[phase] += stretch.tokens
    assert list(tokens) == [f"phase-{number}" for number in range(1, 6)]
    first = tokens["phase-1"]
    assert [round(size / first, 1) for size in tokens.values()] == [1.0, 1.0, 0.5, 0.3, 0.1]
    for larger, smaller in pairwise(by_phase.values()):
        assert set(smaller) <= set(larger)
    best = by_phase["phase-5"][-1]
    explained = explanation(str(tmp_path), best)
    assert (explained["epochs"], explained["shard"].split("/")[-2]) == (5, "phase-1")
    assert {warning["code"] for warning in manifest["warnings"]} <= {"share-drifts", "rule-takes-many", "names-nothing"}


def test_the_warning_about_length_does_not_depend_on_how_the_input_is_split(tmp_path: Path) -> None:
    """The ρ of a run is that of its ledger, except for the bins that it is computed from."""
    quality = [
        {"signal": "gopher.word_count", "range": [0, 400], "direction": "up"},
        {"signal": "gopher.stop_words", "range": [0, 8]},
    ]
    records, rhos = corpus(300, sentences=(2, 20)), []
    for pieces in (1, 3):
        folder = tmp_path / str(pieces)
        folder.mkdir()
        manifest, ledger, _ = selected(folder, save(folder / "in", dealt(records, pieces, seed=pieces)), quality=quality)
        (warning,) = (warning for warning in manifest["warnings"] if warning["code"] == "quality-is-length")
        rhos.append(warning["numbers"]["spearman"])
        kept = [row for row in ledger if row["decision"] == "keep"]
        assert rhos[-1] == pytest.approx(spearman([row["quality"] for row in kept], [row["tokens"] for row in kept]), abs=0.02)
    assert rhos[0] == rhos[1]


def embedded(size: int) -> list[dict[str, object]]:
    """Records, of which nine in ten have an embedding and a topic."""
    draw = np.random.default_rng(5)
    records = corpus(size, sentences=(4, 12))
    for number, (record, vector) in enumerate(zip(records, draw.normal(size=(size, 3)), strict=True)):
        if number % 10:
            record |= {"embedding": [round(float(value), 3) for value in vector], "topic": f"topic-{number % 3}"}
    return records


@pytest.mark.slow
@pytest.mark.parametrize("within", [None, "source", "metadata.topic"])
def test_the_best_of_similar_documents_is_kept(tmp_path: Path, within: str | None) -> None:
    records, roots = embedded(240), set()
    by_id = {str(record["id"]): record for record in records}
    diverse = {"column": "metadata.embedding", "within": within, "ceiling": 0.95}
    for pieces, kind in ((1, "jsonl"), (3, "parquet")):
        folder = tmp_path / str(pieces)
        folder.mkdir()
        source = save(folder / "in", dealt(records, pieces, seed=pieces), kind)
        _, ledger, _ = selected(folder, source, select={"diverse": diverse, "tokens": 2_000})
        roots.add(corpus_of(folder / "run")[0])

    def cluster(row: dict[str, Any]) -> object:
        return row["source"] if within == "source" else by_id[row["id"]].get("topic") if within else None

    candidates = [row for row in ledger if row["decision"] == "keep" or row["reason"].startswith("select.")]
    dropped = {row["id"]: row for row in candidates if row["reason"] == "select.diverse"}
    survivors = [row for row in candidates if row["id"] not in dropped]
    assert dropped
    assert any(row["reason"] == "select.tokens" for row in survivors)

    def cosine(one: str, other: str) -> float:
        a, b = (np.array(by_id[name]["embedding"], np.float32).astype(float) for name in (one, other))
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    quality = {row["id"]: row["quality"] for row in candidates}
    with_embedding = [row for row in survivors if "embedding" in by_id[row["id"]]]
    for index, row in enumerate(with_embedding):
        for other in with_embedding[:index]:
            assert cluster(row) != cluster(other) or cosine(row["id"], other["id"]) <= 0.95
    for name, row in dropped.items():
        printed, representative = row["detail"].removeprefix("cosine ").split(" with ")
        assert representative in {other["id"] for other in with_embedding}
        assert float(printed) == pytest.approx(cosine(name, representative), abs=1e-4)
        assert cosine(name, representative) > 0.95
        assert quality[representative] >= quality[name]
        assert cluster(by_id[name] | row) == cluster(by_id[representative] | {"id": representative})
    assert "select.diverse" in str(explanation(str(tmp_path / "3" / "run"), min(dropped)))
    assert len(roots) == 1


def test_a_bad_embedding_is_an_error_that_names_its_document(tmp_path: Path) -> None:
    records = embedded(20)
    records[7]["embedding"] = "none"
    records[8]["embedding"] = [1.0]
    source = save(tmp_path / "in", [records])
    with pytest.raises(RunError, match=r"metadata\.embedding of document 'doc-000007' is not a list of numbers"):
        selected(tmp_path, source, dedup=None, select={"diverse": {"column": "metadata.embedding"}})
    del records[7]["embedding"]
    save(tmp_path / "in", [records])
    with pytest.raises(RunError, match="embeddings need one length, but have 1 and 3 numbers"):
        selected(tmp_path, source, dedup=None, select={"diverse": {"column": "metadata.embedding"}})
    with pytest.raises(RecipeError, match=r"select\.diverse\.column"):
        selected(tmp_path, source, select={"diverse": {"column": "embedding"}})
