"""What becomes of each document of a part, as far as is known: from its signals, and from what the exchanges answered about it.

Every step of Decide calls `standing` again instead of passing columns on: a part state is a few file names, and reading the
columns back costs less than carrying them through a runner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms import storage
from tamis.transforms.beam import unique_ids
from tamis.transforms.beam.exchange import PartState
from tamis.transforms.beam.ranking import aligned
from tamis.transforms.core.documents import row_of
from tamis.transforms.core.parts import Part
from tamis.transforms.curriculum.order import WILDCARD, phase_of, place
from tamis.transforms.dedup import deduplicate
from tamis.transforms.runtime.memory import give_back_freed_memory
from tamis.transforms.select import allocation, bins, diversify, guards
from tamis.transforms.select.fuse import fuse
from tamis.transforms.select.thresholds import evaluate
from tamis.transforms.text.hashing import hash128, mix

SELECTED, PHASED, GRADED, PLACED, REPEATED = "selected", "phased", "graded", "placed", "repeated"
"""Tags of the rankings: by quality for the budget, for the phases, for orders that ask for quantiles; by the curriculum; of the
copies of repeated documents, by where they go."""

GUARDED = "guarded."
"""What the columns begin with that say which documents a guard is about."""

_CONTAMINATION = ("contamination.benchmark", "contamination.coverage", "contamination.item")

_REMEMBERED = 32 << 20
"""Bytes of measured parts that a process remembers from stage to stage: some 1 GB of text."""


def standing(part_state: PartState, recipe: Recipe) -> pa.Table:
    """Every document of the part as far as the answers reach, in the order of its rows.

    Columns: doc_ref, id, source, tokens, bytes, quality, tie, id_hash, benchmark, decision (keep, drop or review), reason,
    detail (null: only the ledger tells, by `explained`), representative, jaccard, copies, epochs (how often it is in the
    corpus), phase, place (of its first copy), and for each guard whether it is about the document. The first step that does
    not keep a document decides.

    Remembered for the last part_state: the steps of one stage ask for the same one after another.
    """
    # The version, because one process may do several runs into one directory.
    mark = (
        rated_part(part_state),
        storage.entry(rated_part(part_state).uri("rated", "parquet")).version,
        recipe.decide_fingerprint,
    )
    results = tuple(sorted(part_state.results.items()))
    known = _memory.last
    if known[0] != (mark, results):
        _memory.last = None, None  # before the next one is made: two would be held at once
        measured = _memory.measured.get(mark)
        if measured is None:
            measured = _measured(rated_part(part_state), recipe, False)
            _memory.keep(mark, measured)
        known = _memory.last = (mark, results), _standing(part_state, recipe, measured, False)
    table: pa.Table = known[1]
    return table


def explained(part_state: PartState, recipe: Recipe) -> pa.Table:
    """`standing` with every detail, which only the ledger tells."""
    return _standing(part_state, recipe, _measured(rated_part(part_state), recipe, True), True)


def kept(part_state: PartState, recipe: Recipe) -> pa.Table:
    """The standing of the documents still kept."""
    table = standing(part_state, recipe)
    return table.filter(pc.equal(table["decision"], "keep"))


def forget() -> None:
    """Frees what `standing` remembers, and what Rate has left: Emit needs the memory for its shards."""
    _memory.forget()
    give_back_freed_memory()


class _Memory:
    """What `standing` remembers, one for the process, whose threads take turns: a runner gives each bundle a thread, and each
    would keep its own."""

    def __init__(self) -> None:
        self.last: tuple[object, object] = (None, None)
        self.measured: dict[object, pa.Table] = {}
        self._bytes = 0

    def forget(self) -> None:
        self.last = None, None
        self.measured.clear()
        self._bytes = 0

    def keep(self, mark: object, measured: pa.Table) -> None:
        """Keeps the first that come. Each stage asks for all parts in turn: the last ones would push out what comes next."""
        if self._bytes + measured.nbytes <= _REMEMBERED:
            self.measured[mark] = measured
            self._bytes += measured.nbytes


_memory = _Memory()


def _measured(part: Part, recipe: Recipe, explain: bool) -> pa.Table:
    """What needs no answer: the documents as they were rated, their quality, and what the thresholds make of them."""
    sketch = part.sketch(["id", "source", "bytes"])
    names = {*recipe.thresholds, *(weight.signal for weight in recipe.quality), "tokens.count"}
    found = _CONTAMINATION if recipe.decontaminate is not None else ()
    of_bins = recipe.select.bins if recipe.select.by_bin else ()
    names |= {name for name, _ in recipe.metrics.values()} - {"quality"}
    kinds = {"metadata" if name.startswith(bins.METADATA) else name for name in (*of_bins, *recipe.guards.columns)}
    signals = part.columns(sorted(names.union(found, kinds - {"quality"})))
    verdict = evaluate(signals, recipe.thresholds, explain)
    columns = {name: sketch[name] for name in ("doc_ref", "id", "source", "bytes")}
    columns |= {name: verdict[name].cast(pa.string()) for name in ("decision", "reason", "detail")}
    columns |= {name: signals[name] for name in found}
    columns["tokens"] = signals["tokens.count"].fill_null(0)
    columns["quality"] = pa.array(fuse(signals, recipe.quality, recipe.signals))
    if recipe.metrics:
        columns["metric"] = _metrics(columns, signals, recipe)

    def column(name: str) -> pa.Array:
        if name.startswith(bins.METADATA):
            return bins.metadata_field(signals["metadata"].combine_chunks(), name.removeprefix(bins.METADATA))
        return columns["quality"] if name == "quality" else signals[name].combine_chunks()

    if recipe.select.by_bin:
        columns["bin"] = bins.labels([column(name) for name in of_bins])
    read = {name: column(name) for name in recipe.guards.columns}
    for name, guard in recipe.guards.by_name.items():
        columns[GUARDED + name] = pa.array(guards.matching(read, guard))
    return pa.table(columns).combine_chunks()


def _metrics(columns: Mapping[str, pa.Array | pa.ChunkedArray], signals: pa.Table, recipe: Recipe) -> pa.Array:
    """What each document is ordered by within its source."""
    quality = columns["quality"].to_numpy()
    found = quality.copy()
    for source, (name, sign) in recipe.metrics.items():
        of_source = np.ones(len(found), bool) if source == WILDCARD else pc.equal(columns["source"], source).to_numpy()
        value = quality if name == "quality" else signals[name].cast(pa.float64(), safe=False).to_numpy()
        found[of_source] = sign * value[of_source]
    return pa.array(found)


def ordered_by(table: pa.Table) -> np.ndarray:
    """What the documents are ordered by: their quality, unless the curriculum says another for their source."""
    return np.asarray(table["metric" if "metric" in table.column_names else "quality"].to_numpy())


def _standing(part_state: PartState, recipe: Recipe, measured: pa.Table, explain: bool) -> pa.Table:
    kept_of = ("bin", "metric", *(GUARDED + name for name in recipe.guards.by_name))
    names = (
        "doc_ref",
        "id",
        "source",
        "tokens",
        "bytes",
        "quality",
        *(name for name in kept_of if name in measured.column_names),
    )
    rows = {name: measured[name].combine_chunks() for name in names}
    rows["id"] = _final_ids(part_state, rows)
    id_hash = hash128(rows["id"])
    rows["tie_break"] = pa.array(mix(np.ascontiguousarray(id_hash[:, 0]), recipe.seed))
    rows["id_hash"] = pa.array(np.ascontiguousarray(id_hash[:, 1]))
    state = _State(measured, explain)
    rows["benchmark"] = _contamination(state, measured, recipe)
    _copies(state, rows, part_state)
    _diversity(state, rows, part_state)
    _budget(state, rows, part_state, recipe)
    rows |= {"decision": state.decision, "reason": state.reason, "detail": state.detail}
    rows |= _places(rows, part_state, recipe)
    return pa.table(rows)


class _State:
    """Decision, reason and detail of each document; a step changes only documents that are still kept."""

    def __init__(self, verdict: pa.Table, explain: bool) -> None:
        self.decision, self.reason, self.detail = (verdict[name].combine_chunks() for name in ("decision", "reason", "detail"))
        self.explain = explain

    def close(self, failed: np.ndarray, decision: str, reason: str | pa.Array, detail: Callable[[pa.Array], pa.Array]) -> None:
        """Ends the documents that are kept and `failed`; `reason` has a value a document, `detail` makes those of some rows."""
        mask = pc.and_(pc.equal(self.decision, "keep"), pa.array(failed))
        self.decision = pc.if_else(mask, decision, self.decision)
        self.reason = pc.if_else(mask, reason, self.reason)
        if self.explain:
            self.detail = pc.replace_with_mask(self.detail, mask, detail(pc.indices_nonzero(mask)))


def _contamination(state: _State, signals: pa.Table, recipe: Recipe) -> pa.Array:
    """Closes contaminated documents; returns the benchmark each document comes closest to."""
    options = recipe.decontaminate
    if options is None:
        return pa.nulls(signals.num_rows, pa.string())
    benchmark = signals["contamination.benchmark"].combine_chunks()
    coverage = signals["contamination.coverage"].combine_chunks().fill_null(0.0)
    item = signals["contamination.item"].combine_chunks()

    def detail(rows: pa.Array) -> pa.Array:
        found = (_rounded(coverage.take(rows)), "of", benchmark.take(rows), item.take(rows))
        return pc.binary_join_element_wise(*found, " ", null_handling="skip")

    value = coverage.to_numpy()
    state.close(value >= options.drop, "drop", "contamination", detail)
    state.close(value >= options.review, "review", "contamination", detail)
    return benchmark


def _copies(state: _State, rows: dict[str, pa.Array], part_state: PartState) -> None:
    results = part_state.result(deduplicate.TAG)
    representative, jaccard, kind, copies = (
        aligned(rows["doc_ref"], results, column, default)
        for column, default in (("duplicate_of", None), ("jaccard", None), ("kind", None), ("copies", 1))
    )
    rows |= {
        "representative": representative.cast(pa.string()),
        "jaccard": jaccard.cast(pa.float64()),
        "copies": copies.cast(pa.int64()),
    }
    if results is not None:
        reason = pc.binary_join_element_wise("dedup", kind, ".")

        def detail(of: pa.Array) -> pa.Array:
            jaccard, representative = _rounded(rows["jaccard"].take(of)), rows["representative"].take(of)
            return pc.binary_join_element_wise("Jaccard", jaccard, "with", representative, " ")

        state.close(representative.is_valid().to_numpy(zero_copy_only=False), "drop", reason, detail)


def _diversity(state: _State, rows: dict[str, pa.Array], part_state: PartState) -> None:
    results = part_state.result(diversify.TAG)
    if results is None:
        return
    stands = aligned(rows["doc_ref"], results, "stands", None)
    cosine = aligned(rows["doc_ref"], results, "cosine", None)

    def detail(of: pa.Array) -> pa.Array:
        return pc.binary_join_element_wise("cosine", _rounded(cosine.take(of)), "with", stands.take(of), " ")

    state.close(stands.is_valid().to_numpy(zero_copy_only=False), "drop", "select.diverse", detail)


def copies_by_phase(
    rows: Mapping[str, pa.Array], results: pa.Table | None, recipe: Recipe
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pool, budgets (a column a phase the selection speaks of) and copies of each document; of one not ranked none.

    `results` are those of `SELECTED`.
    """
    select = recipe.select
    rank, whole = (answered(rows["doc_ref"], results, name) for name in ("rank", "group_tokens"))
    of_bin = rows.get("bin", pa.repeat(pa.scalar(""), len(rank)))
    given = answered(rows["doc_ref"], results, "allotted") if select.mixture is not None else None
    pool, budget = allocation.pools_and_budgets(of_bin, whole, given, select)
    return pool, budget, np.where(rank[:, None] < 0, 0, allocation.copies(rank, pool, budget))


def _budget(state: _State, rows: dict[str, pa.Array], part_state: PartState, recipe: Recipe) -> None:
    select, results = recipe.select, part_state.result(SELECTED)
    if not select.is_active or results is None:
        rows["epochs"] = pc.equal(state.decision, "keep").cast(pa.int64())
        return
    rank = answered(rows["doc_ref"], results, "rank")
    pool, budget, times = copies_by_phase(rows, results, recipe)
    epochs, limit = times.sum(axis=1), np.minimum(budget.max(axis=1), pool)
    what = "mixture" if select.mixture is not None else "epochs" if select.epochs else "tokens"
    reason = pc.if_else(pa.array((rank > pool) & (select.top != 1)), "select.top", f"select.{what}")

    def detail(of: pa.Array) -> pa.Array:
        numbers = (pa.array(values).take(of).cast(pa.string()) for values in (rank, limit))
        return pc.binary_join_element_wise("token", next(numbers), "of", next(numbers), " ")

    state.close((rank >= 0) & (epochs == 0), "drop", reason, detail)
    rows["epochs"] = pa.array(epochs)
    if select.phases:
        rows["phase"] = pa.array((times > 0).argmax(axis=1).astype(np.int64))


def _places(rows: dict[str, pa.Array], part_state: PartState, recipe: Recipe) -> dict[str, pa.Array]:
    """Phase, unless the selection gave one, and place (0 to 1, by the end of the document's tokens in its source)."""
    phase = np.zeros(len(rows["doc_ref"]), np.int64)
    phased = part_state.result(PHASED)
    if phased is not None:
        fraction = place(*ranked(rows["doc_ref"], phased))
        inside = ~np.isnan(fraction)
        phase[inside] = phase_of(fraction[inside], [stretch.share for stretch in recipe.curriculum.effective_phases])
    first = pa.repeat(pa.scalar(1, pa.int64()), len(phase)) if recipe.select.repeats else None
    where = place(*ranked(rows["doc_ref"], part_state.result(REPEATED if recipe.select.repeats else PLACED), first))
    return {"phase": rows.get("phase", pa.array(phase)), "place": pa.array(where, from_pandas=True)}


def ranked(doc_refs: pa.Array, results: pa.Table | None, mark: pa.Array | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Rank in tokens and tokens of the group, as floats; NaN where a document was not ranked."""
    rank, whole = (answered(doc_refs, results, name, mark).astype(np.float64) for name in ("rank", "group_tokens"))
    missing = rank < 0
    rank[missing] = whole[missing] = np.nan
    return rank, whole


def answered(doc_refs: pa.Array, results: pa.Table | None, column: str, mark: pa.Array | None = None) -> np.ndarray:
    """A column of a ranking's answers for documents of one part, or for their rows of these marks; -1 where there is none."""
    if results is not None and mark is not None:
        doc_refs = _marked(doc_refs, mark)
        results = results.set_column(
            0, "doc_ref", _marked(results["doc_ref"].combine_chunks(), results["mark"].combine_chunks())
        )
    return np.asarray(aligned(doc_refs, results, column, -1).cast(pa.int64()).to_numpy(zero_copy_only=False))


def _marked(doc_refs: pa.Array, mark: pa.Array) -> pa.Array:
    """Row of the part and mark in one number: no document has a million copies."""
    return pa.array(row_of(doc_refs.to_numpy()) << 20 | mark.to_numpy())


def _final_ids(part_state: PartState, rows: dict[str, pa.Array]) -> pa.Array:
    """The ids, numbered where several documents had one: id, id#2, id#3."""
    ids = rows["id"]
    results = part_state.result(unique_ids.TAG)
    if results is None:
        return ids
    ordinal = aligned(rows["doc_ref"], results, "ordinal", None)
    return pc.coalesce(unique_ids.numbered(ids, ordinal), ids)


def _rounded(values: pa.Array) -> pa.Array:
    return pc.round(values, ndigits=4).cast(pa.string())


def rated_part(part_state: PartState) -> Part:
    """The part that a part_state of a run is about."""
    assert isinstance(part_state.handle, Part)
    return part_state.handle
