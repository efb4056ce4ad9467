"""A release stays as it is while others are made; what a run reads is never a run by accident."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tamis import CurriculumDataset
from tamis.pipelines.lookup.explanation import explanation
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.releases.retention import rollback
from tamis.pipelines.run.launch import Result, launch
from tamis.pipelines.run.status import status
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import open_release
from tamis.transforms.feed.export import export
from tamis.transforms.provenance.verify import verify
from tests.faults.reruns import Snapshot, outcome
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.run.early_layout import make_early
from tests.pipelines.running import write_recipe

PIECES = dealt(corpus(500, seed=21), 10, seed=2)
KNOWN = str(next(record["id"] for piece in PIECES[:4] for record in piece))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return save(tmp_path / "in", PIECES[:4])


def run(recipe: Path, source: Path | str, output: Path, *sets: str, fresh: bool = False) -> Result:
    return launch(load_recipe(str(recipe), sets, [str(source)]), str(output), workers=1, fresh=fresh)


def add(source: Path, number: int) -> None:
    """One more file of the input."""
    folder = save(source.parent / f"new-{number}", [PIECES[number]])
    for path in folder.iterdir():
        path.rename(source / f"new-{number}-{path.name}")


def told(name: Path | str) -> dict[str, object]:
    """What a release knows about a document, but the path of its shard."""
    return {**explanation(str(name), KNOWN), "shard": None}


@pytest.mark.slow
def test_a_loader_reads_all_of_its_release_while_three_more_nights_run(recipe, source, tmp_path):
    output = tmp_path / "run"
    run(recipe, source, output)
    expected = [batch.tokens for batch in CurriculumDataset(str(output), "bytes", 128, 4, cache=None)]
    batches = iter(CurriculumDataset(str(output), "bytes", 128, 4, cache=None, prefetch=0))
    read = [next(batches).tokens]
    first = Snapshot.take(str(output), 1)
    for night in range(3):
        add(source, 4 + night)
        assert run(recipe, source, output).release.number == night + 2
        read += [next(batches).tokens for _ in range(2)]
        first.check(str(output))
    read += [batch.tokens for batch in batches]
    assert len(read) == len(expected)
    assert all(np.array_equal(one, other) for one, other in zip(read, expected, strict=True))


def test_every_command_reads_an_earlier_release_by_its_number(recipe, source, tmp_path):
    output = tmp_path / "run"
    run(recipe, source, output)
    before = explanation(str(output), KNOWN)
    shutil.copytree(output, tmp_path / "copy", symlinks=True)
    run(recipe, source, output, "thresholds.gopher.word_count.min=150")
    assert open_release(str(output)).number == 2
    assert explanation(f"{output}@1", KNOWN) == before
    assert explanation(str(output), KNOWN)["thresholds"]["gopher.word_count"]["min"] == 150
    export(f"{output}@1", "parquet", str(tmp_path / "first"))
    export(str(tmp_path / "copy"), "parquet", str(tmp_path / "first-then"))
    for path in filter(Path.is_file, (tmp_path / "first").rglob("*")):
        assert path.read_bytes() == (tmp_path / "first-then" / path.relative_to(tmp_path / "first")).read_bytes()


def test_a_failed_night_leaves_the_release_and_says_so(recipe, source, tmp_path):
    output = tmp_path / "run"
    run(recipe, source, output)
    first, top = Snapshot.take(str(output), 1), (output / "manifest.json").read_bytes()
    (source / "broken.jsonl").write_bytes(b"\xff no JSON\n" * 300)
    with pytest.raises(RunError, match="could not be read"):
        run(recipe, source, output)
    first.check(str(output))
    assert (output / "manifest.json").read_bytes() == top
    assert status(str(output)).state == "failed"
    assert status(str(output)).last_release.release == 1


@pytest.mark.slow
def test_output_inside_the_input_gives_the_same_corpus_three_times(recipe, source, tmp_path):
    results = [run(recipe, source, source / "run") for _ in range(3)]
    assert [result.unchanged for result in results] == [False, True, True]
    again = run(recipe, source, source / "run", fresh=True)
    assert again.release.number == 2
    assert again.manifest["corpus_root"] == results[0].manifest["corpus_root"]
    assert "own output" in " ".join(warning["message"] for warning in again.manifest["warnings"])
    with pytest.raises(RunError, match="own output"):
        run(recipe, f"{source}/**/*.parquet", source / "run")


@pytest.mark.slow
def test_another_run_is_read_by_its_manifest(recipe, source, tmp_path):
    first = run(recipe, source, tmp_path / "first")
    run(recipe, source, tmp_path / "first", "thresholds.gopher.word_count.min=200")
    shards = [tmp_path / "first" / shard["path"] for shard in first.manifest["curriculum"]["shards"]]
    expected = {
        row["id"]: (row["text"], row["source"], row["url"]) for shard in shards for row in pq.read_table(shard).to_pylist()
    }
    second = run(recipe, f"{tmp_path}/first@1", tmp_path / "second", "thresholds={}", "dedup=null")
    texts = {
        row["id"]: (row["text"], row["source"], row["url"])
        for shard in second.manifest["curriculum"]["shards"]
        for row in pq.read_table(tmp_path / "second" / shard["path"]).to_pylist()
    }
    assert texts == expected
    current = run(recipe, tmp_path / "first", tmp_path / "third", "thresholds={}", "dedup=null")
    assert current.manifest["counts"]["records"] == open_release(str(tmp_path / "first")).manifest["counts"]["kept"]
    everything = run(recipe, f"{tmp_path}/first/**/*.parquet", tmp_path / "fourth", "thresholds={}", "dedup=null")
    assert everything.manifest["counts"]["records"] == current.manifest["counts"]["records"]


def test_a_run_that_lies_in_an_input_folder_by_accident_is_an_error(recipe, source, tmp_path):
    run(recipe, source, source / "another")
    with pytest.raises(RunError, match="is a run directory in a folder of the input"):
        run(recipe, source, tmp_path / "run")


@pytest.mark.parametrize("how", ["in place", "another file under its name"])
def test_other_bytes_of_the_same_size_and_time_are_noticed(recipe, source, tmp_path, how):
    output = tmp_path / "run"
    run(recipe, source, output)
    path = next(path for path in sorted(source.iterdir()) if b" the " in path.read_bytes())
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    changed = path.read_bytes().replace(b" the ", b" our ")
    assert changed != path.read_bytes()
    if how == "in place":
        path.write_bytes(changed)
    else:
        (tmp_path / "other").write_bytes(changed)
        os.utime(tmp_path / "other", ns=times)
        (tmp_path / "other").rename(path)
    os.utime(path, ns=times)
    result = run(recipe, source, output)
    assert (result.unchanged, result.release.number, result.rated) == (False, 2, 1)


def test_what_is_fresh_does_not_touch_the_release_before(recipe, source, tmp_path):
    output = tmp_path / "run"
    run(recipe, source, output)
    first = Snapshot.take(str(output), 1)
    result = run(recipe, source, output, fresh=True)
    assert (result.release.number, result.reused) == (2, 0)
    first.check(str(output))
    assert outcome(str(output)) == outcome(f"{output}@1")
    assert run(recipe, source, output).unchanged


def test_a_run_of_an_early_version_is_read_and_run_again(recipe, source, tmp_path):
    output = tmp_path / "run"
    made = run(recipe, source, output)
    before = told(output)
    make_early(output, load_recipe(str(recipe), (), [str(source)]))
    assert not verify(str(output))
    assert open_release(str(output)).number == 1
    assert told(output) == before
    early = outcome(str(output))
    add(source, 5)
    result = run(recipe, source, output)  # which rates again: readers have changed since
    assert (result.release.number, result.rated) == (2, 5)
    assert not verify(str(output))
    assert outcome(f"{output}@1") == early
    assert told(f"{output}@1") == before
    fresh = run(recipe, source, tmp_path / "new")
    assert outcome(str(output)) == outcome(str(tmp_path / "new"))
    assert made.manifest["corpus_root"] == open_release(f"{output}@1").manifest["corpus_root"]
    assert fresh.manifest["corpus_root"] == result.manifest["corpus_root"]


@pytest.mark.parametrize("path", ["rated/part-00001.parquet", "data/phase-1/shard-00000.parquet"])
def test_a_damaged_run_of_an_early_version_is_named(recipe, source, tmp_path, path):
    output = tmp_path / "run"
    run(recipe, source, output)
    make_early(output, load_recipe(str(recipe), (), [str(source)]))
    content = bytearray((output / path).read_bytes())
    content[len(content) // 2] ^= 1
    (output / path).write_bytes(content)
    assert path in {problem.path for problem in verify(str(output))}


@pytest.mark.slow
def test_a_rollback_stays_until_a_run_makes_a_new_release(recipe, source, tmp_path):
    output = tmp_path / "run"
    run(recipe, source, output)
    add(source, 6)
    run(recipe, source, output)
    rollback(str(output), 1)
    assert run(recipe, source, output).release.number == 1
    assert open_release(str(output)).number == 1
    add(source, 7)
    assert run(recipe, source, output).release.number == 3
    assert open_release(str(output)).number == 3
    assert not verify(str(output))
