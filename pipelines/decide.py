"""Decide: what becomes of each document of a part, from its signals and from what the exchanges answered about it.

Pure functions from a dossier to small columns. Every stage calls `standing` again instead of passing columns on: a dossier is a
handful of file names, and reading the columns back costs less than carrying them through a runner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.recipe import Recipe
from transforms import identity, ranking, storage
from transforms.curriculum.epochs import entrance, positions, step
from transforms.curriculum.order import BY_QUANTILE, OTHERS, Ordering, phase_of, place, quantile, sort_value
from transforms.dedup import deduplicate
from transforms.documents import row_of
from transforms.errors import RunError
from transforms.exchange import Dossier
from transforms.parts import Part
from transforms.ranking import aligned
from transforms.select import bins, budgets, diversify, guards
from transforms.select.fuse import fuse
from transforms.select.thresholds import evaluate
from transforms.text.hashing import hash128, mix
from transforms.text.memory import give_back_freed_memory

SELECTED, PHASED, GRADED, PLACED, REPEATED = "selected", "phased", "graded", "placed", "repeated"
"""Tags of the rankings: by quality for the budget, for the phases, for orders that ask for quantiles; by the curriculum; of the
copies of repeated documents, by where they go."""

GUARDED = "guarded."
"""What the columns begin with that say which documents a guard is about."""

_CONTAMINATION = ("contamination.benchmark", "contamination.coverage", "contamination.item")

_REMEMBERED = 32 << 20
"""Bytes of measured parts that a process remembers from stage to stage: some 1 GB of text."""


def identity_rows(dossier: Dossier) -> pa.RecordBatch:
    """What `Identify` reads of a part."""
    table = _part(dossier).sketch(["id", "text_hash_0", "text_hash_1", "record_hash"])
    hashes = hash128(_whole(table["id"]))
    table = table.append_column("id_hash_0", pa.array(hashes[:, 0])).append_column("id_hash_1", pa.array(hashes[:, 1]))
    return _batch(table.select(identity.ROWS.names))


def standing(dossier: Dossier, recipe: Recipe) -> pa.Table:
    """Every document of the part as far as the answers reach, in the order of its rows.

    Columns: ticket, id, source, tokens, bytes, quality, tie, id_hash, benchmark, decision (keep, drop or review), reason,
    detail (null: only the ledger tells, by `explained`), representative, jaccard, copies, epochs (how often it is in the
    corpus), phase, place (of its first copy), and for each guard whether it is about the document. The first step that does
    not keep a document decides.

    Remembered for the last dossier: the steps of one stage ask for the same one after another.
    """
    # The stamp, because one process may do several runs into one directory.
    mark = _part(dossier), storage.entry(_part(dossier).uri("rated", "parquet")).stamp, recipe.decide_fingerprint
    answers = tuple(sorted(dossier.answers.items()))
    known = _memory.last
    if known[0] != (mark, answers):
        _memory.last = None, None  # before the next one is made: two would be held at once
        measured = _memory.measured.get(mark)
        if measured is None:
            measured = _measured(_part(dossier), recipe, False)
            _memory.keep(mark, measured)
        known = _memory.last = (mark, answers), _standing(dossier, recipe, measured, False)
    table: pa.Table = known[1]
    return table


def explained(dossier: Dossier, recipe: Recipe) -> pa.Table:
    """`standing` with every detail, which only the ledger tells."""
    return _standing(dossier, recipe, _measured(_part(dossier), recipe, True), True)


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
    columns = {name: sketch[name] for name in ("ticket", "id", "source", "bytes")}
    columns |= {name: verdict[name].cast(pa.string()) for name in ("decision", "reason", "detail")}
    columns |= {name: signals[name] for name in found}
    columns["tokens"] = signals["tokens.count"].fill_null(0)
    columns["quality"] = pa.array(fuse(signals, recipe.quality, recipe.signals))
    if recipe.metrics:
        columns["metric"] = _metrics(columns, signals, recipe)

    def column(name: str) -> pa.Array:
        if name.startswith(bins.METADATA):
            return bins.metadata_field(_whole(signals["metadata"]), name.removeprefix(bins.METADATA))
        return columns["quality"] if name == "quality" else _whole(signals[name])

    if recipe.select.by_bin:
        columns["bin"] = bins.labels([column(name) for name in of_bins])
    read = {name: column(name) for name in recipe.guards.columns}
    for name, guard in recipe.guards.named.items():
        columns[GUARDED + name] = pa.array(guards.flagged(read, guard))
    return pa.table(columns).combine_chunks()


def _metrics(columns: Mapping[str, pa.Array | pa.ChunkedArray], signals: pa.Table, recipe: Recipe) -> pa.Array:
    """What each document is ordered by within its source."""
    quality = columns["quality"].to_numpy()
    found = quality.copy()
    for source, (name, sign) in recipe.metrics.items():
        of_source = np.ones(len(found), bool) if source == OTHERS else pc.equal(columns["source"], source).to_numpy()
        value = quality if name == "quality" else signals[name].cast(pa.float64(), safe=False).to_numpy()
        found[of_source] = sign * value[of_source]
    return pa.array(found)


def _metric(table: pa.Table) -> np.ndarray:
    """What the documents are ordered by: their quality, unless the curriculum says another for their source."""
    return np.asarray(table["metric" if "metric" in table.column_names else "quality"].to_numpy())


def _standing(dossier: Dossier, recipe: Recipe, measured: pa.Table, explain: bool) -> pa.Table:
    kept_of = ("bin", "metric", *(GUARDED + name for name in recipe.guards.named))
    names = (
        "ticket",
        "id",
        "source",
        "tokens",
        "bytes",
        "quality",
        *(name for name in kept_of if name in measured.column_names),
    )
    rows = {name: _whole(measured[name]) for name in names}
    rows["id"] = _final_ids(dossier, rows)
    id_hash = hash128(rows["id"])
    rows["tie"] = pa.array(mix(np.ascontiguousarray(id_hash[:, 0]), recipe.seed))
    rows["id_hash"] = pa.array(np.ascontiguousarray(id_hash[:, 1]))
    state = _State(measured, explain)
    rows["benchmark"] = _contamination(state, measured, recipe)
    _copies(state, rows, dossier)
    _diversity(state, rows, dossier)
    _budget(state, rows, dossier, recipe)
    rows |= {"decision": state.decision, "reason": state.reason, "detail": state.detail}
    rows |= _places(rows, dossier, recipe)
    return pa.table(rows)


def kept(dossier: Dossier, recipe: Recipe) -> pa.Table:
    """The standing of the documents still kept."""
    table = standing(dossier, recipe)
    return table.filter(pc.equal(table["decision"], "keep"))


def copy_rows(dossier: Dossier, recipe: Recipe) -> pa.RecordBatch:
    """What `Deduplicate` reads of a part: the documents that passed the thresholds and are not contaminated."""
    table = kept(dossier, recipe)
    names = ["text_hash_0", "text_hash_1"]
    if recipe.dedup is not None and recipe.dedup.minhash is not None:
        names.append("bands")
    sketch = _part(dossier).sketch(names).take(pa.array(row_of(table["ticket"].to_numpy())))
    table = table.select(["ticket", "id", "quality", "tie"])
    for name in names:
        table = table.append_column(name, sketch[name])
    return _batch(table)


def copy_texts(dossier: Dossier, rows: np.ndarray) -> Iterator[tuple[np.ndarray, pa.Array]]:
    """The texts of the given rows, a row group at a time."""
    for read, batch in _part(dossier).read(rows, ["text"]):
        yield read, batch["text"]


def vector_rows(dossier: Dossier, recipe: Recipe) -> Iterator[pa.RecordBatch]:
    """What `Diversify` reads of a part: the documents kept so far that have an embedding, a row group at a time."""
    options = recipe.select.diverse
    assert options is not None
    table = kept(dossier, recipe).combine_chunks()
    rows, first = row_of(table["ticket"].to_numpy()), 0
    for read, batch in _part(dossier).read(rows, ["metadata"]):
        some = table.slice(first, len(read))
        first += len(read)
        try:
            embedding = diversify.vectors(batch["metadata"], options.column.removeprefix(bins.METADATA))
        except ValueError as error:
            name = some["id"][error.args[0]]
            raise RunError(f"select.diverse: {options.column} of document {str(name)!r} is no list of numbers") from None
        if options.within is None:
            cluster = pa.nulls(len(some), pa.string())
        elif options.within == "source":
            cluster = some["source"]
        else:
            cluster = bins.metadata_field(batch["metadata"], options.within.removeprefix(bins.METADATA))
        columns = {name: some[name] for name in ("ticket", "id", "quality", "tie", "id_hash")}
        found = pa.table({**columns, "cluster": cluster, "embedding": embedding}, schema=diversify.ROWS)
        yield _batch(found.filter(embedding.is_valid()))


def selection_rows(dossier: Dossier, recipe: Recipe) -> pa.RecordBatch:
    """Ranks documents from the best down, all together or within their bins."""
    table = kept(dossier, recipe)
    group = table["bin"] if recipe.select.by_bin else pa.repeat(pa.scalar(""), len(table))
    tie = table["tie"].to_numpy()
    quality = budgets.perturbed(table["quality"].to_numpy(), tie, recipe.select.temperature)
    return _ranking_rows(table, group, sort_value(Ordering(order="descending"), quality, tie))


def allotted(whole: Mapping[str, int], recipe: Recipe) -> dict[str, int]:
    """What a mixture gives each bin. Raises RunError for a weight of a bin that there is not."""
    try:
        return budgets.allot(whole, recipe.select)
    except ValueError as error:
        raise RunError(f"select.mixture: {error}") from None


def phase_rows(dossier: Dossier, recipe: Recipe) -> pa.RecordBatch:
    """Ranks documents within their source to cut them into phases."""
    table = kept(dossier, recipe)
    order = Ordering(order="ascending" if recipe.curriculum.assign == "quality" else "uniform")
    major = sort_value(order, _metric(table), mix(table["tie"].to_numpy(), 1))
    return _ranking_rows(table, _group(table, recipe), major, times=table["epochs"])


def grade_rows(dossier: Dossier, recipe: Recipe) -> pa.RecordBatch:
    """Ranks documents by quality within their phase and source, where the phase's order asks for quantiles."""
    table = _turns(dossier, recipe)
    asking = [index for index, stretch in enumerate(recipe.curriculum.stretches) if stretch.order in BY_QUANTILE]
    table = table.filter(pc.is_in(table["phase"], value_set=pa.array(asking, pa.int64())))
    major = sort_value(Ordering(order="ascending"), _metric(table), table["tie"].to_numpy())
    return _ranking_rows(table, _phase_group(table, recipe), major, times=table["times"], mark=_mark(table, recipe))


def place_rows(dossier: Dossier, recipe: Recipe) -> pa.RecordBatch:
    """Ranks documents within their phase and source by the curriculum; a repeated one takes the room of its copies."""
    table = _turns(dossier, recipe)
    curriculum = recipe.curriculum
    phase, tie, tokens = (table[name].to_numpy() for name in ("phase", "tie", "tokens"))
    quality, mark = _metric(table), _mark(table, recipe)
    through, whole = _ranked(table["ticket"].combine_chunks(), dossier.answer(GRADED), mark)
    share = quantile(through, tokens * table["times"].to_numpy(), whole)
    major = np.zeros(len(table), np.uint64)
    for index, stretch in enumerate(curriculum.stretches):
        inside = phase == index
        cells = curriculum.cells(index) if stretch.order == "lr_weighted" else None
        major[inside] = sort_value(stretch, quality[inside], tie[inside], share[inside], cells)
    return _ranking_rows(table, _phase_group(table, recipe), major, times=table["times"], mark=mark)


def phase_tokens(whole: Mapping[str, int]) -> dict[str, int]:
    """Tokens of the whole phase that each group of `place_rows` is in."""
    sums: dict[str, int] = {}
    for group, tokens in whole.items():
        phase = group.split(_JOINT)[0]
        sums[phase] = sums.get(phase, 0) + tokens
    return {group: sums[group.split(_JOINT)[0]] for group in whole}


def repeat_rows(dossier: Dossier, recipe: Recipe) -> pa.RecordBatch:
    """Ranks the copies of all documents within their phase and source, so that copies of one lie apart."""
    table = _turns(dossier, recipe)
    tickets, mark = table["ticket"].combine_chunks(), _mark(table, recipe)
    answers = dossier.answer(PLACED)
    through, whole = _ranked(tickets, answers, mark)
    of_phase = _answered(tickets, answers, "allotted", mark)
    asked = recipe.select.distance
    distance = np.full(len(table), asked) if isinstance(asked, float) else np.minimum(asked / np.maximum(of_phase, 1), 1.0)
    stands, times = place(through, whole), table["times"].to_numpy()
    apart = step(distance, np.maximum(table["most"].to_numpy(), times))
    turn = np.repeat(np.arange(len(table)), times)
    copy = np.arange(len(turn)) - np.repeat(np.cumsum(times) - times, times)
    start = _entrances(table, of_phase, stands, apart, recipe)[turn]
    major = _fine(positions(stands[turn], times[turn], apart[turn], copy, start)) << np.uint64(32) | _fine(stands[turn])
    table = table.take(pa.array(turn)).combine_chunks()
    epoch = table["epoch"].to_numpy() + copy
    hashes = mix(np.ascontiguousarray(table["id_hash"].to_numpy()), 1) + epoch.astype(np.uint64)  # copies that meet differ
    table = table.set_column(table.schema.get_field_index("id_hash"), "id_hash", pa.array(hashes))
    return _ranking_rows(table, _phase_group(table, recipe), major, mark=pa.array(epoch))


def _entrances(table: pa.Table, of_phase: np.ndarray, stands: np.ndarray, apart: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Where in its phase each row may begin: apart from its copies in the phase before, which are the row before."""
    ticket, phase, times = (table[name].to_numpy() for name in ("ticket", "phase", "times"))
    most = np.maximum(table["most"].to_numpy(), times)
    here = np.flatnonzero((ticket[1:] == ticket[:-1]) & (phase[1:] == phase[:-1] + 1)) + 1
    there = here - 1
    last = positions(stands[there], times[there], apart[there], times[there] - 1)
    asked, shorter = recipe.select.distance, np.minimum(of_phase[here], of_phase[there])
    distance = asked * shorter if isinstance(asked, float) else np.minimum(asked, shorter)
    found = np.zeros(len(table))
    found[here] = entrance(last, of_phase[there], most[there], of_phase[here], most[here], distance)
    return found


def emitted(dossier: Dossier, recipe: Recipe) -> pa.Table:
    """The documents kept, in the order of their rows, as often as they are in the corpus, with phase and place of each copy;
    and with its `epoch` (from 1) where they may be repeated."""
    if not recipe.select.repeats:
        return kept(dossier, recipe)
    table = _turns(dossier, recipe)
    times = table["times"].to_numpy()
    turn = np.repeat(np.arange(len(table)), times)
    copy = np.arange(len(turn)) - np.repeat(np.cumsum(times) - times, times)
    epoch = pa.array(table["epoch"].to_numpy()[turn] + copy)
    table = table.take(pa.array(turn)).combine_chunks()
    where = place(*_ranked(table["ticket"].combine_chunks(), dossier.answer(REPEATED), epoch))
    for name, values in (("epoch", epoch), ("place", pa.array(where, from_pandas=True))):
        table = table.set_column(table.schema.get_field_index(name), name, values)
    return table


def _turns(dossier: Dossier, recipe: Recipe) -> pa.Table:
    """The documents kept, once for each phase they are in: with `times` (copies in the phase), `epoch` (number of the first of
    them, from 1), and `most` (copies that the best of its bin has in the phase)."""
    table = kept(dossier, recipe)
    one = pa.repeat(pa.scalar(1, pa.int64()), len(table))
    if not recipe.select.repeats:
        return table.append_column("times", one)
    rows = {name: _whole(table[name]) for name in ("ticket", "bin") if name in table.column_names}
    pool, budget, times = _budgets(rows, dossier, recipe)
    most = -(-budget // np.maximum(pool, 1)[:, None])
    if not recipe.select.phases:  # all copies are in the phase of the document
        inside = table["phase"].to_numpy()[:, None] == np.arange(len(recipe.curriculum.stretches))
        times, most = times * inside, most * inside
    document, phase = np.nonzero(times)
    before = np.cumsum(times, axis=1) - times
    table = table.take(pa.array(document)).combine_chunks()
    table = table.set_column(table.schema.get_field_index("phase"), "phase", pa.array(phase.astype(np.int64)))
    for name, values in (("times", times), ("epoch", before + 1), ("most", most)):
        table = table.append_column(name, pa.array(values[document, phase]))
    return table


def _mark(table: pa.Table, recipe: Recipe) -> pa.Array | None:
    """What tells the rows of a document apart, one for each phase it is in."""
    return table["phase"].combine_chunks() if recipe.select.repeats else None


def _fine(share: np.ndarray) -> np.ndarray:
    """A share as 32 bits, in the same order."""
    return np.minimum(np.floor(share * (1 << 32)), (1 << 32) - 1).astype(np.uint64)


class _State:
    """Decision, reason and detail of each document; a step changes only documents that are still kept."""

    def __init__(self, verdict: pa.Table, explain: bool) -> None:
        self.decision, self.reason, self.detail = (_whole(verdict[name]) for name in ("decision", "reason", "detail"))
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


def _copies(state: _State, rows: dict[str, pa.Array], dossier: Dossier) -> None:
    answers = dossier.answer(deduplicate.TAG)
    representative, jaccard, kind, copies = (
        aligned(rows["ticket"], answers, column, default)
        for column, default in (("duplicate_of", None), ("jaccard", None), ("kind", None), ("copies", 1))
    )
    rows |= {
        "representative": representative.cast(pa.string()),
        "jaccard": jaccard.cast(pa.float64()),
        "copies": copies.cast(pa.int64()),
    }
    if answers is not None:
        reason = pc.binary_join_element_wise("dedup", kind, ".")

        def detail(of: pa.Array) -> pa.Array:
            jaccard, representative = _rounded(rows["jaccard"].take(of)), rows["representative"].take(of)
            return pc.binary_join_element_wise("Jaccard", jaccard, "with", representative, " ")

        state.close(representative.is_valid().to_numpy(zero_copy_only=False), "drop", reason, detail)


def _diversity(state: _State, rows: dict[str, pa.Array], dossier: Dossier) -> None:
    answers = dossier.answer(diversify.TAG)
    if answers is None:
        return
    stands = aligned(rows["ticket"], answers, "stands", None)
    cosine = aligned(rows["ticket"], answers, "cosine", None)

    def detail(of: pa.Array) -> pa.Array:
        return pc.binary_join_element_wise("cosine", _rounded(cosine.take(of)), "with", stands.take(of), " ")

    state.close(stands.is_valid().to_numpy(zero_copy_only=False), "drop", "select.diverse", detail)


def _budgets(rows: Mapping[str, pa.Array], dossier: Dossier, recipe: Recipe) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pool, budgets (a column a phase the selection speaks of) and copies of each document; of one not ranked none."""
    select, answers = recipe.select, dossier.answer(SELECTED)
    rank, whole = (_answered(rows["ticket"], answers, name) for name in ("rank", "group_tokens"))
    of_bin = rows.get("bin", pa.repeat(pa.scalar(""), len(rank)))
    given = _answered(rows["ticket"], answers, "allotted") if select.mixture is not None else None
    pool, budget = budgets.limits(of_bin, whole, given, select)
    return pool, budget, np.where(rank[:, None] < 0, 0, budgets.copies(rank, pool, budget))


def _budget(state: _State, rows: dict[str, pa.Array], dossier: Dossier, recipe: Recipe) -> None:
    select, answers = recipe.select, dossier.answer(SELECTED)
    if not select.asks or answers is None:
        rows["epochs"] = pc.equal(state.decision, "keep").cast(pa.int64())
        return
    rank = _answered(rows["ticket"], answers, "rank")
    pool, budget, times = _budgets(rows, dossier, recipe)
    epochs, limit = times.sum(axis=1), np.minimum(budget.max(axis=1), pool)
    what = "mixture" if select.mixture is not None else "epochs" if select.epochs else "tokens"
    reason = pc.if_else(pa.array((rank > pool) & (select.top != 1)), "select.top", f"select.{what}")

    def detail(of: pa.Array) -> pa.Array:
        numbers = (pa.array(values).take(of).cast(pa.string()) for values in (rank, limit))
        return pc.binary_join_element_wise("token", next(numbers), "of", next(numbers), " ")

    state.close((rank >= 0) & (epochs == 0), "drop", reason, detail)
    rows["epochs"] = pa.array(epochs)


def _places(rows: dict[str, pa.Array], dossier: Dossier, recipe: Recipe) -> dict[str, pa.Array]:
    """Phase and place (0 to 1, by the end of the document's tokens in its source) of the documents that are ranked."""
    phase = np.zeros(len(rows["ticket"]), np.int64)
    ranked = dossier.answer(PHASED)
    if ranked is not None:
        fraction = place(*_ranked(rows["ticket"], ranked))
        inside = ~np.isnan(fraction)
        phase[inside] = phase_of(fraction[inside], [stretch.share for stretch in recipe.curriculum.stretches])
    if recipe.select.phases and dossier.answer(SELECTED) is not None:
        phase = (_budgets(rows, dossier, recipe)[2] > 0).argmax(axis=1).astype(np.int64)
    first = pa.repeat(pa.scalar(1, pa.int64()), len(phase)) if recipe.select.repeats else None
    where = place(*_ranked(rows["ticket"], dossier.answer(REPEATED if recipe.select.repeats else PLACED), first))
    return {"phase": pa.array(phase), "place": pa.array(where, from_pandas=True)}


def _ranked(tickets: pa.Array, answers: pa.Table | None, mark: pa.Array | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Rank in tokens and tokens of the group, as floats; NaN where a document was not ranked."""
    rank, whole = (_answered(tickets, answers, name, mark).astype(np.float64) for name in ("rank", "group_tokens"))
    missing = rank < 0
    rank[missing] = whole[missing] = np.nan
    return rank, whole


def _answered(tickets: pa.Array, answers: pa.Table | None, column: str, mark: pa.Array | None = None) -> np.ndarray:
    """A column of a ranking's answers for documents of one part, or for their rows of these marks; -1 where there is none."""
    if answers is not None and mark is not None:
        tickets = _marked(tickets, mark)
        answers = answers.set_column(0, "ticket", _marked(_whole(answers["ticket"]), _whole(answers["mark"])))
    return np.asarray(aligned(tickets, answers, column, -1).cast(pa.int64()).to_numpy(zero_copy_only=False))


def _marked(tickets: pa.Array, mark: pa.Array) -> pa.Array:
    """Row of the part and mark in one number: no document has a million copies."""
    return pa.array(row_of(tickets.to_numpy()) << 20 | mark.to_numpy())


def _final_ids(dossier: Dossier, rows: dict[str, pa.Array]) -> pa.Array:
    """The ids, numbered where several documents had one: id, id#2, id#3."""
    ids = rows["id"]
    answers = dossier.answer(identity.TAG)
    if answers is None:
        return ids
    ordinal = aligned(rows["ticket"], answers, "ordinal", None)
    return pc.coalesce(identity.numbered(ids, ordinal), ids)


def _group(table: pa.Table, recipe: Recipe) -> pa.Array:
    if recipe.curriculum.interleave_by == "source":
        return table["source"].combine_chunks()
    return pa.repeat(pa.scalar(""), len(table))


def _phase_group(table: pa.Table, recipe: Recipe) -> pa.Array:
    return pc.binary_join_element_wise(table["phase"].cast(pa.string()), _group(table, recipe), _JOINT)


def _ranking_rows(
    table: pa.Table, group: pa.Array, major: np.ndarray, times: pa.ChunkedArray | None = None, mark: pa.Array | None = None
) -> pa.RecordBatch:
    columns = {"ticket": table["ticket"], "group": group, "major": pa.array(major)}
    columns |= {name: table[name] for name in ("tie", "id_hash", "tokens")}
    if times is not None:
        columns["tokens"] = pc.multiply(table["tokens"], times)
    if mark is not None:
        columns["mark"] = mark
    return _batch(pa.table(columns, schema=ranking.ROWS if mark is None else ranking.MARKED))


_JOINT = "\x1f"


def _rounded(values: pa.Array) -> pa.Array:
    return pc.round(values, ndigits=4).cast(pa.string())


def _part(dossier: Dossier) -> Part:
    assert isinstance(dossier.handle, Part)
    return dossier.handle


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
