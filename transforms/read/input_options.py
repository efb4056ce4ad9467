"""What an input is: its options, a split of it, and a record of it that could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tamis.transforms.core.options import Options

ENVIRONMENT = "python-env"
"""Where documents come from when they come from the running Python: the path and the format have this name."""

WARC = b"WARC/"
"""What a record of a crawl begins with."""

RATIO = 4
"""Bytes of text for one that is stored when it is compressed, about."""

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
    allow_empty: bool = Field(
        False, description="a folder, glob or list without files is no error: without any new file the last release stands"
    )
    format: Literal[Format, "auto"] = Field("auto", description="auto: by suffix, else by the first bytes")
    fields: Fields = Field(default_factory=lambda: Fields.model_validate({}), description="JSONL and Parquet only")
    source: str = Field("default", min_length=1, description="the source of documents that name none")
    text_unit: Literal["file", "line"] = Field("file", description="a plain text file is one document, or one a line")
    max_record_bytes: int = Field(256 << 20, gt=0, le=1 << 30, description="a longer record is rejected")
    split_bytes: int = Field(48 << 20, gt=0, description="most text in a piece of a larger file, about")
    harvest_bytes: int = Field(64 << 20, gt=0, description="how much of the Python environment python-env reads")


def pieces(size: int, piece: int) -> int:
    """How many pieces of `piece` bytes at most make up `size`: a power of two, so that as many workers get equal shares."""
    return 1 << max(0, -(-size // piece) - 1).bit_length()


@dataclass(frozen=True, slots=True)
class Split:
    """A piece of work: row groups `[start, stop)` of Parquet, files of a distribution, bytes of a file as stored.

    A `stop` of -1 is the end; (0, -1) is the whole of a file. Of bytes, a split owns the lines that begin behind its first byte
    as decompressed, and up to and including the first of the split behind it; the first split owns the first line too.

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

    `offset` is the byte offset of the record in what byte `start` of the file and those behind it decompress to, and `line`
    counts from there: `start` is 0 but in a split, and behind damage. In Parquet, `offset` is the number of the row from 0.
    """

    uri: str
    offset: int
    line: int | None  # from 1, where records are lines
    error: str
    excerpt: str
    start: int = 0
