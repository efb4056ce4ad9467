"""The state of each document: its decision so far, from its signals and the results of the steps.

Every step of Decide calls `document_states` again instead of passing columns on: a part state is a
few file names, and reading the columns back costs less than carrying them through a runner.
"""

from collections.abc import Callable, Collection, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms import storage
from tamis.transforms.beam import unique_ids
from tamis.transforms.beam.exchange import PartState, result_column
from tamis.transforms.core.documents import row_of
from tamis.transforms.core.parts import Part
from tamis.transforms.core.rater import METADATA
from tamis.transforms.curriculum.order import WILDCARD, phase_of, place
from tamis.transforms.dedup import deduplicate
from tamis.transforms.provenance.takedown import PURGED_BYTES
from tamis.transforms.runtime.memory import give_back_freed_memory
from tamis.transforms.select import allocation, bins, diversify, guards, join_scores
from tamis.transforms.select.fuse import fuse
from tamis.transforms.select.thresholds import evaluate
from tamis.transforms.text.hashing import hash128, mix
from tamis.transforms.text.metadata import field_texts, field_values

SELECTION, PHASES, QUANTILES, ORDER, COPY_ORDER = "selection", "phases", "quantiles", "order", "copy_order"
"""The steps that rank documents: by quality, for the budget; to cut them into phases; by quality
within a phase, for orders that need quantiles; by the curriculum; and all copies, by position."""

GUARD_PREFIX = "guarded."  # of the columns that say whether a guard applies to a document
_CONTAMINATION = ("contamination.benchmark", "contamination.coverage", "contamination.item")
_CACHE_BYTES = 32 << 20  # of columns that a process keeps between stages: those of 1 GB of text


def document_states(part_state: PartState, recipe: Recipe) -> pa.Table:
    """Every document of the part, in the order of its rows, as decided by the steps so far.

    Columns: doc_ref, id, source, tokens, bytes, quality, tie_break, id_hash, benchmark, decision
    (keep, drop or review), reason, detail (null here: see `explained_states`), representative,
    jaccard, copies, epochs (how often it is in the corpus), phase, place (of its first copy), bin
    and metric if the recipe needs them, and one column for each guard. The first step that does
    not keep a document decides. The last table is cached: the steps of a stage read it in turn.
    """
    part = rated_part(part_state)
    # The version, because one process may execute several runs in one directory.
    key = (part, storage.entry(part.uri("rated", "parquet")).version, recipe.decide_fingerprint)
    last_key = key, tuple(sorted(part_state.results.items()))
    last = _cache.last  # read once: other threads replace it
    if last[0] != last_key:
        last = _cache.last = None, None  # freed before the next table is made: never two in memory
        rated = _cache.rated.get(key)
        if rated is None:
            rated = _rated_documents(part_state, recipe, False)
            _cache.add(key, rated)
        last = _cache.last = last_key, _decided_documents(part_state, recipe, rated, False)
    return last[1]


def explained_states(part_state: PartState, recipe: Recipe) -> pa.Table:
    """`document_states` with `detail` filled in, which only the ledger needs."""
    return _decided_documents(part_state, recipe, _rated_documents(part_state, recipe, True), True)


def kept_documents(part_state: PartState, recipe: Recipe) -> pa.Table:
    """The rows of `document_states` that are still kept."""
    states = document_states(part_state, recipe)
    return states.filter(pc.equal(states["decision"], "keep"))


def clear_cache() -> None:
    """Frees the tables of `document_states`, and memory that earlier steps freed, for Emit."""
    _cache.clear()
    give_back_freed_memory()


class _Cache:
    """One for the process, not for a thread: a runner gives each bundle a new thread."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.last: tuple[object, pa.Table | None] = (None, None)
        self.rated: dict[object, pa.Table] = {}
        self._bytes = 0

    def add(self, key: object, rated: pa.Table) -> None:
        """Keeps the first tables that fit: the last would be evicted before they are read again."""
        if self._bytes + rated.nbytes <= _CACHE_BYTES:
            self.rated[key] = rated
            self._bytes += rated.nbytes


_cache = _Cache()


def _rated_documents(part_state: PartState, recipe: Recipe, explain: bool) -> pa.Table:
    """The columns that need no result of a step but the scores: signals, quality, decisions by
    thresholds."""
    sketch = rated_part(part_state).sketch(["id", "source", "bytes"])
    contamination = _CONTAMINATION if recipe.decontaminate is not None else ()
    bin_columns = recipe.select.bins if recipe.select.by_bin else ()
    names = {*recipe.thresholds, *(weight.signal for weight in recipe.quality), "tokens.count", *contamination}
    names |= {name for name, _ in recipe.metrics.values()} | {*bin_columns, *recipe.guards.columns}
    signals = signal_columns(part_state, names - {"quality"}, recipe)
    evaluated = evaluate(signals, recipe.thresholds, explain)
    columns = {name: sketch[name] for name in ("doc_ref", "id", "source", "bytes")}
    columns |= {name: evaluated[name].cast(pa.string()) for name in ("decision", "reason", "detail")}
    purged = pc.equal(sketch["bytes"], PURGED_BYTES).combine_chunks()
    if purged.true_count:
        columns["bytes"] = pc.max_element_wise(sketch["bytes"], 0)
        for name, value in {"decision": "drop", "reason": "purged", "detail": None}.items():
            columns[name] = pc.if_else(purged, pa.scalar(value, pa.string()), columns[name].combine_chunks())
    columns |= {name: signals[name] for name in contamination}
    columns["tokens"] = signals["tokens.count"].fill_null(0)
    columns["quality"] = pa.array(fuse(signals, recipe.quality, recipe.all_signals | recipe.undeclared))
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


def signal_columns(part_state: PartState, names: Collection[str], recipe: Recipe) -> pa.Table:
    """Columns of a rated part, fields of its metadata that the recipe does not declare, and scores
    from other files."""
    part, joined = rated_part(part_state), dict[str, pa.Array]()
    for score, signals in recipe.score_signals.items():
        if named := [signal for signal in signals if signal.name in names]:
            doc_ref, results = part.sketch([])["doc_ref"].combine_chunks(), part_state.result(join_scores.step(score))
            joined |= {signal.name: result_column(doc_ref, results, signal.name, None).cast(signal.type()) for signal in named}
    undeclared = [signal for name, signal in recipe.undeclared.items() if name in names]
    elsewhere = recipe.undeclared.keys() | joined.keys()
    table = part.columns(sorted(set(names) - elsewhere | ({"metadata"} if undeclared else set())))
    for name, values in joined.items():
        table = table.append_column(name, values)
    metadata = table["metadata"].combine_chunks() if undeclared else None
    for signal in undeclared:
        if signal.has_labels:
            values = field_texts(metadata, signal.name.removeprefix(METADATA))
        else:
            (values,), _ = field_values(metadata, [signal])
        table = table.append_column(signal.name, values)
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


def _decided_documents(part_state: PartState, recipe: Recipe, rated: pa.Table, explain: bool) -> pa.Table:
    optional = ("bin", "metric", *(GUARD_PREFIX + name for name in recipe.guards.by_name))
    names = ["doc_ref", "id", "source", "tokens", "bytes", "quality"]
    names += [name for name in optional if name in rated.column_names]
    rows = {name: rated[name].combine_chunks() for name in names}
    rows["id"] = _final_ids(part_state, rows)
    id_hash = hash128(rows["id"])
    rows["tie_break"] = pa.array(mix(np.ascontiguousarray(id_hash[:, 0]), recipe.seed))
    rows["id_hash"] = pa.array(np.ascontiguousarray(id_hash[:, 1]))
    decisions = _Decisions(rated, explain)
    rows["benchmark"] = _end_contaminated(decisions, rated, recipe)
    rows |= _end_duplicates(decisions, rows, part_state)
    _end_similar(decisions, rows, part_state)
    rows |= _end_over_budget(decisions, rows, part_state, recipe)
    rows |= {"decision": decisions.decision, "reason": decisions.reason, "detail": decisions.detail}
    rows |= _places(rows, part_state, recipe)
    return pa.table(rows)


class _Decisions:
    """Decision, reason and detail of each document. A step changes only kept documents."""

    def __init__(self, rated: pa.Table, explain: bool) -> None:
        self.decision, self.reason, self.detail = (rated[name].combine_chunks() for name in ("decision", "reason", "detail"))
        self.explain = explain

    def end(self, failed: np.ndarray, decision: str, reason: str | pa.Array, detail: Callable[[pa.Array], pa.Array]) -> None:
        """Ends the kept documents that failed (bool[n]). `reason` is one for all or one for each;
        `detail` returns the details of the rows with the given indices."""
        mask = pc.and_(pc.equal(self.decision, "keep"), pa.array(failed))
        self.decision = pc.if_else(mask, decision, self.decision)
        self.reason = pc.if_else(mask, reason, self.reason)
        if self.explain:
            self.detail = pc.replace_with_mask(self.detail, mask, detail(pc.indices_nonzero(mask)))


def _end_contaminated(decisions: _Decisions, rated: pa.Table, recipe: Recipe) -> pa.Array:
    """Returns the benchmark that each document is closest to."""
    options = recipe.decontaminate
    if options is None:
        return pa.nulls(rated.num_rows, pa.string())
    benchmark = rated["contamination.benchmark"].combine_chunks()
    coverage = rated["contamination.coverage"].combine_chunks().fill_null(0.0)
    item = rated["contamination.item"].combine_chunks()

    def detail(rows: pa.Array) -> pa.Array:
        words = (_rounded(coverage.take(rows)), "of", benchmark.take(rows), item.take(rows))
        return pc.binary_join_element_wise(*words, " ", null_handling="skip")

    value = coverage.to_numpy()
    decisions.end(value >= options.drop, "drop", "contamination", detail)
    decisions.end(value >= options.review, "review", "contamination", detail)
    return benchmark


def _end_duplicates(decisions: _Decisions, rows: Mapping[str, pa.Array], part_state: PartState) -> dict[str, pa.Array]:
    """Returns the columns representative, jaccard and copies."""
    results = part_state.result(deduplicate.STEP)
    defaults = {"duplicate_of": None, "jaccard": None, "kind": None, "copies": 1}
    duplicate_of, jaccard, kind, copies = (
        result_column(rows["doc_ref"], results, column, default) for column, default in defaults.items()
    )
    representative, jaccard = duplicate_of.cast(pa.string()), jaccard.cast(pa.float64())
    if results is not None:

        def detail(rows: pa.Array) -> pa.Array:
            words = ("Jaccard", _rounded(jaccard.take(rows)), "with", representative.take(rows))
            return pc.binary_join_element_wise(*words, " ")

        failed = duplicate_of.is_valid().to_numpy(zero_copy_only=False)
        decisions.end(failed, "drop", pc.binary_join_element_wise("dedup", kind, "."), detail)
    return {"representative": representative, "jaccard": jaccard, "copies": copies.cast(pa.int64())}


def _end_similar(decisions: _Decisions, rows: Mapping[str, pa.Array], part_state: PartState) -> None:
    results = part_state.result(diversify.STEP)
    if results is None:
        return
    representative, cosine = (result_column(rows["doc_ref"], results, name, None) for name in ("representative", "cosine"))

    def detail(rows: pa.Array) -> pa.Array:
        return pc.binary_join_element_wise("cosine", _rounded(cosine.take(rows)), "with", representative.take(rows), " ")

    decisions.end(representative.is_valid().to_numpy(zero_copy_only=False), "drop", "select.diverse", detail)


def copies_by_phase(
    rows: Mapping[str, pa.Array], results: pa.Table | None, recipe: Recipe
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pool (i64[n]), budget and copies (i64[n, phases]) of each document; 0 copies if not ranked.
    There is a column for each phase of `select.epochs`, or one. `results`: those of `SELECTION`."""
    select = recipe.select
    rank, bin_tokens = (rank_column(rows["doc_ref"], results, name) for name in ("rank", "group_tokens"))
    bin_ = rows.get("bin", pa.repeat(pa.scalar(""), len(rank)))
    allocated = rank_column(rows["doc_ref"], results, "group_value") if select.mixture is not None else None
    pool, budget = allocation.pools_and_budgets(bin_, bin_tokens, allocated, select)
    return pool, budget, np.where(rank[:, None] < 0, 0, allocation.copies(rank, pool, budget))


def _end_over_budget(
    decisions: _Decisions, rows: Mapping[str, pa.Array], part_state: PartState, recipe: Recipe
) -> dict[str, pa.Array]:
    """Returns the column epochs, and phase if `select.epochs` has one number for each phase."""
    select, results = recipe.select, part_state.result(SELECTION)
    if not select.is_active or results is None:
        return {"epochs": pc.equal(decisions.decision, "keep").cast(pa.int64())}
    rank = rank_column(rows["doc_ref"], results, "rank")
    pool, budget, copies = copies_by_phase(rows, results, recipe)
    epochs, limit = copies.sum(axis=1), np.minimum(budget.max(axis=1), pool)
    option = "mixture" if select.mixture is not None else "epochs" if select.epochs else "tokens"
    reason = pc.if_else(pa.array((rank > pool) & (select.top != 1)), "select.top", f"select.{option}")

    def detail(rows: pa.Array) -> pa.Array:
        token, limits = (pa.array(values).take(rows).cast(pa.string()) for values in (rank, limit))
        return pc.binary_join_element_wise("token", token, "of", limits, " ")

    decisions.end((rank >= 0) & (epochs == 0), "drop", reason, detail)
    columns = {"epochs": pa.array(epochs)}
    if select.phases:
        columns["phase"] = pa.array((copies > 0).argmax(axis=1).astype(np.int64))
    return columns


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


def _final_ids(part_state: PartState, rows: dict[str, pa.Array]) -> pa.Array:
    """The ids, numbered where several documents had one: id, id#2, id#3."""
    ids, results = rows["id"], part_state.result(unique_ids.STEP)
    if results is None:
        return ids
    ordinal = result_column(rows["doc_ref"], results, "ordinal", None)
    return pc.coalesce(unique_ids.numbered(ids, ordinal), ids)


def _rounded(values: pa.Array) -> pa.Array:
    return pc.round(values, ndigits=4).cast(pa.string())


def rated_part(part_state: PartState) -> Part:
    assert isinstance(part_state.handle, Part)
    return part_state.handle
