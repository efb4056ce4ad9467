"""`output.retain` removes no release that is needed, and a run refuses a corpus that shrank for no reason that can be seen."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.releases.refusals import refuse_empty, refuse_shrunk
from tamis.pipelines.releases.retention import pin, present_releases, rollback
from tamis.pipelines.run.launch import Result, launch
from tamis.transforms.core.errors import NothingNew, RunError
from tamis.transforms.core.release import open_release
from tamis.transforms.feed.dataset import index
from tamis.transforms.provenance.verify import verify
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import folder_of, left, run, write_recipe

ORDERS = ("descending", "uniform", "ascending")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return save(tmp_path / "in", dealt(corpus(90, seed=6), 3, seed=1))


def nights(tmp_path: Path, source: Path, *sets: str) -> Path:
    """A run directory after three nights, each with another order."""
    recipe, output = write_recipe(tmp_path), tmp_path / "run"
    for order in ORDERS:
        run(recipe, source, output, f"curriculum.order={order}", *sets)
    return output


def parts(output: Path) -> set[str]:
    return {path.name for path in (output / "rated").glob("*.parquet")}


# --- retention ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_no_release_is_removed_unless_the_recipe_says_so(tmp_path: Path, source: Path) -> None:
    output = nights(tmp_path, source)
    assert present_releases(str(output)) == [1, 2, 3]
    assert verify(str(output)) == []


def test_the_last_releases_stay_and_the_parts_of_no_other(tmp_path: Path, source: Path) -> None:
    recipe, output = write_recipe(tmp_path), tmp_path / "run"
    run(recipe, source, output)
    lost = parts(output)
    (source / "piece-00.jsonl").unlink()
    for order in ORDERS[:2]:
        result = run(recipe, source, output, f"curriculum.order={order}", "max_shrink=1", "output.retain.releases=2")
    assert present_releases(str(output)) == [2, 3]
    assert parts(output) == {f"{name}.parquet" for name in result.manifest["parts"]} < lost
    assert json.loads((output / "releases/000001.removed.json").read_text())["why"] == "output.retain"
    assert len(list((output / "releases").glob("00000?.json"))) == 3  # records stay
    assert verify(str(output)) == []
    assert left(output)["manifest.json"]
    with pytest.raises(FileNotFoundError, match="are gone"):
        open_release(f"{output}@1")


@pytest.mark.slow
def test_a_pinned_release_and_the_one_that_is_indexed_stay(tmp_path: Path, source: Path) -> None:
    output = nights(tmp_path, source)
    pin(str(output), 1, "the paper")
    index(f"{output}@2", "bytes", processes=1)
    run(tmp_path / "recipe.yaml", source, output, "seed=7", "output.retain.releases=1")
    assert present_releases(str(output)) == [1, 2, 4]
    assert verify(str(output)) == []


@pytest.mark.slow
def test_a_release_that_is_young_stays(tmp_path: Path, source: Path) -> None:
    output = nights(tmp_path, source, "output.retain={releases: 1, days: 2}")
    assert present_releases(str(output)) == [1, 2, 3]
    days_ago = (datetime.now(UTC) - timedelta(days=3)).isoformat(timespec="seconds").replace("+00:00", "Z")
    record = output / "releases/000001.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"finished": days_ago}))
    run(tmp_path / "recipe.yaml", source, output, "seed=7", "output.retain={releases: 1, days: 2}")
    assert present_releases(str(output)) == [2, 3, 4]


@pytest.mark.slow
def test_the_current_release_stays_even_if_it_is_an_old_one(tmp_path: Path, source: Path) -> None:
    output = nights(tmp_path, source)
    rollback(str(output), 1)
    before = left(output)
    with pytest.raises(RunError):  # a run that fails retains nothing
        run(tmp_path / "recipe.yaml", source, output, "thresholds.gopher.word_count.min=99999", "output.retain.releases=1")
    assert present_releases(str(output)) == [1, 2, 3]
    assert left(output) == before


# --- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_empty_corpus_is_refused_and_the_release_stays(tmp_path: Path, source: Path) -> None:
    recipe, output = write_recipe(tmp_path), tmp_path / "run"
    run(recipe, source, output)
    before, top = left(output), (output / "manifest.json").read_bytes()
    loaded = load_recipe(str(recipe), ["thresholds.gopher.word_count.min=99999"], [str(source)])
    for allow in (False, True):
        with pytest.raises(RunError, match=r"no document of 90 is kept.*most were dropped by gopher\.word_count"):
            launch(loaded, str(output), workers=1, allow_shrink=allow)
    assert (left(output), (output / "manifest.json").read_bytes()) == (before, top)
    assert verify(str(output)) == []
    assert run(recipe, source, output).unchanged


def invoke(recipe: Path, source: Path, output: Path, *more: str) -> Any:
    return CliRunner().invoke(app, ["run", str(recipe), "-i", str(source), "-o", str(output), "--workers", "1", *more])


@pytest.mark.slow
def test_a_corpus_that_shrank_with_its_input_is_refused_and_the_message_says_how_to_allow_it(tmp_path: Path) -> None:
    recipe, output = write_recipe(tmp_path), tmp_path / "run"
    source = save(tmp_path / "in", dealt(corpus(120, seed=6), 6, seed=1))
    assert invoke(recipe, source, output).exit_code == 0
    before, top = left(output), (output / "manifest.json").read_bytes()
    for number in range(1, 6):
        (source / f"piece-{number:02d}.jsonl").rename(tmp_path / f"piece-{number:02d}.jsonl")
    refused = invoke(recipe, source, output)
    assert refused.exit_code == 1
    assert "by more than max_shrink (50%), though the recipe is the same: the input matches 1 file of" in refused.stderr
    assert "The current release stays. If this is meant, add --set max_shrink=1" in refused.stderr
    assert (left(output), (output / "manifest.json").read_bytes()) == (before, top)
    assert "would shrink" in CliRunner().invoke(app, ["status", str(output)]).stdout
    allowed = invoke(recipe, source, output, "--set", "max_shrink=1")
    assert allowed.exit_code == 0, allowed.stderr
    assert open_release(str(output)).number == 2
    assert verify(str(output)) == []


def test_other_paths_are_a_reason_to_refuse(tmp_path: Path) -> None:
    recipe, output = write_recipe(tmp_path), tmp_path / "run"
    run(recipe, save(tmp_path / "in", [corpus(120, seed=6)]), output)
    with pytest.raises(RunError, match="the input has other paths"):
        run(recipe, save(tmp_path / "other", [corpus(30, seed=7)]), output)
    assert folder_of(output).name == "000001"


def kept_after(tmp_path: Path, sets: list[str], *more: str) -> Result:
    """A second run with settings that are in the recipe, or (`more`) on the command line."""
    recipe, output = write_recipe(tmp_path), tmp_path / "run"
    source = save(tmp_path / "in", [corpus(120, seed=6)])
    run(recipe, source, output)
    loaded = load_recipe(str(recipe), [*sets, *more], [str(source)])
    return launch(loaded, str(output), workers=1, allow_shrink=bool(more))


@pytest.mark.parametrize("change", ["thresholds.gopher.word_count.min=300", "select={tokens: 2000}"])
def test_another_recipe_may_shrink_the_corpus(tmp_path: Path, change: str) -> None:
    result = kept_after(tmp_path, [change])
    first = open_release(f"{result.run}@1").manifest["counts"]["kept"]
    assert 0 < result.manifest["counts"]["kept"] < 0.5 * first


COUNTS: Any = {"kept": 40, "dropped": 0, "review": 0, "reasons": []}
RECIPE: Any = {"name": "a", "max_shrink": 0.5, "max_rejects": 0, "seed": 1, "input": {"paths": ["in"], "format": "auto"}}
ENTRY: Any = {"uri": "in/a", "size": 10}


@pytest.mark.parametrize(
    ("kept", "recipe", "inputs", "refused"),
    [
        (40, {}, [ENTRY], True),  # one file of two
        (50, {}, [ENTRY], False),  # just half
        (40, {"max_shrink": 1.0}, [ENTRY], False),
        (49, {"max_shrink": 0.0}, [ENTRY], True),
        (40, {"seed": 2}, [ENTRY], False),  # another recipe
        (40, {"name": "b", "max_rejects": 9}, [ENTRY], True),  # which is none
        (40, {}, [ENTRY, ENTRY | {"uri": "in/b"}], False),  # as much input: the documents are the reason
        (40, {}, [ENTRY, ENTRY | {"uri": "in/b", "size": 1}], True),  # fewer bytes
        (40, {"input": {"paths": ["other"], "format": "auto"}}, [ENTRY, ENTRY | {"uri": "in/b"}], True),
        (40, {"input": {"paths": ["other"], "format": "jsonl"}}, [ENTRY], False),
    ],
)
def test_when_a_smaller_corpus_is_refused(kept: int, recipe: dict[str, Any], inputs: list[Any], refused: bool) -> None:
    last: Any = {"recipe": RECIPE, "counts": {"kept": 100}, "inputs": [ENTRY, ENTRY | {"uri": "in/b"}]}
    arguments: Any = (RECIPE | recipe, COUNTS | {"kept": kept}, inputs, last)
    if refused:
        with pytest.raises(RunError, match="add --set max_shrink=1"):
            refuse_shrunk(*arguments)
    else:
        refuse_shrunk(*arguments)


def test_an_empty_corpus_without_reasons_points_to_the_fields() -> None:
    with pytest.raises(RunError, match=r"no document of 0 is kept.*input\.fields"):
        refuse_empty(COUNTS | {"kept": 0})
    refuse_empty(COUNTS | {"kept": 1})


RELEASED = {"decision": "drop", "reason": "dedup.released", "documents": 3, "tokens": 30}
SHORT = {"decision": "drop", "reason": "gopher.word_count", "documents": 2, "tokens": 4}


def test_an_empty_night_is_no_mistake_if_documents_of_it_were_released_before() -> None:
    """Others may have been dropped, too, but none may wait for a review."""
    mixed = COUNTS | {"kept": 0, "dropped": 5, "reasons": [RELEASED, SHORT]}
    with pytest.raises(NothingNew, match=r"^nothing new: 3 of 5 documents were released before, and the other 2 were dropped;"):
        refuse_empty(mixed)
    for mistake in (mixed | {"review": 1}, mixed | {"dropped": 2, "reasons": [SHORT]}):
        with pytest.raises(RunError, match="and an empty corpus is not released") as found:
            refuse_empty(mistake)
        assert not isinstance(found.value, NothingNew)
