"""What to read and how: the input's options, the plan of splits, and the one `read` that serves every format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, cast

from pydantic import BeforeValidator, Field

from transforms import storage
from transforms.options import Options

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["jsonl", "parquet", "text", "warc", "wet", "python-env"]


def _names(value: Any) -> Any:
    return () if value is None else (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_names, json_schema_input_type=str | list[str] | None)]
"""The names a field may have: the first that holds a value counts. `a.b` is field b of object a; null maps nothing."""


class Fields(Options):
    """Where a record's parts are. A field that is named nowhere here goes to the document's metadata."""

    text: Names = Field(("text",), description="the text; a record without it, or where it is not a string, is rejected")
    id: Names = Field(("id",), description="text or an integer; without it the id is a hash of source and text")
    url: Names = Field(("url",), description="where the document was found")
    source: Names = Field(("source",), description="the corpus, site or collection that the document belongs to")
    licence: Names = Field(("licence", "license"), description="the licence, as the record words it")
    date: Names = Field(("date",), description="date or time, as the record words it")


class Input(Options):
    """The documents of a run. Format and compression are told by name and first bytes."""

    paths: tuple[str, ...] = Field(
        description="files, globs (** too), folders, @list files; s3://, gs://, azure://, http://; or python-env"
    )
    format: Format | Literal["auto"] = Field("auto", description="auto: by suffix, else by the first bytes")
    fields: Fields = Field(default_factory=lambda: Fields.model_validate({}), description="JSONL and Parquet only")
    source: str = Field("default", min_length=1, description="the source of documents that name none")
    text_unit: Literal["file", "line"] = Field("file", description="a plain text file is one document, or one a line")
    max_record_bytes: int = Field(256 << 20, gt=0, le=1 << 30, description="a longer record is rejected")
    split_bytes: int = Field(96 << 20, gt=0, description="Parquet is split into row groups of about so many bytes")
    harvest_bytes: int = Field(64 << 20, gt=0, description="how much of the Python environment python-env reads")


@dataclass(frozen=True, slots=True)
class Split:
    """A piece of work: row groups `[start, stop)` of Parquet, files of a distribution; (0, -1) is the whole of a file.

    `size` is its bytes as stored (for progress and balance), `stamp` changes when the file's bytes may have.
    """

    uri: str
    format: Format
    start: int
    stop: int
    size: int
    stamp: str


@dataclass(frozen=True, slots=True)
class Reject:
    """A record, or the rest of a file, that could not be read.

    `offset` is the byte offset of the record in the decompressed stream; in Parquet, the number of its row from 0.
    """

    uri: str
    offset: int
    line: int | None  # from 1, where records are lines
    error: str
    excerpt: str


class _Format(Protocol):
    def read(self, split: Split, options: Input) -> Iterator[tuple[pa.RecordBatch, list[Reject]]]: ...


ENVIRONMENT = "python-env"
_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".warc": "warc",
    ".wet": "wet",
}
_MODULES: dict[Format, str] = {"wet": "warc", "python-env": "python_env"}


def plan(options: Input) -> list[Split]:
    """The splits of the input, sorted by URI and start.

    Raises FileNotFoundError naming the path that matches nothing, ValueError naming a file whose format cannot be told.
    A Parquet file whose footer cannot be read is planned as a whole: reading it rejects it.
    """
    places = [path for path in options.paths if _is_environment(path)]
    files = [path for path in options.paths if not _is_environment(path)]
    if options.format == ENVIRONMENT and files:
        raise ValueError(f"{files[0]}: the format python-env reads '{ENVIRONMENT}' or '{ENVIRONMENT}:<distribution>'")
    splits: list[Split] = []
    if places:
        from transforms.read import python_env

        splits += python_env.plan(places, options)
    for entry in storage.expand(files) if files or not places else ():
        kind = format_of(entry.uri) if options.format == "auto" else options.format
        if kind == "parquet":
            from transforms.read import parquet

            splits += parquet.plan(entry, options)
        else:
            splits.append(Split(entry.uri, kind, 0, -1, entry.size, entry.stamp))
    return sorted(splits, key=lambda split: (split.uri, split.start))


def read(split: Split, options: Input) -> Iterator[tuple[pa.RecordBatch, list[Reject]]]:
    """The documents of a split in file order, and what had to be rejected among them.

    Each batch has `documents.SCHEMA` and about `documents.BATCH_BYTES` of text. Bad data never raises: every whole
    record before and, where the format allows, after the damage is read. A file that cannot be opened does raise.
    """
    module = import_module(f"transforms.read.{_MODULES.get(split.format, split.format)}")
    return cast(_Format, module).read(split, options)


def _is_environment(path: str) -> bool:
    return path.split(":", 1)[0] == ENVIRONMENT


def format_of(uri: str) -> Format:
    """The format of a file by its suffix, else by its first bytes. Raises ValueError."""
    kinds = [suffix for suffix in storage.suffixes(uri) if suffix not in storage.COMPRESSION_SUFFIXES]
    if kinds and kinds[-1] in _SUFFIXES:
        return _SUFFIXES[kinds[-1]]
    from transforms.read.compression import Stream

    with storage.open_binary(uri) as file:
        head = Stream(file, uri).read(512)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"WARC/"):
        return "warc"
    if re.match(rb"(\xef\xbb\xbf)?\s*\{", head):
        return "jsonl"
    raise ValueError(f"{uri}: neither name nor first bytes tell the format; set input.format")
