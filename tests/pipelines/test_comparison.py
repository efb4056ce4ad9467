"""A new release says in five lines what changed against the one before, in the terminal, as JSON and in the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tamis.pipelines.cli.main import app
from tamis.pipelines.releases.comparison import LINES, Comparison, comparison, lines
from tamis.transforms.core.release import open_release
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import run, write_recipe


def test_a_new_release_is_compared_with_the_one_before(tmp_path: Path) -> None:
    recipe, pieces = write_recipe(tmp_path), dealt(corpus(120, seed=4), 3, seed=1)
    source = save(tmp_path / "in", pieces[:2])
    first = run(recipe, source, tmp_path / "run")
    assert comparison(first.release) is None
    save(tmp_path / "late", pieces[2:])
    (tmp_path / "late" / "piece-00.jsonl").rename(source / "piece-02.jsonl")
    command = ["run", str(recipe), "--input", str(source), "--output", str(tmp_path / "run"), "--workers", "1"]
    shown = CliRunner().invoke(app, [*command, "--set", "thresholds.gopher.word_count.min=100"]).stdout.splitlines()
    start = next(number for number, line in enumerate(shown) if line.startswith("changed "))
    told = [line[9:] for line in shown[start : start + LINES]]
    assert f"compare  tamis diff {tmp_path}/run@1 {tmp_path}/run@2" in shown
    release = open_release(f"{tmp_path}/run@2")
    compared = comparison(release)
    assert compared is not None
    assert told[: len(list(lines(compared)))] == list(lines(compared))
    before, after = (each.manifest["counts"] for each in (first.release, release))
    assert (compared.added, compared.removed, compared.changed) == (1, 0, 0)
    assert (compared.kept, compared.tokens) == (
        (before["kept"], after["kept"]),
        (before["tokens"]["kept"], after["tokens"]["kept"]),
    )
    words = [
        next(row["documents"] for row in each["reasons"] if row["reason"] == "gopher.word_count") for each in (before, after)
    ]
    assert compared.reasons["dropped by gopher.word_count"] == tuple(words)
    assert told[0] == "since release 1: 1 input file added"
    summary = CliRunner().invoke(app, [*command, "--set", "thresholds.gopher.word_count.min=90", "--json"]).stdout
    assert json.loads(summary)["changed"]["before"] == 2
    again = CliRunner().invoke(app, [*command, "--set", "thresholds.gopher.word_count.min=90"]).stdout
    assert "changed " not in again


@pytest.mark.parametrize(
    ("compared", "told"),
    [
        (
            Comparison(3, 2, 1, 0, False, (4260, 4000), (3_242_282, 3_100_000), {"dropped by gopher.word_count": (28, 288)}),
            [
                "since release 3: 2 input files added, 1 input file removed",
                "kept 4,260 → 4,000 (-260) documents, 3.24M → 3.1M (-142k) tokens",
                "dropped by gopher.word_count 28 → 288 (+260)",
            ],
        ),
        (
            Comparison(1, 0, 0, 0, True, (5, 5), (50, 50), {"for review by x": (1, 0)}),
            ["since release 1: the same input files", "the corpus is the same, byte for byte", "for review by x 1 → 0 (-1)"],
        ),
        (
            Comparison(1, 0, 0, 1, False, (5, 5), (50, 51), {f"dropped by {name}": (9, 0) for name in "abcde"}),
            [
                "since release 1: 1 input file changed",
                "kept 5 → 5 (±0) documents, 50 → 51 (+1) tokens",
                "dropped by a 9 → 0 (-9)",
                "dropped by b 9 → 0 (-9)",
                "dropped by c 9 → 0 (-9), and 2 reasons more",
            ],
        ),
    ],
)
def test_lines(compared: Comparison, told: list[str]) -> None:
    assert list(lines(compared)) == told
    assert len(told) <= LINES
