"""Categories of documents: a label each, from columns that a recipe names, joined where it names several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

METADATA = "metadata."
"""What the name of a metadata field begins with."""

JOINT = "|"
NONE = "none"
"""Label of a document that has none."""


def labels(columns: Sequence[pa.Array]) -> pa.Array:
    """The label of each of n documents: its values as text, joined. Booleans are true and false, integers have no point."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = [pc.fill_null(column.cast(pa.string()), NONE) for column in columns]
    return pc.binary_join_element_wise(*texts, JOINT) if len(texts) > 1 else texts[0]


def metadata_field(metadata: pa.Array, name: str) -> pa.Array:
    """Field `name` of n JSON objects as text, null where there is none; numbers and booleans as JSON writes them.

    A Python object a document: only recipes that name a metadata field pay for it, about a microsecond a document.
    """
    import orjson
    import pyarrow as pa

    found: list[str | None] = []
    for text in metadata.to_pylist():
        value = orjson.loads(text).get(name) if text else None
        found.append(value if value is None or isinstance(value, str) else orjson.dumps(value).decode())
    return pa.array(found, pa.string())
