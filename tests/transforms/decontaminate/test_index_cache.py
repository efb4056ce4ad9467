"""An index is built once for the same benchmarks, and never used for others."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tamis.transforms.decontaminate import index
from tamis.transforms.decontaminate.benchmarks import Benchmark
from tamis.transforms.decontaminate.ngrams import Decontaminate
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
    """What was built, as it is."""
    done: list[Decontaminate] = []
    build = index.build

    def counted(options: Decontaminate, words: Words = DEFAULT_WORDS) -> index.Index:
        done.append(options)
        return build(options, words)

    monkeypatch.setattr(index, "build", counted)
    return done


def options(file: Path, text: str, **changed: int) -> Decontaminate:
    file.write_text(json.dumps({"question": text}) + "\n")
    return Decontaminate(benchmarks=[Benchmark(name="some", path=str(file), fields=["question"])], **changed)


def test_it_is_built_once(tmp_path: Path, cache: Path, builds: list[Decontaminate]) -> None:
    given = options(tmp_path / "items.jsonl", ITEM)
    first, second = index.built(given), index.built(given)
    assert len(builds) == 1
    assert first.fingerprint == second.fingerprint == index.build(given).fingerprint
    assert (first.slots == second.slots).all()
    assert (first.heads == second.heads).all()
    assert (first.halves == second.halves).all()
    assert first.unmatchable == second.unmatchable


def test_other_items_other_options_and_other_code_are_built(
    tmp_path: Path, cache: Path, builds: list[Decontaminate], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "items.jsonl"
    index.built(options(file, ITEM))
    before = file.stat()
    changed = options(file, ITEM.replace("twelve", "eleven"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # as many bytes, and as old
    index.built(changed)
    index.built(options(file, ITEM, ngram=10))
    index.built(options(file, ITEM), Words(definition="whitespace"))
    monkeypatch.setattr("tamis.transforms.runtime.kernels.digest", lambda _: "other code")
    index.built(options(file, ITEM))
    assert len(builds) == 5


def test_what_changes_while_it_is_read_is_not_kept(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, build = options(tmp_path / "items.jsonl", ITEM), index.build

    def disturbed(wanted: Decontaminate, words: Words) -> index.Index:
        options(tmp_path / "items.jsonl", OTHER)
        return build(wanted, words)

    monkeypatch.setattr(index, "build", disturbed)
    index.built(given)
    assert not list(cache.iterdir())


def test_a_damaged_one_is_built_again(tmp_path: Path, cache: Path, builds: list[Decontaminate]) -> None:
    given = options(tmp_path / "items.jsonl", ITEM)
    good = index.built(given).fingerprint
    (kept,) = cache.iterdir()
    kept.write_bytes(b"no index")
    assert index.built(given).fingerprint == good
    assert len(builds) == 2


def test_the_last_used_are_kept(tmp_path: Path, cache: Path, builds: list[Decontaminate]) -> None:
    for ngram in range(8, 20):
        index.built(options(tmp_path / "items.jsonl", ITEM, ngram=ngram))
    assert len(list(cache.iterdir())) == index._KEPT


def test_without_a_place_it_is_built(tmp_path: Path, builds: list[Decontaminate], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(
        "tamis.transforms.runtime.caches.candidate_folders", lambda name: [tmp_path / "file" / "x", tmp_path / "file" / "y"]
    )
    given = options(tmp_path / "items.jsonl", ITEM)
    assert index.built(given).fingerprint == index.built(given).fingerprint
    assert len(builds) == 2
