"""Near-duplicates beside the documents that were kept in their place, word by word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.report.benchmark_sections import TextPiece, side_by_side
from tamis.pipelines.run.receipts import SampledDocument
from tamis.transforms.core.documents import part_of, row_of
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


def near_pairs(release: Release, sample: Sequence[SampledDocument], words: Words) -> list[NearPair]:
    """The first pairs of a sample of near-duplicates. Reads the ids of all documents once, and a row group for each text."""
    pairs: list[NearPair] = []
    chosen = sample[:PAIRS]
    rows = [_decision(release, *_place(document)) for document in chosen]
    places = _places(release, [row["representative"] for row in rows])
    for document, row in zip(chosen, rows, strict=True):
        if row["representative"] not in places:
            continue  # it was released before, or purged
        own, kept = (_text(release, *place) for place in (_place(document), places[row["representative"]]))
        text, kept_text = side_by_side(own, kept, words)
        pair: NearPair = {
            "id": document.id,
            "kept": row["representative"],
            "jaccard": row["jaccard"],
            "text": text,
            "kept_text": kept_text,
        }
        pairs.append(pair)
    return pairs


def _place(document: SampledDocument) -> tuple[int, int]:
    """(part, row) of a document."""
    ref = np.array([document.doc_ref], np.uint64)
    return int(part_of(ref)[0]), int(row_of(ref)[0])


def _decision(release: Release, ordinal: int, row: int) -> dict[str, Any]:
    columns = ledger.decisions(release, ordinal, ["representative", "jaccard"])
    return dict(columns.slice(row, 1).to_pylist()[0])


def _places(release: Release, ids: Sequence[str | None]) -> dict[str, tuple[int, int]]:
    """(part, row) of the documents with these ids."""
    places: dict[str, tuple[int, int]] = {}
    wanted = pa.array(ids, pa.string())
    for ordinal in ledger.decided_parts(release) if ids else ():
        column = ledger.decisions(release, ordinal, ["id"])["id"].combine_chunks()
        rows = pc.indices_nonzero(pc.is_in(column, value_set=wanted, skip_nulls=True))
        places |= {name: (ordinal, row) for name, row in zip(column.take(rows).to_pylist(), rows.to_pylist(), strict=True)}
    return places


def _text(release: Release, ordinal: int, row: int) -> str:
    ((_, batch),) = release.part(ordinal).read(np.array([row]), ["text"])
    text: str = batch["text"][0].as_py() or ""
    return f"{text[:CHARACTERS]}…" if len(text) > CHARACTERS else text
