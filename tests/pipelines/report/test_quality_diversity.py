"""A step that buys quality with diversity is seen; one that drops documents of any kind alike is not blamed."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipelines.recipe.load import finished_recipe
from tamis.pipelines.report.quality_diversity import effective_number, measured_steps, measures
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import run, write_recipe


@given(st.lists(st.integers(0, 5), max_size=30))
def test_the_effective_number_is_one_over_the_share_of_pairs_of_one_kind(codes: list[int]) -> None:
    pairs = [one == other for one, other in combinations(codes, 2)]
    expected = len(pairs) / sum(pairs) if any(pairs) else None
    assert effective_number(np.array(codes, np.int64)) == (pytest.approx(expected) if expected else None)


def test_equally_large_kinds_count_as_many_and_a_sample_of_them_too() -> None:
    codes = np.repeat(np.arange(50), 400)
    assert effective_number(codes) == pytest.approx(50, rel=0.01)
    assert effective_number(np.random.default_rng(1).choice(codes, 2000, replace=False)) == pytest.approx(50, rel=0.1)


def test_a_step_that_keeps_the_best_of_few_hosts_is_marked() -> None:
    hosts = pa.array([f"host-{number % 20}" for number in range(400)])
    quality = np.array([0.9 if number % 20 < 2 else 0.2 for number in range(400)])
    one_in_two = np.arange(400) // 20 % 2
    ended = np.where(one_in_two == 0, 0, np.where(quality < 0.5, 1, 2))
    read, halved, best = measures(["thresholds", "select"], ended, quality, hosts, np.full(400, 7))
    assert [read.documents, halved.documents, best.documents] == [400, 200, 20]
    assert read.diversity == pytest.approx(20, rel=0.06)
    assert halved.diversity == pytest.approx(20, rel=0.12)
    assert not halved.collapses
    assert best.collapses
    assert (best.quality, best.complexity) == (pytest.approx(0.9), 7)


def test_a_run_is_measured_after_each_step(tmp_path: Path) -> None:
    source = save(tmp_path / "in", dealt(corpus(120, seed=3), 2, seed=1))
    release = run(write_recipe(tmp_path, select={"tokens": 9000}), source, tmp_path / "run").release
    found = measured_steps(release, finished_recipe(release.manifest))
    counts = release.manifest["counts"]
    assert [step.name for step in found.steps] == ["read", "thresholds", "dedup", "select"]
    by_step = {"thresholds": "gopher.", "dedup": "dedup.", "select": "select."}
    left = sum(counts[name] for name in ("kept", "dropped", "review"))
    for step in found.steps:
        left -= sum(row["documents"] for row in counts["reasons"] if row["reason"].startswith(by_step.get(step.name, "-")))
        assert step.documents == left
    assert left == counts["kept"]
    assert (found.kinds, found.is_sample) == ("hosts", False)
    assert found.steps[-1].complexity == pytest.approx(counts["tokens"]["kept"] / counts["kept"])
