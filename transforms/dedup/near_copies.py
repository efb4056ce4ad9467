"""Finds the copies and near copies of given documents in the rated parts of a run.

Texts are compared as they were rated. Of each part, its hashes and bands are read, and the texts of
those documents that share a band with a given one; each is verified.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.core.arrays import Floats, Ints
from tamis.transforms.core.parts import Part
from tamis.transforms.dedup.deduplicate import mapped_lists, shingles_of
from tamis.transforms.dedup.drop_rule import similarity_rules
from tamis.transforms.dedup.minhash import MinHash, sketch
from tamis.transforms.dedup.survivors import nearest_kept, spans
from tamis.transforms.text.hashing import hash128
from tamis.transforms.text.word_hashes import hashed_words
from tamis.transforms.text.words import Words


@dataclass(frozen=True)
class Originals:
    """The given documents, by which copies are found: the hashes of their texts (u64[n, 2]), their bands
    (lists of u64, null if there is nothing to compare) and their shingles (lists of u64)."""

    text_hash: npt.NDArray[np.uint64]
    bands: pa.Array
    shingles: pa.Array


@dataclass(frozen=True)
class Copies:
    """Documents of a part: their rows, the number of the original of each, and their similarity, which
    is 1 for an equal text."""

    rows: Ints
    original: Ints
    jaccard: Floats


def originals(texts: pa.Array, options: MinHash | None, words: Words) -> Originals:
    """Texts as originals. Without `options`, only equal texts are copies."""
    hashes = hash128(texts)
    if options is None:
        nothing = pa.nulls(len(texts), pa.large_list(pa.uint64()))
        return Originals(hashes, nothing, nothing)
    bands = sketch(hashed_words(texts, words, fold=True), options).cast(pa.large_list(pa.uint64()))
    return Originals(hashes, bands, shingles_of(texts, options, words)[0])


def joined(given: Sequence[Originals]) -> Originals:
    """Several groups of originals as one."""
    bands, shingles = (pa.concat_arrays([getattr(each, name) for each in given]) for name in ("bands", "shingles"))
    return Originals(np.concatenate([each.text_hash for each in given]), bands, shingles)


def copies_in(part: Part, given: Originals, options: MinHash | None, words: Words, spill: str) -> Copies:
    """The documents of a part that are equal to an original or, with `options`, have at least its Jaccard
    similarity with one that shares a band. Of several originals, an equal one comes first, then the
    most similar, then the first. The originals are found, too, if they are in the part."""
    compared = part.sketch(["text_hash_0", "text_hash_1", *(["bands"] if options is not None else [])])
    rows, original = _equal(compared, given)
    jaccard = np.ones(len(rows))
    if options is not None:
        near = _near(part, np.setdiff1d(_sharing(compared, given), rows), compared, given, options, words, spill)
        order = np.argsort(np.append(rows, near.rows), kind="stable")
        rows, original = np.append(rows, near.rows)[order], np.append(original, near.original)[order]
        jaccard = np.append(jaccard, near.jaccard)[order]
    return Copies(rows, original, jaccard)


def _equal(compared: pa.Table, given: Originals) -> tuple[Ints, Ints]:
    """(rows, originals) of the documents with the text of an original."""
    own = np.stack([compared[name].to_numpy() for name in ("text_hash_0", "text_hash_1")], axis=1)
    found = pc.index_in(pa.array(own[:, 0]), value_set=pa.array(np.ascontiguousarray(given.text_hash[:, 0])))
    place = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    rows = np.flatnonzero(place >= 0)
    rows = rows[own[rows, 1] == given.text_hash[place[rows], 1]]
    return rows, place[rows]


def _sharing(compared: pa.Table, given: Originals) -> Ints:
    """The rows of the documents that share a band with an original."""
    bands = compared["bands"].combine_chunks()
    rows = np.flatnonzero(bands.is_valid())
    shared = pc.is_in(bands.flatten(), value_set=given.bands.flatten()).to_numpy(zero_copy_only=False)
    return rows[shared.reshape(len(rows), bands.type.list_size).any(axis=1)]


def _near(part: Part, rows: Ints, compared: pa.Table, given: Originals, options: MinHash, words: Words, spill: str) -> Copies:
    """Those of the documents in `rows` that are similar enough to an original."""

    fixed = len(given.bands)
    short = [np.zeros(fixed, np.bool_)]  # of originals it does not matter

    def shingles() -> Iterator[pa.Array]:
        yield given.shingles
        for _, batch in part.read(rows, ["text"]):
            lists, are_short = shingles_of(batch["text"], options, words)
            short.append(are_short.to_numpy(zero_copy_only=False))
            yield lists

    own = compared["bands"].combine_chunks().take(pa.array(rows)).cast(given.bands.type)
    bands = spans(pa.chunked_array([given.bands, own]))
    lists = mapped_lists(shingles(), spill)
    nearest, jaccard = nearest_kept(bands, lists, similarity_rules(options), np.concatenate(short), fixed)
    near = np.flatnonzero(nearest[fixed:] < fixed)
    return Copies(rows[near], nearest[fixed:][near], jaccard[fixed:][near])
