"""Small files share parts and a large one gives several, to the same corpus."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tamis.pipelines import rate
from tamis.pipelines.run import work_plan
from tamis.transforms.core import documents
from tamis.transforms.core.release import open_release
from tamis.transforms.provenance.verify import verify
from tests.pipelines.corpus import Record, corpus, dealt, save
from tests.pipelines.running import corpus_of, run, write_recipe

RECORDS = corpus(1000, seed=31, sentences=(3, 8))


def single(folder: Path, records: list[Record]) -> Path:
    """One file for each document."""
    folder.mkdir()
    for number, record in enumerate(records):
        (folder / f"{number:04d}.jsonl").write_text(json.dumps(record) + "\n")
    return folder


def parts(output: Path) -> list[str]:
    return open_release(str(output)).manifest["parts"]


@pytest.fixture(scope="module")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(recipe, run of all documents in one file)."""
    folder = tmp_path_factory.mktemp("one")
    recipe = write_recipe(folder)
    run(recipe, save(folder / "in", [RECORDS]), folder / "run")
    return recipe, folder / "run"


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory, one_file: tuple[Path, Path]) -> tuple[Path, Path]:
    """(input of a thousand files, run of them)."""
    folder = tmp_path_factory.mktemp("thousand")
    source = single(folder / "in", RECORDS)
    run(one_file[0], source, folder / "run")
    return source, folder / "run"


def test_a_thousand_small_files_become_a_few_parts_and_the_same_corpus(
    one_file: tuple[Path, Path], thousand: tuple[Path, Path]
) -> None:
    _, output = thousand
    assert len([path for path in output.rglob("*") if path.is_file()]) <= 50
    assert corpus_of(output) == corpus_of(one_file[1])
    inputs = open_release(str(output)).manifest["inputs"]
    assert len(inputs) == 1000
    assert {len(entry["parts"]) for entry in inputs} == {1}
    assert {ordinal for entry in inputs for ordinal in entry["parts"]} == set(range(len(parts(output))))
    assert [entry["documents"] for entry in inputs] == [1] * 1000
    assert verify(str(output)) == []


def test_a_changed_small_file_costs_its_part_and_no_other(one_file: tuple[Path, Path], tmp_path: Path) -> None:
    source, output = single(tmp_path / "in", RECORDS[:200]), tmp_path / "run"
    run(one_file[0], source, output)
    before = parts(output)
    assert len(before) == 4
    (source / "0000.jsonl").write_text(json.dumps(RECORDS[500]) + "\n")
    result = run(one_file[0], source, output)
    assert result.reused == 3
    assert len(set(parts(output)) & set(before)) == 3
    assert result.manifest["counts"]["records"] == 200
    run(one_file[0], source, tmp_path / "new")
    assert corpus_of(output) == corpus_of(tmp_path / "new")
    assert verify(str(output)) == []
    assert run(one_file[0], source, output).unchanged


def test_new_small_files_share_parts_of_their_own(one_file: tuple[Path, Path], tmp_path: Path) -> None:
    source, output = single(tmp_path / "in", RECORDS[:100]), tmp_path / "run"
    run(one_file[0], source, output)
    before = parts(output)
    save(tmp_path / "more", [[record] for record in RECORDS[100:140]])
    for path in (tmp_path / "more").iterdir():
        path.rename(source / f"more-{path.name}")
    result = run(one_file[0], source, output)
    assert result.reused == len(before)
    assert set(before) < set(parts(output))
    run(one_file[0], save(tmp_path / "all", [RECORDS[:140]]), tmp_path / "once")
    assert corpus_of(output) == corpus_of(tmp_path / "once")


def test_a_few_small_files_have_parts_of_their_own(one_file: tuple[Path, Path], tmp_path: Path) -> None:
    source = single(tmp_path / "in", RECORDS[: work_plan.FEW_SPLITS])
    run(one_file[0], source, tmp_path / "run")
    assert len(parts(tmp_path / "run")) == work_plan.FEW_SPLITS


@pytest.mark.parametrize(("limit", "value"), [("PART_DOCUMENTS", 100), ("PART_BYTES", 100_000)])
def test_a_large_file_becomes_several_parts_and_the_same_corpus(
    one_file: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(documents, "BATCH_BYTES", 20_000)
    monkeypatch.setattr(rate, limit, value)
    source, output = save(tmp_path / "in", dealt(RECORDS, 2, seed=1), "jsonl.gz"), tmp_path / "run"
    result = run(one_file[0], source, output)
    assert result.rated == 2
    manifest = open_release(str(output)).manifest
    assert len(manifest["parts"]) > 4
    inputs = manifest["inputs"]
    assert any(len(entry["parts"]) > 1 for entry in inputs)
    assert sum(entry["documents"] for entry in inputs) == 1000
    assert [ordinal for entry in inputs for ordinal in entry["parts"]] == list(range(len(manifest["parts"])))
    assert corpus_of(output) == corpus_of(one_file[1])
    assert verify(str(output)) == []
    assert run(one_file[0], source, output).unchanged


def test_a_task_of_which_a_part_is_missing_is_rated_again(
    one_file: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "BATCH_BYTES", 20_000)
    monkeypatch.setattr(rate, "PART_BYTES", 100_000)
    source, output = save(tmp_path / "in", dealt(RECORDS, 2, seed=1), "jsonl.gz"), tmp_path / "run"
    run(one_file[0], source, output)
    names = parts(output)
    last = max(name for name in names if name.startswith(names[0].rpartition("-")[0]))
    (output / f"rated/{last}.json").unlink()
    result = run(one_file[0], source, output)
    assert (result.rated, result.reused, result.release.number) == (1, 1, 1)
    assert f"rated/{last}.json" in result.mended
    assert verify(str(output)) == []
