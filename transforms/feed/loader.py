"""Reads the documents of a finished run in training order, with their learning rates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tamis.transforms import storage
from tamis.transforms.core.manifest import shard_places
from tamis.transforms.core.release import open_release
from tamis.transforms.core.shards import read_shard
from tamis.transforms.feed.corpus_index import read_verified

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class OrderedShard:
    """A shard: its documents, its first token in the run, its lowest and highest learning rate."""

    path: str
    documents: pa.Table
    first_token: int
    tokens: int
    lr_min: float
    lr_max: float


def read_in_order(run: str, first_token: int = 0) -> Iterator[OrderedShard]:
    """The shards of a release, `RUN` or `RUN@41`, in training order, from the one that holds
    `first_token` on. Memory: one shard. Raises FileNotFoundError if there is no such release,
    RunError if a shard does not match the manifest."""
    release = open_release(run)
    manifest = release.manifest
    digests = {file["path"]: file["sha256"] for file in manifest["files"]}
    for shard in manifest["curriculum"]["shards"]:
        if shard["first_token"] + shard_places(shard)[1] <= first_token:
            continue
        uri = storage.join(release.run, shard["path"])
        table = read_shard(uri, read_verified(uri, digests[shard["path"]]))
        yield OrderedShard(shard["path"], table, shard["first_token"], shard["tokens"], shard["lr_min"], shard["lr_max"])
