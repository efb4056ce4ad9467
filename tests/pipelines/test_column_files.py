"""A rater that is changed or added never makes a dear one rate again; damage and failures do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tamis
from tamis.pipelines.column_files import ColumnFiles
from tamis.pipelines.recipe.load import load_recipe
from tamis.transforms.core.documents import SCHEMA
from tamis.transforms.read.input_options import Split
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import RECIPE

ROOT = Path(__file__).resolve().parents[2]

COUNT = "TAMIS_TEST_CALLS"
"""The variable that names the file which counts calls: the function may run in a copy of its module."""


def letters(text: str) -> float:
    with open(os.environ[COUNT], "ab") as file:
        file.write(b".")
    return float(len(text))


def calls() -> int:
    return Path(os.environ[COUNT]).stat().st_size


def capitals(text: str) -> float:
    return float(sum(map(str.isupper, text)))


def slow(version: str = "1") -> object:
    return tamis.rater(name="letters", version=version, direction="up", range=(0, 5000))(letters)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(COUNT, str(tmp_path / "calls"))
    return str(save(tmp_path / "in", dealt(corpus(150, seed=51), 3, seed=1)))


def run(source: str, output: Path, *raters: object, **sections: object) -> tamis.Release:
    Path(os.environ[COUNT]).write_bytes(b"")
    return tamis.run({**RECIPE, **sections}, source, str(output), raters=list(raters), workers=1)


def scores(release: tamis.Release) -> list[tuple[str, float]]:
    table = release.table("letters.score")
    return sorted(zip(table["id"].to_pylist(), table["letters.score"].to_pylist(), strict=True))


@pytest.mark.slow
def test_a_changed_or_added_rater_does_not_make_a_dear_one_rate_again(source, tmp_path):
    first = run(source, tmp_path / "run", slow())
    assert calls() >= 150
    changed = run(source, tmp_path / "run", slow(), rate={**RECIPE["rate"], "c4": {}})
    assert (changed.number, calls()) == (2, 1)  # set up on one word
    assert scores(changed) == scores(first)
    added = run(source, tmp_path / "run", slow(), tamis.rater(name="capitals", version="1")(capitals))
    assert (added.number, calls()) == (3, 1)
    assert scores(added) == scores(first)


def test_one_that_sees_texts_unedited_does_not_rate_again_if_editors_change(source, tmp_path):
    edits = [{"edit": [editor]} for editor in ({"repair": {}}, {"cut_lines": {"where": {"words": {"max": 5}}}})]
    first = run(source, tmp_path / "run", slow(), rate_unedited=["letters"], **edits[0])
    assert calls() >= 150
    other = run(source, tmp_path / "run", slow(), rate_unedited=["letters"], **edits[1])
    assert (scores(other), calls()) == (scores(first), 1)
    edited = run(source, tmp_path / "run", slow(), **edits[1])
    assert calls() >= 150
    assert scores(edited) != scores(first)


def test_its_new_version_rates_again(source, tmp_path):
    run(source, tmp_path / "run", slow())
    run(source, tmp_path / "run", slow("2"))
    assert calls() >= 150


class Source(tamis.Rater[tamis.Options]):
    """Gives a number that its version sets."""

    name, VERSION = "source", 1
    signals = (tamis.Signal("source.value", "int64", "units", "up", "a test"),)

    def rate(self, texts: tamis.SegmentedTexts) -> pa.RecordBatch:
        return tamis.signal_batch(self.signals, [pa.array([self.VERSION] * len(texts), pa.int64())])


class Changed(Source):
    VERSION = 2


class Middle(tamis.Rater[tamis.Options]):
    """Passes on the number of `source`."""

    name, VERSION, needs = "middle", 1, ("source.value",)
    signals = (tamis.Signal("middle.value", "int64", "units", "up", "a test"),)

    def rate(self, texts: tamis.SegmentedTexts) -> pa.RecordBatch:
        return tamis.signal_batch(self.signals, [texts[self.needs[0]]])


class Dear(Middle):
    """Passes on the number of `middle`, and keeps it."""

    name, needs, own_file = "dear", ("middle.value",), True
    signals = (tamis.Signal("dear.value", "int64", "units", "up", "a test"),)


def test_it_rates_again_if_a_rater_changes_that_another_one_needs_for_it(source, tmp_path):
    options = tamis.Options()
    for rater, value in ((Source(options), 1), (Changed(options), 2)):
        release = run(source, tmp_path / "run", rater, Middle(options), Dear(options))
        assert set(release.table("dear.value")["dear.value"].to_pylist()) == {value}


def test_a_damaged_file_is_measured_again(source, tmp_path):
    first = run(source, tmp_path / "run", slow())
    for path in sorted((tmp_path / "run/columns/letters").iterdir()):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    again = run(source, tmp_path / "run", slow(), rate={**RECIPE["rate"], "c4": {}})
    assert scores(again) == scores(first)


def test_only_new_files_of_the_input_are_measured(source, tmp_path):
    run(source, tmp_path / "run", slow())
    save(Path(source) / "more", [corpus(20, seed=52)])
    run(source, tmp_path / "run", slow(), rate={**RECIPE["rate"], "c4": {}})
    assert 20 <= calls() <= 22


COUNTED = """
import sys, time
import tamis
from tamis.transforms.rate.neural.network import Network
from tests.pipelines.test_column_files import counted

if __name__ == "__main__":
    Network.outputs = counted(Network.outputs, seconds=0.3)
    tamis.run({"rate": {"classifier": [{"name": "edu", "model": sys.argv[1], "max_tokens": 64}]}}, *sys.argv[2:], workers=1)
"""


def counted(outputs: Any, seconds: float = 0) -> Any:
    """A model that counts the windows that it has judged."""

    def counting(network: Any, windows: Any) -> Any:
        values = outputs(network, windows)
        with open(os.environ[COUNT], "ab") as file:
            file.write(b"." * len(windows))
        time.sleep(seconds)
        return values

    return counting


@pytest.mark.slow
def test_a_killed_run_judges_no_document_of_a_finished_file_again(source, tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    from tamis.transforms.rate.neural.network import Network
    from tests.transforms.rate.neural.random_models import save_classifier

    model = save_classifier(tmp_path / "edu", num_labels=1, problem_type="regression")
    script, kept = tmp_path / "counted.py", tmp_path / "run/columns/edu"
    script.write_text(COUNTED)
    with subprocess.Popen(
        [sys.executable, str(script), model, source, str(tmp_path / "run")], env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        until = time.monotonic() + 180
        while not (kept.is_dir() and any(kept.glob("*.arrow"))):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        process.kill()
    finished = sum(pa.ipc.open_file(path).read_all().num_rows for path in kept.glob("*.arrow"))
    assert 0 < finished < 150
    assert calls() >= finished
    Path(os.environ[COUNT]).write_bytes(b"")
    monkeypatch.setattr(Network, "outputs", counted(Network.outputs))
    recipe = {"rate": {"classifier": [{"name": "edu", "model": model, "max_tokens": 64}]}}
    resumed = tamis.run(recipe, source, str(tmp_path / "run"), workers=1)
    assert calls() == 150 - finished + 1  # one word when it is set up
    undisturbed = tamis.run(recipe, source, str(tmp_path / "undisturbed"), workers=1)
    one, other = (sorted(release.table("edu.score").to_pylist(), key=itemgetter("id")) for release in (resumed, undisturbed))
    assert one == other


def test_of_a_split_that_was_not_finished_the_pieces_are_known(tmp_path, monkeypatch):
    monkeypatch.setattr("tamis.pipelines.column_files.PIECE_SECONDS", 0)
    rater, recipe = slow(), load_recipe("gopher", [], ["in"])
    split = Split("in", "jsonl", 0, 100, 100, "1")
    rows = [{"id": str(row), "text": "a" * row, "source": "web"} for row in range(12)]
    batches = [pa.RecordBatch.from_pylist(rows[first : first + 4], schema=SCHEMA) for first in (0, 4, 8)]
    values = [pa.record_batch({"letters.score": pa.array([float(first + row) for row in range(4)])}) for first in (0, 4, 8)]

    def known(files: ColumnFiles, batch: pa.RecordBatch) -> list[float] | None:
        found = files.known(batch).get("letters")
        return None if found is None else found["letters.score"].to_pylist()

    killed = ColumnFiles(str(tmp_path), split, recipe, [rater])
    for batch, rated in zip(batches[:2], values, strict=False):
        assert known(killed, batch) is None
        killed.add(batch, rated)
    folder = tmp_path / "columns/letters"
    assert len(list(folder.iterdir())) == 2
    resumed = ColumnFiles(str(tmp_path), split, recipe, [rater])
    assert [known(resumed, batch) for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], None]
    for batch, rated in zip(batches, values, strict=True):
        resumed.add(batch, rated)
    resumed.save()
    assert len(list(folder.iterdir())) == 1
    again = ColumnFiles(str(tmp_path), split, recipe, [rater])
    assert [known(again, batch) for batch in batches] == [rated["letters.score"].to_pylist() for rated in values]
    other = ColumnFiles(str(tmp_path), split, recipe, [slow("2")])
    assert known(other, batches[0]) is None


def test_rules_have_no_files_of_their_own(source, tmp_path):
    run(source, tmp_path / "run")
    assert not (tmp_path / "run/columns").exists()
