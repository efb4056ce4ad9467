"""A small sample of a run's input, taken from places spread over its bytes: files of their own in the input's formats."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms import storage
from tamis.transforms.core.documents import BATCH_BYTES
from tamis.transforms.read.input_options import PYTHON_ENV, Split

SAMPLE_BYTES = 16 << 20
"""Decompressed bytes of the sample, at most about."""

_PIECE = BATCH_BYTES
"""Bytes of one split that the sample takes: the first."""

_AHEAD = 7 * _PIECE
"""Bytes behind them that are decompressed to see how much of the file they come from, since a reader reads ahead."""

_LOOKS = 256
"""Splits that the sample takes at most."""


@dataclass(frozen=True)
class Piece:
    """The beginning of a split as a file of its own. `factor`: the whole split holds so many times its documents."""

    uri: str
    size: int
    factor: float
    read: int
    seconds: float


def sample(splits: list[Split], recipe: Recipe, folder: str) -> Iterator[Piece]:
    """The beginnings of splits that lie spread over the bytes of the input; of a small input, all of it."""
    total = sum(split.size for split in splits)
    ends, sum_ = [], 0
    for split in splits:
        sum_ += split.size
        ends.append(sum_)
    seen: set[str] = set()
    taken = 0
    for number in _spread(splits, ends, total):
        split = splits[number]
        if split.format == PYTHON_ENV:
            if split.uri not in seen:
                yield Piece(split.uri, sum(other.size for other in splits if other.uri == split.uri), 1.0, 1, 0.0)
            seen.add(split.uri)
            taken += split.size
        else:
            cut = _cut_rows if split.format == "parquet" else _cut_bytes
            piece = cut(split, recipe, f"{folder}/piece-{number:06d}")
            yield piece
            taken += piece.read
        if taken >= SAMPLE_BYTES:
            return


def _spread(splits: list[Split], ends: list[int], total: int) -> Iterator[int]:
    """Numbers of splits: all of a few, else those at places that fill the bytes of the input ever more evenly."""
    if len(splits) <= _LOOKS:
        bits = max(len(splits) - 1, 1).bit_length()
        order = sorted(range(len(splits)), key=lambda number: int(f"{number:0{bits}b}"[::-1], 2))
        yield from order
        return
    seen = set()
    bits = _LOOKS.bit_length() - 1
    for look in range(_LOOKS):
        place = int(f"{look:0{bits}b}"[::-1], 2) / _LOOKS
        number = min(bisect_right(ends, place * total), len(splits) - 1)
        if number not in seen:
            seen.add(number)
            yield number


def _cut_bytes(split: Split, recipe: Recipe, stem: str) -> Piece:
    """The first bytes of a split of lines, of a crawl or of a text, decompressed, up to the end of a record."""
    from tamis.transforms.read.decompress import ByteStream

    began = time.thread_time()
    with storage.open_binary(split.uri) as file:
        stream = ByteStream(file, split.uri, split.start, split.stop)
        head, more = stream.read(_PIECE), stream.read(_AHEAD)
        given = len(head) + len(more)
        ended = given < _PIECE + _AHEAD
        # Of a compressed file a little more is read than was given; of another one, as much was used as was given.
        stored = split.size if ended else min(max(file.tell() - split.start, 1), given, split.size)
    seconds = time.thread_time() - began
    if split.format == "text" and recipe.input.text_unit == "file":
        head += more
    elif more:
        mark = b"\r\n\r\nWARC/" if split.format in ("warc", "wet") else b"\n"
        head = head[: head.rfind(mark) + (4 if len(mark) > 1 else 1)] or head
    if split.start and split.format not in ("warc", "wet"):
        head = head[head.find(b"\n") + 1 :]  # the line that the cut goes through is the last split's
    path = f"{stem}.{'txt' if split.format == 'text' else split.format}"
    Path(path).write_bytes(head)
    factor = given / max(len(head), 1) * split.size / max(stored, 1)
    return Piece(path, split.size, factor, len(head), seconds * len(head) / max(given, 1))


def _cut_rows(split: Split, recipe: Recipe, stem: str) -> Piece:
    """The first rows of a split of Parquet, as a file with the same columns."""
    import pyarrow.parquet as pq

    path = f"{stem}.parquet"
    with storage.open_binary(split.uri) as file:
        try:
            parquet = pq.ParquetFile(file)
        except (OSError, ValueError):  # it is rejected as a whole
            Path(path).write_bytes(b"PAR1")
            return Piece(path, split.size, 1.0, 4, 0.0)
        last = parquet.num_row_groups if split.stop < 0 else split.stop
        groups = [parquet.metadata.row_group(number) for number in range(split.start, last)]
        rows = sum(group.num_rows for group in groups)
        each = sum(group.total_byte_size for group in groups) / max(rows, 1)
        wanted = max(1, int(_PIECE / max(each, 1)))
        taken = 0
        with pq.ParquetWriter(path, parquet.schema_arrow) as writer:
            for batch in parquet.iter_batches(min(wanted, 8192), range(split.start, last), use_threads=False):
                writer.write_batch(batch)
                taken += batch.num_rows
                if taken >= wanted:
                    break
    return Piece(path, split.size, rows / max(taken, 1), int(taken * each), 0.0)
