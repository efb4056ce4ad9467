"""A merged index has what its members have, and of many nights few indices are left."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.dedup.released import index_files
from tamis.transforms.dedup.released.index_files import BANDS, DOCUMENTS, IndexFile, near_settings, rows_in
from tamis.transforms.dedup.released.merge_indices import EACH_TIER, MergeIndices, newest_to_merge
from tamis.transforms.dedup.released.open_indices import open_indices
from tamis.transforms.text.words import DEFAULT_WORDS
from tests.transforms.dedup.test_find_released import OPTIONS, corpora, found, written


def merged(paths: list[Path], folder: Path) -> Path:
    """One index of several."""
    segments = open_indices([str(path) for path in paths], near_settings(OPTIONS, DEFAULT_WORDS))
    with beam.Pipeline(FnApiRunner()) as pipeline:
        _ = pipeline | MergeIndices(segments, str(folder), str(folder))
    return folder


def columns(path: Path) -> dict[str, list[object]]:
    """All that an index has, but for the names of its releases."""
    (segment,) = open_indices([str(path)], None)
    documents, bands = (rows_in(segment, kind, 0, 0).to_pydict() for kind in (DOCUMENTS, BANDS))
    del documents["release"]
    shingles = [each.read_bytes() for each in sorted(path.glob("shingles-*"))]
    return {**documents, **bands, "shingles": shingles}


@pytest.fixture
def small_files(monkeypatch):
    """Files of eight documents, so that few documents fill several."""
    monkeypatch.setattr(index_files, "_FILE_DOCUMENTS", 8)
    monkeypatch.setattr(index_files, "_BATCH_ROWS", {DOCUMENTS: 2, BANDS: 16})


def pieces(table: pa.Table, folder: Path, size: int) -> list[Path]:
    """Indices of so many documents each."""
    tables = [table.slice(start, size) for start in range(0, len(table), size)]
    return [written(each, [[*range(len(each))]], folder / f"night-{number}") for number, each in enumerate(tables)]


def test_it_has_the_documents_shingles_and_bands_of_an_index_made_at_once(tmp_path, small_files) -> None:
    """Also of merged ones, whose releases keep their names."""
    one, _, _ = corpora(0)
    whole = written(one, [[*range(len(one))]], tmp_path / "whole")
    nights = pieces(one, tmp_path, 5)
    some = merged(nights[:3], tmp_path / "some")
    every = merged([some, *nights[3:]], tmp_path / "every")
    assert len(sorted(every.glob("bands-*"))) > 1
    assert columns(every) == columns(whole)
    (segment,) = open_indices([str(every)], None)
    assert segment.names == tuple(map(str, nights))
    rows = rows_in(segment, DOCUMENTS, 0, 0).to_pylist()
    assert {row["id"]: row["release"] for row in rows} == {f"a{place}": place // 5 for place in range(len(one))}


def test_it_finds_what_its_members_find(tmp_path, small_files) -> None:
    """The same documents of the same releases; also for texts that several have."""
    one, two, new = corpora(1)
    again = written(one.slice(3, 4), [[*range(4)]], tmp_path / "again")
    nights = [*pieces(one, tmp_path / "one", 4), again, *pieces(two, tmp_path / "two", 4)]
    places = [[*range(len(new))]]
    expected = found(new, places, tmp_path / "apart", nights)
    assert len({release for _, release, _ in expected.values()}) > 5
    one_index = merged(nights, tmp_path / "merged")
    assert found(new, places, tmp_path / "together", [one_index]) == expected
    index = IndexFile.read(str(one_index / "index.json"))
    assert index is not None
    assert index.documents == len(one) + len(two)
    half = merged(nights[:6], tmp_path / "half")
    assert found(new, places, tmp_path / "partly", [half, *nights[6:]]) == expected


@given(st.lists(st.integers(0, 5000), max_size=120))
def test_of_any_nights_few_indices_for_each_tier_are_left(nights) -> None:
    left: list[int] = []
    for documents in nights:
        number = newest_to_merge(left)
        left = [documents, *([sum(left[:number])] if number else []), *left[number:]]
        assert len(left) <= 1 + EACH_TIER * (1 + max(left).bit_length() // 3)
    assert sum(left) == sum(nights)


def test_of_a_year_of_equal_nights_nineteen_indices_are_the_most() -> None:
    """And a document is copied less than twice."""
    left: list[int] = []
    most = copied = 0
    for _ in range(365):
        number = newest_to_merge(left)
        copied += sum(left[:number])
        left = [1000, *([sum(left[:number])] if number else []), *left[number:]]
        most = max(most, len(left))
    assert (most, copied, len(left)) == (19, 640_000, 15)
