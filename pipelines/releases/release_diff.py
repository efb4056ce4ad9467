"""Compares two releases document by document: what flipped, what shifted, what moved in the order.

Documents are the same if they have the same id. One flips if it was kept and is not, or the reverse. Counts are of
all documents; shifts and the order are measured on a sample that depends on the ids alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.lookup.release_tables import SAMPLE_KEY, connect
from tamis.transforms.assess.shifts import Shift, holm, label_shift, number_shift
from tamis.transforms.core.release import Release
from tamis.transforms.provenance import ledger

if TYPE_CHECKING:
    import duckdb

MEASURED = 200_000
"""Documents of a release on which shifts and the order are measured, about, if it has more."""

EXCERPT = 300  # characters of a sampled document

_BESIDE_SIGNALS = ["tokens", "bytes", "quality", "source", "host"]  # columns whose shifts are measured, too
_KINDS = ("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE", "VARCHAR")


@dataclass(frozen=True)
class Outcome:
    """What was decided about a document, and why."""

    decision: str
    reason: str | None


@dataclass(frozen=True)
class Flips:
    """Documents of a source about which the same was decided before, and the same, but otherwise, after. `tokens`: as
    counted before if they were kept then, else after."""

    source: str
    before: Outcome
    after: Outcome
    documents: int
    tokens: int


@dataclass(frozen=True)
class FlippedDocument:
    """A document that flipped. `detail`: of the decision against it. `excerpt`: the beginning of its text as it was
    rated for the release after."""

    id: str
    source: str
    url: str | None
    before: Outcome
    after: Outcome
    detail: str | None
    excerpt: str


@dataclass(frozen=True)
class NamedShift:
    """A shift of the kept documents. `middle`: the medians of numbers before and after. `p_corrected`: by Holm for all
    shifts of a comparison."""

    name: str
    shift: Shift
    middle: tuple[float, float] | None
    p_corrected: float


@dataclass(frozen=True)
class OrderChange:
    """How the order of the `documents` that both releases keep has changed. `moved`: in another phase, of all;
    Spearman's and Kendall's rank correlation of their positions, None if nothing varies; `measured` documents."""

    documents: int
    moved: int
    measured: int
    spearman: float | None
    kendall: float | None


@dataclass(frozen=True)
class DocumentCounts:
    """Documents in both releases, only before, and only after; of those in both, those with another text, and those
    that were not kept either time, for another reason; kept documents and their tokens."""

    both: int
    gone: int
    new: int
    other_text: int
    other_reason: int
    kept_before: int
    kept_after: int
    tokens_before: int
    tokens_after: int


@dataclass(frozen=True)
class ReleaseDiff:
    """Two releases, by name, and the fields of their recipes that differ, with both values."""

    before: str
    after: str
    recipe: dict[str, tuple[Any, Any]]
    counts: DocumentCounts
    flips: list[Flips]
    samples: list[FlippedDocument]
    shifts: list[NamedShift]
    order: OrderChange

    @property
    def lost(self) -> list[Flips]:
        """Those that were kept before, and are not."""
        return [flips for flips in self.flips if flips.before.decision == "keep"]

    @property
    def gained(self) -> list[Flips]:
        """Those that were not kept before, and are."""
        return [flips for flips in self.flips if flips.after.decision == "keep"]

    @property
    def flipped(self) -> int:
        """Documents that flipped."""
        return sum(flips.documents for flips in self.flips)


def release_diff(before: Release, after: Release, samples: int = 3, seed: int = 0) -> ReleaseDiff:
    """Compares two releases, of one run or of two. `samples`: documents that flipped, in each direction, drawn by `seed`
    and id."""
    with connect(before, after) as connection:
        match_documents(connection)
        return ReleaseDiff(
            f"{before.run}@{before.number}",
            f"{after.run}@{after.number}",
            recipe_changes(before.manifest["recipe"], after.manifest["recipe"]),
            document_counts(connection),
            flipped_groups(connection),
            _samples(connection, before, after, samples, seed),
            shifts_of_kept(connection),
            order_change(connection),
        )


def match_documents(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes the table `matched`: a row for each id, with what `release_0` and `release_1` say of it, as `b` and `a`."""
    columns = ("source", "decision", "reason", "tokens", "phase", "place", "text_hash", "part", "row")
    sides = (f"{side}.{name} AS {side}_{name}" for side in "ba" for name in columns)
    connection.execute(f"""
        CREATE TEMP TABLE matched AS
        SELECT coalesce(b.id, a.id) AS id, b.id IS NOT NULL AS was, a.id IS NOT NULL AS is_now, {", ".join(sides)}
        FROM release_0.documents AS b FULL JOIN release_1.documents AS a ON b.id = a.id""")


def document_counts(connection: duckdb.DuckDBPyConnection) -> DocumentCounts:
    """The counts of matched documents."""
    rows = connection.execute("""
        SELECT count(*) FILTER (was AND is_now), count(*) FILTER (NOT is_now), count(*) FILTER (NOT was),
               count(*) FILTER (b_text_hash <> a_text_hash),
               count(*) FILTER (b_decision <> 'keep' AND a_decision <> 'keep'
                                AND (b_decision, b_reason) IS DISTINCT FROM (a_decision, a_reason)),
               count(*) FILTER (b_decision = 'keep'), count(*) FILTER (a_decision = 'keep'),
               coalesce(sum(b_tokens) FILTER (b_decision = 'keep'), 0),
               coalesce(sum(a_tokens) FILTER (a_decision = 'keep'), 0)
        FROM matched""").fetchall()
    return DocumentCounts(*map(int, rows[0]))


_FLIPPED = "was AND is_now AND (b_decision = 'keep') <> (a_decision = 'keep')"


def flipped_groups(connection: duckdb.DuckDBPyConnection) -> list[Flips]:
    """The documents that flipped, the largest groups first."""
    rows = connection.execute(f"""
        SELECT a_source, b_decision, b_reason, a_decision, a_reason, count(*) AS n,
               sum(CASE WHEN b_decision = 'keep' THEN b_tokens ELSE a_tokens END)
        FROM matched WHERE {_FLIPPED} GROUP BY ALL ORDER BY n DESC, 1, 2, 3, 4, 5""").fetchall()
    return [Flips(row[0], Outcome(*row[1:3]), Outcome(*row[3:5]), row[5], int(row[6])) for row in rows]


def _samples(
    connection: duckdb.DuckDBPyConnection, before: Release, after: Release, number: int, seed: int
) -> list[FlippedDocument]:
    """Documents that flipped: first `number` that were kept, then as many that are."""
    rows = connection.execute(f"""
        SELECT id, b_decision, b_reason, a_decision, a_reason, b_part, b_row, a_part, a_row FROM matched WHERE {_FLIPPED}
        QUALIFY row_number() OVER (PARTITION BY b_decision = 'keep' ORDER BY {SAMPLE_KEY}(id, {seed}), id) <= {number}
        ORDER BY b_decision <> 'keep', {SAMPLE_KEY}(id, {seed}), id""").fetchall()
    found: list[FlippedDocument] = []
    for identifier, *outcomes, was_part, was_row, part, row in rows:
        was, now = Outcome(*outcomes[:2]), Outcome(*outcomes[2:])
        against = (after, part, row) if was.decision == "keep" else (before, was_part, was_row)
        detail = ledger.decisions(against[0], against[1], ["detail"])["detail"][against[2]].as_py()
        ((_, batch),) = after.part(part).read(np.array([row]), ["source", "url", "text"])
        (document,) = batch.to_pylist()
        excerpt = (document["text"] or "")[:EXCERPT]
        found.append(FlippedDocument(identifier, document["source"], document["url"], was, now, detail, excerpt))
    return found


def shifts_of_kept(connection: duckdb.DuckDBPyConnection, measured: int = MEASURED) -> list[NamedShift]:
    """The shifts of all values that both releases have of documents that they keep, the largest effect first."""
    names = _comparable(connection)
    if not names:
        return []
    sides = ", ".join(f'b."{name}" AS "b {name}", a."{name}" AS "a {name}"' for name in names)
    kept = f"WHERE decision = 'keep' AND {_drawn(connection, measured)}"
    table = connection.sql(f"""
        SELECT b.id IS NOT NULL AS "was", a.id IS NOT NULL AS "is now", {sides}
        FROM (FROM release_0.documents {kept}) AS b FULL JOIN (FROM release_1.documents {kept}) AS a ON b.id = a.id
        """).to_arrow_table()
    shifts = [(name, *shift) for name in names if (shift := _shift(table[f"b {name}"], table[f"a {name}"])) is not None]
    corrected = holm([shift.p for _, shift, _ in shifts])
    found = [NamedShift(name, shift, middle, p) for (name, shift, middle), p in zip(shifts, corrected, strict=True)]
    return sorted(found, key=lambda each: (-each.shift.effect, each.name))


def order_change(connection: duckdb.DuckDBPyConnection, measured: int = MEASURED) -> OrderChange:
    """How documents moved that both releases keep."""
    from scipy.stats import kendalltau, spearmanr

    both = "b_decision = 'keep' AND a_decision = 'keep'"
    counts = f"SELECT count(*), count(*) FILTER (b_phase <> a_phase) FROM matched WHERE {both}"
    ((documents, moved),) = connection.execute(counts).fetchall()
    drawn = connection.sql(f"""
        SELECT b_phase, b_place, a_phase, a_place FROM matched
        WHERE {both} AND b_place IS NOT NULL AND a_place IS NOT NULL AND {_drawn(connection, measured)}
        """).to_arrow_table()
    positions = [_ranks(drawn[f"{side}_phase"].to_numpy(), drawn[f"{side}_place"].to_numpy()) for side in "ba"]
    if any(len(np.unique(side)) < 2 for side in positions):
        return OrderChange(documents, moved, len(drawn), None, None)
    return OrderChange(
        documents, moved, len(drawn), float(spearmanr(*positions).statistic), float(kendalltau(*positions).statistic)
    )


def recipe_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The fields of two recipes that differ, with both values; None where one has no such field."""
    fields = [dict(_fields(recipe)) for recipe in (before, after)]
    names = [name for name in dict.fromkeys([*fields[0], *fields[1]]) if fields[0].get(name) != fields[1].get(name)]
    return {name: (fields[0].get(name), fields[1].get(name)) for name in names}


def _fields(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a recipe by their path, as `--set` writes it."""
    for name, field in value.items():
        if isinstance(field, Mapping) and field:
            yield from _fields(field, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def _comparable(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The columns of both releases that are numbers or labels of documents."""
    rows = connection.execute(
        """
        SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name IN ('release_0', 'release_1')
        AND (table_name = 'signals' OR table_name = 'documents' AND list_contains(?, column_name))
        GROUP BY ALL HAVING count(*) = 2 ORDER BY min(column_index), column_name""",
        [_BESIDE_SIGNALS],
    ).fetchall()
    return [name for name, kind in rows if name not in ("id", "tokens.count") and (kind in _KINDS)]


def _drawn(connection: duckdb.DuckDBPyConnection, measured: int) -> str:
    """The condition that draws about so many kept documents of the release that keeps more."""
    counts = document_counts(connection)
    share = measured / max(counts.kept_before, counts.kept_after, 1)
    return "true" if share >= 1 else f"{SAMPLE_KEY}(id, 0) < {int(share * 2**64)}"


def _shift(before: pa.ChunkedArray, after: pa.ChunkedArray) -> tuple[Shift, tuple[float, float] | None] | None:
    """The shift of a column, row by row of the same document, null on a side that does not keep it; None if a side has
    no values."""
    if pa.types.is_string(before.type):
        counts = [
            {row["values"]: row["counts"] for row in side.drop_null().value_counts().to_pylist()} for side in (before, after)
        ]
        if not all(counts):
            return None
        shared = pc.sum(pc.equal(before, after), min_count=0).as_py()
        return label_shift(counts[0], counts[1], shared), None
    sides = [_numbers(side) for side in (before, after)]
    valid = [side[~np.isnan(side)] for side in sides]
    if not all(map(len, valid)):
        return None
    shift = number_shift(valid[0], valid[1], int((sides[0] == sides[1]).sum()))
    return shift, (float(np.median(valid[0])), float(np.median(valid[1])))


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)


def _ranks(phase: npt.NDArray[np.int64], place: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The position of each document: first by phase, then by place. Equal ones have one rank."""
    return np.unique(np.stack([phase, place], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
