"""The options of an input, and the types that all readers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tamis.transforms.core.options import BYTE_UNITS, Bytes, Options
from tamis.transforms.read.readers import READERS

PYTHON_ENV = "python-env"
"""The path and the format of documents that come from the running Python."""

WARC_START = b"WARC/"
"""The first bytes of a WARC record."""

COMPRESSION_RATIO = 4
"""Approximate bytes of text per byte of a compressed file."""

TYPICAL_RECORD = 2000
"""Bytes of text in a record, for an estimate of what is lost where nothing could be read."""

Extractor = Literal["resiliparse", "trafilatura"]
"""The libraries that find the main text of a page; the name is that of the package."""

RecordType = Literal["response", "conversion", "resource"]

Format = str
"""The name of a format: a key of `readers.READERS`."""

AUTO = "auto"


def _formats(schema: dict[str, Any]) -> None:
    """Adds the formats that can be read here to the JSON schema."""
    schema["enum"] = [AUTO, *READERS.names]


def _names(value: Any) -> Any:
    return () if value is None else (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_names, json_schema_input_type=str | list[str] | None)]
"""Names of a field: the first with a value counts, `a.b` is field b of object a, null is none."""


OPTIONAL = ("id", "url", "source", "licence", "date")
"""The parts that a document can lack."""


class Fields(Options):
    """Which fields of a record hold the parts of a document. All other fields become metadata."""

    text: Names = Field(("text",), description="the text; a record is rejected if it is missing or not a string")
    html: Names = Field((), description="a page, whose main text takes the place of the text")
    id: Names = Field(("id",), description="a string or a number; by default a hash of source and text")
    url: Names = Field(("url",), description="address of the document")
    source: Names = Field(("source",), description="the corpus, site or collection of the document")
    licence: Names = Field(("licence", "license"), description="the licence, as written in the record")
    date: Names = Field(("date",), description="date or time, as written in the record")

    @model_validator(mode="after")
    def _has_text(self) -> Fields:
        if not self.text and not self.html:
            raise ValueError(
                "without a text, every record would be rejected: name its field under text, or a page's under html"
            )
        return self

    @property
    def chosen(self) -> tuple[str, ...]:
        """The parts that a document can lack whose fields are not those by default."""
        defaults = type(self).model_fields
        return tuple(part for part in OPTIONAL if getattr(self, part) not in ((), defaults[part].default))


class Input(Options):
    """The documents of a run. Format and compression follow from a file's name and first bytes."""

    paths: tuple[str, ...] = Field(
        (),
        description="files, folders, globs (also **), @file (a list of paths, also compressed), s3://, gs://, azure://, "
        "http://, hf://datasets/, or python-env; `tamis run --input` takes their place",
    )
    allow_empty: bool = Field(
        False,
        description="accept folders, globs and lists without any file; if there is no new file, the last release stays current",
    )
    list_base: str | None = Field(
        None,
        description="what relative paths in an @file are below, by default the folder of the list; "
        "for lists of Common Crawl https://data.commoncrawl.org/",
    )
    format: Format = Field(
        AUTO,
        json_schema_extra=_formats,
        description="auto: by the suffix, else by the first bytes; json: an array, or objects of several lines; "
        "csv: also TSV, with a header",
    )
    options: dict[str, Any] = Field({}, description="options of a reader that another package provides")
    fields: Fields = Field(
        default_factory=lambda: Fields.model_validate({}), description="names of the fields of JSON, Parquet and CSV"
    )
    source: str = Field("default", min_length=1, description="source of documents that name none")
    text_unit: Literal["file", "line"] = Field(
        "file", description="whether a plain text file is one document or has one per line"
    )
    extractor: Extractor = Field(
        "resiliparse", description="what finds the main text of web pages; trafilatura is more precise and 7 times slower"
    )
    warc_records: tuple[RecordType, ...] = Field(
        ("response", "conversion"),
        description="the types of WARC records that are documents; all others are counted as skipped",
    )
    max_record_bytes: Annotated[int, Field(ge=1, le=1 << 30), BYTE_UNITS] = Field(
        256 << 20, description="longer records are rejected"
    )
    split_bytes: Bytes = Field(48 << 20, description="approximate size of the splits of a large file, in bytes of text")
    harvest_bytes: Bytes = Field(64 << 20, description="how much of the Python environment python-env reads, in bytes")

    @property
    def identity(self) -> dict[str, Any]:
        """All options that can change what is read of a file, for fingerprints."""
        return self.model_dump(mode="json", exclude={"paths", "allow_empty", "list_base"})


def split_count(size: int, split_bytes: int) -> int:
    """Number of splits of at most `split_bytes`: a power of two, for equal shares of workers."""
    return 1 << max(0, -(-size // split_bytes) - 1).bit_length()


@dataclass(frozen=True, slots=True)
class Split:
    """A range `start:stop` of an input: row groups of Parquet, files of a distribution, or stored
    bytes of any other file.

    A `stop` of -1 is the end, so (0, -1) is a whole file. A split of bytes owns the lines that
    begin after its first decompressed byte, up to and including the line that begins at the first
    byte of the next split. The first split also owns the first line. `size` is in stored bytes (for
    progress and balance). `stamp` changes whenever the file may have changed.
    """

    uri: str
    format: Format
    start: int
    stop: int
    size: int
    stamp: str


@dataclass(frozen=True, slots=True)
class UnreadFile:
    """A file in the input that is not read, and why."""

    uri: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    """What could not be read: a record, or the `records` of a damaged range, whose number may be
    `estimated`. `offset` counts decompressed bytes and `line` counts lines from byte `start` of the
    file, which is 0 except in a later split and after damage. For Parquet, `offset` is the number
    of the row, from 0; it is None for a document that was read, and that a rater fails on."""

    uri: str
    offset: int | None
    line: int | None  # from 1; None if records are not lines
    error: str
    excerpt: str
    start: int = 0
    records: int = 1
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """Records that are no documents on purpose, such as the pictures of a crawl. A reason is one of
    few: it names no page."""

    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Absent:
    """Documents, which are read, without a value of a part whose field the options name (`Fields.chosen`)."""

    part: str
    documents: int


Loss = Reject | Skipped | Absent
