"""Ranks: the rows that a ranking reads, and its results by document."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.beam import ranking
from tamis.transforms.beam.exchange import result_column
from tamis.transforms.beam.step import one_batch
from tamis.transforms.core.documents import row_of

SELECTION, PHASES, QUANTILES, ORDER, COPY_ORDER = "selection", "phases", "quantiles", "order", "copy_order"
"""The rankings: by quality, for the budget; to cut documents into phases; by quality within a phase,
for orders that need quantiles; by the curriculum; and of all copies, by position."""


def ranking_rows(
    table: pa.Table,
    group: pa.Array,
    major: np.ndarray,
    copies: pa.ChunkedArray | None = None,
    copy_no: pa.Array | pa.ChunkedArray | None = None,
) -> pa.RecordBatch:
    """The rows that a ranking reads. `major` sorts them within a group, then tie_break and id."""
    columns = {"doc_ref": table["doc_ref"], "group": group, "major": pa.array(major)}
    columns |= {name: table[name] for name in ("tie_break", "id_hash", "tokens")}
    if copies is not None:
        columns["tokens"] = pc.multiply(table["tokens"], copies)
    if copy_no is not None:
        columns["copy_no"] = copy_no
    return one_batch(pa.table(columns, schema=ranking.ROWS if copy_no is None else ranking.COPY_ROWS))


def ranks_of(doc_refs: pa.Array, results: pa.Table | None, copy_no: pa.Array | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Rank in tokens and tokens of the group, as floats; NaN where a document was not ranked."""
    rank, group_tokens = (rank_column(doc_refs, results, name, copy_no).astype(np.float64) for name in ("rank", "group_tokens"))
    missing = rank < 0
    rank[missing] = group_tokens[missing] = np.nan
    return rank, group_tokens


def rank_column(doc_refs: pa.Array, results: pa.Table | None, column: str, copy_no: pa.Array | None = None) -> np.ndarray:
    """A column of a ranking for documents of a part, or for copies of them; -1 if not ranked."""
    if results is not None and copy_no is not None:
        doc_refs = _row_and_copy(doc_refs, copy_no)
        keys = _row_and_copy(results["doc_ref"].combine_chunks(), results["copy_no"].combine_chunks())
        results = results.set_column(0, "doc_ref", keys)
    return np.asarray(result_column(doc_refs, results, column, -1).cast(pa.int64()).to_numpy(zero_copy_only=False))


def _row_and_copy(doc_refs: pa.Array, copy_no: pa.Array) -> pa.Array:
    """Row and copy in one number. No document has a million copies."""
    return pa.array(row_of(doc_refs.to_numpy()) << 20 | copy_no.to_numpy())
