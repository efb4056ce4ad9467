"""What a rated part says of its documents by itself: their signals, and which of them limits and editors end."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.core.component import METADATA
from tamis.transforms.core.parts import Part
from tamis.transforms.core.rater import Signal
from tamis.transforms.provenance.takedown import PURGED
from tamis.transforms.provenance.tombstones import TAKEDOWN
from tamis.transforms.select.rule_blocks import Rules
from tamis.transforms.text.metadata import column_of

EMPTIED = "edit.empty"
"""The reason of a document of which editors left nothing."""

REMOVED = (PURGED, TAKEDOWN)
"""Reasons of documents that someone had removed, whatever limits say. No report shows anything of them."""


def part_signals(part: Part, names: Collection[str], recipe: Recipe) -> pa.Table:
    """Columns of a rated part, and fields of its metadata that the recipe does not declare: of the type
    that their use in it implies, else labels."""
    fields = sorted(name for name in names if name.startswith(METADATA) and name not in recipe.rated_signals)
    table = part.columns([*sorted({*names} - {*fields}), *(["metadata"] if fields else [])])
    if not fields:
        return table
    metadata = table["metadata"].combine_chunks()
    for name in fields:
        signal = recipe.undeclared.get(name) or Signal(name, "string", "", "none", "metadata of the input")
        table = table.append_column(name, column_of(metadata, signal))
    return table


def sketch_columns(recipe: Recipe) -> list[str]:
    """The columns of a sketch that `rated_decisions` reads."""
    return ["source", "bytes", *(["chars_read"] if recipe.editors else [])]


def rated_decisions(signals: pa.Table, sketch: pa.Table, rules: Rules, recipe: Recipe, explain: bool) -> dict[str, pa.Array]:
    """Columns `decision`, `reason` and `detail` (strings; reason and detail null if kept) of n documents before
    any step has seen them: by the limits of `rules`, then those of which editors left nothing. `signals`:
    `rules.columns`; `sketch`: `sketch_columns`. Unless `explain`, details of limits are null."""
    evaluated = rules.evaluate(signals, sketch["source"], explain)
    columns = {name: evaluated[name].cast(pa.string()).combine_chunks() for name in ("decision", "reason", "detail")}
    if recipe.editors:
        emptied = pc.and_(pc.equal(sketch["bytes"], 0), pc.greater(sketch["chars_read"], 0)).combine_chunks()
        emptied = pc.and_(emptied, pc.equal(columns["decision"], "keep"))
        for name, word in {"decision": "drop", "reason": EMPTIED, "detail": "nothing is left"}.items():
            columns[name] = pc.if_else(emptied, pa.scalar(word), columns[name])
    return columns
