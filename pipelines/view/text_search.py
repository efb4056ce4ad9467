"""Searches the texts of documents for a passage, a few megabytes at a time, so that the page stays quick and can stop.

A search goes on where the last answer ended. How far an answer gets depends on the bytes that it has read and not on
time, so it is the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from tamis.pipelines.view.document_list import DocumentList, Filter
from tamis.transforms.core.documents import part_of, row_of
from tamis.transforms.core.release import Release
from tamis.transforms.provenance import ledger

BYTES = 48 << 20
"""Of texts, that one answer reads, about: a third of a second."""


@dataclass(frozen=True)
class Found:
    """Documents with the passage, as (part, row). `next`: the place at which to go on, or None at the end. `searched`:
    documents that were read, of `candidates` from the place where this answer began."""

    places: list[tuple[int, int]]
    next: int | None
    searched: int
    candidates: int


def find_in_texts(documents: DocumentList, wanted: Filter, passage: str, start: int, count: int) -> Found:
    """Up to `count` documents that match a filter and have `passage` in the text as it was rated, whatever its case, in
    the order of their places from `start`, a place as in `DocumentList.places`."""
    release = documents.release
    candidates = _every_place(release) if wanted.is_empty else documents.places(wanted)
    candidates = candidates[np.searchsorted(candidates, np.uint64(start)) :]
    parts = part_of(candidates)
    found: list[tuple[int, int]] = []
    searched = read = 0
    for ordinal in np.unique(parts).tolist():
        rows = row_of(candidates[np.searchsorted(parts, ordinal) : np.searchsorted(parts, ordinal, side="right")])
        for group, batch in release.part(ordinal).read(rows, ["text"]):
            hits = pc.match_substring(batch["text"], passage, ignore_case=True).to_numpy(zero_copy_only=False)
            found += [(ordinal, row) for row in group[hits].tolist()]
            searched += len(group)
            read += batch.nbytes
            if len(found) >= count:
                part, row = found[count - 1]
                following = int(np.searchsorted(candidates, np.uint64((part << 32) + row), side="right"))
                return Found(found[:count], _place(candidates, following), following, len(candidates))
            if read >= BYTES:
                return Found(found, _place(candidates, searched), searched, len(candidates))
    return Found(found, None, searched, len(candidates))


def _place(candidates: npt.NDArray[np.uint64], number: int) -> int | None:
    return int(candidates[number]) if number < len(candidates) else None


def _every_place(release: Release) -> npt.NDArray[np.uint64]:
    """The places of all documents."""
    receipts = {ordinal: release.part(ordinal).receipt() for ordinal in ledger.decided_parts(release)}
    places = [
        np.uint64(ordinal << 32) + np.arange(receipt.documents, dtype=np.uint64)
        for ordinal, receipt in receipts.items()
        if receipt is not None
    ]
    return np.concatenate(places) if places else np.array([], np.uint64)
