"""From texts to verdicts on near-duplicates, without a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.transforms.dedup.character_shingles import short_texts
from tamis.transforms.dedup.components import bucket_edges, forest
from tamis.transforms.dedup.drop_rule import drop_rules
from tamis.transforms.dedup.minhash import MinHash, sketch
from tamis.transforms.dedup.shingles import shingles
from tamis.transforms.dedup.survivors import spans, survivors
from tamis.transforms.text.hashing import hash128, mix
from tamis.transforms.text.segment import segment


def from_texts(texts: Sequence[str], options: MinHash) -> tuple[list[dict[str, Any]], list[set[int]]]:
    """The verdict on each text, whose id is `d` and its place, and the shingle set of each."""
    verdicts, sets = verdicts_on(texts, options)
    return verdicts.to_pylist(), [*map(set, sets.to_pylist())]


def verdicts_on(texts: Sequence[str], options: MinHash) -> tuple[pa.Table, pa.Array]:
    """The same as columns."""
    column = pa.array(texts, pa.large_string())
    words = segment(column)
    bands, (first, hashes) = sketch(words, options), shingles(words, options.ngram, options.fold, options.short)
    sets = pa.LargeListArray.from_arrays(first, hashes)
    text = hash128(column)
    doc_ref = np.arange(len(texts), dtype=np.uint64)
    member = np.repeat(doc_ref[~bands.is_null().to_numpy(zero_copy_only=False)], options.bands)
    star = forest(np.concatenate((bucket_edges(bands.flatten().to_numpy(), member), bucket_edges(text[:, 0], doc_ref))))
    component = doc_ref.copy()
    component[star[:, 1]] = star[:, 0]
    table = pa.table(
        {
            "component": component,
            "doc_ref": doc_ref,
            "id": [f"d{t}" for t in range(len(texts))],
            "quality": pa.nulls(len(texts), pa.float32()),
            "tie_break": mix(doc_ref, 1),
            "text_hash_0": text[:, 0],
            "text_hash_1": text[:, 1],
            "bands": bands,
            "shingles": sets,
            "short": short_texts(words, options.short),
        }
    )
    return survivors(table, spans(table["shingles"]), drop_rules(options)), sets
