"""A release in an object store answers as one on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

import tamis
from tamis.transforms import storage
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import CHANGES, run, write_recipe

QUESTIONS = (
    "SELECT decision, reason, sum(gopher.word_count) FROM documents GROUP BY ALL ORDER BY ALL",
    "SELECT id, part, row, length(text) FROM documents JOIN texts USING (id) ORDER BY id",
    "SELECT * FROM cuts ORDER BY ALL",
    "SELECT * FROM data ORDER BY id",
)


@pytest.mark.parametrize("folder", ["moto"], indirect=True)
def test_a_release_in_a_store_answers_as_one_on_disk(folder: str, tmp_path: Path) -> None:
    here = tmp_path / "run"
    run(write_recipe(tmp_path, **CHANGES), save(tmp_path / "in", dealt(corpus(60, seed=2), 2, seed=1)), here)
    for path in here.rglob("*"):
        if path.is_file() and "latest" not in path.parts:
            storage.write_bytes(f"{folder}/run/{path.relative_to(here)}", path.read_bytes())
    releases = [tamis.Release.open(name) for name in (str(here), f"{folder}/run")]
    for question in QUESTIONS:
        answers = [release.query(question) for release in releases]
        assert answers[0].num_rows
        assert answers[0] == answers[1]
    diff = releases[0].diff(releases[1])
    assert (diff.flipped, diff.counts.gone, diff.counts.new, diff.counts.other_text) == (0, 0, 0, 0)
