"""A finished run as a loader reads it: verified texts by document number, token counts, the learning rate at any token."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.transforms import storage
from tamis.transforms.core import shards
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import read_manifest
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.core.tokenizer import tokenizer_key

PLAN = "plan.json"

Ints = npt.NDArray[np.int64]

_OPEN = 2  # shards and row groups kept: what is read may straddle two


@dataclass(frozen=True)
class Shard:
    """A file of the corpus: where its documents and its tokens, as the run counted them, begin in the order."""

    uri: str
    sha256: str
    bytes: int
    first_document: int
    documents: int
    first_token: int
    tokens: int


@dataclass(frozen=True)
class CorpusIndex:
    """What manifest.json, and plan.json where there is one, say of a corpus."""

    run: str
    root: str
    shards: tuple[Shard, ...]
    tokens: int
    schedule: Schedule
    tokenizer: str | None
    """Identity of what counted the tokens; none for an estimate."""

    def learning_rate(self, first: float, stop: float) -> float:
        """Exact mean of the learning rate over tokens [first, stop) of the run; at the token `first` when there are none."""
        a, b = first / self.tokens, stop / self.tokens
        return float(self.schedule.mass(a, b)) / (b - a) if b > a else float(self.schedule.learning_rate(a))


def load_corpus(run: str) -> CorpusIndex:
    """Reads what a run promises. FileNotFoundError when it is not finished, RunError when its plan is of another corpus."""
    manifest = read_manifest(run)
    curriculum = manifest["curriculum"]
    files = {file["path"]: file for file in manifest["files"]}
    schedule = curriculum["schedule"]
    uri = storage.join(run, PLAN)
    if storage.exists(uri):
        plan = json.loads(storage.read_bytes(uri))
        planned = [(shard["path"], shard["sha256"]) for shard in plan["shards"]]
        there = [(shard["path"], files[shard["path"]]["sha256"]) for shard in curriculum["shards"]]
        if planned != there or plan["data"]["corpus_root"] != manifest["corpus_root"]:
            raise RunError(f"{uri} is the plan of another corpus; make it again: tamis plan {run}")
        schedule = plan["schedule"]
    found, documents = [], 0
    for shard in curriculum["shards"]:
        file = files[shard["path"]]
        counts = shard["documents"], shard["first_token"], shard["tokens"]
        found.append(Shard(storage.join(run, shard["path"]), file["sha256"], file["bytes"], documents, *counts))
        documents += shard["documents"]
    tokens = sum(shard.tokens for shard in found)
    if not tokens:
        raise RunError(f"'{run}' has no tokens to train on")
    counted = manifest.get("tokenizer")
    by = tokenizer_key(counted) if counted else None
    return CorpusIndex(run, manifest["corpus_root"], tuple(found), tokens, Schedule.model_validate(schedule), by)


class CorpusReader:
    """The texts of a corpus. Every byte they come from has the SHA-256 that the manifest promises.

    Memory: two shards as they lie on disk, and two row groups.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._starts = np.array([shard.first_document for shard in shards], np.int64)
        self._file = lru_cache(_OPEN)(self._verified)
        self._group = lru_cache(_OPEN)(self._text)

    def take(self, documents: Ints) -> Iterator[pa.Array]:
        """The texts of documents, given by rising numbers, as a few arrays (`large_string`) behind each other."""
        of = np.searchsorted(self._starts, documents, side="right") - 1
        for index in np.unique(of).tolist():
            rows = documents[of == index] - self._starts[index]
            bounds = self._bounds(index)
            group = np.searchsorted(bounds, rows, side="right") - 1
            for number in np.unique(group).tolist():
                yield _chosen(self._group(index, number), rows[group == number] - bounds[number])

    def rows(self, index: int, *columns: str) -> Iterator[pa.Table]:
        """All rows of a shard, a row group at a time; columns: all, unless some are named."""
        file = self._file(index)
        if isinstance(file, pa.Table):
            yield file.select(list(columns)) if columns else file
            return
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, list(columns) or None, use_threads=False)

    def _text(self, index: int, group: int) -> pa.Array:
        file = self._file(index)
        table = file if isinstance(file, pa.Table) else file.read_row_group(group, ["text"], use_threads=False)
        return table["text"].combine_chunks()

    def _bounds(self, index: int) -> Ints:
        file = self._file(index)
        if isinstance(file, pa.Table):
            return np.array([0, len(file)])
        return np.cumsum([0, *(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups))])

    def _verified(self, index: int) -> Any:
        """A ParquetFile over bytes that were checked, or a table."""
        uri = self._shards[index].uri
        data = verified(uri, self._shards[index].sha256)
        return pq.ParquetFile(pa.BufferReader(data)) if uri.endswith(".parquet") else shards.read_shard(uri, data)


def verified(uri: str, sha256: str) -> bytes:
    """All bytes of a shard. Raises RunError when they are not those the manifest promises."""
    data = storage.read_bytes(uri)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise RunError(f"{uri} is not the shard the manifest promises (its SHA-256 differs): ask tamis verify what else is not")
    return data


def _chosen(texts: pa.Array, rows: Ints) -> pa.Array:
    """Some rows; without a copy when they follow each other."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return texts.slice(int(rows[0]), len(rows))
    return texts.take(pa.array(rows))
