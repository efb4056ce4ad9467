"""An index finds what it has, reads no more of its files than it must, and says what is wrong with them."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tamis.transforms.core.errors import RunError
from tamis.transforms.dedup.released.index_files import (
    BANDS,
    DOCUMENTS,
    SCHEMAS,
    SHINGLES,
    IndexFile,
    Segment,
    bits_of,
    file_name,
    find,
    first_bits,
    read_shingles,
    write_sorted,
)

HASHES = st.lists(st.integers(0, 2**64 - 1), max_size=60)


def write(folder: Path, bands: list[int], bits: tuple[int, int]) -> Segment:
    """An index of bands alone; the text hash of each is the place in the list."""
    hashes = np.array(bands, np.uint64)
    order = np.argsort(hashes, kind="stable")
    table = pa.table([hashes[order], order.astype(np.uint64)], schema=SCHEMAS[BANDS])
    file_of = first_bits(table["band"].to_numpy(), bits[0])
    for number in np.unique(file_of).tolist():
        own = table.filter(pa.array(file_of == number))
        write_sorted(str(folder / file_name(BANDS, number)), BANDS, own, number, bits)
    files = [file_name(BANDS, number) for number in np.unique(file_of).tolist()]
    return Segment(str(folder), IndexFile(documents=0, near=None, bits={BANDS: bits}, files=files, before=[]), ("night",))


@settings(max_examples=25)
@given(HASHES, HASHES, st.sampled_from([(0, 0), (0, 3), (2, 2), (1, 5)]))
def test_it_finds_exactly_the_rows_with_a_hash(tmp_path_factory, bands, others, bits) -> None:
    segment = write(tmp_path_factory.mktemp("index"), bands, bits)
    wanted = [*bands[::2], *others]
    found = find(segment, BANDS, np.array(wanted, np.uint64))
    expected = sorted((band, place) for place, band in enumerate(bands) if band in set(wanted))
    assert list(zip(found["band"].to_pylist(), found["text_hash_0"].to_pylist(), strict=True)) == expected


def test_batches_that_cannot_have_a_hash_are_not_read(tmp_path) -> None:
    """With eight batches, the bytes of all others may be damaged."""
    segment = write(tmp_path, [number << 56 for number in range(256)], (0, 3))
    path = tmp_path / file_name(BANDS, 0)
    content = bytearray(path.read_bytes())
    with pa.ipc.open_file(pa.py_buffer(bytes(content))) as reader:
        assert [reader.get_batch(number).num_rows for number in range(8)] == [32] * 8
    place = content.index(np.uint64(40 << 56).tobytes())  # the second batch
    content[place - 200 : place + 300] = b"\xff" * 500
    path.write_bytes(content)
    assert find(segment, BANDS, np.array([200 << 56], np.uint64))["text_hash_0"].to_pylist() == [200]


@pytest.mark.parametrize(
    ("documents", "bands", "expected"),
    [
        (0, 14, {DOCUMENTS: (0, 0), BANDS: (0, 0)}),
        (16_384, 0, {DOCUMENTS: (0, 0), BANDS: (0, 0)}),
        (16_385, 4, {DOCUMENTS: (0, 1), BANDS: (0, 1)}),
        (20_000_000, 14, {DOCUMENTS: (7, 11), BANDS: (7, 13)}),
        (1_000_000_000, 14, {DOCUMENTS: (10, 16), BANDS: (10, 18)}),
    ],
)
def test_files_and_batches_follow_from_the_number_of_documents(documents, bands, expected) -> None:
    assert bits_of(documents, bands) == expected


def documents_of(folder: Path, lists: list[list[int]]) -> tuple[Segment, pa.Table]:
    """An index with these shingles in two files, and all its documents."""
    hashes = np.linspace(1, 2**64 - 2048, max(len(lists), 1)).astype(np.uint64)[: len(lists)]
    file_of, tables = first_bits(hashes, 1), []
    for number in (0, 1):
        own = [each for each, file in zip(lists, file_of, strict=True) if file == number]
        counts = np.array([len(each) for each in own], np.int64)
        columns = [hashes[file_of == number], np.zeros(len(own), np.uint64), [f"d{place}" for place in range(len(own))]]
        columns += [np.cumsum(counts) - counts, counts, 0 * counts]
        tables.append(pa.table([*map(pa.array, columns)], schema=SCHEMAS[DOCUMENTS]))
        write_sorted(str(folder / file_name(DOCUMENTS, number)), DOCUMENTS, tables[-1], number, (1, 2))
        (folder / file_name(SHINGLES, number)).write_bytes(np.array([*chain.from_iterable(own)], "<u8").tobytes())
    files = [file_name(DOCUMENTS, number) for number in (0, 1)]
    index = IndexFile(documents=len(lists), near={}, bits={DOCUMENTS: (1, 2)}, files=files, before=[])
    return Segment(str(folder), index, ("night",)), pa.concat_tables(tables)


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=5), max_size=12), st.randoms())
def test_it_has_the_shingles_of_each_document(tmp_path_factory, lists, random) -> None:
    segment, table = documents_of(tmp_path_factory.mktemp("index"), lists)
    chosen = sorted(random.sample(range(len(lists)), random.randint(0, len(lists))))
    read = [each for piece in read_shingles(segment, table.take(pa.array(chosen, pa.int64()))) for each in piece.to_pylist()]
    assert read == [lists[place] for place in chosen]


def test_a_file_that_is_missing_or_cut_off_is_named(tmp_path) -> None:
    segment, table = documents_of(tmp_path, [[1, 2], [3], [4, 5, 6], [7]])
    (tmp_path / "shingles-00001.u64").write_bytes(b"\0" * 9)
    with pytest.raises(RunError, match=r"shingles-00001\.u64 of the index of night is too short: restore it from a copy"):
        list(read_shingles(segment, table))
    (tmp_path / "shingles-00000.u64").unlink()
    with pytest.raises(RunError, match=r"shingles-00000\.u64 of the index of night is missing"):
        list(read_shingles(segment, table))
    (tmp_path / "documents-00000.arrow").write_bytes(b"ARROW1")
    with pytest.raises(RunError, match=r"documents-00000\.arrow of the index of night is "):
        find(segment, DOCUMENTS, table["text_hash_0"].to_numpy())
    (tmp_path / "documents-00000.arrow").unlink()
    with pytest.raises(RunError, match=r"documents-00000\.arrow of the index of night is missing"):
        find(segment, DOCUMENTS, table["text_hash_0"].to_numpy())
