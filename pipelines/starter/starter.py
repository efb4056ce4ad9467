"""Writes a starter recipe for a user's files, with comments on what a sample of them contains."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import yaml

from tamis.pipelines.recipe.raters import RATERS
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.starter.first_documents import FILES, RECORDS, FirstDocuments, first_documents, leaves, spread
from tamis.pipelines.starter.kinds import KINDS, PROSE, Kind, Signs, direction, find_kind, is_score, kind_of, prose_beside_code
from tamis.transforms import storage
from tamis.transforms.core.component import METADATA
from tamis.transforms.core.errors import nearest
from tamis.transforms.read.batch_builder import InvalidRecord, partition_fields, printable
from tamis.transforms.read.input_options import PYTHON_ENV, Format, Input, UnreadFile
from tamis.transforms.read.inputs import WITH_FIELDS, input_files
from tamis.transforms.runtime.credentials import redact

if TYPE_CHECKING:
    from tamis.transforms.read.decompress import ByteStream

NAMES = 20  # of files that are not read, for each reason
EXAMPLE = 40  # characters of a value
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
    pages: int = 0
    values: set[str] = field(default_factory=set)
    example: str = ""
    numbers: list[float] = field(default_factory=list)
    label_lists: int = 0

    def add(self, value: Any) -> None:
        self.count += 1
        self.kinds["string" if isinstance(value, str) else type(value).__name__] += 1
        if isinstance(value, str):
            self.characters += len(value)
            self.urls += value.startswith(("http://", "https://"))
            head = value[:2000].lower()
            self.pages += "<html" in head or "<!doctype html" in head
        if isinstance(value, str | int):
            self.values.add(str(value))
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            self.numbers.append(value)
        self.example = self.example or printable(" ".join(str(value).split())[:EXAMPLE])
        self.label_lists += isinstance(value, list) and all(isinstance(item, str) for item in value)

    @property
    def is_string(self) -> bool:
        return self.kinds["string"] == self.count

    @property
    def signal(self) -> str | None:
        """How to declare the field as a signal, as YAML; None for free text and objects."""
        kinds = self.kinds.keys()
        if self.is_number:
            return f"{{kind: {'int64' if kinds == {'int'} else 'float64'}{self.range}}}"
        if kinds == {"bool"}:
            return "{kind: bool}"
        if self.label_lists == self.count:
            return "{kind: list<string>}"
        return "{kind: string}" if self.is_string and len(self.values) <= max(1, self.count // 10) else None

    @property
    def is_number(self) -> bool:
        return bool(self.numbers) and self.kinds.keys() <= {"int", "float"}

    @property
    def range(self) -> str:
        """The range of the numbers, to be added to a declaration; none where all are the same."""
        low, high = f"{min(self.numbers):g}", f"{max(self.numbers):g}"
        return f", range: [{low}, {high}]" if low != high else ""

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
        for name, value in leaves(record, ""):
            self.fields.setdefault(name, _FieldStats()).add(value)


def starter(paths: Sequence[str], kind: str | None = None) -> str:
    """A starter recipe: an `input:` block for these paths, then rules for their kind of data, a key
    of KINDS; without one, the kind that a sample of the documents looks like. Raises as
    `input_block`, and RunError for an unknown kind."""
    if kind is not None:
        find_kind(kind)
    block, fields = _input(paths)
    documents = first_documents(Input.model_validate(yaml.safe_load("\n".join(block))["input"]))
    scores = [name for name, stats in sorted(fields.items()) if is_score(name) and stats.is_number and stats.range]
    guess, why = kind_of(documents.signs, scores)
    name, why = (guess, why) if kind is None else (kind, "you asked for it")
    scores = scores if name == "scored" else []
    head = [
        f"# A starter recipe, written by `tamis init` for {KINDS[name].about}.",
        f"# kind: {name}, since {why}; --kind asks for another: {', '.join(other for other in KINDS if other != name)}",
        "#",
        "#   tamis run <this file> --output run/first",
        "#   tamis sample run/first --decision drop        # read what was dropped, then move a limit",
        "#",
        "# `tamis recipes` lists published pipelines to start from, `tamis raters` all signals.",
        *(f"# rate.{rater}: {plugins[0].package} provides this rater." for rater, plugins in RATERS.installed.items()),
        *_seen(documents),
    ]
    found = documents.signs.languages.most_common(5)
    languages = [label for label, number in found if number > 0.1 * documents.signs.documents] or ["en"]
    prose = prose_beside_code(documents.signs) if name == "code" else []
    rules = [*_rules(KINDS[name], languages), *_prose(prose, documents.signs)]
    body = [*_signals(fields, scores), "", *rules, *_LAST[:4], *_quality(scores), *_LAST[4:]]
    return "\n".join([*head, "", *block, *body, ""])


_LAST = (
    "",
    "dedup:",
    "  exact: true",
    "  minhash: {}  # near copies: texts that share 70 % of their runs of five words",
    "",
    "curriculum:",
    "  order: uniform  # a shuffle, with each source spread evenly",
    "  schedule: {shape: cosine, peak: 3.0e-3, final: 1.0e-5}",
)


def _rules(kind: Kind, languages: Sequence[str]) -> Iterator[str]:
    """The sections `rate` and `thresholds`."""
    yield "rate:  # what is measured; this drops nothing"
    for rater in dict.fromkeys([*(rule.signal.split(".")[0] for rule in kind.rules), "language"]):
        yield f"  {rater}: {{}}"
    yield ""
    yield "thresholds:  # what is dropped; the first rule that fails is the reason"
    yield from (f"  {signal}: {limits}  # {why}" for signal, limits, why in kind.rules)
    yield f"  # language.label: {{one_of: [{', '.join(languages)}]}}  # to keep only the languages that you name"


def _prose(sources: Sequence[str], signs: Signs) -> Iterator[str]:
    """The section `per_source` with rules for sources of prose beside code."""
    if sources:
        yield ""
        yield "per_source:  # rules that suit prose alone"
    for source in sources:
        documents, code = signs.by_source[source]
        yield f"  {_scalar(source)}:  # {code:,} of {documents:,} documents look like source code"
        yield "    thresholds:"
        yield from (f"      {signal}: {limits}  # {why}" for signal, limits, why in PROSE)


def _quality(scores: Sequence[str]) -> Iterator[str]:
    """The section `quality`, of documents that bring scores along."""
    if scores:
        yield ""
        yield "quality:  # 0 to 1: says which of several copies stays, and what `select: {tokens: …}` takes first"
        yield from (f"  - {{signal: {_scalar(f'{METADATA}{name}')}, weight: 1}}" for name in scores)


def _seen(sample: FirstDocuments) -> Iterator[str]:
    """Comments: what the first documents are like, and what could not be read."""
    signs, failed = sample.signs, sum(sample.errors.values())
    records = signs.documents + failed
    if signs.documents:
        found = [(label, number / signs.documents) for label, number in signs.languages.most_common(5)]
        shares = ", ".join(f"{label} {share:.0%}" for label, share in found if share >= 0.01)
        documents = f"{signs.documents:,} document{'s' * (signs.documents > 1)}"
        yield f"# sample: {documents}, {signs.characters:,.0f} characters on average; {shares}"
    if sample.encodings:
        yield f"# encodings: {', '.join(f'{name} {number:,}' for name, number in sample.encodings.most_common(5))}"
    for error, number in sample.errors.most_common(FILES):
        yield f"# cannot be read: {number:,} of {records:,} records: {error}"
    most = Recipe.model_fields["max_rejects"].default
    if failed > most * records:
        yield f"# A run stops above max_rejects ({most:.0%}): mend the input, or add a higher max_rejects."


def input_block(paths: Sequence[str]) -> str:
    """The `input:` block for `paths`, as YAML with comments, ending in a newline. Raises
    FileNotFoundError if a path matches nothing, ValueError if a file's format is unknown."""
    return "\n".join([*_input(paths)[0], ""])


def _input(paths: Sequence[str]) -> tuple[list[str], dict[str, _FieldStats]]:
    """(lines of the `input:` block, the fields that become metadata). Raises as `input_block`."""
    lines = ["input:", "  paths:", *(f"    - {_scalar(path)}" for path in paths)]
    files = [path for path in paths if path.split(":", 1)[0] != PYTHON_ENV]
    if not files:
        note = "documentation, licences, docstrings and source of the running Python"
        return [*lines, f"  format: {PYTHON_ENV}  # {note}"], {}
    entries, unread = input_files(Input(paths=tuple(paths)))
    lines += _unread_files(unread)
    formats = Counter(kind for _, kind in entries)
    kind = next(iter(formats)) if len(formats) == 1 and len(files) == len(paths) else "auto"
    numbers = ", ".join(f"{count:,} {name}" for name, count in sorted(formats.items()))
    size = sum(max(0, entry.size) for entry, _ in entries) / 1e6
    lines.append(f"  format: {kind}  # {numbers} file{'s' if len(entries) > 1 else ''}, {size:,.1f} MB as stored")
    rest: dict[str, _FieldStats] = {}
    structured = [(entry.uri, kind) for entry, kind in entries if kind in WITH_FIELDS]
    if structured:
        sample = _Sample()
        for uri, file_kind in spread(structured, FILES):
            for record in islice(_records(uri, file_kind), RECORDS):
                sample.add(record)
        fields, others = _fields(sample, min(FILES, len(structured)))
        lines += fields
        rest = {name: sample.fields[name] for name in others}
    if "text" in formats:
        lines.append("  text_unit: file  # each plain text file is a document; 'line': each line is")
    if structured and "  source:" not in "\n".join(lines):
        lines.append("  source: default  # source of documents without one; mixtures and reports group by source")
    return lines, rest


def likely_text(uri: str, kind: Format) -> str | None:
    """The field of a file's first records that most likely holds the text; None if none does."""
    sample = _first_records(uri, kind)
    return _guess("text", sample, set())[0] if any(stats.is_string for stats in sample.fields.values()) else None


def absent_fields(recipe: Recipe, uri: str, kind: Format) -> Iterator[str]:
    """What a recipe says of fields that none of a file's first records has."""
    options, defaults = recipe.input.fields, type(recipe.input.fields).model_fields
    fields = {f"input.fields.{part}": names for part, names in options if names and names != defaults[part].default}
    uses = {name for name in (*recipe.undeclared, *recipe.signals) if name.startswith(METADATA)}
    uses |= {recipe.select.diverse.column} if recipe.select.diverse is not None else set()
    fields |= {name: (name.removeprefix(METADATA),) for name in sorted(uses)}
    if not fields:
        return
    sample = _first_records(uri, kind)
    there = {*sample.fields, *partition_fields(uri)}
    if not sample.records or METADATA.rstrip(".") in there:  # an object written as a string, whose fields are not known
        return
    there |= {field.removeprefix(METADATA) for field in there}
    there |= {field[:place] for field in there for place, letter in enumerate(field) if letter == "."}
    for place, names in fields.items():
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
    pages = [name for name, stats in sorted(sample.fields.items()) if 2 * stats.pages > stats.count]
    used = {*pages}
    lines += [f"    html: {_scalar(name)}  # web pages, whose main text is taken as the text" for name in pages[:1]]
    for part in _NAMES if not pages else [part for part in _NAMES if part != "text"]:
        name, note = _guess(part, sample, used)
        if name is not None:
            used.add(name)
        lines.append(f"    {part}: {'null' if name is None else _scalar(name)}  # {note}")
    rest = [
        f"{name} ({_share(stats, sample)}, e.g. {stats.example})"
        for name, stats in sorted(sample.fields.items())
        if name not in used
    ]
    if rest:
        lines.append(f"  # kept as metadata: {', '.join(rest[:30])}{', …' if len(rest) > 30 else ''}")
    return lines, [name for name in sorted(sample.fields) if name not in used]


def _signals(fields: Mapping[str, _FieldStats], scores: Sequence[str]) -> Iterator[str]:
    """The section `signals` for the scores, and a comment that declares the other fields that can be
    signals."""
    others = {name: stats.signal for name, stats in fields.items() if name not in scores and stats.signal is not None}
    if scores or others:
        yield ""
        mark = "" if scores else "# "
        yield f"{mark}signals:  # values of the metadata for thresholds, quality and orders; direction: up, down or band"
        for name in scores:
            yield f"  {_scalar(f'{METADATA}{name}')}: {{kind: float64, direction: {direction(name)}{fields[name].range}}}"
        yield from (f"#   {_scalar(f'{METADATA}{name}')}: {others[name]}" for name in list(others)[:SIGNALS])


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
        return name, f"{_share(stats, sample)}; e.g. {stats.example}"
    return None, "no field found"


def _share(stats: _FieldStats, sample: _Sample) -> str:
    kinds = "/".join(sorted(stats.kinds))
    return f"{kinds}, in {100 * stats.count / max(1, sample.records):.0f} %"


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
            for batch in pq.ParquetFile(open_file(uri, stack)).iter_batches(RECORDS, use_threads=False):
                yield from plain_batch(batch).to_pylist()
        except (pa.ArrowException, ValueError, TypeError):
            yield None


def _scalar(text: str) -> str:
    """A string in YAML, on one line."""
    return str(yaml.safe_dump(text, width=1 << 20, allow_unicode=True, explicit_end=False)).splitlines()[0]
