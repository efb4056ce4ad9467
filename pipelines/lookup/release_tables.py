"""The tables of a release in DuckDB, for questions in SQL.

`documents`   a row for each document that was read: the columns of decisions/, its host, language, licence, date
              and metadata, every signal, and where it lies (`part`, `row`)
`signals`     its id and every signal
`texts`       its id and its text as it was rated, before cuts
`cuts`        what steps of Decide cut out of it, a row for each span
`edits`       what editors replaced in it, a row for each span
`data`        the corpus in training order, with the texts
`rejects`     records that could not be read
`contamination`  benchmark items that were met

All are views of the files, of which DuckDB reads the columns that a question names. The rows of a part of decisions/
are those of the rated part, one by one, so the two are joined by their place.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.pipelines.lookup.stored_files import PREFIX, StoredFiles
from tamis.transforms import storage
from tamis.transforms.core.documents import hosts
from tamis.transforms.core.errors import RunError, nearest
from tamis.transforms.core.parts import EDITS
from tamis.transforms.core.release import Release
from tamis.transforms.decontaminate.record import FILE as CONTAMINATION
from tamis.transforms.provenance import ledger

if TYPE_CHECKING:
    import duckdb

SAMPLE_KEY = "sample_key"
"""A function of an id and a seed, in SQL: the documents with the smallest values are a sample that depends on
nothing else. It is `ledger.sample_keys`."""

_LANGUAGE, _CUTS = "language.label", "cuts"
_FIELDS = ("licence", "date", "metadata")  # of the rated parts, that documents has beside those of decisions/
_LINES = "format = 'newline_delimited'"
_REJECT = {"uri": "VARCHAR", "offset": "BIGINT", "line": "BIGINT", "error": "VARCHAR", "excerpt": "VARCHAR"}
_REJECT |= {"start": "BIGINT", "records": "BIGINT", "estimated": "BOOLEAN"}

_DOTTED = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | \$\$.*?\$\$ | --[^\n]* | /\*.*?\*/ | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)""",
    re.VERBOSE | re.DOTALL,
)
_UNKNOWN = re.compile(
    r"""Table\ with\ name\ (?P<table>\S+)\ does\ not\ exist
      | Referenced\ (?:column|table)\ "(?P<column>[^"]*)"\ not\ found
      | does\ not\ have\ a\ column\ named\ "(?P<other>[^"]*)\"""",
    re.VERBOSE,
)


def connect(*releases: Release) -> duckdb.DuckDBPyConnection:
    """A connection whose views are the tables of a release; of several, those of the first, and those of each in a
    schema `release_0`, `release_1`. It reads the files of the releases and no others, and writes none."""
    import duckdb
    from duckdb.func import ARROW, SPECIAL

    connection = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    connection.create_function("host_of", _hosts, ["VARCHAR"], "VARCHAR", type=ARROW, null_handling=SPECIAL)
    connection.create_function(SAMPLE_KEY, _sample_keys, ["VARCHAR", "BIGINT"], "UBIGINT", type=ARROW)
    connection.register_filesystem(StoredFiles())
    files: list[str] = []
    for number, release in enumerate(releases):
        connection.execute(f"CREATE SCHEMA release_{number}; USE release_{number}")
        for name, query in _views(release, files).items():
            connection.execute(f"CREATE VIEW {name} AS {query}")
    connection.execute("USE release_0")
    connection.execute(f"SET temp_directory = {_text(tempfile.mktemp(prefix='tamis-query-'))}")  # made when it is needed
    connection.execute(f"SET allowed_paths = [{', '.join(map(_text, files))}]")
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection


def ask(connection: duckdb.DuckDBPyConnection, question: str) -> pa.Table:
    """The answer to a question, one SELECT of SQL. A signal may be named as it is: gopher.word_count stands for
    "gopher.word_count".

    Raises RunError if it is another statement, or if something in it does not exist."""
    import duckdb

    quoted = quote_signals(question, _columns(connection))
    try:
        statements = duckdb.extract_statements(quoted)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise RunError("a question is one SELECT: nothing in a release can be changed")
        return _plain_integers(connection.sql(quoted).to_arrow_table())
    except duckdb.Error as error:
        raise RunError(_explained(connection, quoted, error)) from None


def tables_of(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """The columns of each table that a question can name as it is."""
    query = """
        SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns()
        WHERE NOT internal AND schema_name = current_schema() GROUP BY table_name ORDER BY table_name"""
    return dict(connection.execute(query).fetchall())


def quote_signals(question: str, names: Iterable[str]) -> str:
    """The question with quotes around names that have dots. A prefix such as the `d` of d.gopher.word_count stays
    outside. Nothing changes in strings, comments and what is quoted."""
    dotted = {name.lower(): name for name in names if "." in name}

    def quoted(match: re.Match[str]) -> str:
        parts = (match["name"] or "").split(".")
        for first in range(min(len(parts) - 1, 2)):
            if name := dotted.get(".".join(parts[first:]).lower()):
                return ".".join([*parts[:first], f'"{name}"'])
        return match[0]

    return _DOTTED.sub(quoted, question)


def _views(release: Release, files: list[str]) -> dict[str, str]:
    """The tables as queries. Adds the files that they read to `files`."""
    ordinals = ledger.decided_parts(release)
    parts = [release.part(ordinal) for ordinal in ordinals]

    def listed(uris: Iterable[str]) -> str:
        paths = [*map(_path, uris)]
        files.extend(paths)
        return f"[{', '.join(map(_text, paths))}]"

    decided_uris = [release.uri("decisions", f"part-{ordinal:05d}.parquet") for ordinal in ordinals]
    decided = f"read_parquet({listed(decided_uris)}, filename = true, file_row_number = true)"
    rated = f"read_parquet({listed(part.uri('rated', 'parquet') for part in parts)})"
    rows = f"{decided} AS d POSITIONAL JOIN {rated} AS r"
    with storage.open_binary(decided_uris[0]) as file:
        written = pq.read_schema(file).names
    schema = parts[0].schema().names
    signals = [_name(name) for name in ledger.signal_fields(release) if name not in written]
    columns = [
        *(_decided(name, bool(release.manifest["recipe"].get("quality"))) for name in written if name != _CUTS),
        *(["r.url", "NULL::VARCHAR AS text_hash"] if "url" not in written else []),  # an early version wrote it
        f"host_of({'d' if 'url' in written else 'r'}.url) AS host",
        f"{f'r.{_name(_LANGUAGE)}' if _LANGUAGE in schema else 'NULL::VARCHAR'} AS language",
        *(f"r.{name}" for name in (*_FIELDS, *signals)),
        r"regexp_extract(d.filename, 'part-(\d+)\.parquet$', 1)::BIGINT AS part, d.file_row_number AS row",
    ]
    views = {
        "documents": f"SELECT {', '.join(columns)} FROM {rows}",
        "signals": f"SELECT {', '.join(['d.id', *(f'r.{name}' for name in signals)])} FROM {rows}",
        "texts": f"SELECT d.id, r.text FROM {rows}",
    }
    if _CUTS in written:
        views[_CUTS] = f"SELECT id, unnest({_CUTS}, max_depth := 2) FROM {decided}"
    if EDITS in schema:
        views[EDITS] = f"SELECT id, unnest({EDITS}, max_depth := 2) FROM (SELECT d.id, r.{EDITS} FROM {rows})"
    shards = [storage.join(release.run, shard["path"]) for shard in release.manifest["curriculum"]["shards"]]
    if shards:
        of_lines = f"read_json({{}}, {_LINES}, compression = 'zstd')"
        reader = "read_parquet({})" if shards[0].endswith(".parquet") else of_lines
        views["data"] = f"FROM {reader.format(listed(shards))}"
    sizes = {file["path"]: file["bytes"] for file in release.manifest["files"]}
    if rejects := [part.uri("rejects", "jsonl") for part in parts if sizes.get(part.path("rejects", "jsonl"))]:
        views["rejects"] = f"FROM read_json({listed(rejects)}, {_LINES}, columns = {_REJECT})"
    else:
        views["rejects"] = f"SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in _REJECT.items())} WHERE false"
    if release.path(CONTAMINATION) in sizes:
        views["contamination"] = f"FROM read_parquet({listed([release.uri(CONTAMINATION)])})"
    return views


def _decided(name: str, has_quality: bool) -> str:
    """A column of decisions/. Quality is null where a document has none, and if the recipe measures none."""
    if name != "quality":
        return f"d.{_name(name)}"
    return "CASE WHEN isnan(d.quality) THEN NULL ELSE d.quality END AS quality" if has_quality else "NULL::FLOAT AS quality"


def _path(uri: str) -> str:
    """The path by which DuckDB reads a file."""
    path = storage.local_path(uri)
    return f"{PREFIX}{uri}" if path is None else str(path)


def _columns(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The columns of all tables, each once."""
    return list(dict.fromkeys(name for names in tables_of(connection).values() for name in names))


def _explained(connection: duckdb.DuckDBPyConnection, question: str, error: Exception) -> str:
    """What DuckDB says; of a name that there is not, what was probably meant."""
    said = str(error).strip()
    unknown = _UNKNOWN.search(said)
    if unknown is None:
        return said.partition(": ")[2] or said
    tables = tables_of(connection)
    if name := unknown["table"]:
        kind, names = "table", [*tables]
    else:
        name, kind, names = unknown["column"] or unknown["other"], "column", _columns(connection)
        if dotted := re.search(rf"\b{re.escape(name)}(?:\.\w+)+", question):
            name = dotted[0]
    near = nearest(name, names)
    hint = f": did you mean {near}?" if near else "."
    return f"no {kind} '{name}'{hint} The tables are {', '.join(tables)}; DESCRIBE TABLE shows the columns of one"


def _plain_integers(table: pa.Table) -> pa.Table:
    """The table with sums of integers, which DuckDB returns with 38 digits, as 64 bits where they fit."""
    for index, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type) and field.type.scale == 0:
            largest = pc.max(pc.abs(table[index])).as_py()
            if largest is None or largest < 2**63:
                table = table.set_column(index, field.name, table[index].cast(pa.int64()))
    return table


def _hosts(urls: pa.ChunkedArray) -> pa.Array:
    return hosts(urls.combine_chunks())


def _sample_keys(ids: pa.ChunkedArray, seeds: pa.ChunkedArray) -> pa.Array:
    seed = seeds[0].as_py() if len(seeds) else 0
    return pa.array(ledger.sample_keys(ids.combine_chunks(), seed))


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
