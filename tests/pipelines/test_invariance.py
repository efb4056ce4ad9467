"""The corpus depends on documents and recipe alone: not on workers, files, formats, order or partitions."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run import work_plan
from tamis.pipelines.run.launch import launch
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import CHANGES, corpus_of, left, run, write_recipe


def test_a_run_is_the_same_with_one_worker_with_two_and_when_repeated(base, tmp_path):
    run(base.recipe, base.source, tmp_path)
    assert left(tmp_path) == left(base.run)
    assert run(base.recipe, base.source, tmp_path, fresh=True).rated == 3  # parts of other names
    released = ("data/", "decisions/", "plan.json")
    again, before = left(tmp_path), left(base.run)
    assert [item for item in again.items() if item[0].startswith(released)] == [
        item for item in before.items() if item[0].startswith(released)
    ]
    assert run(base.recipe, base.source, tmp_path).unchanged


@pytest.mark.parametrize(("files", "kind"), [(1, "jsonl.gz"), (7, "jsonl.zst"), (3, "parquet")])
def test_the_corpus_does_not_depend_on_how_documents_are_split_into_files(base, tmp_path, files, kind):
    source = save(tmp_path / "in", dealt(base.records, files, seed=files), kind)
    run(base.recipe, source, tmp_path / "run")
    assert corpus_of(tmp_path / "run") == corpus_of(base.run)


def test_the_corpus_does_not_depend_on_how_files_are_split(base, tmp_path):
    pieces = dealt(base.records, 12, seed=2)
    save(tmp_path / "in", [pieces[0]], "jsonl")
    save(tmp_path / "members", pieces[1:], "jsonl.gz")
    members = [file.read_bytes() for file in sorted((tmp_path / "members").iterdir())]
    (tmp_path / "in/members.jsonl.gz").write_bytes(b"".join(members))
    result = run(base.recipe, tmp_path / "in", tmp_path / "run", "input.split_bytes=4000")
    assert result.rated > len(members)
    assert corpus_of(tmp_path / "run") == corpus_of(base.run)


def test_documents_without_an_id_or_with_a_shared_one_are_distinguished_by_content(base, tmp_path):
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
        result = run(base.recipe, save(tmp_path / f"in-{files}", dealt(records, files, seed=files), kind), output)
        assert "ids-renamed" in {warning["code"] for warning in result.manifest["warnings"]}
    assert corpus_of(runs[0]) == corpus_of(runs[1])


@pytest.mark.parametrize("partitions", [1, 5])
def test_the_corpus_does_not_depend_on_partitions(base, tmp_path, monkeypatch, partitions):
    monkeypatch.setattr(work_plan.WorkPlan, "partitions", partitions)
    run(base.recipe, base.source, tmp_path)
    assert left(tmp_path) == left(base.run)


def test_partitions_grow_in_number_and_then_also_in_size():
    limit = work_plan.EVEN_PARTITIONS * work_plan.PARTITION_BYTES
    assert [work_plan.partitions(size) for size in (0, 1, 5 * work_plan.PARTITION_BYTES + 1, limit)] == [
        2,
        2,
        6,
        work_plan.EVEN_PARTITIONS,
    ]
    assert work_plan.partitions(4 * limit) == 2 * work_plan.EVEN_PARTITIONS  # and each is twice as large
    sizes = [limit * step // 100 for step in range(1, 1000)]
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
        }
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
            ]
        },
        "guards": {"synthetic": {"where": {"metadata.trap": ["near"]}, "fail_above": 1.0}, "real_tokens": True},
    },
    "a mixture that is drawn and repeated": {
        "select": {"tokens": 90_000, "mixture": {"temperature": 3.0}, "max_epochs": 2.5, "temperature": 0.2},
        "curriculum": {"phases": [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "order": "ascending"}]},
        "output": {"format": "jsonl.zst", "shard_bytes": 60_000},
    },
    "edits and cuts": CHANGES,
    "edits, cuts and words by source and language": {
        **CHANGES,
        "rate": {"gopher": {}, "repetition": {}, "language": {}},
        "per_source": {
            "code": {"words": {"definition": "whitespace"}, "edit": []},
            "books": {"edit": [{"cut_lines": {"where": {"words": {"min": 18}}}}, {"repair": {}}]},
        },
        "language_pairs": [{"min": 0}],
        "per_language": {"tr": {"words": {"unspaced": "clause", "definition": "whitespace"}}},
    },
    "nothing but an order": {"dedup": None, "quality": [], "thresholds": {}, "curriculum": {"order": "uniform"}},
}


BY_PROCESSES = ("phases that each take their own, some of it often", "edits, cuts and words by source and language")
"""The recipes that three worker processes run, too; of all of them Spark does. Their start takes most of the time."""


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIED)
def test_every_kind_of_recipe_gives_one_corpus_for_any_split(tmp_path, monkeypatch, name):
    records = corpus(400, seed=len(name))
    recipe = write_recipe(tmp_path, **VARIED[name])
    first = tmp_path / "first"
    run(recipe, save(tmp_path / "in", [records]), first)
    for number, (files, kind, partitions) in enumerate(((2, "parquet", 7), (5, "jsonl.zst", 1), (9, "jsonl", 3))):
        output = tmp_path / f"run-{number}"
        source = save(tmp_path / f"in-{number}", dealt(records, files, seed=number), kind)
        if partitions == 3 and name in BY_PROCESSES:
            launch(load_recipe(str(recipe), (), [str(source)]), str(output), workers=3)
        else:
            with monkeypatch.context() as patch:
                patch.setattr(work_plan.WorkPlan, "partitions", partitions)
                run(recipe, source, output)
        assert corpus_of(output) == corpus_of(first)
