"""Status, releases, metrics and empty input of a run in an object store, which has no locks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run import progress, work_plan
from tamis.pipelines.run.launch import launch
from tamis.pipelines.run.progress import Attempt
from tamis.pipelines.run.status import status
from tamis.transforms import storage
from tamis.transforms.core.errors import NoInput, RunError
from tamis.transforms.provenance import verify
from tests.pipelines.corpus import corpus, save
from tests.pipelines.running import write_recipe


@pytest.mark.parametrize("folder", ["moto"], indirect=True)
def test_status_of_a_run_in_a_store(folder: str, tmp_path: Path) -> None:
    run = f"{folder}/run"
    assert status(run).state == "never started"
    source = save(tmp_path / "in", [corpus(30)])
    recipe = load_recipe(str(write_recipe(tmp_path)), [], [str(source)])
    seconds = launch(recipe, run, workers=1).seconds
    assert list(seconds) == ["run"]  # there are no files of progress to tell movements apart
    assert seconds["run"] > 0
    current = status(run)
    assert current.state == "finished"
    assert current.last_release is not None
    assert (current.last_release.release, current.last_release.records) == (1, 30)
    assert verify.verify(run) == []
    assert b"tamis_last_success_timestamp_seconds" in storage.read_bytes(f"{run}/{work_plan.METRICS}")
    assert not storage.names(f"{run}/{progress.FOLDER}")

    storage.remove(f"{run}/manifest.json")
    attempt = Attempt(
        started=1000.0,
        updated=1010.0,
        host="node",
        process=7,
        runner="flink",
        workers=4,
        parts=2,
        reused=0,
        bytes=100,
        reused_bytes=0,
    )
    progress.write_attempt(run, attempt)
    current = status(run, now=1020.0)
    rate = current.movements[0]
    assert (rate.name, rate.done, rate.total) == ("rate", 1, 2)
    assert current.state == "running"
    assert status(run, now=2000.0).state == "interrupted"
    progress.write_attempt(run, attempt.model_copy(update={"error": "no such bucket"}))
    assert status(run, now=1011.0).state == "failed"


@pytest.mark.parametrize("folder", ["moto"], indirect=True)
def test_a_glob_in_a_store_may_match_nothing_and_a_folder_may_not(folder: str) -> None:
    def listed(pattern: str) -> object:
        return work_plan.list_input(load_recipe("gopher", ["input.allow_empty=true"], [pattern]), f"{folder}/run")

    with pytest.raises(NoInput):
        listed(f"{folder}/tonight/*.jsonl")
    with pytest.raises(RunError, match="no such object or folder") as error:
        listed(f"{folder}/tonigth")
    assert not isinstance(error.value, NoInput)
