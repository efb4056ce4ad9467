"""Reads the first documents of an input, and sums up what `tamis init` says and concludes from them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from tamis.pipelines.starter.kinds import Signs, looks_like_code
from tamis.transforms.read.batch_builder import printable
from tamis.transforms.read.input_options import PYTHON_ENV, Input, Reject, Split
from tamis.transforms.read.inputs import input_files, plan, read

if TYPE_CHECKING:
    import pyarrow as pa

FILES, RECORDS = 5, 300  # records of each file
TEXT_FILES = 100  # files that are one document each

_PATHS = {"path", "file", "filename", "file_name", "file_path", "filepath", "max_stars_repo_path"}

Item = TypeVar("Item")


@dataclass(frozen=True)
class FirstDocuments:
    """What the first documents are like, the encodings of those that tell theirs, and the records
    that cannot be read by reason."""

    signs: Signs
    encodings: Counter[str]
    errors: Counter[str]


def first_documents(options: Input) -> FirstDocuments:
    """Reads a batch of a few files, which are spread over the input."""
    import orjson

    batches, errors = _read(options)
    names = ("text", "url", "id", "source", "metadata")
    columns = ([v for batch in batches for v in batch[name].to_pylist()] for name in names)
    code, documents, encodings, sites, characters = Counter[str](), Counter[str](), Counter[str](), Counter[str](), 0
    for text, url, document_id, source, metadata in zip(*columns, strict=True):
        fields = dict(leaves(orjson.loads(metadata), "")) if metadata else {}
        path = next((value for name, value in fields.items() if name.rsplit(".", 1)[-1].lower() in _PATHS), url or document_id)
        documents[source] += 1
        code[source] += looks_like_code(text, str(path))
        if url is not None and url.startswith("http"):
            sites[urlsplit(url).netloc] += 1
        characters += len(text)
        if "page.encoding" in fields:
            encodings[str(fields["page.encoding"])] += 1
    total = documents.total()
    by_source = {source: (number, code[source]) for source, number in documents.items()}
    languages = Counter(label for batch in batches for label in _languages(batch))
    signs = Signs(total, code.total(), by_source, languages, sites, characters / max(1, total))
    return FirstDocuments(signs, encodings, errors)


def _read(options: Input) -> tuple[list[pa.RecordBatch], Counter[str]]:
    """(the first batches, the records that cannot be read by reason)."""
    from tamis.transforms.read.decompress import WrongChecksum

    environments = tuple(path for path in options.paths if path.split(":", 1)[0] == PYTHON_ENV)
    splits = plan(options.model_copy(update={"paths": environments}))[0] if environments else []
    if len(environments) < len(options.paths):  # whole files: to cut them, all would have to be opened
        splits += [Split(entry.uri, kind, 0, -1, entry.size, entry.version) for entry, kind in input_files(options)[0]]
    single = [split for split in splits if split.format == "text" and options.text_unit == "file"]
    others = [split for split in splits if split.format != "text" or options.text_unit != "file"]
    errors, batches = list[tuple[str, int]](), list[Any]()
    for split in [*spread(others, FILES), *spread(single, TEXT_FILES)]:
        try:
            batch, losses = next(read(split, options, trust=True), (None, []))
        except WrongChecksum:
            continue
        errors += [(loss.error, loss.records) for loss in losses if isinstance(loss, Reject)]
        batches += [batch.slice(0, RECORDS)] if batch is not None and batch.num_rows else []
    return batches, _by_reason(errors)


def _by_reason(errors: Sequence[tuple[str, int]]) -> Counter[str]:
    """The numbers of records by error; errors that differ in a number alone count as the first."""
    first: dict[str, str] = {}
    records: Counter[str] = Counter()
    for error, number in errors:
        records[first.setdefault(re.sub(r"\d+", "#", error), printable(error))] += number
    return records


def _languages(batch: pa.RecordBatch) -> Iterator[str]:
    """The language of each document that has one."""
    from tamis.transforms.rate.language import Language, LanguageRater
    from tamis.transforms.text.segment import unsegmented

    rated = LanguageRater(Language.model_validate({})).rate(unsegmented(batch["text"]))
    yield from rated["language.label"].drop_null().to_pylist()


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of the items, from the first to the last."""
    if len(items) <= most:
        return list(items)
    return [items[place * (len(items) - 1) // (most - 1)] for place in range(most)]


def leaves(record: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """(name, value) of all fields. Nested fields have dots in their names, as in recipes."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value
