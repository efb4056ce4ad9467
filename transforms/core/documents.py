"""The schema of a batch of documents, the doc_ref that points to one document of a run, and hosts."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("licence", pa.string()),
        pa.field("date", pa.string()),
        pa.field("metadata", pa.string()),  # the other fields, as a canonical JSON object
    ]
)
"""A batch of documents. `id` is the user's, or else the 128-bit hash of source and text in hex."""

BATCH_BYTES = 2 << 20
"""Approximate text in one batch: enough to amortise a kernel call, little enough for a cache."""

_ROW_BITS = 32

_HOST = r"^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?(?P<host>\[[^\]/?#]*\]|[^/?#:]*)"


def doc_refs(part: int, rows: int, first_row: int = 0) -> npt.NDArray[np.uint64]:
    """References to consecutive documents of a rated part: its ordinal in the high 32 bits, the row
    in the low 32. A doc_ref only locates a document; nothing is decided or ordered by it."""
    return np.uint64(part << _ROW_BITS) + np.arange(first_row, first_row + rows, dtype=np.uint64)


def part_of(doc_ref: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Ordinal of the rated part each doc_ref points into."""
    return (doc_ref >> np.uint64(_ROW_BITS)).astype(np.int64)


def row_of(doc_ref: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Row of each doc_ref inside its rated part."""
    return (doc_ref & np.uint64((1 << _ROW_BITS) - 1)).astype(np.int64)


def hosts(urls: pa.Array) -> pa.Array:
    """The host of each address in lower case, without user, port and final dot; null if it has none."""
    found = pc.utf8_rtrim(pc.utf8_lower(pc.struct_field(pc.extract_regex(urls, _HOST), "host")), ".")
    return pc.if_else(pc.equal(found, ""), pa.scalar(None, found.type), found)
