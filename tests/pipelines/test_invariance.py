"""The corpus is a function of documents and recipe: workers, files, formats, order and partitions do not show in a byte."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tamis.pipelines.run import work_plan
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import command, corpus_of, left, run, typed, write_recipe


def test_the_whole_run_is_the_same_for_one_worker_and_two_and_when_done_afresh(base, tmp_path):
    run(base.recipe, base.source, tmp_path)
    assert left(tmp_path) == left(base.run)
    assert run(base.recipe, base.source, tmp_path, fresh=True).rated == 3
    assert left(tmp_path) == left(base.run)


@pytest.mark.parametrize(("files", "kind"), [(1, "jsonl.gz"), (7, "jsonl.zst"), (3, "parquet")])
def test_the_corpus_is_the_same_however_its_documents_are_cut_into_files(base, tmp_path, files, kind):
    source = save(tmp_path / "in", dealt(base.records, files, seed=files), kind)
    run(base.recipe, source, tmp_path / "run")
    assert corpus_of(tmp_path / "run") == corpus_of(base.run)


def test_the_corpus_is_the_same_however_its_files_are_split(base, tmp_path):
    pieces = dealt(base.records, 12, seed=2)
    save(tmp_path / "in", [pieces[0]], "jsonl")
    save(tmp_path / "members", pieces[1:], "jsonl.gz")
    members = [file.read_bytes() for file in sorted((tmp_path / "members").iterdir())]
    (tmp_path / "in/members.jsonl.gz").write_bytes(b"".join(members))
    found = run(base.recipe, tmp_path / "in", tmp_path / "run", "input.split_bytes=4000")
    assert found.rated > len(members)
    assert corpus_of(tmp_path / "run") == corpus_of(base.run)


def test_documents_without_an_id_or_with_anothers_are_told_apart_by_content(base, tmp_path):
    # A third has no id, and texts recur; a third has one of five ids, of which two look as if they had been numbered.
    names = ("a", "b", "a#2", "c", "b#3")
    records = [dict(record) for record in base.records]
    for number, record in enumerate(records):
        if number % 3 == 0:
            del record["id"]
        elif number % 3 == 1:
            record["id"] = names[number % 5]
    runs = [tmp_path / "one", tmp_path / "seven"]
    for output, files, kind in zip(runs, (1, 7), ("jsonl", "parquet"), strict=True):
        found = run(base.recipe, save(tmp_path / f"in-{files}", dealt(records, files, seed=files), kind), output)
        assert "ids-renamed" in {warning["code"] for warning in found.manifest["warnings"]}
    assert corpus_of(runs[0]) == corpus_of(runs[1])


@pytest.mark.parametrize("partitions", [1, 5])
def test_partitions_bound_memory_and_nothing_else(base, tmp_path, monkeypatch, partitions):
    monkeypatch.setattr(work_plan.WorkPlan, "partitions", partitions)
    run(base.recipe, base.source, tmp_path)
    assert left(tmp_path) == left(base.run)


def test_partitions_grow_in_number_and_then_in_size_too():
    most = work_plan.EVEN_PARTITIONS * work_plan.PARTITION_BYTES
    assert [work_plan.partitions(size) for size in (0, 1, 5 * work_plan.PARTITION_BYTES + 1, most)] == [
        2,
        2,
        6,
        work_plan.EVEN_PARTITIONS,
    ]
    assert work_plan.partitions(4 * most) == 2 * work_plan.EVEN_PARTITIONS  # and each is twice as large
    sizes = [most * step // 100 for step in range(1, 1000)]
    assert all(0 <= after - before <= 11 for before, after in pairwise(map(work_plan.partitions, sizes)))  # no jumps


VARIED = {
    "phases and a budget": {
        "select": {"tokens": 60_000},
        "curriculum": {
            "phases": [{"name": "early", "share": 0.7}, {"name": "late", "share": 0.3, "order": "folded", "folds": 3}],
            "schedule": {"shape": "cosine", "peak": 1e-3},
        },
    },
    "budgets by source, one order, lines": {
        "select": {"tokens": {"web": 20_000, "code": 5_000}},
        "curriculum": {"order": "descending", "interleave_by": "none"},
        "output": {"format": "jsonl.zst", "shard_bytes": 60_000},
    },
    "orders by quantile, in phases drawn evenly": {
        "curriculum": {
            "phases": [
                {"name": "early", "share": 0.5, "order": "bucketed", "buckets": 7},
                {"name": "middle", "share": 0.2, "order": "blended"},
                {"name": "late", "share": 0.3, "order": "lr_weighted", "half_life": 0.05},
            ],
            "assign": "uniform",
            "schedule": {"final": 1.0e-5, "decay": 0.2},
        },
    },
    "phases that each take their own, some of it often": {
        "select": {
            "bins": ["source", "metadata.trap"],
            "epochs": {"web|plain": [1.0, 0.4, 2.5], "*": [0.5, 3.0, 0.1]},
            "distance": 2_000,
        },
        "curriculum": {
            "phases": [
                {"name": "early", "share": 0.4, "order": "uniform"},
                {"name": "middle", "share": 0.4, "order": "blended"},
                {"name": "late", "share": 0.2, "order": "lr_weighted", "half_life": 0.1},
            ],
        },
        "guards": {"synthetic": {"where": {"metadata.trap": ["near"]}, "fail_above": 1.0}, "real_tokens": True},
    },
    "a mixture that is drawn and repeated": {
        "select": {
            "tokens": 90_000,
            "mixture": {"temperature": 3.0},
            "max_epochs": 2.5,
            "temperature": 0.2,
        },
        "curriculum": {"phases": [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "order": "ascending"}]},
        "output": {"format": "jsonl.zst", "shard_bytes": 60_000},
    },
    "nothing but an order": {"dedup": None, "quality": [], "thresholds": {}, "curriculum": {"order": "uniform"}},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIED)
def test_every_kind_of_recipe_gives_one_corpus_for_any_cut(tmp_path, monkeypatch, name):
    records = corpus(400, seed=len(name))
    recipe = write_recipe(tmp_path, **VARIED[name])
    first = tmp_path / "first"
    run(recipe, save(tmp_path / "in", [records]), first)
    for number, (files, kind, partitions) in enumerate(((2, "parquet", 7), (5, "jsonl.zst", 1), (9, "jsonl", 3))):
        output = tmp_path / f"run-{number}"
        source = save(tmp_path / f"in-{number}", dealt(records, files, seed=number), kind)
        if partitions == 3:
            typed(command(recipe, source, output, workers=3))
        else:
            with monkeypatch.context() as patch:
                patch.setattr(work_plan.WorkPlan, "partitions", partitions)
                run(recipe, source, output)
        assert corpus_of(output) == corpus_of(first)
