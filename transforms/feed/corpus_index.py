"""A finished run as loaders read it: verified texts, token counts, the rate at any token."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tamis.transforms import storage
from tamis.transforms.core import shards
from tamis.transforms.core.arrays import Ints
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import release_path
from tamis.transforms.core.release import open_release
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.feed.gaps import FILE as GAPS
from tamis.transforms.feed.gaps import SCHEMA as GAPS_SCHEMA
from tamis.transforms.feed.gaps import gaps_in, read_gaps
from tamis.transforms.feed.step_sizes import BatchHint
from tamis.transforms.text.tokenizer import tokenizer_key

PLAN = "plan.json"

_CACHED = 2  # shards and row groups in memory: a read may straddle two


@dataclass(frozen=True)
class Shard:
    """A file of the corpus. `first_token` and `tokens` are by the run's own count. `gaps` and
    `gap_tokens`: the places in it of documents that were taken down, and their tokens (`gaps.py`)."""

    uri: str
    sha256: str
    bytes: int
    first_document: int
    documents: int
    first_token: int
    tokens: int
    gaps: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    gap_tokens: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def places(self) -> int:
        """Its documents with those that were taken down."""
        return self.documents + len(self.gaps)

    @property
    def place_tokens(self) -> int:
        """The tokens of its places."""
        return self.tokens + int(self.gap_tokens.sum())


@dataclass(frozen=True)
class CorpusIndex:
    """The corpus of a release, with the schedule and the batch hints of a training plan. `run`: its run directory. `tokens`:
    of all places. `patched`: the release that it is a patch of, as `RUN@41`, "" if it is none;
    `continues`: the roots of the corpora whose places it has."""

    run: str
    root: str
    shards: tuple[Shard, ...]
    tokens: int
    schedule: Schedule
    tokenizer: str | None
    """`tokenizer_key` of the tokenizer that counted the tokens; None if they are estimates."""
    signals: tuple[str, ...] = ()
    """The signals among the columns of its shards (`output.signals`)."""
    patched: str = ""
    continues: tuple[str, ...] = ()
    batch_hints: tuple[BatchHint, ...] = ()

    def learning_rate(self, first: float, stop: float) -> float:
        """Exact mean learning rate of tokens [first, stop); that of `first` if there are none."""
        a, b = first / self.tokens, stop / self.tokens
        return float(self.schedule.mass(a, b)) / (b - a) if b > a else float(self.schedule.learning_rate(a))


def load_corpus(name: str, plan: str = "") -> CorpusIndex:
    """The corpus of a release, `RUN` or `RUN@41`, with schedule and batch hints of the training plan `plan`: a
    file, by default the plan.json of the release. Raises FileNotFoundError if there is no such
    release or plan, RunError if the plan is of another corpus."""
    release = open_release(name)
    run, manifest = release.run, release.manifest
    curriculum = manifest["curriculum"]
    files = {file["path"]: file for file in manifest["files"]}
    schedule, hints = curriculum["schedule"], []
    uri = plan or release.uri(PLAN)
    if plan or storage.exists(uri):
        training_plan = json.loads(storage.read_bytes(uri))
        planned = [shard["sha256"] for shard in training_plan["shards"]]
        actual = [files[shard["path"]]["sha256"] for shard in curriculum["shards"]]
        if planned != actual or training_plan["data"]["corpus_root"] != manifest["corpus_root"]:
            raise RunError(f"{uri} is the plan of another corpus; write one with: tamis plan {name}")
        schedule, hints = training_plan["schedule"], training_plan["batch_hints"]
    entries, documents = [], 0
    patch = manifest.get("patch")
    gaps = read_gaps(release.uri(GAPS)) if patch else GAPS_SCHEMA.empty_table()
    for shard in curriculum["shards"]:
        file = files[shard["path"]]
        counts = shard["documents"], shard["first_token"], shard["tokens"], *gaps_in(gaps, release_path(shard["path"]))
        entries.append(Shard(storage.join(run, shard["path"]), file["sha256"], file["bytes"], documents, *counts))
        documents += shard["documents"]
    tokens = sum(shard.place_tokens for shard in entries)
    if not tokens:
        raise RunError(f"'{run}' has no tokens to train on")
    tokenizer = manifest.get("tokenizer")
    key = tokenizer_key(tokenizer) if tokenizer else None
    signals = tuple(manifest["recipe"].get("output", {}).get("signals", ()))
    lineage = (f"{run}@{patch['of']}", tuple(patch["corpora"])) if patch else ("", ())
    planned_schedule = Schedule.model_validate(schedule)
    planned_hints = tuple(BatchHint(*(hint[name] for name in BatchHint._fields)) for hint in hints)
    return CorpusIndex(
        run, manifest["corpus_root"], tuple(entries), tokens, planned_schedule, key, signals, *lineage, planned_hints
    )


class CorpusReader:
    """Reads documents of a corpus. Every file is checked against the manifest's SHA-256 before it
    is used. Memory: two shards as stored, and two row groups."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = shards
        self._starts = np.array([shard.first_document for shard in shards], np.int64)
        self._file = lru_cache(_CACHED)(self._open)
        self._group = lru_cache(_CACHED)(self._text)

    def take(self, documents: Ints) -> Iterator[pa.Array]:
        """The texts of documents, whose numbers must ascend, as a few `large_string` arrays."""
        shard_of = np.searchsorted(self._starts, documents, side="right") - 1
        for index in np.unique(shard_of).tolist():
            rows = documents[shard_of == index] - self._starts[index]
            bounds = self._bounds(index)
            group = np.searchsorted(bounds, rows, side="right") - 1
            for number in np.unique(group).tolist():
                yield _take(self._group(index, number), rows[group == number] - bounds[number])

    def rows(self, index: int, *columns: str) -> Iterator[pa.Table]:
        """All rows of a shard, one row group at a time; all columns unless some are named."""
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

    def _open(self, index: int) -> Any:
        """A ParquetFile over verified bytes, or a table."""
        uri = self._shards[index].uri
        data = read_verified(uri, self._shards[index].sha256)
        return pq.ParquetFile(pa.BufferReader(data)) if uri.endswith(".parquet") else shards.read_shard(uri, data)


def read_verified(uri: str, sha256: str) -> bytes:
    """All bytes of a shard. Raises RunError if their SHA-256 is not the given one."""
    data = storage.read_bytes(uri)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise RunError(f"{uri} does not have the SHA-256 in the manifest; `tamis verify` lists every file that differs")
    return data


def _take(texts: pa.Array, rows: Ints) -> pa.Array:
    """Without a copy if the rows are consecutive."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return texts.slice(int(rows[0]), len(rows))
    return texts.take(pa.array(rows))
