"""What is found in an index is what comparing every pair of texts finds, however both are divided into parts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from tamis.transforms.core.documents import row_of
from tamis.transforms.dedup.minhash import MinHash, ShortTexts
from tamis.transforms.dedup.released.find_released import FindReleased
from tamis.transforms.dedup.released.index_files import near_settings
from tamis.transforms.dedup.released.open_indices import open_indices
from tamis.transforms.dedup.released.write_index import WriteIndex
from tamis.transforms.dedup.shingles import shingles
from tamis.transforms.text.segment import segment
from tamis.transforms.text.words import DEFAULT_WORDS
from tests.transforms.beam.beam_run import part_states_of, rows_of, run
from tests.transforms.dedup.test_deduplicate import WORDS, rows, rows_without_bands, table_of, texts

OPTIONS = MinHash(threshold=0.6)


def with_edits(texts: list[str], seed: int, most: int = 30) -> list[str]:
    """The texts, each with up to `most` other words."""
    draw, edited = np.random.default_rng(seed), []
    for text in texts:
        words = np.array(text.split())
        words[draw.choice(len(words), draw.integers(0, most), replace=False)] = "neu"
        edited.append(" ".join(words))
    return edited


def written(table: pa.Table, parts: list[list[int]], folder: Path, options: MinHash | None = OPTIONS) -> Path:
    """The index of these documents."""
    load = rows if options is not None else rows_without_bands
    index, spill = folder / "index", folder / "spill"
    with beam.Pipeline(FnApiRunner()) as pipeline:
        part_states = pipeline | beam.Create(part_states_of(table, parts))
        _ = part_states | WriteIndex(options, DEFAULT_WORDS, (), load, texts, str(index), str(spill))
    return index


def found(table, parts, folder, indices, options=OPTIONS, partitions=3):
    """{id: (id of the released document, name of its index, similarity)}."""
    segments = open_indices([str(each) for each in indices], near_settings(options, DEFAULT_WORDS))
    load = rows if options is not None else rows_without_bands
    states = part_states_of(table, parts)
    verdicts = {}
    for part_state in run(
        states, lambda spill: FindReleased(segments, options, DEFAULT_WORDS, load, texts, spill, partitions), folder
    ):
        results, ids = part_state.result("released"), rows_of(part_state)["id"].to_pylist()
        for row in results.to_pylist() if results is not None else []:
            identifier = ids[int(row_of(np.array([row["doc_ref"]], np.uint64))[0])]
            verdicts[identifier] = (row["copy_of"], row["release"], row["jaccard"])
    return verdicts


def compared(table: pa.Table, indices: dict[str, pa.Table], options: MinHash) -> dict[str, tuple[str, str, float | None]]:
    """The same by comparing all pairs that share a band: an equal text, or else the most similar with the least hash."""

    def sets(texts: pa.Table) -> list[set[int]]:
        first, hashes = shingles(segment(texts["text"].combine_chunks()), options.ngram, options.fold, options.short)
        return [set(hashes[start:stop].tolist()) for start, stop in pairwise(first.tolist())]

    def drops(own: set[int], others: set[int]) -> bool:
        contained = len(own & others) / len(own) if len(own) <= len(others) else 0.0
        threshold = options.threshold if options.short is None else options.short.threshold  # here, all are short
        similar = len(own & others) / len(own | others) >= threshold
        return (similar or contained >= (options.containment or 2.0)) and contained >= (options.preserve or 0.0)

    verdicts = {}
    for identifier, text, bands, own in zip(
        table["id"].to_pylist(), table["text"].to_pylist(), table["bands"].to_pylist(), sets(table), strict=True
    ):
        similar = []
        for number, (name, index) in enumerate(indices.items()):
            columns = [index[column].to_pylist() for column in ("id", "text", "bands", "text_hash_0")]
            for other, other_text, other_bands, text_hash, others in zip(*columns, sets(index), strict=True):
                if text == other_text:
                    similar.append((-2.0, text_hash, number, (other, name, None)))
                elif set(bands or ()) & set(other_bands or ()):
                    overlap = len(own & others) / len(own | others)
                    if drops(own, others):
                        similar.append((-overlap, text_hash, number, (other, name, overlap)))
        if similar:
            verdicts[identifier] = min(similar)[3]
    return verdicts


def corpora(seed: int) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Two released corpora, the second with edited copies of the first, and new documents like both."""
    draw = np.random.default_rng(seed)
    originals = [" ".join(draw.choice(WORDS, 120)) for _ in range(30)] + ["", "short text"]
    one, two = originals[:20] + originals[30:], with_edits(originals[:10], seed + 1, 8) + originals[20:26]
    new = with_edits(originals[:30], seed + 2) + originals[18:24] + ["", "short text", "another one"]
    tables = [table_of(each) for each in (one, two, new)]
    named = [pa.array([f"{name}{number}" for number in range(len(table))]) for name, table in zip("abn", tables, strict=True)]
    one, two, new = (table.set_column(0, "id", ids) for table, ids in zip(tables, named, strict=True))
    return one, two, new


@pytest.mark.parametrize(
    ("seed", "options"),
    [
        (0, OPTIONS),
        (1, MinHash(threshold=0.9, containment=0.6, preserve=0.65)),
        (2, MinHash(threshold=0.9, short=ShortTexts(words=200, threshold=0.7))),
    ],
)
def test_it_finds_what_comparing_all_pairs_finds(tmp_path, seed, options) -> None:
    one, two, new = corpora(seed)
    paths = [written(table, [list(range(len(table)))], tmp_path / name, options) for name, table in (("a", one), ("b", two))]
    everything = list(range(len(new)))
    verdicts = found(new, [everything], tmp_path / "whole", paths, options)
    expected = compared(new, {str(path): table for path, table in zip(paths, (one, two), strict=True)}, options)
    assert verdicts == expected
    assert {similarity is None for _, _, similarity in verdicts.values()} == {True, False}
    assert {release for _, release, _ in verdicts.values()} == set(map(str, paths))
    cut = [everything[::3], everything[1::3], [], everything[2::3]]
    assert found(new, cut, tmp_path / "cut", paths, options, partitions=7) == verdicts


def test_without_near_copies_only_equal_texts_are_found(tmp_path) -> None:
    one, _, new = corpora(0)
    path = written(one, [list(range(len(one)))], tmp_path / "a", None)
    assert sorted(entry.name for entry in path.iterdir()) == ["documents-00000.arrow", "index.json"]
    verdicts = found(new, [list(range(len(new)))], tmp_path / "whole", [path], None)
    own = dict(zip(one["text"].to_pylist(), one["id"].to_pylist(), strict=True))
    pairs = zip(new["id"].to_pylist(), new["text"].to_pylist(), strict=True)
    assert verdicts == {name: (own[text], str(path), None) for name, text in pairs if text in own}


def test_the_bytes_of_an_index_do_not_depend_on_the_parts(tmp_path) -> None:
    table = corpora(0)[0]
    place = list(range(len(table)))
    whole = written(table, [place], tmp_path / "whole")
    cut = written(table, [place[1::2], [], place[::2]], tmp_path / "cut")
    assert {path.name: path.read_bytes() for path in cut.iterdir()} == {
        path.name: path.read_bytes() for path in whole.iterdir()
    }


def test_many_released_documents_of_one_template_are_compared_by_their_rarest_shingles(tmp_path) -> None:
    """260 released pages share bands with 40 new ones, half of which are edits of one of them."""
    draw = np.random.default_rng(3)
    template = " ".join(draw.choice(WORDS, 60))
    own = [" ".join(draw.choice(WORDS, 60)) for _ in range(280)]
    pages = [f"{template} {each}" for each in own]
    changed = [f"{page} end of the page" for page in pages[:20]]
    released, new = table_of(pages[:260]), table_of(changed + pages[260:])
    same = pa.array([[7] * OPTIONS.bands] * 300, new["bands"].type)  # all share all bands
    released = released.set_column(5, "bands", same.slice(0, 260))
    new = new.set_column(5, "bands", same.slice(0, 40))
    path = written(released, [list(range(260))], tmp_path / "a")
    verdicts = found(new, [list(range(40))], tmp_path / "b", [path])
    assert verdicts == compared(new, {str(path): released}, OPTIONS)
    assert len(verdicts) == 20
