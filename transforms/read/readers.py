"""The formats that can be read: by the shipped readers, and by those of installed packages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from tamis.transforms.core.options import Options
from tamis.transforms.runtime.plugins import Plugins

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms import storage
    from tamis.transforms.read.input_options import Input, Loss, Split

READERS = Plugins(
    "tamis.readers",
    {
        "jsonl": "tamis.transforms.read.records.jsonl",
        "json": "tamis.transforms.read.records.json_values",
        "parquet": "tamis.transforms.read.records.parquet",
        "csv": "tamis.transforms.read.records.delimited",
        "text": "tamis.transforms.read.text",
        "warc": "tamis.transforms.read.warc",
        "wet": "tamis.transforms.read.warc",
        "python-env": "tamis.transforms.read.python_env",
    },
)
"""The readers by format. An entry names a module, or an object in one, that is a `Reader`."""


class Reader(Protocol):
    """Reads the files of one format. A module can be one. It may also have

    - `SUFFIXES`: the suffixes of its files, such as ('.mbox',);
    - `Options`: the model of its options, which are in `input.options`;
    - `plan(entry, options)`: the splits of a file; without it, a file is read as a whole.
    """

    def read(self, split: Split, options: Input, trust: bool) -> Iterator[tuple[pa.RecordBatch, list[Loss]]]:
        """See `tamis.transforms.read.inputs.read`; `trust` matters to compressed files only."""


class Planner(Protocol):
    """A reader that divides its files."""

    def plan(self, entry: storage.Entry, options: Input) -> list[Split]: ...


def reader_of(name: str) -> Reader:
    """The reader of a format. Raises ValueError if there is none, ImportError if it cannot be
    loaded."""
    plugin = READERS.find(name)
    if plugin is None:
        raise ValueError(f"no installed package reads the format '{name}'")
    reader: Reader = plugin.load()
    return reader


def options_type(name: str) -> type[Options]:
    """The model of the options of a reader. Raises as `reader_of`."""
    model: type[Options] = getattr(reader_of(name), "Options", Options)
    return model


def format_of_suffix(suffix: str) -> str | None:
    """The format that an installed package reads files of this suffix in."""
    for plugins in READERS.installed.values():
        if suffix in getattr(plugins[0].load(), "SUFFIXES", ()):
            return plugins[0].name
    return None
