"""Reads columns of documents, signals or scores, from a release or from files: what `tamis rate` works on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.pipelines.python_api import DECIDED, Release
from tamis.pipelines.recipe.checks.signal_checks import undeclared_signal
from tamis.pipelines.recipe.load import finished_recipe
from tamis.transforms import storage
from tamis.transforms.core.arrays import Floats
from tamis.transforms.core.component import METADATA
from tamis.transforms.core.errors import RunError, nearest
from tamis.transforms.core.rater import Signal
from tamis.transforms.decontaminate.benchmark_files import format_of, rows
from tamis.transforms.text.metadata import column_of

_LABELS = ("id", "decision", "reason", "detail", "source")
"""Columns of a release that are text."""


def read_values(
    sources: Sequence[str], numbers: Sequence[str] = (), labels: Sequence[str] = (), decision: str = ""
) -> pa.Table:
    """A row for each document with these columns: `numbers` as float64, `labels` as text, null if missing.

    `sources`: one release, `RUN` or `RUN@N`, with signals, fields of the metadata and id, source, quality,
    tokens; or files with columns of these names (.parquet, .jsonl, .csv, .tsv, compressed or not).
    `decision`: only documents of a release that were decided so. Raises RunError for what is not there.
    """
    names = list(dict.fromkeys([*labels, *numbers]))
    release = _release(sources)
    if release is not None:
        table = _of_release(release, names, set(labels), decision)
    elif decision:
        raise RunError("files have no decisions: name a run, or choose the documents beforehand")
    else:
        try:
            uris = [entry.uri for entry in storage.expand(list(sources))]
            table = pa.concat_tables([_of_file(uri, names, set(labels)) for uri in uris])
        except (FileNotFoundError, ValueError, pa.ArrowException) as error:
            raise RunError(str(error)) from None
    if not table.num_rows:
        raise RunError(f"{', '.join(sources)}: there are no such documents")
    return table


def numbers_of(table: pa.Table, name: str) -> Floats:
    """A column of numbers: f64[n], NaN if missing."""
    return np.asarray(table[name].combine_chunks().cast(pa.float64()).to_numpy(zero_copy_only=False))


def labels_of(table: pa.Table, name: str, missing: str | None) -> npt.NDArray[np.object_]:
    """A column of labels: object[n], with `missing` for null."""
    values = table[name].combine_chunks()
    return np.array((values if missing is None else pc.fill_null(values, missing)).to_pylist(), object)


def numbers_and_labels(sources: Sequence[str], names: Sequence[str], decision: str) -> tuple[list[str], list[str]]:
    """The columns that are numbers, and those that are labels."""
    numbers: list[str] = []
    worded: list[str] = []
    for name in dict.fromkeys(names):
        try:
            read = read_values(sources, [name], (), decision)
        except RunError as error:
            if "text" not in str(error) and "cannot be read as numbers" not in str(error):
                raise
            worded.append(name)
            continue
        (worded if read[name].null_count == read.num_rows else numbers).append(name)
    return numbers, worded


def signals_of(sources: Sequence[str]) -> dict[str, Signal]:
    """What the recipe of a release says of its signals; nothing for files."""
    release = _release(sources)
    return {} if release is None else finished_recipe(release.manifest).all_signals


def described(sources: Sequence[str]) -> str:
    """The name of the release, with its number, or of the files."""
    release = _release(sources)
    return ", ".join(sources) if release is None else release.name


def _release(sources: Sequence[str]) -> Release | None:
    if len(sources) != 1 or format_of(sources[0].split("@")[0]) in (".parquet", ".jsonl", ".ndjson", ".csv", ".tsv", ".arrow"):
        return None
    return Release.open(sources[0])


def _of_release(release: Release, names: Sequence[str], labels: set[str], decision: str) -> pa.Table:
    recipe = finished_recipe(release.manifest)
    rated = recipe.rated_signals
    for name in names:
        if name in rated or name in DECIDED or name.startswith(METADATA):
            continue
        if name in recipe.all_signals:
            raise RunError(f"{release.name} keeps no '{name}', which other files give: name these files instead of the run")
        close = nearest(name, [*rated, *DECIDED])
        raise RunError(f"{release.name} has no signal '{name}'" + (f": did you mean '{close}'?" if close else ""))
    undeclared = [name for name in names if name not in rated and name not in DECIDED]
    stored = [name for name in names if name in rated]
    table = release.table(*stored, *(["metadata"] if undeclared else []), decision=decision)
    columns = {}
    for name in names:
        if name in undeclared:
            signal = undeclared_signal(name, "string" if name in labels else "float64")
            columns[name] = column_of(table["metadata"].combine_chunks(), signal)
        else:
            columns[name] = _typed(table[name], name, name in labels, release.name)
    return pa.table(columns)


def _of_file(uri: str, names: Sequence[str], labels: set[str]) -> pa.Table:
    if format_of(uri) == ".parquet" and storage.suffixes(uri)[-1] == ".parquet":
        with storage.open_binary(uri) as file:
            parquet = pq.ParquetFile(file)
            _require(uri, names, parquet.schema_arrow.names)
            table = parquet.read(columns=list(names), use_threads=False)
    else:
        read = [row for _, row in rows(uri)]
        _require(uri, names, list(dict.fromkeys(name for row in read for name in row)))
        table = pa.table({name: _parsed([row.get(name) for row in read], name in labels) for name in names})
    return pa.table({name: _typed(table[name], name, name in labels, uri) for name in names})


def _require(uri: str, names: Sequence[str], there: Sequence[str]) -> None:
    if missing := [name for name in names if name not in there]:
        close = nearest(missing[0], there)
        hint = f"did you mean '{close}'?" if close else f"the columns are {', '.join(there[:30])}"
        raise RunError(f"{uri}: there is no column '{missing[0]}': {hint}")


def _parsed(values: Sequence[object], label: bool) -> pa.Array:
    """Values of a text format. What is no number is missing."""
    if label:
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return pa.array([_number(value) for value in values], pa.float64())


def _number(value: object) -> float | None:
    words = {"true": 1.0, "false": 0.0}
    text = str(value).strip().lower()
    try:
        number = words[text] if text in words else float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _typed(column: pa.ChunkedArray, name: str, label: bool, where: str) -> pa.Array:
    column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        if label:
            return column.cast(pa.string())
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            raise RunError(f"{where}: '{name}' is text, not a number")
        return column.cast(pa.float64(), safe=False)
    except pa.ArrowException:
        kind = "text" if label else "numbers"
        raise RunError(f"{where}: '{name}' is {column.type}, which cannot be read as {kind}") from None
