"""Writes a starter recipe for a user's files, with comments on what a sample of them contains."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import dropwhile, islice
from typing import TYPE_CHECKING, Any

import yaml

from tamis.pipelines.recipe.raters import RATERS
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms import storage
from tamis.transforms.core.component import METADATA
from tamis.transforms.core.errors import nearest
from tamis.transforms.read.batch_builder import InvalidRecord, partition_fields, printable
from tamis.transforms.read.input_options import PYTHON_ENV, Format, Input, UnreadFile
from tamis.transforms.read.inputs import input_files
from tamis.transforms.runtime.credentials import redact

if TYPE_CHECKING:
    from tamis.transforms.read.decompress import ByteStream

BASE = "gopher"
FILES, RECORDS = 5, 300  # records of each file
NAMES = 20  # of files that are not read, for each reason
SIGNALS = 20  # fields that are proposed as signals
_SLICE = 16  # MiB at most for one line

_NAMES = {  # of these parts in published corpora, the most likely first
    "text": ("text", "content", "body", "raw_content", "document", "article", "page_content", "markdown", "code", "maintext"),
    "id": ("id", "doc_id", "docid", "document_id", "_id", "uuid", "guid", "warc_record_id", "WARC-Record-ID", "key"),
    "url": ("url", "uri", "source_url", "target_uri", "WARC-Target-URI", "link", "permalink"),
    "source": ("source", "subset", "dataset", "corpus", "source_name", "collection", "domain"),
    "licence": ("licence", "license", "license_type", "license_name", "rights", "licenses"),
    "date": ("date", "timestamp", "crawl_date", "date_download", "published", "published_at", "created", "added", "year"),
}


@dataclass
class _FieldStats:
    """Statistics of one field of the sampled records."""

    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    characters: int = 0
    urls: int = 0
    values: set[str] = field(default_factory=set)
    numbers: list[float] = field(default_factory=list)
    label_lists: int = 0

    def add(self, value: Any) -> None:
        self.count += 1
        self.kinds["string" if isinstance(value, str) else type(value).__name__] += 1
        if isinstance(value, str):
            self.characters += len(value)
            self.urls += value.startswith(("http://", "https://"))
        if isinstance(value, str | int):
            self.values.add(str(value))
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            self.numbers.append(value)
        self.label_lists += isinstance(value, list) and all(isinstance(item, str) for item in value)

    @property
    def is_string(self) -> bool:
        return self.kinds["string"] == self.count

    @property
    def signal(self) -> str | None:
        """How to declare the field as a signal, as YAML; None for free text and objects."""
        kinds = self.kinds.keys()
        if kinds and kinds <= {"int", "float"} and self.numbers:
            low, high = min(self.numbers), max(self.numbers)
            span = f", range: [{low:g}, {high:g}]" if f"{low:g}" != f"{high:g}" else ""
            return f"{{kind: {'int64' if kinds == {'int'} else 'float64'}{span}}}"
        if kinds == {"bool"}:
            return "{kind: bool}"
        if self.label_lists == self.count:
            return "{kind: list<string>}"
        return "{kind: string}" if self.is_string and len(self.values) <= max(1, self.count // 10) else None

    @property
    def length(self) -> float:
        return self.characters / max(1, self.count)


@dataclass
class _Sample:
    records: int = 0
    broken: int = 0
    fields: dict[str, _FieldStats] = field(default_factory=dict)

    def add(self, record: dict[str, Any] | None) -> None:
        if record is None:
            self.broken += 1
            return
        self.records += 1
        for name, value in _leaves(record, ""):
            self.fields.setdefault(name, _FieldStats()).add(value)


def starter(paths: Sequence[str]) -> str:
    """A starter recipe: an `input:` block for these paths, then a shipped recipe."""
    from tamis.pipelines.recipe.load import recipe_source

    body = dropwhile(lambda line: not line or line.startswith("#"), recipe_source(BASE)[1].splitlines())
    head = [
        f"# A starter recipe, written by `tamis init`: your input, then the shipped recipe '{BASE}'.",
        "#",
        "#   tamis run <this file> --output run/first",
        "#",
        "# `tamis recipes` lists the other shipped recipes, `tamis raters` all signals.",
        *(f"# rate.{name}: {plugins[0].package} provides this rater." for name, plugins in RATERS.installed.items()),
    ]
    return "\n".join([*head, "", input_block(paths), *body, ""])


def input_block(paths: Sequence[str]) -> str:
    """The `input:` block for `paths`, as YAML with comments, ending in a newline. Raises
    FileNotFoundError if a path matches nothing, ValueError if a file's format is unknown."""
    lines = ["input:", "  paths:", *(f"    - {_scalar(path)}" for path in paths)]
    files = [path for path in paths if path.split(":", 1)[0] != PYTHON_ENV]
    if not files:
        note = "documentation, licences, docstrings and source of the running Python"
        return "\n".join([*lines, f"  format: {PYTHON_ENV}  # {note}", ""])
    entries, unread = input_files(Input(paths=tuple(paths)))
    lines += _unread_files(unread)
    formats = Counter(kind for _, kind in entries)
    kind = next(iter(formats)) if len(formats) == 1 and len(files) == len(paths) else "auto"
    numbers = ", ".join(f"{count:,} {name}" for name, count in sorted(formats.items()))
    size = sum(max(0, entry.size) for entry, _ in entries) / 1e6
    lines.append(f"  format: {kind}  # {numbers} file{'s' if len(entries) > 1 else ''}, {size:,.1f} MB as stored")
    signals: list[str] = []
    structured = [(entry.uri, kind) for entry, kind in entries if kind in ("jsonl", "json", "parquet", "csv")]
    if structured:
        sample = _Sample()
        for uri, file_kind in structured[:FILES]:
            for record in islice(_records(uri, file_kind), RECORDS):
                sample.add(record)
        fields, others = _fields(sample, min(FILES, len(structured)))
        lines += fields
        signals += _signals(sample, others)
    if "text" in formats:
        lines.append("  text_unit: file  # each plain text file is a document; 'line': each line is")
    if structured and "  source:" not in "\n".join(lines):
        lines.append("  source: default  # source of documents without one; mixtures and reports group by source")
    return "\n".join([*lines, *signals, ""])


def likely_text(uri: str, kind: Format) -> str | None:
    """The field of a file's first records that most likely holds the text; None if none does."""
    sample = _first_records(uri, kind)
    return _guess("text", sample, set())[0] if any(stats.is_string for stats in sample.fields.values()) else None


def absent_fields(recipe: Recipe, uri: str, kind: Format) -> Iterator[str]:
    """What a recipe says of fields that none of a file's first records has."""
    options, defaults = recipe.input.fields, type(recipe.input.fields).model_fields
    wanted = {f"input.fields.{part}": names for part, names in options if names and names != defaults[part].default}
    uses = {name for name in (*recipe.undeclared, *recipe.signals) if name.startswith(METADATA)}
    uses |= {recipe.select.diverse.column} if recipe.select.diverse is not None else set()
    wanted |= {name: (name.removeprefix(METADATA),) for name in sorted(uses)}
    if not wanted:
        return
    sample = _first_records(uri, kind)
    there = {*sample.fields, *partition_fields(uri)}
    if not sample.records or METADATA.rstrip(".") in there:  # an object written as a string, whose fields are not known
        return
    there |= {field.removeprefix(METADATA) for field in there}
    there |= {field[:place] for field in there for place, letter in enumerate(field) if letter == "."}
    for place, names in wanted.items():
        if there.isdisjoint(names):
            near = nearest(names[0], there)
            hint = f"did you mean '{near}'?" if near else f"the fields are {', '.join(sorted(there)[:SIGNALS])}"
            name = " or ".join(map(repr, names))
            yield f"{place}: none of the first {sample.records:,} records has a field {name}; {hint}"


def _first_records(uri: str, kind: Format) -> _Sample:
    sample = _Sample()
    for record in islice(_records(uri, kind), RECORDS):
        sample.add(record)
    return sample


def _fields(sample: _Sample, files: int) -> tuple[list[str], list[str]]:
    """The lines of `input.fields`, and the names of the other fields."""
    broken = f", {sample.broken:,} more could not be read" if sample.broken else ""
    lines = [f"  fields:  # from {sample.records:,} records of {files} file{'s' if files > 1 else ''}{broken}"]
    used: set[str] = set()
    for part in _NAMES:
        name, note = _guess(part, sample, used)
        if name is not None:
            used.add(name)
        lines.append(f"    {part}: {'null' if name is None else _scalar(name)}  # {note}")
    rest = [f"{name} ({_share(stats, sample)})" for name, stats in sorted(sample.fields.items()) if name not in used]
    if rest:
        lines.append(f"  # kept as metadata: {', '.join(rest[:30])}{', …' if len(rest) > 30 else ''}")
    return lines, [name for name in sorted(sample.fields) if name not in used]


def _signals(sample: _Sample, names: Sequence[str]) -> Iterator[str]:
    """A comment that declares those fields of the metadata that can be signals."""
    declared = {name: stats.signal for name in names if (stats := sample.fields[name]).signal is not None}
    if declared:
        yield ""
        yield "# signals:  # values of the metadata for thresholds, quality and orders; direction: up, down or band"
        yield from (f"#   {_scalar(f'metadata.{name}')}: {declared[name]}" for name in list(declared)[:SIGNALS])


def _guess(part: str, sample: _Sample, used: set[str]) -> tuple[str | None, str]:
    """(field, comment) of the likeliest field for a part of a document; None if there is none."""
    fields = {name: stats for name, stats in sample.fields.items() if name not in used}
    by_name = [name for likely in _NAMES[part] for name in fields if name.rsplit(".", 1)[-1].lower() == likely.lower()]
    if part == "text":
        strings = {name: stats for name, stats in fields.items() if stats.is_string}
        if not strings:
            return "text", f"NO FIELD HOLDS TEXT; the fields are: {', '.join(sorted(sample.fields)) or 'none'}"
        longest = max(sorted(strings), key=lambda name: strings[name].characters)
        # A likely name wins unless another field holds far more text.
        likely_names = [
            name for name in by_name if name in strings and 10 * strings[name].characters >= strings[longest].characters
        ]
        name = likely_names[0] if likely_names else longest
        note = f"{_share(strings[name], sample)}, {strings[name].length:,.0f} characters on average"
        empty = 1 - strings[name].count / sample.records
        most = Recipe.model_fields["max_rejects"].default
        return name, note + (f"; {empty:.0%} have none, and a run stops above max_rejects ({most:.0%})" if empty > most else "")
    if part == "id":
        for name in by_name:
            stats = fields[name]
            if len(stats.values) == stats.count:
                return name, f"{_share(stats, sample)}, all different"
        repeated = f"{by_name[0]} repeats; " if by_name else ""
        return None, f"{repeated}the id will be a hash of source and text"
    if part == "url":
        urls = sorted(name for name, stats in fields.items() if 2 * stats.urls > stats.count)
        by_name = [name for name in by_name if name in urls] or urls
    for name in by_name:
        stats = fields[name]
        if part == "source":
            if 2 * len(stats.values) > sample.records > 10:
                continue  # nearly every record has another value, such as a URL
            examples = ", ".join(sorted(value[:30] for value in stats.values)[:5])
            return name, f"{_share(stats, sample)}; e.g. {examples}"
        return name, _share(stats, sample)
    return None, "no field found"


def _share(stats: _FieldStats, sample: _Sample) -> str:
    kinds = "/".join(sorted(stats.kinds))
    return f"{kinds}, in {100 * stats.count / max(1, sample.records):.0f} %"


def _leaves(record: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """(name, value) of all fields. Nested fields have dots in their names, as in recipes."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value


def _unread_files(files: Sequence[UnreadFile]) -> list[str]:
    """A comment for each reason why files are not read."""
    names: dict[str, list[str]] = {}
    for file in files:
        names.setdefault(file.reason, []).append(printable(redact(file.uri)))
    return [
        f"  # not read: {', '.join(found[:NAMES])}{f' and {len(found) - NAMES:,} more' if len(found) > NAMES else ''}; {reason}"
        for reason, found in sorted(names.items())
    ]


def _records(uri: str, kind: Format) -> Iterator[dict[str, Any] | None]:
    """The records of a file; None for one that cannot be read."""
    if kind == "parquet":
        yield from _rows(uri)
        return
    from tamis.transforms.read.decompress import ByteStream

    with storage.open_binary(uri) as file:
        stream = ByteStream(file, uri)
        values = _table(stream) if kind == "csv" else _array(stream) if kind == "json" else _lines(stream)
        for value in values:
            yield value if isinstance(value, dict) else None


def _lines(stream: ByteStream) -> Iterator[Any]:
    import orjson

    from tamis.transforms.read.lines import lines

    for line in lines(stream, _SLICE << 20):
        if line.error is None and (not line.data or line.data.isspace()):
            continue
        try:
            yield orjson.loads(line.data)
        except orjson.JSONDecodeError:
            yield None


def _array(stream: ByteStream) -> Iterator[Any]:
    import orjson

    from tamis.transforms.read.records.json_values import JsonValues

    for _, data, error in JsonValues(stream, _SLICE << 20, in_array=False):
        try:
            yield None if error is not None else orjson.loads(data)
        except orjson.JSONDecodeError:
            yield None


def _table(stream: ByteStream) -> Iterator[Any]:
    from tamis.transforms.read.lines import lines
    from tamis.transforms.read.records.delimited import parse_header, rows

    source = lines(stream, _SLICE << 20)
    try:
        header = parse_header(next(source))
    except (StopIteration, InvalidRecord):
        return
    for _, fields, error in rows(source, header, _SLICE << 20):
        yield None if error is not None else dict(zip(header.names, fields, strict=True))


def _rows(uri: str) -> Iterator[dict[str, Any] | None]:
    from contextlib import ExitStack

    import pyarrow as pa
    import pyarrow.parquet as pq

    from tamis.transforms.read.records.parquet import open_file, plain_batch

    with ExitStack() as stack:
        try:
            for batch in pq.ParquetFile(open_file(uri, stack)).iter_batches(RECORDS):
                yield from plain_batch(batch).to_pylist()
        except (pa.ArrowException, ValueError, TypeError):
            yield None


def _scalar(text: str) -> str:
    """A string in YAML, on one line."""
    return str(yaml.safe_dump(text, width=1 << 20, allow_unicode=True, explicit_end=False)).splitlines()[0]
