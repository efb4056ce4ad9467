"""The commands about releases: they list, pin, roll back and remove them, and name what they refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import open_release
from tamis.transforms.feed.loader import read_in_order
from tamis.transforms.provenance.verify import verify
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import run as run_recipe
from tests.pipelines.running import write_recipe


def invoke(*arguments: str | Path, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def invoke_json(*arguments: str | Path) -> Any:
    return json.loads(invoke(*arguments, "--json").stdout)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `in`, and with `run`, of three releases: a file goes after the first, one comes after the second."""
    folder = tmp_path_factory.mktemp("releases")
    pieces = dealt(corpus(120, seed=4), 3, seed=3)
    source, recipe = save(folder / "in", pieces[:2]), write_recipe(folder)
    run_recipe(recipe, source, folder / "run")
    (source / "piece-00.jsonl").unlink()
    run_recipe(recipe, source, folder / "run", "max_shrink=1")
    save(folder / "more", pieces)
    (folder / "more/piece-02.jsonl").rename(source / "piece-02.jsonl")
    run_recipe(recipe, source, folder / "run")
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of that run directory, to change."""
    return Path(shutil.copytree(finished / "run", tmp_path / "run", symlinks=True))


def files(run: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file() and not path.is_symlink()
    }


# --- releases ----------------------------------------------------------------------------------------------------------


def test_releases_are_listed_with_what_came_and_went(finished: Path) -> None:
    run = finished / "run"
    listed = invoke_json("releases", run)
    rows = listed["releases"]
    assert [(row["release"], row["files_added"], row["files_removed"]) for row in rows] == [(1, 2, 0), (2, 0, 1), (3, 1, 0)]
    assert [(row["current"], row["pinned"], row["removed"]) for row in rows] == [
        (False, False, False),
        (False, False, False),
        (True, False, False),
    ]
    for row in rows:
        manifest = open_release(f"{run}@{row['release']}").manifest
        assert (row["records"], row["kept"]) == (manifest["counts"]["records"], manifest["counts"]["kept"])
        assert (row["corpus_root"], row["bytes"]) == (manifest["corpus_root"], sum(file["bytes"] for file in manifest["files"]))
    assert listed["last_failure"] is None
    lines = invoke("releases", run).stdout.splitlines()
    assert len(lines) == 4
    assert lines[3].endswith("current")
    assert "no release yet" in invoke("releases", finished / "nowhere").stdout


def test_the_reason_why_the_last_attempt_failed_is_listed(finished: Path, run: Path) -> None:
    with pytest.raises(RunError, match="no document of"):
        run_recipe(finished / "recipe.yaml", finished / "in", run, "thresholds.gopher.word_count.min=99999")
    listed = invoke_json("releases", run)
    assert len(listed["releases"]) == 3
    assert "no document of" in listed["last_failure"]
    assert "the last attempt made no release: no document of" in invoke("releases", run).stdout


# --- rollback and pin --------------------------------------------------------------------------------------------------


def test_rollback_makes_an_earlier_release_the_current_one(run: Path) -> None:
    before = files(run)
    invoke("rollback", f"{run}@1")
    assert open_release(str(run)).number == 1
    assert (run / "latest").resolve() == (run / "releases/000001").resolve()
    assert [row["current"] for row in invoke_json("releases", run)["releases"]] == [True, False, False]
    assert verify(str(run)) == []
    now = files(run)
    changed = {name for name in before if now[name] != before[name]}
    assert changed == {"manifest.json"}
    invoke("rollback", f"{run}@3")
    assert files(run) == before


def test_after_a_rollback_the_next_run_with_other_input_makes_a_new_release(finished: Path, run: Path, tmp_path: Path) -> None:
    invoke("rollback", f"{run}@1")
    result = run_recipe(finished / "recipe.yaml", finished / "in", run, "curriculum.order=descending")
    assert result.release.number == 4
    assert [row["release"] for row in invoke_json("releases", run)["releases"]] == [1, 2, 3, 4]
    assert verify(str(run)) == []


@pytest.mark.parametrize("command", ["rollback", "pin"])
def test_a_release_is_named_by_its_number(run: Path, command: str) -> None:
    assert f"name a release by its number, as {run}@1" in invoke(command, run, code=1).stderr
    assert "has no release 7; it has 1, 2, 3" in invoke(command, f"{run}@7", code=1).stderr


def test_a_pinned_release_stays_until_it_is_unpinned(run: Path) -> None:
    invoke("pin", f"{run}@2", "--note", "the paper")
    assert [row["pinned"] for row in invoke_json("releases", run)["releases"]] == [False, True, False]
    assert verify(str(run)) == []
    refused = invoke("clean", f"{run}@2", code=1).stderr
    assert f"it is pinned; unpin it with: tamis pin {run}@2 --remove" in refused
    invoke("pin", f"{run}@2", "--remove")
    invoke("clean", f"{run}@2")
    assert [row["removed"] for row in invoke_json("releases", run)["releases"]] == [False, True, False]


# --- clean and du ------------------------------------------------------------------------------------------------------


def test_clean_names_what_it_would_remove_and_then_removes_just_that(run: Path) -> None:
    before = files(run)
    others = {number: next(read_in_order(f"{run}@{number}")).documents for number in (2, 3)}
    listed = invoke_json("clean", f"{run}@1", "--dry-run")
    assert files(run) == before
    assert "would be removed" in invoke("clean", f"{run}@1", "--dry-run").stdout
    assert invoke_json("clean", f"{run}@1") == listed
    now = files(run)
    gone = before.keys() - now.keys()
    assert now.keys() - before.keys() == {"releases/000001.removed.json"}
    assert all(any(name == row["path"] or name.startswith(row["path"] + "/") for row in listed) for name in gone)
    assert sum(row["bytes"] for row in listed) == sum(len(before[name]) for name in gone)
    assert {name.split("/")[0] for name in gone} == {"releases", "rated", "sketches", "rejects"}  # the part of its own, too
    assert verify(str(run)) == []
    with pytest.raises(FileNotFoundError, match=r"the files of release 1 of .* are gone"):
        open_release(f"{run}@1")
    for number, documents in others.items():
        assert next(read_in_order(f"{run}@{number}")).documents == documents
    assert invoke_json("clean", run) == []
    assert "has no release 9" in invoke("clean", f"{run}@9", code=1).stderr
    assert "it is the current one" in invoke("clean", f"{run}@3", code=1).stderr


def test_clean_takes_releases_of_one_run(run: Path, finished: Path) -> None:
    assert "name releases of one run" in invoke("clean", f"{run}@1", finished / "run", code=1).stderr


def test_clean_keeps_what_an_unfinished_run_may_still_use(finished: Path, run: Path) -> None:
    with pytest.raises(RunError, match="no document of"):
        run_recipe(
            finished / "recipe.yaml", finished / "in", run, "thresholds.gopher.word_count.min=99999", "dedup.minhash.ngram=4"
        )
    parts = sorted((run / "rated").iterdir())
    invoke("clean", run)
    assert sorted((run / "rated").iterdir()) == parts
    result = run_recipe(finished / "recipe.yaml", finished / "in", run, "dedup.minhash.ngram=4")
    assert (result.rated, result.reused) == (0, 2)


def test_du_adds_up_to_the_files_of_the_run(run: Path) -> None:
    usage = invoke_json("du", run)
    assert usage["total"] == sum(usage["releases"].values()) + sum(usage["parts"].values()) + sum(usage["other"].values())
    sizes = files(run)
    for number, size in usage["releases"].items():
        assert size == sum(len(content) for name, content in sizes.items() if name.startswith(f"releases/{int(number):06d}/"))
    assert usage["parts"]["rated"] == sum(len(content) for name, content in sizes.items() if name.startswith("rated/"))
    assert usage["parts_of_no_release"] == 0
    assert usage["total"] <= sum(map(len, sizes.values()))
    assert "in all" in invoke("du", run).stdout


# --- report and plan ---------------------------------------------------------------------------------------------------


def test_the_report_of_a_release_is_written_elsewhere_as_it_is_there(run: Path, tmp_path: Path) -> None:
    before = files(run)
    for number in (1, 3):
        page = run / f"releases/{number:06d}/report.html"
        assert invoke("report", f"{run}@{number}").stdout.strip() == str(page)
        assert invoke("report", f"{run}@{number}", "--output", tmp_path / "page.html").stdout.strip() == f"{tmp_path}/page.html"
        assert (tmp_path / "page.html").read_bytes() == page.read_bytes()
    assert files(run) == before


def test_a_plan_for_another_schedule_is_no_part_of_the_release(run: Path, tmp_path: Path) -> None:
    invoke("plan", f"{run}@1", "--checkpoints", "2", "--output", tmp_path / "plan.json")
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["data"]["corpus_root"] == open_release(f"{run}@1").manifest["corpus_root"]
    assert len(plan["checkpoints"]) == 2
    before = files(run)
    invoke("plan", f"{run}@1", "--checkpoints", "2")
    (added,) = files(run).keys() - before.keys()
    assert added.startswith("plans/000001-")
    assert verify(str(run)) == []
