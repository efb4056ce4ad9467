"""Reads tables of what hosts disallow for crawlers, and finds the rows that hold for an address."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms import storage
from tamis.transforms.core.arrays import Ints
from tamis.transforms.runtime.mapped_arrays import map_arrays, save_arrays
from tamis.transforms.text.canonical_urls import canonical_urls
from tamis.transforms.urls.consent_options import COLUMNS, Consent
from tamis.transforms.urls.host_rules import BELOW, DOMAIN, PREFIX, HostRules
from tamis.transforms.urls.list_files import ReadLines

FORMATS: Final = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")

_KNOWN: Final = -1
"""The label of the rule that only says that a host is in the table."""
_EVERYONE: Final = "*"
_SEPARATORS = re.compile(r"""[\s,;|\[\]"']+""")
_FIRST_DAY, _LAST_DAY = -(1 << 30), 1 << 30


@dataclass(frozen=True)
class RobotsTable:
    """r rows that disallow something for the agents, and all hosts of the table."""

    rules: HostRules
    """Labels are rows, or `_KNOWN`."""
    first_day: npt.NDArray[np.int32]
    """[r]: days since 1970 from which, and until which, each row holds."""
    last_day: npt.NDArray[np.int32]
    details: pa.LargeStringArray
    """[r]: what each row says, and where it is."""
    notes: ReadLines

    def save(self, uri: str) -> None:
        """Writes it as a file of arrays."""
        arrays = {field.name: getattr(self.rules, field.name) for field in fields(self.rules)}
        own = {name: getattr(self, name) for name in ("first_day", "last_day", "details")}
        save_arrays(uri, {**arrays, **own, "notes": pa.array([json.dumps(asdict(self.notes))], pa.large_string())})

    @classmethod
    def load(cls, uri: str) -> RobotsTable:
        """Reads a saved table; processes share a local file. Raises ValueError for other files."""
        arrays = map_arrays(uri)
        try:
            first_day, last_day, details = (arrays.pop(name) for name in ("first_day", "last_day", "details"))
            notes = ReadLines(**json.loads(arrays.pop("notes")[0].as_py()))
            return cls(HostRules(**arrays), first_day, last_day, details, notes)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{uri}: no table of robots: {error}") from None

    def rows(self, urls: pa.Array, dates: pa.Array) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], Ints]:
        """Of n addresses: whether they have a host, whether the table has it, and the first row that
        disallows them, by host and path; -1 if none does. A row with dates holds for documents of
        these days, and for those without a date."""
        canonical = canonical_urls(urls)
        address, rule = self.rules.matches(canonical)
        label = self.rules.label[rule]
        known = np.zeros(len(urls), np.bool_)
        known[address] = True
        day = document_days(dates)
        held = label != _KNOWN
        held[held] &= (self.first_day[label[held]] <= day[address[held]]) & (day[address[held]] <= self.last_day[label[held]])
        undated = (day[address] == _UNDATED) & (label != _KNOWN)
        row = np.full(len(urls), -1, np.int64)
        address, label = address[held | undated][::-1], label[held | undated][::-1]
        row[address] = label
        return canonical.found, known, row


_UNDATED = np.iinfo(np.int64).min


def document_days(dates: pa.Array) -> Ints:
    """Days since 1970 of texts that begin with YYYY-MM-DD or YYYYMMDD; the least number for others."""
    digits = pc.extract_regex(dates.cast(pa.string()), r"^(?P<y>\d{4})-?(?P<m>\d{2})-?(?P<d>\d{2})")
    parts = [pc.struct_field(digits, name) for name in "ymd"]
    days = pc.strptime(pc.binary_join_element_wise(*parts, "-"), "%Y-%m-%d", "s", error_is_null=True)
    return days.cast(pa.date32(), safe=False).cast(pa.int32()).cast(pa.int64()).fill_null(int(_UNDATED)).to_numpy()


def table_files(options: Consent) -> list[str]:
    """The files of the table. Raises FileNotFoundError if there is none."""
    return [entry.uri for entry in storage.expand([options.robots])]


@dataclass
class _Rows:
    """The rows of a table as they are read: rules by host, path and label, and what their labels say."""

    hosts: list[str]
    paths: list[str]
    labels: list[int]
    days: list[tuple[int, int]]
    details: list[str]
    notes: ReadLines

    def add(self, host: str, path: str, label: int) -> None:
        """Adds a rule."""
        self.hosts.append(host)
        self.paths.append(path)
        self.labels.append(label)


def build_table(options: Consent) -> RobotsTable:
    """Reads the table. Raises ValueError for a file that is no table, or that lacks a column."""
    rows = _Rows([], [], [], [], [], ReadLines())
    for uri in table_files(options):
        first = 1
        for batch in _batches(uri, options):
            _add_rows(rows, batch, uri, first, options)
            first += batch.num_rows
    if not rows.hosts:
        raise ValueError(f"{options.robots}: no row names a host; if its column has another name, set `fields: {{host: …}}`")
    flags = {"exact": PREFIX, "below": PREFIX | BELOW, "domain": PREFIX | DOMAIN}[options.match]
    table = pa.table(
        {
            "host": pa.array(rows.hosts, pa.large_string()),
            "path": pa.array(rows.paths, pa.large_string()),
            "label": pa.array(rows.labels, pa.int32()),
            "flags": np.full(len(rows.hosts), flags, np.uint8),
        }
    )
    days = np.array(rows.days, np.int32).reshape(-1, 2)
    first_day, last_day = np.ascontiguousarray(days[:, 0]), np.ascontiguousarray(days[:, 1])
    return RobotsTable(HostRules.build(table), first_day, last_day, pa.array(rows.details, pa.large_string()), rows.notes)


def _add_rows(rows: _Rows, batch: pa.RecordBatch, uri: str, first: int, options: Consent) -> None:
    """Adds the rows of a batch, of which the first has the number `first`."""
    columns = {name: batch[name].to_pylist() for name in batch.schema.names}
    nothing = [None] * batch.num_rows
    written, paths = [str(host or "") for host in columns["host"]], [str(path or "") for path in columns.get("path", nothing)]
    hosts, own = canonical_urls(pa.array([host if "://" in host else f"http://{host}" for host in written])).texts()
    rules = [path.strip().rstrip("*") for path in paths]
    _, below = canonical_urls(pa.array([f"http://host/{rule.removeprefix('/')}" for rule in rules])).texts()
    agents = {agent.lower(): agent for agent in options.agents}
    for k, host in enumerate(hosts):
        where = f"{uri} row {first + k}"
        rows.notes.entries += 1
        if not host:
            rows.notes.refuse("no host", [f"{where} '{written[k][:60]}'"])
            continue
        rows.add(host, "", _KNOWN)
        named = _agents(columns["agents"][k])
        wanted = [agent for name, agent in agents.items() if name in named] or [_EVERYONE] * (_EVERYONE in named)
        if not wanted:
            continue
        if "*" in rules[k] or rules[k].endswith("$"):
            rows.notes.refuse("a path with a wildcard", [f"{where} '{paths[k][:60]}'"])
            continue
        path = below[k] if paths[k] else own[k]
        begin, end = _day(columns.get("from", nothing)[k], _FIRST_DAY), _day(columns.get("to", nothing)[k], _LAST_DAY)
        if begin is None or end is None:
            rows.notes.refuse("a date that is none, so the row always holds", [where])
        rows.add(host, "" if path == "/" else path, len(rows.details))
        rows.days.append((_FIRST_DAY if begin is None else begin, _LAST_DAY if end is None else end))
        rows.details.append(f"{host}{'' if path == '/' else path} disallows {', '.join(wanted)} ({where})")


def _batches(uri: str, options: Consent) -> Iterator[pa.RecordBatch]:
    """The columns of a file that are known, by their own names."""
    table = _read(uri)
    names = {column: options.fields.get(column, column) for column in COLUMNS}
    for column in ("host", "agents"):
        if names[column] not in table.column_names:
            raise ValueError(
                f"{uri}: there is no column '{names[column]}'; the columns are {', '.join(table.column_names)}: name it with "
                f"`fields: {{{column}: …}}`"
            )
    for column, name in options.fields.items():
        if name not in table.column_names:
            raise ValueError(f"{uri}: there is no column '{name}' (fields.{column}); there are {', '.join(table.column_names)}")
    there = {column: table[name] for column, name in names.items() if name in table.column_names}
    yield from pa.table(there).to_batches(max_chunksize=1 << 16)


def _read(uri: str) -> pa.Table:
    kinds = [suffix for suffix in storage.suffixes(uri) if suffix in FORMATS]
    if not kinds:
        raise ValueError(f"{uri}: a table is in a file with {', '.join(FORMATS)}; text also with .gz, .zst, .bz2 or .lz4")
    try:
        if kinds[-1] == ".parquet":
            import pyarrow.parquet as pq

            with storage.open_binary(uri) as file:
                return pq.read_table(file)
        with storage.open_decompressed(uri) as file:
            if kinds[-1] in (".jsonl", ".ndjson"):
                from pyarrow import json as arrow_json

                return arrow_json.read_json(file)
            from pyarrow import csv

            parse = csv.ParseOptions(delimiter="\t" if kinds[-1] == ".tsv" else ",")
            header = csv.open_csv(pa.BufferReader(_first_line(uri)), parse_options=parse).schema.names
            convert = csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True)
            return csv.read_csv(file, parse_options=parse, convert_options=convert)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{uri}: unreadable table: {error}") from error


def _first_line(uri: str) -> bytes:
    """The first line of a text."""
    with storage.open_decompressed(uri) as file:
        head: bytes = file.read(1 << 16)
    return head.split(b"\n", 1)[0] + b"\n"


def _agents(value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    return [agent.lower() for text in texts if text for agent in _SEPARATORS.split(str(text)) if agent]


def _day(value: Any, limit: int) -> int | None:
    """Days since 1970; `limit` for none; None for what is no date."""
    if value is None or str(value).strip() == "":
        return limit
    day = int(document_days(pa.array([str(value).strip()]))[0])
    return None if day == _UNDATED else day
