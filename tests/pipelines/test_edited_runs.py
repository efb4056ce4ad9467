"""Runs with editors: every text is what its editors make of it alone, and no character is lost on the way."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import tamis
from tamis.transforms.core.parts import Part
from tests.pipelines.corpus import Record, corpus, dealt, save
from tests.pipelines.running import RECIPE, corpus_of
from tests.transforms.edit.random_editor import RandomEditor, RandomOptions, changed, random_changes

EDITORS = [RandomEditor(RandomOptions(name=f"random_{seed}", seed=seed, density=0.1)) for seed in range(2)]


class Eraser(tamis.Editor[tamis.Options]):
    """Removes texts that contain the word 42."""

    name = "eraser"
    VERSION = 1
    reasons = ("number",)

    def edit(self, texts: tamis.Texts) -> tamis.Edits:
        import numpy as np

        rows = np.array([row for row, text in enumerate(texts.strings()) if "42" in text.split()], np.int64)
        return tamis.Edits(rows, texts.text_start[rows], texts.text_start[rows + 1], np.zeros(len(rows), np.int64))


def run(source: Path, output: Path, *, editors: Any = EDITORS, workers: int = 1, **changed: Any) -> tamis.Release:
    return tamis.run(RECIPE | changed, str(source), str(output), editors=editors, workers=workers)


def edited(text: str) -> str:
    for editor in EDITORS:
        text = changed(text, random_changes(text, editor.options))
    return text


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return corpus(300, seed=13)


@pytest.fixture(scope="module")
def release(records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> tamis.Release:
    folder = tmp_path_factory.mktemp("edited")
    return run(save(folder / "in", [records]), folder / "run")


def test_every_text_is_what_its_editors_make_of_it_alone(release: tamis.Release, records: list[Record]) -> None:
    texts = {str(record["id"]): str(record["text"]) for record in records}
    rated = release.table("text", "edit.random_0.removed_chars").to_pylist()
    assert {row["id"]: row["text"] for row in rated} == {name: edited(text) for name, text in texts.items()}
    kept = {row["id"] for row in rated if row["decision"] == "keep"}
    assert 0 < len(kept) < len(texts)
    corpus = release.documents.to_table().to_pylist()
    assert {row["id"]: row["text"] for row in corpus} == {name: edited(texts[name]) for name in kept}


def test_characters_are_conserved(release: tamis.Release, records: list[Record]) -> None:
    characters = release.manifest["counts"]["characters"]
    made: Counter[str] = Counter()
    for record in records:
        text = str(record["text"])
        for editor in EDITORS:
            changes = random_changes(text, editor.options)
            made[f"{editor.name} removed"] += sum(stop - start for start, stop, _, _ in changes)
            made[f"{editor.name} inserted"] += sum(len(new) for *_, new, _ in changes)
            text = changed(text, changes)
    for editor in EDITORS:
        counts = characters["editors"][editor.name]
        assert (counts["removed"], counts["inserted"]) == (made[f"{editor.name} removed"], made[f"{editor.name} inserted"])
        assert sum(reason["removed"] for reason in counts["reasons"].values()) == counts["removed"]
    assert characters["read"] == sum(len(str(record["text"])) for record in records)
    assert characters["kept"] == sum(len(row["text"]) for row in release.documents.to_table().to_pylist())
    assert characters["rated"] == characters["kept"] + characters["dropped"] + characters["review"]
    assert release.verify() == []


@pytest.mark.parametrize("number", ["read", "rated", "kept", "dropped"])
def test_a_count_that_is_off_is_named(release: tamis.Release, tmp_path: Path, number: str) -> None:
    from tamis.transforms.provenance.verify import conservation

    manifest = json.loads(json.dumps(release.manifest))
    assert conservation(manifest) == []
    manifest["counts"]["characters"][number] += 1
    assert any("characters" in problem for problem in conservation(manifest))


@pytest.mark.slow
def test_the_corpus_does_not_depend_on_files_or_workers(
    release: tamis.Release, records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # workers import the editors of the tests
    other = run(save(tmp_path / "in", dealt(records, 5, seed=1), "parquet"), tmp_path / "run", workers=2)
    assert corpus_of(Path(other.run)) == corpus_of(Path(release.run))


def test_a_moved_threshold_edits_nothing_again(records: list[Record], tmp_path: Path) -> None:
    source = save(tmp_path / "in", [records])
    first = run(source, tmp_path / "run", thresholds={"edit.random_0.removed_share": {"max": 0.9}})
    parts = {name: Part(first.run, name).receipt() for name in first.manifest["parts"]}
    second = run(source, tmp_path / "run", thresholds={"edit.random_0.removed_share": {"max": 0.05}})
    assert {name: Part(first.run, name).receipt() for name in second.manifest["parts"]} == parts
    assert second.manifest["counts"]["kept"] < first.manifest["counts"]["kept"]


def test_a_document_that_editors_empty_is_dropped(records: list[Record], tmp_path: Path) -> None:
    records = [*records, {"id": "empty", "text": "", "source": "web"}]
    recipe = {"rate": {}, "thresholds": {}, "quality": [], "dedup": None}
    release = run(save(tmp_path / "in", [records]), tmp_path / "run", editors=[Eraser(tamis.Options())], **recipe)
    erased = {record["id"] for record in records if "42" in str(record["text"]).split()}
    reasons = {row["id"]: row["reason"] for row in release.decisions.to_table().to_pylist()}
    assert erased
    assert {name for name, reason in reasons.items() if reason == "edit.empty"} == erased
    assert reasons["empty"] is None  # it was empty before


def test_ids_by_hash_are_of_the_text_as_it_was_read(records: list[Record], tmp_path: Path) -> None:
    source = save(tmp_path / "in", [[{"text": record["text"]} for record in records[:50]]])
    plain, changed = (run(source, tmp_path / str(len(editors)), editors=editors) for editors in ([], EDITORS))
    ids = [set(release.decisions.to_table()["input_id"].to_pylist()) for release in (plain, changed)]
    assert ids[0] == ids[1]
