"""Writes a table as one shard, a file that appears only when it is complete, and reads it back."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, cast

from pydantic import Field

from tamis.transforms import storage
from tamis.transforms.core.manifest import File
from tamis.transforms.core.options import Bytes, Options

if TYPE_CHECKING:
    import pyarrow as pa


class Retain(Options):
    """Which releases stay. The current one, pinned ones, and those whose tokens are indexed for a
    training job always do."""

    releases: int = Field(1, ge=1, description="how many of the last releases stay")
    days: int | None = Field(None, ge=0, description="older ones stay, too, until they are so many days old")


class Output(Options):
    """How shards are written. Equal tables and options give equal bytes."""

    format: Literal["parquet", "jsonl.zst"] = Field("parquet", description="jsonl.zst: one JSON object a line")
    shard_bytes: Bytes = Field(
        64 << 20, description="text in one shard, about; a worker holds a shard in memory while it writes it"
    )
    compression_level: int = Field(3, ge=1, le=19, description="of zstd")
    row_group_bytes: Bytes = Field(
        32 << 20, description="values in one Parquet row group, about, before compression; what a loader reads at once"
    )
    signals: tuple[str, ...] = Field((), description="signals that become columns of the shards, and of exports")
    retain: Retain | None = Field(None, description="remove older releases when a run succeeds; by default all stay")

    @property
    def suffix(self) -> str:
        """The suffix of the names of shards, from which `read_shard` infers the format."""
        return f".{self.format}"


class _Format(Protocol):
    def write(self, table: pa.Table, sink: storage.Sink, options: Output) -> None: ...
    def read(self, data: bytes, uri: str) -> pa.Table: ...


def write_shard(table: pa.Table, uri: str, options: Output) -> File:
    """Writes `table` as the file `uri`, which must end in `options.suffix`."""
    if not uri.endswith(options.suffix):
        raise ValueError(f"{uri}: a shard of format {options.format} must end in {options.suffix}")
    with storage.commit(uri) as sink:
        _format(uri).write(table, sink, options)
    return File(uri, sink.size, sink.sha256)


def read_shard(uri: str, data: bytes | None = None) -> pa.Table:
    """The table of a shard, from `data` if its bytes are already read. JSON Lines keep values but
    not every type: integers become int64, floats double."""
    return _format(uri).read(storage.read_bytes(uri) if data is None else data, uri)


def _format(uri: str) -> _Format:
    name = "parquet_shards" if uri.endswith(".parquet") else "jsonl_shards" if uri.endswith(".jsonl.zst") else None
    if name is None:
        raise ValueError(f"{uri}: a shard's name ends in .parquet or .jsonl.zst")
    return cast(_Format, import_module(f"tamis.transforms.write.{name}"))
