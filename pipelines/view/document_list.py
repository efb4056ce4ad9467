"""The documents of a release that match a filter: a page of them, how many there are, and where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.pipelines.lookup.release_tables import connect
from tamis.transforms.core.errors import RunError, nearest
from tamis.transforms.core.release import Release

if TYPE_CHECKING:
    import duckdb

SHOWN = ("part", "row", "id", "url", "source", "language", "decision", "reason", "detail", "quality", "tokens")
"""Columns of a row of the list."""

_DOCUMENTS = "release_0.documents"  # a cursor of a connection forgets which schema is in use
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UBIGINT", "FLOAT", "DOUBLE", "BOOLEAN")
_UNSORTABLE = ("part", "row", "record_hash")  # numbers that measure nothing
_SURVEYED = 1_000_000  # documents; their hosts take a second
_EQUAL = ("decision", "reason", "source", "language", "host")
_SCHEMES = ("", "https://", "http://", "https://www.", "http://www.")  # that people leave out of an address


@dataclass(frozen=True)
class SignalRange:
    """From `low` to `high`, both included; None for no limit. A document without a value is not in it."""

    name: str
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Filter:
    """What documents must be, all of it; what is empty does not count. `find`: how an id or an address begins."""

    decision: str = ""
    reason: str = ""
    source: str = ""
    language: str = ""
    host: str = ""
    find: str = ""
    ranges: tuple[SignalRange, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether all documents match."""
        return self == Filter()


@dataclass(frozen=True)
class Order:
    """By the values of a column, which documents without one end; by their places in the release without a name."""

    name: str = ""
    descending: bool = False


class DocumentList:
    """The documents of one release, asked by several threads."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self._connection = connect(release)
        described = self._rows(f"DESCRIBE {_DOCUMENTS}")
        self.numbers = tuple(
            row["column_name"] for row in described if row["column_type"] in _NUMBERS and row["column_name"] not in _UNSORTABLE
        )
        self.places = lru_cache(maxsize=2)(self._places)
        """Parts and rows of all that match a filter, as `part << 32 | row`, ascending."""

    def page(self, wanted: Filter, order: Order, first: int, count: int) -> list[dict[str, Any]]:
        """`count` rows (SHOWN, and `value` of the column that orders them) from number `first`. Raises RunError if there
        is no such column."""
        where, values = self._where(wanted)
        columns = ", ".join(SHOWN)
        if not order.name:
            return self._rows(f"SELECT {columns} FROM {_DOCUMENTS}{where} LIMIT ? OFFSET ?", *values, count, first)
        column = self._number(order.name)
        direction = "DESC" if order.descending else "ASC"
        return self._rows(
            f"SELECT {columns}, {column} AS value FROM {_DOCUMENTS}{where} "
            f"ORDER BY {column} {direction} NULLS LAST, part, row LIMIT ? OFFSET ?",
            *values, count, first,
        )  # fmt: skip

    def at(self, places: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        """The rows (SHOWN) at these places, in their order."""
        if not places:
            return []
        asked = ", ".join(f"({part}, {row})" for part, row in places)
        return self._rows(f"SELECT {', '.join(SHOWN)} FROM {_DOCUMENTS} WHERE (part, row) IN ({asked}) ORDER BY part, row")

    def counts(self, wanted: Filter) -> list[dict[str, Any]]:
        """How many documents match, and their tokens, by decision and reason; most documents first."""
        if wanted.is_empty:
            return _all_counts(self.release)
        where, values = self._where(wanted)
        return self._rows(
            "SELECT decision, reason, count(*) AS documents, sum(tokens)::BIGINT AS tokens "
            f"FROM {_DOCUMENTS}{where} GROUP BY decision, reason ORDER BY documents DESC, decision, reason",
            *values,
        )

    def values(self, column: str, count: int) -> list[dict[str, Any]]:
        """The `count` most frequent values of language or host among the first _SURVEYED documents, with the number of
        their documents there."""
        assert column in ("language", "host")
        return self._rows(
            f"SELECT {column} AS value, count(*) AS documents FROM (SELECT {column} FROM {_DOCUMENTS} LIMIT {_SURVEYED}) "
            f"WHERE {column} IS NOT NULL GROUP BY {column} ORDER BY documents DESC, value LIMIT ?",
            count,
        )

    def spans(self, names: Sequence[str]) -> dict[str, tuple[float, float]]:
        """Between which values 98 % of the documents lie, by the name of a column; a column without values is left out.
        Estimated by a sketch."""
        if not names:
            return {}
        asked = ", ".join(f"approx_quantile({self._number(name)}::DOUBLE, [0.01, 0.99])" for name in names)
        (found,) = self._cursor(f"SELECT {asked} FROM {_DOCUMENTS}").fetchall()
        return {name: (span[0], span[1]) for name, span in zip(names, found, strict=True) if span}

    def place_of(self, identifier: str) -> tuple[int, int] | None:
        """(part, row) of the document with this id."""
        found = self._rows(f"SELECT part, row FROM {_DOCUMENTS} WHERE id = ? LIMIT 1", identifier)
        return (found[0]["part"], found[0]["row"]) if found else None

    def represented(self, identifier: str, count: int) -> list[dict[str, Any]]:
        """Up to `count` documents that were dropped as duplicates of one, by id."""
        return self._rows(
            f"SELECT part, row, id, reason FROM {_DOCUMENTS} WHERE representative = ? AND decision <> 'keep' "
            "ORDER BY id LIMIT ?",
            identifier, count,
        )  # fmt: skip

    def _places(self, wanted: Filter) -> npt.NDArray[np.uint64]:
        where, values = self._where(wanted)
        found = self._cursor(f"SELECT part << 32 | row AS place FROM {_DOCUMENTS}{where}", *values)
        return np.sort(np.asarray(found.fetchnumpy()["place"], np.uint64))

    def _where(self, wanted: Filter) -> tuple[str, list[Any]]:
        """The filter in SQL, and the values of its question marks."""
        conditions = [f"{name} = ?" for name in _EQUAL if getattr(wanted, name)]
        values: list[Any] = [getattr(wanted, name) for name in _EQUAL if getattr(wanted, name)]
        if wanted.host:
            conditions.insert(0, "contains(lower(url), ?)")  # quicker than to take the host out of every address
            values.insert(0, wanted.host)
        if wanted.find:
            begins = " OR ".join(["starts_with(id, ?)", *["starts_with(url, ?)"] * len(_SCHEMES)])
            conditions.append(f"({begins})")
            values += [wanted.find, *(scheme + wanted.find for scheme in _SCHEMES)]
        for each in wanted.ranges:
            column = self._number(each.name)
            conditions.append(f"isfinite({column}::DOUBLE)")  # DuckDB sorts NaN above all numbers
            for sign, limit in ((">=", each.low), ("<=", each.high)):
                if limit is not None:
                    conditions.append(f"{column} {sign} ?")
                    values.append(limit)
        return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), values

    def _number(self, name: str) -> str:
        """The name of a column of numbers, in quotes."""
        if name not in self.numbers:
            near = nearest(name, self.numbers)
            raise RunError(f"no column '{name}' of numbers" + (f": did you mean '{near}'?" if near else ""))
        return '"' + name.replace('"', '""') + '"'

    def _rows(self, sql: str, *values: object) -> list[dict[str, Any]]:
        cursor = self._cursor(sql, *values)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _cursor(self, sql: str, *values: object) -> duckdb.DuckDBPyConnection:
        return self._connection.cursor().execute(sql, list(values))


def filter_of(query: Mapping[str, str], ranges: list[str]) -> Filter:
    """The filter that the parameters of a request ask for. A range is `signal:low:high`, of which either limit may be
    empty. Raises RunError if it is not."""
    names = {field.name for field in fields(Filter)} - {"ranges"}
    return Filter(**{name: query[name] for name in names & query.keys()}, ranges=tuple(map(_range, ranges)))


def _range(text: str) -> SignalRange:
    try:
        name, low, high = text.rsplit(":", 2)
        return SignalRange(name, float(low) if low else None, float(high) if high else None)
    except ValueError:
        raise RunError(f"'{text}' is no range: write signal:low:high, as gopher.word_count:20:") from None


def _all_counts(release: Release) -> list[dict[str, Any]]:
    """The counts of all documents, which the manifest has."""
    return sorted(_counted(release), key=lambda row: (-row["documents"], row["decision"], row["reason"] or ""))


def _counted(release: Release) -> Iterator[dict[str, Any]]:
    counts = release.manifest["counts"]
    if counts["kept"]:
        yield {"decision": "keep", "reason": None, "documents": counts["kept"], "tokens": counts["tokens"]["kept"]}
    for row in counts["reasons"]:
        yield {name: row[name] for name in ("decision", "reason", "documents", "tokens")}
