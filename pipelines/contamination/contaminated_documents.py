"""Shows which benchmark items the documents of a release have, and what happened to these documents.

decisions/ names one item of each document that was dropped, cut or reviewed. Here the candidates of
all documents are judged again, so all items count, and documents that were only reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.formatting import plural
from tamis.pipelines.recipe.load import finished_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError, nearest
from tamis.transforms.core.release import Release, open_release
from tamis.transforms.decontaminate.contamination_rater import SAVED_INDEX, Contamination, Decontaminate
from tamis.transforms.decontaminate.judge import CANDIDATES, STEP
from tamis.transforms.decontaminate.matching.candidates import unpack
from tamis.transforms.decontaminate.matching.index import Index
from tamis.transforms.decontaminate.matching.scores import CLASSES, Matches, partial_counts, word_bits
from tamis.transforms.decontaminate.matching.verdicts import find, severities
from tamis.transforms.provenance import ledger

ACTIONS = ("drop", "cut", "review", "report", "other reason")
"""What happened to a document; the last: it was dropped or set aside for another reason."""

_OTHERWISE = 0.01
"""The share of the flagged documents whose match may be gone: others were purged since, and count no more."""


@dataclass(frozen=True)
class Touched:
    """Items and documents with a match of a class, by what happened to the documents."""

    kind: str
    action: str
    items: int
    documents: int


@dataclass(frozen=True)
class Contaminated:
    """A document with an item, and the bytes of the item in its rated text."""

    id: str
    item: str
    kind: str
    action: str
    score: float
    start: int
    stop: int


@dataclass(frozen=True)
class BenchmarkContamination:
    """What a release has met of a benchmark."""

    benchmark: str
    items: int
    touched: int
    """Items that some document has."""
    documents: int
    """Documents that have one."""
    by_class: list[Touched]
    top: list[Contaminated]
    """Those with the highest scores."""


def contaminated_documents(name: str, benchmarks: Sequence[str] = (), top: int = 5) -> list[BenchmarkContamination]:
    """The matches that reach the limits of the recipe in a release, `RUN` or `RUN@41`, by benchmark: all, or those
    named. Reads one column of its parts. A document with items of several classes counts in each.

    Raises RunError if the recipe has no such benchmark, and if the benchmarks have changed since.
    """
    release = open_release(name)
    recipe = finished_recipe(release.manifest)
    options = recipe.decontaminate
    if options is None:
        raise RunError(f"the recipe of {name} names no benchmarks: add the section decontaminate, and run it again")
    names = [benchmark.name for benchmark in options.benchmarks]
    for one in benchmarks:
        if one not in names:
            hint = nearest(one, names)
            raise RunError(
                f"{name} has no benchmark {one!r}" + (f"; did you mean {hint!r}?" if hint else f": {', '.join(names)}")
            )
    documents, listed = _documents(release)
    index, matches = _judged(release, recipe, options, documents, listed)
    shown = [number for number, each in enumerate(index.names.to_pylist()) if not benchmarks or each in benchmarks]
    return [_of_benchmark(number, index, matches, documents, top) for number in shown]


def lines(found: Sequence[BenchmarkContamination]) -> Iterator[str]:
    """What a person reads."""
    for each in found:
        items = plural(each.items, "item")
        if not each.touched:
            yield f"{each.benchmark}: none of {items}"
            continue
        yield f"{each.benchmark}: {each.touched:,} of {items} in {plural(each.documents, 'document')}"
        yield f"  {'class':<8} {'action':<12} {'items':>8} {'documents':>10}"
        yield from (f"  {row.kind:<8} {row.action:<12} {row.items:>8,} {row.documents:>10,}" for row in each.by_class)
        if each.top:
            yield "  highest scores"
        for one in each.top:
            yield f"  {one.score:.4f} {one.id}: item {one.item}, {one.kind}, {one.action}, bytes {one.start}-{one.stop}"


def _documents(release: Release) -> tuple[pa.Table, pa.ListArray]:
    """Id and action of the documents that have candidates, and these."""
    tables = [pa.table({"id": pa.array([], pa.string()), "action": pa.array([], pa.string())})]
    columns: list[pa.ListArray] = []
    for ordinal in ledger.decided_parts(release):
        part = release.part(ordinal)
        if CANDIDATES not in part.schema().names:
            raise RunError(
                f"release {release.number} of {release.run} has no {CANDIDATES}: an earlier version made it; run it again"
            )
        listed = part.columns([CANDIDATES])[CANDIDATES].combine_chunks()
        some = pc.fill_null(pc.greater(pc.list_value_length(listed), 0), False)
        decided = ledger.decisions(release, ordinal, ["id", "decision", "reason", "cuts"]).filter(some)
        tables.append(_actions(decided.combine_chunks()))
        columns.append(listed.filter(some))
    return pa.concat_tables(tables).combine_chunks(), pa.concat_arrays(columns) if columns else pa.array(
        [], pa.list_(pa.binary())
    )


def _actions(decided: pa.Table) -> pa.Table:
    own = pc.fill_null(pc.equal(decided["reason"], STEP), False)
    kept = pc.equal(decided["decision"], "keep")
    cut = [any(span["reason"] == STEP for span in spans or ()) for spans in decided["cuts"].to_pylist()]
    action = pc.if_else(
        own, decided["decision"], pc.if_else(pa.array(cut, pa.bool_()), "cut", pc.if_else(kept, "report", "other reason"))
    )
    return pa.table({"id": decided["id"], "action": action})


def _judged(
    release: Release, recipe: Recipe, options: Decontaminate, documents: pa.Table, listed: pa.ListArray
) -> tuple[Index, Matches]:
    """The matches that reach a limit, with the index by which the release was made: the one that the run
    saved, else that of the files."""
    flagged = np.flatnonzero(pc.is_in(documents["action"], pa.array(ACTIONS[:3])).to_numpy())
    saved = storage.join(release.run, SAVED_INDEX)
    for uri in dict.fromkeys([saved if storage.exists(saved) else None, None]):
        index = Contamination(options, uri, recipe.words).index
        if index.names.to_pylist() != [benchmark.name for benchmark in options.benchmarks]:
            continue
        try:
            candidates = unpack(listed, index)
        except IndexError:  # of fewer items
            continue
        matches = find(candidates, index, word_bits(index, partial_counts(candidates, index)), options)
        severity = severities(matches, index, options)
        if np.isin(flagged, matches.document[severity > 0], invert=True).sum() <= _OTHERWISE * len(flagged):
            return index, matches.take(severity >= 0)
    raise RunError(f"the benchmarks have changed since release {release.number} of {release.run}; run its recipe again")


def _of_benchmark(number: int, index: Index, matches: Matches, documents: pa.Table, top: int) -> BenchmarkContamination:
    own = matches.take(index.benchmark[matches.item] == number)
    ids, action = (documents[column].combine_chunks() for column in ("id", "action"))
    place = pc.index_in(action, value_set=pa.array(ACTIONS)).to_numpy()[own.document]
    by_class = [
        Touched(kind, ACTIONS[act], _different(own.item[rows]), _different(own.document[rows]))
        for k, kind in enumerate(CLASSES)
        for act in range(len(ACTIONS))
        if (rows := (own.kind == k) & (place == act)).any()
    ]
    order = sorted(range(len(own.item)), key=lambda k: (-own.score[k], ids[int(own.document[k])].as_py(), own.item[k]))[:top]
    highest = [
        Contaminated(
            ids[int(own.document[k])].as_py(), index.labels[int(own.item[k])].as_py(), CLASSES[own.kind[k]],
            ACTIONS[place[k]], round(float(own.score[k]), 4), int(own.start[k]), int(own.stop[k]),
        )
        for k in order
    ]  # fmt: skip
    items = int((index.benchmark == number).sum())
    return BenchmarkContamination(
        index.names[number].as_py(), items, _different(own.item), _different(own.document), by_class, highest
    )


def _different(values: npt.NDArray[np.int64]) -> int:
    return len(np.unique(values))
