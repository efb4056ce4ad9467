"""A sample tells what is in an input of any make, wherever it is, and in less time than a run takes."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pyarrow.compute as pc
import pytest

from tamis.pipelines.estimate import sample
from tamis.pipelines.estimate.dry_run import estimate
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.launch import launch
from tamis.pipelines.run.work_plan import list_input
from tests.pipelines.estimate.inputs import MAKES


def counted(recipe: Recipe, uri: str) -> Counter[str]:
    """Documents of a file: all, short ones, those of each source, and bytes of text."""
    from tamis.transforms.read.inputs import read

    found: Counter[str] = Counter()
    only = recipe.model_copy(update={"input": recipe.input.model_copy(update={"paths": (uri,)})})
    for split in list_input(only, "run")[0]:
        for batch, rejects in read(split, only.input):
            assert not [reject for reject in rejects if "skipped" not in str(reject)]
            words = pc.list_value_length(pc.split_pattern(batch["text"], " "))
            found["documents"] += batch.num_rows
            found["short"] += pc.sum(pc.less(words, 50)).as_py() or 0
            found["bytes"] += pc.sum(pc.binary_length(batch["text"])).as_py() or 0
            found.update(batch["source"].to_pylist())
    return found


@pytest.mark.parametrize("make", MAKES)
def test_every_record_has_the_same_chance(make: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, folder = tmp_path / "in", tmp_path / "sample"
    source.mkdir()
    folder.mkdir()
    MAKES[make](source, 5_000_000)
    monkeypatch.setattr(sample, "SAMPLE_BYTES", 1 << 20)
    monkeypatch.setattr(sample, "SMALL_BYTES", 1 << 20)
    monkeypatch.setattr(sample, "WHOLE_BYTES", 1 << 20)
    monkeypatch.setattr(sample, "WINDOW_BYTES", 4 << 10)
    recipe = load_recipe("gopher", ["input.split_bytes=1500000"], [str(source)])
    pieces = sample.sample(list_input(recipe, str(tmp_path / "run"))[0], recipe, str(folder))
    truth: Counter[str] = counted(recipe, str(source))
    found: Counter[str] = Counter()
    for piece in pieces:
        found.update({name: count * piece.factor for name, count in counted(recipe, piece.uri).items()})
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 3_000_000
    assert {name for name, count in truth.items() if count > 300} <= found.keys()
    for name, count in truth.items():
        assert found[name] == pytest.approx(count, rel={"documents": 0.05, "short": 0.1}.get(name, 0.2)), name


def test_windows_are_apart_and_cover_the_share_everywhere() -> None:
    spans = list(sample.windows(1_000_000, 1000, 0.1))
    assert all(start >= stop for (_, stop), (start, _) in pairwise(spans))
    for tenth in range(10):
        inside = [stop - start for start, stop in spans if tenth <= start / 100_000 < tenth + 1]
        assert sum(inside) == pytest.approx(10_000, rel=0.2)
    assert len({start % 10_000 for start, _ in spans}) > 90  # no period of the input is met
    assert list(sample.spread(5, 1.0)) == [0, 1, 2, 3, 4]
    chosen = list(sample.spread(1000, 0.25))
    assert len(chosen) == len(set(chosen)) == 250


@pytest.mark.slow
@pytest.mark.parametrize("size", [20_000_000, 60_000_000])
@pytest.mark.parametrize("make", MAKES)
def test_a_dry_run_is_right_within_a_tenth_and_quicker_than_the_run(make: str, size: int, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    MAKES[make](source, size)
    recipe = load_recipe("gopher", [], [str(source)])
    (tmp_path / "one.txt").write_text("Loads what both need.\n")
    launch(load_recipe("gopher", ["thresholds=null"], [str(tmp_path / "one.txt")]), str(tmp_path / "one"), 1)
    begun = time.process_time()
    estimated = estimate(recipe, str(tmp_path / "run"), 1)
    estimating, begun = time.process_time() - begun, time.process_time()
    counts = launch(recipe, str(tmp_path / "run"), 1).manifest["counts"]
    assert estimating < time.process_time() - begun
    read = counts["kept"] + counts["dropped"] + counts["review"]
    assert estimated.documents == pytest.approx(read, rel=0.1)
    assert estimated.tokens == pytest.approx(counts["tokens"]["in"], rel=0.1)
    dropped = {row["reason"]: row["documents"] / read for row in counts["reasons"]}
    duplicates = sum(share for reason, share in dropped.items() if reason.startswith("dedup."))
    by_rules = sum(dropped.values()) - duplicates
    estimated_by_rules = sum(share for reason, share in estimated.reasons.items() if not reason.startswith("dedup."))
    assert estimated_by_rules == pytest.approx(by_rules, rel=0.1)
    assert estimated.duplicates is not None
    assert estimated.duplicates[0] <= duplicates <= estimated.duplicates[1]
