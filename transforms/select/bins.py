"""Bins of documents: a label for each, joined from the columns that a recipe names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

METADATA = "metadata."
"""Prefix of the names of metadata fields."""

JOINT = "|"
NONE = "none"
"""Label of documents without a label."""


def labels(columns: Sequence[pa.Array]) -> pa.Array:
    """The label of each of n documents: its values as text, joined (booleans: true, false)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = [pc.fill_null(column.cast(pa.string()), NONE) for column in columns]
    return pc.binary_join_element_wise(*texts, JOINT) if len(texts) > 1 else texts[0]


def metadata_field(metadata: pa.Array, name: str) -> pa.Array:
    """Field `name` of n JSON objects as text, numbers and booleans in JSON's notation; null if
    missing. It makes Python objects (1 µs per document), only if a recipe names such a field."""
    import orjson
    import pyarrow as pa

    values: list[str | None] = []
    for text in metadata.to_pylist():
        value = orjson.loads(text).get(name) if text else None
        values.append(value if value is None or isinstance(value, str) else orjson.dumps(value).decode())
    return pa.array(values, pa.string())
