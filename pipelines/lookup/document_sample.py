"""A sample of the documents of a release with their texts, and what decided about them.

The sample is chosen by small columns: decisions and, if a condition needs them, signals. Only the row
groups of rated parts that hold chosen documents are read for their texts. A document is chosen by a
hash of its id and the seed, so the sample does not depend on how the input was cut into parts.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.decisions.rated_decisions import part_signals
from tamis.pipelines.lookup.explanation import explained_entries, pieces_of
from tamis.pipelines.recipe.load import finished_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.core.component import METADATA
from tamis.transforms.core.errors import RunError, nearest
from tamis.transforms.core.release import Release
from tamis.transforms.provenance import ledger
from tamis.transforms.select.rule_blocks import Rules
from tamis.transforms.select.thresholds import any_listed

_MEASURES = ("quality", "tokens", "bytes", "chars", "cut_chars", "jaccard", "copies", "epochs", "place")
"""Columns of decisions/ that a condition may name beside the signals."""

_CONDITION = re.compile(r"\s*(?P<name>[^<>=!]+?)\s*(?P<operator><=|>=|==|!=|=|<|>)\s*(?P<value>.*?)\s*")
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}

_CHOSEN = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("rank", pa.float64()),  # the distance to a limit, else 0
        pa.field("key", pa.uint64()),
        pa.field("part", pa.int64()),
        pa.field("row", pa.int64()),
        pa.field("kept", pa.bool_()),
        pa.field("limit", pa.int64()),  # its number, else -1
    ]
)
_ORDER = [("rank", "ascending"), ("key", "ascending"), ("id", "ascending")]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Condition:
    """A comparison of a signal with a number, or with a label. A missing value matches none."""

    name: str
    operator: str
    value: float | str

    def matches(self, values: pa.Array) -> Mask:
        """Which of n values match."""
        if isinstance(self.value, float):
            numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            return np.asarray(_OPERATORS[self.operator](numbers, self.value) & ~np.isnan(numbers))
        if pa.types.is_list(values.type):
            equal = any_listed(values, [self.value])
        else:
            equal = pc.equal(values.cast(pa.string()), self.value).fill_null(False).to_numpy(zero_copy_only=False)
        return np.asarray((equal if self.operator == "=" else ~equal) & values.is_valid().to_numpy(zero_copy_only=False))


@dataclass(frozen=True)
class Limit:
    """One side of a threshold, and the section of the recipe that sets it."""

    signal: str
    side: str
    value: float
    section: str


@dataclass(frozen=True)
class Query:
    """Which documents match. With `limits`, only those that one of these limits has decided about,
    or that were kept, the nearest first."""

    decision: str
    reason: str
    source: str
    conditions: tuple[Condition, ...]
    limits: tuple[Limit, ...]
    seed: int


@dataclass(frozen=True)
class Sample:
    """Documents, how many there were to choose from, and the signals that the conditions name."""

    documents: list[dict[str, Any]]
    matching: int
    signals: tuple[str, ...]


def sample_documents(
    release: Release,
    n: int = 10,
    *,
    decision: str = "",
    reason: str = "",
    source: str = "",
    where: Sequence[str] = (),
    near_limit: bool = False,
    seed: int = 0,
) -> Sample:
    """`n` documents of those that match, each with the same chance: what `explanation` says of them,
    `text` as it ends, and `diff`, the pieces that stayed, were removed, inserted and cut.

    `decision`: keep, drop or review. `reason`: as in decisions/. `where`: conditions such as
    "gopher.word_count < 60" or "language.label = de", which all must hold.

    `near_limit`: instead those whose value is nearest to a limit of a threshold, half of them kept
    and half of them not. The distance |value - limit| is divided by |limit|, unless that is 0. Of a
    document that was not kept, the limits of its reason count; of one that was kept, all limits, or
    those of `reason`. `near` names the signal, the side and the value of the limit, the section of the
    recipe that sets it, and the distance.

    Raises RunError if nothing matches, or if there is no such signal, reason or source.
    """
    recipe = finished_recipe(release.manifest)
    if decision not in ("", "keep", "drop", "review"):
        raise RunError(f"no decision '{decision}': it is keep, drop or review")
    signals = ledger.signal_fields(release)
    conditions = tuple(_condition(text, signals, recipe) for text in where)
    limits = _limits(signals, recipe, reason) if near_limit else ()
    query = Query(decision, reason, source, conditions, limits, seed)
    if near_limit and not limits:
        names = ", ".join(dict.fromkeys(limit.signal for limit in _limits(signals, recipe, ""))) or "none"
        raise RunError(f"--near-limit needs a threshold with a minimum or a maximum; those of the release are {names}")
    chosen, matching = _choose(release, recipe, query, n)
    if not len(chosen):
        raise RunError(_nothing(release, query))
    return Sample(_documents(release, recipe, query, chosen), matching, tuple(each.name for each in conditions))


def _limits(signals: Container[str], recipe: Recipe, reason: str) -> tuple[Limit, ...]:
    """The limits of all thresholds, or of those of one signal, whose values a release keeps."""
    return tuple(
        Limit(name, side, value, section)
        for name in recipe.rules.signals
        if (name in signals or name in recipe.undeclared) and reason in ("", name)
        for section, rule in recipe.rules.of_signal(name).items()
        for side in ("min", "max")
        if (value := getattr(rule, side, None)) is not None
    )


def _condition(text: str, signals: Mapping[str, pa.Field], recipe: Recipe) -> Condition:
    """Raises RunError if the text is no comparison, or names no signal."""
    match = _CONDITION.fullmatch(text)
    if match is None or not match["value"]:
        raise RunError(f"'{text}' is no condition: write a signal, one of < <= > >= = !=, and a value, as 'tokens < 100'")
    name, sign, value = match["name"], match["operator"].replace("==", "="), match["value"]
    if name not in signals and any(name == signal.name for each in recipe.score_signals.values() for signal in each):
        raise RunError(f"the values of '{name}' were joined from another file, and a release does not keep them")
    names = [*_MEASURES, *signals, *recipe.undeclared]
    if name not in names and not name.startswith(METADATA):
        raise RunError(f"no signal '{name}'{_did_you_mean(name, names)}; `tamis explain` shows all that a document has")
    try:
        number = float(value)
    except ValueError:
        number = None
    kind = signals[name].type if name in signals else None
    labels = number is None and name not in _MEASURES if kind is None else pa.types.is_string(kind) or pa.types.is_list(kind)
    if labels and sign not in ("=", "!="):
        raise RunError(f"'{text}': labels are compared by = and != only")
    if not labels and number is None:
        raise RunError(f"'{text}': '{name}' is a number, and '{value}' is none")
    return Condition(name, sign, value if labels or number is None else number)


def _choose(release: Release, recipe: Recipe, query: Query, n: int) -> tuple[pa.Table, int]:
    """The chosen documents, one row each, in their order; and the number of those that match."""
    best, matching = [_CHOSEN.empty_table(), _CHOSEN.empty_table()], 0
    for ordinal in ledger.decided_parts(release):
        candidates = _candidates(release, recipe, query, ordinal)
        matching += len(candidates)
        for side, kept in enumerate((False, True)):
            own = candidates.filter(pc.equal(candidates["kept"], kept))
            best[side] = pa.concat_tables([best[side], own]).sort_by(_ORDER).slice(0, n)
    if query.limits:
        dropped, kept_rows = best
        best = [dropped.slice(0, max(n - n // 2, n - len(kept_rows))), kept_rows.slice(0, max(n // 2, n - len(dropped)))]
    return pa.concat_tables(best).sort_by(_ORDER).slice(0, n), matching


def _candidates(release: Release, recipe: Recipe, query: Query, ordinal: int) -> pa.Table:
    """The documents of a part that match, with what orders them. Reads signals only if a condition or
    a limit needs them, and any document may match."""
    measures = {each.name for each in query.conditions} & set(_MEASURES)
    table = ledger.decisions(release, ordinal, ["id", "decision", "reason", "source", *sorted(measures)]).combine_chunks()
    kept = pc.equal(table["decision"], "keep").to_numpy()
    mask = np.ones(table.num_rows, bool)
    for column in ("decision", "reason", "source"):
        if value := getattr(query, column):
            equal = pc.equal(table[column], value).fill_null(False).to_numpy()
            mask &= equal | kept if column == "reason" and query.limits else equal
    signals = {*(each.name for each in query.conditions), *(each.signal for each in query.limits)} - measures
    if query.limits:
        signals |= {*recipe.rules.language_columns}  # which tell the limits that hold for a document
    if signals and mask.any():
        measured = part_signals(release.part(ordinal), signals, recipe)
        for name in sorted(signals - {*table.column_names}):
            table = table.append_column(name, measured[name])
    for condition in query.conditions if mask.any() else ():
        mask &= condition.matches(table[condition.name].combine_chunks())
    rank, limit = np.zeros(table.num_rows), np.full(table.num_rows, -1)
    if query.limits and mask.any():
        rank, limit = _distances(table, recipe.rules, query.limits, kept)
        mask &= np.isfinite(rank)
    rows = np.flatnonzero(mask)
    ids = table["id"].combine_chunks().take(pa.array(rows))
    key = ledger.sample_keys(ids, query.seed)
    columns = {"rank": rank[rows], "key": key, "part": np.full(len(rows), ordinal), "row": rows}
    return pa.table({"id": ids, **columns, "kept": kept[rows], "limit": limit[rows]}, schema=_CHOSEN)


def _distances(
    table: pa.Table, rules: Rules, limits: Sequence[Limit], kept: Mask
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The distance of each document to the nearest limit that counts for it, infinite if none does;
    and the number of that limit."""
    holds = np.zeros((len(limits), table.num_rows), bool)
    for rule_set, rows in rules.split(table, table["source"]):
        for number, limit in enumerate(limits):
            holds[number, rows] = rule_set.sections.get(limit.signal) == limit.section
    distances = np.full((len(limits), table.num_rows), np.inf)
    for number, limit in enumerate(limits):
        values = table[limit.signal].cast(pa.float64(), safe=False).to_numpy()
        counts = kept | pc.equal(table["reason"], limit.signal).fill_null(False).to_numpy()
        counts &= holds[number] & ~np.isnan(values)
        distances[number, counts] = np.abs(values[counts] - limit.value) / (abs(limit.value) or 1.0)
    return distances.min(axis=0), distances.argmin(axis=0)


def _documents(release: Release, recipe: Recipe, query: Query, chosen: pa.Table) -> list[dict[str, Any]]:
    """The chosen documents with their texts, in their order."""
    documents: dict[tuple[int, int], dict[str, Any]] = {}
    places = list(zip(chosen["part"].to_pylist(), chosen["row"].to_pylist(), strict=True))
    for part in sorted({part for part, _ in places}):
        rows = sorted(row for other, row in places if other == part)
        entries = list(ledger.entries(release, part, np.array(rows)))
        for row, entry, document in zip(rows, entries, explained_entries(release, recipe, entries), strict=True):
            pieces = pieces_of(entry)
            text = "".join(piece.text for piece in pieces if piece.lasting)
            documents[part, row] = document | {"text": text, "diff": [asdict(piece) for piece in pieces]}
    for place, rank, number in zip(places, chosen["rank"].to_pylist(), chosen["limit"].to_pylist(), strict=True):
        if number >= 0:
            documents[place]["near"] = asdict(query.limits[number]) | {"distance": rank}
    return [documents[place] for place in places]


def _nothing(release: Release, query: Query) -> str:
    """Why nothing matches: a name that there is not, or what was decided about all documents."""
    counts = release.manifest["counts"]
    names: dict[str, Iterable[str]] = {"reason": [row["reason"] for row in counts["reasons"]], "source": counts["sources"]}
    for kind, existing in names.items():
        if (name := getattr(query, kind)) and name not in existing:
            return f"no document has the {kind} '{name}'{_did_you_mean(name, existing)}; {_outcomes(release)}"
    return f"no document matches all of that; {_outcomes(release)}"


def _outcomes(release: Release) -> str:
    counts = release.manifest["counts"]
    reasons = [f"{row['reason']} {row['documents']:,} ({row['decision']})" for row in counts["reasons"]]
    return f"there are {counts['kept']:,} kept" + (f", and by reason {', '.join(reasons)}" if reasons else ", and no others")


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    near = nearest(name, names)
    return f": did you mean '{near}'?" if near else ""
