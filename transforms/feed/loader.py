"""Reads a finished run back in exactly the order it was made for, with the learning rate each stretch was placed at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tamis.transforms import storage
from tamis.transforms.core.manifest import read_manifest
from tamis.transforms.core.shards import read_shard
from tamis.transforms.feed.corpus_index import verified

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class OrderedShard:
    """One shard in training order: its documents, the offset of its first token in the run, and the learning rates it meets."""

    path: str
    documents: pa.Table
    first_token: int
    tokens: int
    lr_min: float
    lr_max: float


def read_in_order(run: str, first_token: int = 0) -> Iterator[OrderedShard]:
    """The shards of a finished run in training order, from the one that holds `first_token` on. Memory: one shard.

    Raises FileNotFoundError when the run is not finished and RunError when a shard is not the one the manifest promises: a
    loader that feeds other bytes, or the same bytes in another order, would undo the curriculum without a sign.
    """
    manifest = read_manifest(run)
    promised = {file["path"]: file["sha256"] for file in manifest["files"]}
    for shard in manifest["curriculum"]["shards"]:
        if shard["first_token"] + shard["tokens"] <= first_token:
            continue
        uri = storage.join(run, shard["path"])
        table = read_shard(uri, verified(uri, promised[shard["path"]]))
        yield OrderedShard(shard["path"], table, shard["first_token"], shard["tokens"], shard["lr_min"], shard["lr_max"])
