"""An index is built once for the same benchmarks and never used for others."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tamis.transforms.decontaminate.benchmarks import Benchmark
from tamis.transforms.decontaminate.contamination_rater import Decontaminate
from tamis.transforms.decontaminate.matching import index
from tamis.transforms.runtime import mapped_arrays
from tamis.transforms.text.words import DEFAULT_WORDS, Words

ITEM = "A baker sold twelve loaves on Monday and three times as many on Tuesday"
OTHER = "The river ran past the mill and the children waded in it to the other bank"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr("tamis.transforms.runtime.caches.candidate_folders", lambda name: [folder, tmp_path / "never"])
    return folder


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Decontaminate]:
    """The options of every index that was built."""
    calls: list[Decontaminate] = []
    build = index.build

    def count_and_build(options: Decontaminate, words: Words = DEFAULT_WORDS) -> index.Index:
        calls.append(options)
        return build(options, words)

    monkeypatch.setattr(index, "build", count_and_build)
    return calls


def options(file: Path, text: str, name: str = "some", **changed: float) -> Decontaminate:
    file.write_text(json.dumps({"question": text}) + "\n")
    return Decontaminate(benchmarks=[Benchmark(name=name, path=str(file), fields=["question"])], **changed)


def test_it_is_built_once(tmp_path: Path, cache: Path, builds: list[Decontaminate]) -> None:
    benchmarks = options(tmp_path / "items.jsonl", ITEM)
    first, second = index.load_or_build(benchmarks), index.load_or_build(benchmarks)
    assert len(builds) == 1
    assert first.fingerprint == second.fingerprint == index.build(benchmarks).fingerprint
    assert (first.slots == second.slots).all()
    assert (first.triples == second.triples).all()


def test_other_items_other_options_and_other_code_are_built(
    tmp_path: Path, cache: Path, builds: list[Decontaminate], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "items.jsonl"
    index.load_or_build(options(file, ITEM))
    before = file.stat()
    changed = options(file, ITEM.replace("twelve", "eleven"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # the same size and time
    index.load_or_build(changed)
    index.load_or_build(options(file, ITEM, name="other"))
    index.load_or_build(options(file, ITEM, drop=0.9))  # decides nothing here
    index.load_or_build(options(file, ITEM), Words(definition="whitespace"))
    monkeypatch.setattr("tamis.transforms.runtime.kernels.digest", lambda _: "other code")
    index.load_or_build(options(file, ITEM))
    assert len(builds) == 5


def test_an_index_of_changing_files_is_not_cached(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmarks, build = options(tmp_path / "items.jsonl", ITEM), index.build

    def build_and_change(requested: Decontaminate, words: Words) -> index.Index:
        options(tmp_path / "items.jsonl", OTHER)
        return build(requested, words)

    monkeypatch.setattr(index, "build", build_and_change)
    index.load_or_build(benchmarks)
    assert not list(cache.iterdir())


def test_a_damaged_one_is_built_again(tmp_path: Path, cache: Path, builds: list[Decontaminate]) -> None:
    benchmarks = options(tmp_path / "items.jsonl", ITEM)
    good = index.load_or_build(benchmarks).fingerprint
    (file,) = cache.iterdir()
    file.write_bytes(b"no index")
    assert index.load_or_build(benchmarks).fingerprint == good
    assert len(builds) == 2


def test_the_indexes_used_last_are_kept(tmp_path: Path, cache: Path, builds: list[Decontaminate]) -> None:
    for number in range(12):
        index.load_or_build(options(tmp_path / "items.jsonl", ITEM, name=f"benchmark {number}"))
    assert len(list(cache.iterdir())) == mapped_arrays.KEPT


def test_without_a_writable_cache_it_is_built_every_time(
    tmp_path: Path, builds: list[Decontaminate], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(
        "tamis.transforms.runtime.caches.candidate_folders", lambda name: [tmp_path / "file" / "x", tmp_path / "file" / "y"]
    )
    benchmarks = options(tmp_path / "items.jsonl", ITEM)
    assert index.load_or_build(benchmarks).fingerprint == index.load_or_build(benchmarks).fingerprint
    assert len(builds) == 2
