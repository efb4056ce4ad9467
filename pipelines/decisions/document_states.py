"""The state of each document: its decision so far, from its signals and the results of the steps.

A part state is a few file names: every step of Decide reads the columns back, which costs less than
carrying them through a runner. What the steps before it decided is settled, a bit for each document.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.decisions.ranks import COPY_ORDER, ORDER, PHASES, ranks_of
from tamis.pipelines.decisions.rated_decisions import part_signals, rated_decisions, sketch_columns
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms import storage
from tamis.transforms.beam import unique_ids
from tamis.transforms.beam.exchange import PartState, addressed, result_column, spill_rows
from tamis.transforms.beam.step import Documents, rated_part
from tamis.transforms.curriculum.order import WILDCARD, phase_of, place
from tamis.transforms.provenance import tombstones
from tamis.transforms.provenance.takedown import PURGED, PURGED_BYTES
from tamis.transforms.runtime.memory import give_back_freed_memory
from tamis.transforms.select import bins, guards, join_scores
from tamis.transforms.select.quality import bucket_quality
from tamis.transforms.select.quality.fuse import fuse
from tamis.transforms.select.quality.score_buckets import ABSTAINS
from tamis.transforms.select.rule_blocks import Rules
from tamis.transforms.text.hashing import hash128, mix

GUARD_PREFIX = "guarded."  # of the columns that say whether a guard applies to a document
_DEFAULTS = {
    **dict.fromkeys(("benchmark", "representative"), pa.scalar(None, pa.string())),
    "jaccard": pa.scalar(None, pa.float64()),
    "copies": pa.scalar(1, pa.int64()),
}
"""Columns of decisions/ that steps add, where the recipe has no such step."""

_CACHE_BYTES = 32 << 20  # of columns that a process keeps between stages: those of 1 GB of text


def decided_documents(part_state: PartState, recipe: Recipe) -> pa.Table:
    """Every document of the part, in the order of its rows, as decided by all steps.

    Columns: doc_ref, id, source, tokens, bytes, quality, tie_break, id_hash, decision (keep, drop or
    review), reason, detail (null here: see `explained_documents`), epochs (how often it is in the
    corpus), phase, place (of its first copy), bin and metric if the recipe needs them, one column
    for each guard, and those that the steps add. The last table is cached: the steps of a stage
    read it in turn.
    """
    return _cached(part_state, recipe, settled=False)


def explained_documents(part_state: PartState, recipe: Recipe) -> pa.Table:
    """`decided_documents` with `detail` filled in, which only the ledger needs."""
    return _decide(part_state, recipe, _rated_documents(part_state, recipe, False, True), False, True)


def kept_documents(part_state: PartState, recipe: Recipe, complete: bool = False) -> pa.Table:
    """The documents that the settled steps keep, with the columns of those that last; so a step
    costs the same after any number of others. `complete`: by all steps, with all columns."""
    documents = decided_documents(part_state, recipe) if complete else _cached(part_state, recipe, True, frozenset())
    return documents.filter(pc.equal(documents["decision"], "keep"))


def settle(part_state: PartState, recipe: Recipe, steps: Sequence[str], spill: str) -> PartState:
    """Lets the named steps decide, and stores what is kept, a bit for each document."""
    kept = pc.equal(_cached(part_state, recipe, settled=True, steps=frozenset(steps))["decision"], "keep")
    batch = pa.record_batch({"kept": kept.combine_chunks()})
    pieces = [piece for _, piece in spill_rows(addressed(batch, np.zeros(len(batch), np.uint32)), spill)]
    return replace(part_state, kept=tuple(pieces), settled=(*part_state.settled, *steps))


def _cached(part_state: PartState, recipe: Recipe, settled: bool, steps: frozenset[str] | None = None) -> pa.Table:
    part = rated_part(part_state)
    # The version, because one process may execute several runs in one directory.
    buckets = part_state.results.get(bucket_quality.STEP)
    versions = storage.entry(part.uri("rated", "parquet")).version, tombstones.version(part.run)
    key = (part, *versions, recipe.decide_fingerprint, buckets)
    state = tuple(sorted(part_state.results.items())), part_state.kept if settled else None, steps
    table = _cache.last(key, state)
    if table is None:
        rated = _cache.rated.get(key)
        if rated is None:
            settled_before = settled and bool(part_state.settled)
            rated = _rated_documents(part_state, recipe, settled_before, False)
            if not settled_before:
                _cache.add(key, rated)
        table = _decide(part_state, recipe, rated, settled, False, steps)
        _cache.set_last(key, state, table)
    return table


def serve_threads(threads: int) -> None:
    """Lets each of so many threads keep the table of the part that it is at."""
    _cache.threads = threads


def clear_cache() -> None:
    """Frees the tables of `document_states`, and memory that earlier steps freed, for Emit."""
    _cache.clear()
    give_back_freed_memory()


class _Cache:
    """One for the process, not for a thread: a runner gives each bundle a new thread."""

    def __init__(self) -> None:
        self.threads = 1
        self._lock = Lock()
        self.clear()

    def clear(self) -> None:
        self._last: dict[object, tuple[object, pa.Table]] = {}
        self.rated: dict[object, pa.Table] = {}
        self._bytes = 0

    def last(self, key: object, state: object) -> pa.Table | None:
        """The last table of a part, if it is of this state. Else tables are freed before the next one is made: there are
        never more in memory than threads."""
        with self._lock:
            known, table = self._last.get(key, (None, None))
            if known == state:
                return table
            self._last.pop(key, None)
            while len(self._last) >= self.threads:
                del self._last[next(iter(self._last))]
            return None

    def set_last(self, key: object, state: object, table: pa.Table) -> None:
        with self._lock:
            self._last[key] = state, table

    def add(self, key: object, rated: pa.Table) -> None:
        """Keeps the first tables that fit: the last would be evicted before they are read again."""
        if self._bytes + rated.nbytes <= _CACHE_BYTES:
            self.rated[key] = rated
            self._bytes += rated.nbytes


_cache = _Cache()


def _rated_documents(part_state: PartState, recipe: Recipe, settled: bool, explain: bool) -> pa.Table:
    """The columns that need no result of a step but the scores: signals, quality and, unless they
    are `settled`, decisions by thresholds and what the steps need."""
    sketch = rated_part(part_state).sketch(["id", *sketch_columns(recipe)])
    rules = Rules() if settled else recipe.rules
    of_steps = () if settled else tuple(name for step in recipe.steps for name in step.signals)
    bin_columns = recipe.select.bins if recipe.select.by_bin else ()
    names = {*rules.columns, *(weight.signal for weight in recipe.weights), "tokens.count", *of_steps}
    names |= {name for name, _ in recipe.metrics.values()} | {*bin_columns, *recipe.guards.columns}
    signals = signal_columns(part_state, names - {"quality"}, recipe)
    columns = {name: sketch[name] for name in ("doc_ref", "id", "source", "bytes")}
    columns |= rated_decisions(signals, sketch, rules, recipe, explain)
    columns = _without_taken(part_state, columns)
    purged = pc.equal(sketch["bytes"], PURGED_BYTES).combine_chunks()
    if purged.true_count:
        columns["bytes"] = pc.max_element_wise(sketch["bytes"], 0)
        for name, value in {"decision": "drop", "reason": PURGED, "detail": None}.items():
            columns[name] = pc.if_else(purged, pa.scalar(value, pa.string()), columns[name])
    columns |= {name: signals[name] for name in of_steps}
    columns["tokens"] = signals["tokens.count"].fill_null(0)
    columns["quality"] = pa.array(_quality(part_state, signals, recipe))
    if recipe.metrics:
        columns["metric"] = _metrics(columns, signals, recipe)

    def column(name: str) -> pa.Array:
        return columns["quality"] if name == "quality" else signals[name].combine_chunks()

    if recipe.select.by_bin:
        columns["bin"] = bins.labels([column(name) for name in bin_columns])
    guard_columns = {name: column(name) for name in recipe.guards.columns}
    for name, guard in recipe.guards.by_name.items():
        columns[GUARD_PREFIX + name] = pa.array(guards.matching(guard_columns, guard))
    return pa.table(columns).combine_chunks()


def _without_taken(part_state: PartState, columns: dict[str, Any]) -> dict[str, Any]:
    """The columns, with the documents dropped that fall under a tombstone of the run."""
    part = rated_part(part_state)
    listed = tombstones.read_tombstones(part.run)
    if not len(listed):
        return columns
    sketch = part.sketch(tombstones.HASHED)
    rows, details = tombstones.under(listed, {name: sketch[name].combine_chunks() for name in tombstones.HASHED})
    taken = np.zeros(len(sketch), np.bool_)
    taken[rows] = True
    detail = pc.replace_with_mask(pa.nulls(len(sketch), pa.string()), pa.array(taken), details)
    new = {"decision": pa.scalar("drop"), "reason": pa.scalar(tombstones.TAKEDOWN), "detail": detail}
    return columns | {name: pc.if_else(pa.array(taken), value, columns[name]) for name, value in new.items()}


def _quality(part_state: PartState, signals: pa.Table, recipe: Recipe) -> np.ndarray:
    """The quality of each document: float32[n], NaN where it has none, or if its bucket is not found yet."""
    buckets = 0 if recipe.fusion is None else recipe.fusion.number_of_buckets
    if not buckets:
        return fuse(signals, recipe.fusion, recipe.all_signals | recipe.undeclared)
    doc_ref = rated_part(part_state).sketch([])["doc_ref"].combine_chunks()
    bucket = result_column(doc_ref, part_state.result(bucket_quality.STEP), "bucket", ABSTAINS).to_numpy(zero_copy_only=False)
    return np.where(bucket == ABSTAINS, np.nan, bucket / (buckets - 1)).astype(np.float32)


def signal_columns(part_state: PartState, names: Collection[str], recipe: Recipe) -> pa.Table:
    """Columns of a rated part, fields of its metadata that the recipe does not declare, and scores
    from other files."""
    part, joined = rated_part(part_state), dict[str, pa.Array]()
    for score, signals in recipe.score_signals.items():
        if named := [signal for signal in signals if signal.name in names]:
            doc_ref, results = part.sketch([])["doc_ref"].combine_chunks(), part_state.result(join_scores.step(score))
            joined |= {signal.name: result_column(doc_ref, results, signal.name, None).cast(signal.type()) for signal in named}
    table = part_signals(part, {*names} - joined.keys(), recipe)
    for name, values in joined.items():
        table = table.append_column(name, values)
    return table


def _metrics(columns: Mapping[str, pa.Array | pa.ChunkedArray], signals: pa.Table, recipe: Recipe) -> pa.Array:
    """The number that each document is ordered by within its source."""
    quality = columns["quality"].to_numpy()
    metric = quality.copy()
    for source, (name, sign) in recipe.metrics.items():
        of_source = np.ones(len(metric), bool) if source == WILDCARD else pc.equal(columns["source"], source).to_numpy()
        value = quality if name == "quality" else signals[name].cast(pa.float64(), safe=False).to_numpy()
        metric[of_source] = sign * value[of_source]
    return pa.array(metric)


def order_metric(table: pa.Table) -> np.ndarray:
    """The number that orders documents: quality, or the metric that the curriculum sets."""
    return np.asarray(table["metric" if "metric" in table.column_names else "quality"].to_numpy())


def _decide(
    part_state: PartState, recipe: Recipe, rated: pa.Table, settled: bool, explain: bool, steps: frozenset[str] | None = None
) -> pa.Table:
    """Folds the recipe's steps over the documents: all that have results or need none, and of
    settled ones, if `settled`, only the lasting. `steps`: only these of those that are not settled."""
    rows = {name: rated[name].combine_chunks() for name in rated.column_names if name not in ("decision", "reason", "detail")}
    rows["id"] = _final_ids(part_state, rows)
    id_hash = hash128(rows["id"])
    rows["tie_break"] = pa.array(mix(np.ascontiguousarray(id_hash[:, 0]), recipe.seed))
    rows["id_hash"] = pa.array(np.ascontiguousarray(id_hash[:, 1]))
    decision, reason, detail = (rated[name].combine_chunks() for name in ("decision", "reason", "detail"))
    documents = Documents(rows, decision, reason, detail, explain)
    before = part_state.settled if settled else ()
    if before and part_state.kept:
        kept = pa.Table.from_batches([piece.load() for piece in part_state.kept])["kept"].combine_chunks()
        documents.decision = pc.if_else(kept, documents.decision, "drop")
    for step in recipe.steps:
        if step.lasting if step.name in before else steps is None or step.name in steps:
            step.decide(documents, part_state.result(step.name))
    for name, default in _DEFAULTS.items():
        rows.setdefault(name, pa.repeat(default, rated.num_rows))
    rows |= {"decision": documents.decision, "reason": documents.reason, "detail": documents.detail}
    rows |= _places(rows, part_state, recipe)
    read = {name for step in recipe.steps for name in step.signals}
    return pa.table({name: values for name, values in rows.items() if name not in read})


def _places(rows: dict[str, pa.Array], part_state: PartState, recipe: Recipe) -> dict[str, pa.Array]:
    """Phase, unless the selection set it, and place: where in its source a document ends."""
    phase = np.zeros(len(rows["doc_ref"]), np.int64)
    phases = part_state.result(PHASES)
    if phases is not None:
        fraction = place(*ranks_of(rows["doc_ref"], phases))
        ranked = ~np.isnan(fraction)
        phase[ranked] = phase_of(fraction[ranked], [item.share for item in recipe.curriculum.effective_phases])
    if recipe.select.repeats:
        first = pa.repeat(pa.scalar(1, pa.int64()), len(phase))
        places = place(*ranks_of(rows["doc_ref"], part_state.result(COPY_ORDER), first))
    else:
        places = place(*ranks_of(rows["doc_ref"], part_state.result(ORDER)))
    return {"phase": rows.get("phase", pa.array(phase)), "place": pa.array(places, from_pandas=True)}


def _final_ids(part_state: PartState, rows: dict[str, pa.Array]) -> pa.Array:
    """The ids, numbered where several documents had one: id, id#2, id#3."""
    ids, results = rows["id"], part_state.result(unique_ids.STEP)
    if results is None:
        return ids
    ordinal = result_column(rows["doc_ref"], results, "ordinal", None)
    return pc.coalesce(unique_ids.numbered(ids, ordinal), ids)
