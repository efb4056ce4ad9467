"""Near-duplicates beside the documents that were kept in their place, word by word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.report.benchmark_sections import TextPiece, side_by_side
from tamis.pipelines.run.receipts import SampledDocument
from tamis.transforms.core.documents import doc_refs, part_of, row_of
from tamis.transforms.core.release import Release
from tamis.transforms.provenance import ledger
from tamis.transforms.text.words import Words

REASON = "dedup.near"
PAIRS = 3
CHARACTERS = 1500
"""Of each text that are compared: the comparison takes quadratic time."""


class NearPair(TypedDict):
    """A near-duplicate and the document that was kept instead, with the beginnings of their texts."""

    id: str
    kept: str
    jaccard: float
    text: list[TextPiece]
    kept_text: list[TextPiece]


@dataclass(frozen=True)
class SampledPair:
    """A near-duplicate of the sample, and the document that was kept instead, by their doc_refs."""

    id: str
    kept_id: str
    jaccard: float
    document: int
    kept: int


def sampled_pairs(release: Release, sample: Sequence[SampledDocument]) -> list[SampledPair]:
    """The first pairs of a sample of near-duplicates. Reads the ids of all documents once."""
    chosen = sample[:PAIRS]
    rows = [_decision(release, document) for document in chosen]
    kept = _doc_refs(release, [row["representative"] for row in rows])
    return [
        SampledPair(document.id, row["representative"], row["jaccard"], document.doc_ref, kept[row["representative"]])
        for document, row in zip(chosen, rows, strict=True)
        if row["representative"] in kept  # else it was released before, or purged
    ]


def near_pairs(pairs: Sequence[SampledPair], texts: Mapping[int, str], words: Words) -> list[NearPair]:
    """The pairs side by side. `texts`: by doc_ref."""
    found: list[NearPair] = []
    for pair in pairs:
        text, kept_text = side_by_side(_beginning(texts[pair.document]), _beginning(texts[pair.kept]), words)
        found.append({"id": pair.id, "kept": pair.kept_id, "jaccard": pair.jaccard, "text": text, "kept_text": kept_text})
    return found


def _decision(release: Release, document: SampledDocument) -> dict[str, Any]:
    ref = np.array([document.doc_ref], np.uint64)
    columns = ledger.decisions(release, int(part_of(ref)[0]), ["representative", "jaccard"])
    return dict(columns.slice(int(row_of(ref)[0]), 1).to_pylist()[0])


def _doc_refs(release: Release, ids: Sequence[str | None]) -> dict[str, int]:
    """The doc_refs of the documents with these ids."""
    found: dict[str, int] = {}
    wanted = pa.array(ids, pa.string())
    for ordinal in ledger.decided_parts(release) if ids else ():
        column = ledger.decisions(release, ordinal, ["id"])["id"].combine_chunks()
        rows = pc.indices_nonzero(pc.is_in(column, value_set=wanted, skip_nulls=True))
        refs = doc_refs(ordinal, len(column))[rows.to_numpy()]
        found |= dict(zip(column.take(rows).to_pylist(), refs.tolist(), strict=True))
    return found


def _beginning(text: str) -> str:
    return f"{text[:CHARACTERS]}…" if len(text) > CHARACTERS else text
