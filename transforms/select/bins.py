"""Bins of documents: a label for each, joined from the columns that a recipe names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

JOINT = "|"
SEVERAL = "+"
"""Joins the labels of a column that gives a document several."""

NONE = "none"
"""Label of documents without a label."""


def labels(columns: Sequence[pa.Array]) -> pa.Array:
    """The label of each of n documents: its values as text, joined (booleans: true, false)."""
    import pyarrow.compute as pc

    texts = [pc.fill_null(_as_text(column), NONE) for column in columns]
    return pc.binary_join_element_wise(*texts, JOINT) if len(texts) > 1 else texts[0]


def _as_text(column: pa.Array) -> pa.Array:
    """Values as text. Several labels of a document are joined: what it is all about is its label."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.binary_join(column, SEVERAL) if pa.types.is_list(column.type) else column.cast(pa.string())
