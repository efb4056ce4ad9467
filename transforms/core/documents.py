"""What flows: the schema of a batch of documents, and the doc_ref that finds a document again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("licence", pa.string()),
        pa.field("date", pa.string()),
        pa.field("metadata", pa.string()),  # canonical JSON object of every field the recipe does not map
    ]
)
"""A batch of documents. `id` is the user's or, where there is none, the 128-bit hash of source and
text in hexadecimal."""

BATCH_BYTES = 2 << 20
"""Text in one batch, about: large enough to amortise a kernel call, small enough that a batch and
its words fit a cache."""

_ROW_BITS = 32


def doc_refs(part: int, rows: int, first_row: int = 0) -> npt.NDArray[np.uint64]:
    """Tickets of `rows` consecutive documents of rated part `part`: part ordinal in the high 32
    bits, row in the low 32.

    A doc_ref only finds a document again; nothing is decided or ordered by it.
    """
    return np.uint64(part << _ROW_BITS) + np.arange(first_row, first_row + rows, dtype=np.uint64)


def part_of(doc_ref: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Ordinal of the rated part each doc_ref points into."""
    return (doc_ref >> np.uint64(_ROW_BITS)).astype(np.int64)


def row_of(doc_ref: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Row of each doc_ref inside its rated part."""
    return (doc_ref & np.uint64((1 << _ROW_BITS) - 1)).astype(np.int64)
