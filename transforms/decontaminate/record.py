"""The record of contamination in a release: every match of a benchmark item, and what became of its document.

The file holds no text. A row is a document and an item, as far as the match reaches a limit of the recipe
or is a near miss (`matching.verdicts`). Rows are in the order of benchmarks, items and ids, so the bytes do
not depend on how the input was cut into parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

FILE: Final = "contamination.parquet"
"""In the folder of a release whose recipe names benchmarks."""

NO_ACTION: Final = "none"
"""The action of a near miss: no limit is reached."""

CLASSES: Final = ("copied", "changed", "part", "answer", "passage")
"""A copy, also an edited one; one with other numbers; a part of a question, a text that only begins as it
does, or the question with other choices; an answer without its question; the passage that a question is
about, what many questions share, or a quotation."""

RECORD = pa.schema(
    [
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("number", pa.int32(), nullable=False),  # of the item in its benchmark, from 0
        pa.field("part", pa.string(), nullable=False),  # of the item: question, passage, choices or answer
        pa.field("class", pa.string(), nullable=False),
        pa.field("action", pa.string(), nullable=False),  # that limits and class ask for: drop, cut, review, report or none
        pa.field("metric", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),  # byte in the text as it was rated
        pa.field("stop", pa.int64(), nullable=False),
        pa.field("decision", pa.string(), nullable=False),  # about the document: keep, drop or review
        pa.field("reason", pa.string()),  # of the decision
    ]
)


def in_order(rows: pa.Table, benchmarks: Sequence[str]) -> pa.Table:
    """Rows of `RECORD` by benchmark, as the recipe lists them, then item, id and place."""
    place = pc.index_in(rows["benchmark"], value_set=pa.array(benchmarks, pa.string()))
    keys = ["place", "number", "id", "start", "stop", "score", "decision", "reason"]  # so that only equal rows tie
    ordered = rows.append_column("place", place).sort_by([(key, "ascending") for key in keys])
    return ordered.select(RECORD.names).cast(RECORD).combine_chunks()


def matches(rows: pa.Table) -> pa.Table:
    """The rows that reach a limit."""
    return rows.filter(pc.not_equal(rows["action"], NO_ACTION))
