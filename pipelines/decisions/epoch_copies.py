"""Repeated documents: how many copies of each a phase has, and where in the phase they go."""

import numpy as np
import pyarrow as pa

from tamis.pipelines.decisions.budget import TAKEN_COLUMNS, taken_documents
from tamis.pipelines.decisions.document_states import kept_documents
from tamis.pipelines.decisions.ranks import COPY_ORDER, ORDER, SELECTION, rank_column, ranks_of
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.beam.exchange import PartState
from tamis.transforms.curriculum.epochs import copy_positions, copy_spacing, earliest_positions
from tamis.transforms.curriculum.order import place
from tamis.transforms.text.hashing import mix


def per_phase_rows(part_state: PartState, recipe: Recipe, complete: bool = False) -> pa.Table:
    """The kept documents, one row for each phase they are in. Adds `phase_copies` (of the document
    in the phase) and, if documents may be repeated, `epoch` (number of the first of these copies,
    from 1) and `max_copies` (of any document of its bin in the phase). `complete`: as of
    `kept_documents`."""
    table = kept_documents(part_state, recipe, complete)
    if not recipe.select.repeats:
        return table.append_column("phase_copies", pa.repeat(pa.scalar(1, pa.int64()), len(table)))
    rows = {name: table[name].combine_chunks() for name in TAKEN_COLUMNS if name in table.column_names}
    taken = taken_documents(rows, part_state.result(SELECTION), recipe.select)
    copies, max_copies = taken.copies, taken.most
    if not recipe.select.phases:  # all copies are in the phase of the document
        in_phase = table["phase"].to_numpy()[:, None] == np.arange(len(recipe.curriculum.effective_phases))
        copies, max_copies = copies * in_phase, max_copies * in_phase
    document, phase = np.nonzero(copies)
    earlier = np.cumsum(copies, axis=1) - copies
    table = table.take(pa.array(document)).combine_chunks()
    table = _with_column(table, "phase", pa.array(phase.astype(np.int64)))
    for name, values in (("phase_copies", copies), ("epoch", earlier + 1), ("max_copies", max_copies)):
        table = table.append_column(name, pa.array(values[document, phase]))
    return table


def copy_numbers(table: pa.Table, recipe: Recipe) -> pa.Array | None:
    """Distinguishes the rows of one document in `per_phase_rows`; None if it has only one."""
    return table["phase"].combine_chunks() if recipe.select.repeats else None


def spaced_copies(part_state: PartState, recipe: Recipe) -> tuple[pa.Table, np.ndarray]:
    """Every copy of every document with its `epoch`, and sort keys (u64[n]) that keep copies of
    one document apart."""
    table = per_phase_rows(part_state, recipe)
    doc_refs, copy_no = table["doc_ref"].combine_chunks(), copy_numbers(table, recipe)
    results = part_state.result(ORDER)
    position = place(*ranks_of(doc_refs, results, copy_no))
    phase_tokens = rank_column(doc_refs, results, "group_value", copy_no)
    least = recipe.select.distance
    distance = np.full(len(table), least) if isinstance(least, float) else np.minimum(least / np.maximum(phase_tokens, 1), 1.0)
    phase_copies = table["phase_copies"].to_numpy()
    spacing = copy_spacing(distance, np.maximum(table["max_copies"].to_numpy(), phase_copies))
    start = _earliest_starts(table, phase_tokens, position, spacing, recipe)
    copies, row, copy = _expand_copies(table)
    positions = copy_positions(position[row], phase_copies[row], spacing[row], copy, start[row])
    major = _as_32_bits(positions) << np.uint64(32) | _as_32_bits(position[row])
    hashes = mix(np.ascontiguousarray(copies["id_hash"].to_numpy()), 1)
    hashes += copies["epoch"].to_numpy().astype(np.uint64)  # orders copies with equal sort keys
    return _with_column(copies, "id_hash", pa.array(hashes)), major


def emitted_copies(part_state: PartState, recipe: Recipe) -> pa.Table:
    """Every copy of every kept document, with its phase and place, in the order of the part's rows.
    If documents may be repeated, the column `epoch` numbers the copies from 1."""
    if not recipe.select.repeats:
        return kept_documents(part_state, recipe, complete=True)
    copies, _, _ = _expand_copies(per_phase_rows(part_state, recipe, complete=True))
    doc_refs, epoch = (copies[name].combine_chunks() for name in ("doc_ref", "epoch"))
    places = place(*ranks_of(doc_refs, part_state.result(COPY_ORDER), epoch))
    return _with_column(copies, "place", pa.array(places, from_pandas=True))


def _expand_copies(table: pa.Table) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """(copies, row, number): a row for each copy with its `epoch`; the row of `per_phase_rows` it
    comes from; its number among the copies of that row, from 0."""
    copies = table["phase_copies"].to_numpy()
    row = np.repeat(np.arange(len(table)), copies)
    copy = np.arange(len(row)) - np.repeat(np.cumsum(copies) - copies, copies)
    epoch = table["epoch"].to_numpy()[row] + copy
    return _with_column(table.take(pa.array(row)).combine_chunks(), "epoch", pa.array(epoch)), row, copy


def _earliest_starts(
    table: pa.Table, phase_tokens: np.ndarray, position: np.ndarray, spacing: np.ndarray, recipe: Recipe
) -> np.ndarray:
    """The first position in its phase that is far enough from the copies in the phase before,
    which are in the row before."""
    doc_ref, phase, copies = (table[name].to_numpy() for name in ("doc_ref", "phase", "phase_copies"))
    max_copies = np.maximum(table["max_copies"].to_numpy(), copies)
    later = np.flatnonzero((doc_ref[1:] == doc_ref[:-1]) & (phase[1:] == phase[:-1] + 1)) + 1
    earlier = later - 1
    last = copy_positions(position[earlier], copies[earlier], spacing[earlier], copies[earlier] - 1)
    least, shorter = recipe.select.distance, np.minimum(phase_tokens[later], phase_tokens[earlier])
    distance = least * shorter if isinstance(least, float) else np.minimum(least, shorter)
    starts = np.zeros(len(table))
    starts[later] = earliest_positions(
        last, phase_tokens[earlier], max_copies[earlier], phase_tokens[later], max_copies[later], distance
    )
    return starts


def _with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


def _as_32_bits(share: np.ndarray) -> np.ndarray:
    """Shares (0 to 1) as 32-bit integers in the same order."""
    return np.minimum(np.floor(share * (1 << 32)), (1 << 32) - 1).astype(np.uint64)
