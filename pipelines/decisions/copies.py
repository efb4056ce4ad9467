"""Repeats: the documents kept as often as each phase has them, and where their copies go.

Without repeats a document is once in one phase, and nothing here adds to `standing`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tamis.pipelines.decisions.state import PLACED, REPEATED, SELECTED, answered, copies_by_phase, kept, ranked
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.beam.exchange import PartState
from tamis.transforms.curriculum.epochs import copy_positions, copy_spacing, earliest_positions
from tamis.transforms.curriculum.order import place
from tamis.transforms.text.hashing import mix


def turns(part_state: PartState, recipe: Recipe) -> pa.Table:
    """The documents kept, once for each phase they are in: with `times` (copies in the phase), `epoch` (number of the first of
    them, from 1), and `most` (copies that the best of its bin has in the phase)."""
    table = kept(part_state, recipe)
    one = pa.repeat(pa.scalar(1, pa.int64()), len(table))
    if not recipe.select.repeats:
        return table.append_column("times", one)
    rows = {name: table[name].combine_chunks() for name in ("doc_ref", "bin") if name in table.column_names}
    pool, budget, times = copies_by_phase(rows, part_state.result(SELECTED), recipe)
    most = -(-budget // np.maximum(pool, 1)[:, None])
    if not recipe.select.phases:  # all copies are in the phase of the document
        inside = table["phase"].to_numpy()[:, None] == np.arange(len(recipe.curriculum.effective_phases))
        times, most = times * inside, most * inside
    document, phase = np.nonzero(times)
    before = np.cumsum(times, axis=1) - times
    table = table.take(pa.array(document)).combine_chunks()
    table = _with(table, "phase", pa.array(phase.astype(np.int64)))
    for name, values in (("times", times), ("epoch", before + 1), ("most", most)):
        table = table.append_column(name, pa.array(values[document, phase]))
    return table


def mark_of(table: pa.Table, recipe: Recipe) -> pa.Array | None:
    """What tells the rows of a document in `turns` apart, one for each phase it is in."""
    return table["phase"].combine_chunks() if recipe.select.repeats else None


def apart(part_state: PartState, recipe: Recipe) -> tuple[pa.Table, np.ndarray]:
    """Every copy of every document, with its `epoch`, and what ranks it so that copies of one lie apart."""
    table = turns(part_state, recipe)
    doc_refs, mark = table["doc_ref"].combine_chunks(), mark_of(table, recipe)
    results = part_state.result(PLACED)
    through, whole = ranked(doc_refs, results, mark)
    of_phase = answered(doc_refs, results, "allotted", mark)
    asked = recipe.select.distance
    distance = np.full(len(table), asked) if isinstance(asked, float) else np.minimum(asked / np.maximum(of_phase, 1), 1.0)
    stands, times = place(through, whole), table["times"].to_numpy()
    steps = copy_spacing(distance, np.maximum(table["most"].to_numpy(), times))
    start = _entrances(table, of_phase, stands, steps, recipe)
    copies, turn, copy = _each_copy(table)
    major = _fine(copy_positions(stands[turn], times[turn], steps[turn], copy, start[turn])) << np.uint64(32) | _fine(
        stands[turn]
    )
    hashes = mix(np.ascontiguousarray(copies["id_hash"].to_numpy()), 1)
    hashes += copies["epoch"].to_numpy().astype(np.uint64)  # copies that meet differ
    return _with(copies, "id_hash", pa.array(hashes)), major


def emitted(part_state: PartState, recipe: Recipe) -> pa.Table:
    """The documents kept, in the order of their rows, as often as they are in the corpus, with phase and place of each copy;
    and with its `epoch` (from 1) where they may be repeated."""
    if not recipe.select.repeats:
        return kept(part_state, recipe)
    copies, _, _ = _each_copy(turns(part_state, recipe))
    doc_refs, epoch = (copies[name].combine_chunks() for name in ("doc_ref", "epoch"))
    where = place(*ranked(doc_refs, part_state.result(REPEATED), epoch))
    return _with(copies, "place", pa.array(where, from_pandas=True))


def _each_copy(table: pa.Table) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """The rows of `turns` as often as they say, with the `epoch` of each copy; the row it is of; its number in it, from 0."""
    times = table["times"].to_numpy()
    turn = np.repeat(np.arange(len(table)), times)
    copy = np.arange(len(turn)) - np.repeat(np.cumsum(times) - times, times)
    epoch = table["epoch"].to_numpy()[turn] + copy
    return _with(table.take(pa.array(turn)).combine_chunks(), "epoch", pa.array(epoch)), turn, copy


def _entrances(table: pa.Table, of_phase: np.ndarray, stands: np.ndarray, apart: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Where in its phase each row may begin: apart from its copies in the phase before, which are the row before."""
    doc_ref, phase, times = (table[name].to_numpy() for name in ("doc_ref", "phase", "times"))
    most = np.maximum(table["most"].to_numpy(), times)
    here = np.flatnonzero((doc_ref[1:] == doc_ref[:-1]) & (phase[1:] == phase[:-1] + 1)) + 1
    there = here - 1
    last = copy_positions(stands[there], times[there], apart[there], times[there] - 1)
    asked, shorter = recipe.select.distance, np.minimum(of_phase[here], of_phase[there])
    distance = asked * shorter if isinstance(asked, float) else np.minimum(asked, shorter)
    found = np.zeros(len(table))
    found[here] = earliest_positions(last, of_phase[there], most[there], of_phase[here], most[here], distance)
    return found


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


def _fine(share: np.ndarray) -> np.ndarray:
    """A share as 32 bits, in the same order."""
    return np.minimum(np.floor(share * (1 << 32)), (1 << 32) - 1).astype(np.uint64)
