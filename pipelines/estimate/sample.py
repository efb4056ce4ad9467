"""Copies a small sample of the input, spread over its bytes, into files of the same formats."""

import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms import storage
from tamis.transforms.core.documents import BATCH_BYTES
from tamis.transforms.read.input_options import PYTHON_ENV, Split

SAMPLE_BYTES = 16 << 20  # decompressed; about the most that the sample has
PIECE_BYTES = BATCH_BYTES  # decompressed, from the start of a split
LOOKAHEAD_BYTES = 7 * PIECE_BYTES  # more, to measure the compression ratio: readers read ahead
_MAX_SPLITS = 256  # in the sample


@dataclass(frozen=True)
class SamplePiece:
    """The beginning of a split in a file of its own. `size`: stored bytes of the split. `factor`:
    documents of the split per document of the piece. `read`: bytes of it, read in `seconds`."""

    uri: str
    size: int
    factor: float
    read: int
    seconds: float


def sample(splits: list[Split], recipe: Recipe, folder: str) -> Iterator[SamplePiece]:
    """The beginnings of splits that are spread over the input; a small input as a whole."""
    seen: set[str] = set()
    size = 0
    for number in spread_splits([split.size for split in splits]):
        split = splits[number]
        if split.format == PYTHON_ENV:
            if split.uri not in seen:
                yield SamplePiece(split.uri, sum(other.size for other in splits if other.uri == split.uri), 1.0, 1, 0.0)
            seen.add(split.uri)
            size += split.size
        else:
            cut = _cut_rows if split.format == "parquet" else _cut_bytes
            # The folders of a path may be columns (`lang=en/…`).
            columns = [name for name in split.uri.split("/")[:-1] if "=" in name]
            Path(folder, *columns).mkdir(parents=True, exist_ok=True)
            piece = cut(split, recipe, "/".join([folder, *columns, f"piece-{number:06d}"]))
            yield piece
            size += piece.read
        if size >= SAMPLE_BYTES:
            return


def spread_splits(sizes: Sequence[int]) -> Iterator[int]:
    """Indices of splits, in an order in which the first n are spread evenly, for any n."""
    if len(sizes) <= _MAX_SPLITS:
        bits = max(len(sizes) - 1, 1).bit_length()
        yield from sorted(range(len(sizes)), key=lambda number: _reversed_bits(number, bits))
        return
    ends = list(accumulate(sizes))
    seen = set()
    for point in range(_MAX_SPLITS):
        share = _reversed_bits(point, _MAX_SPLITS.bit_length() - 1) / _MAX_SPLITS
        number = min(bisect_right(ends, share * ends[-1]), len(sizes) - 1)
        if number not in seen:
            seen.add(number)
            yield number


def _reversed_bits(number: int, bits: int) -> int:
    return int(f"{number:0{bits}b}"[::-1], 2)


def _cut_bytes(split: Split, recipe: Recipe, stem: str) -> SamplePiece:
    """The first decompressed bytes of a split, up to the end of a record."""
    from tamis.transforms.read.decompress import ByteStream, WrongChecksum

    start = time.thread_time()
    with storage.open_binary(split.uri) as file:
        stream = ByteStream(file, split.uri, split.start, split.stop)
        head = more = b""
        with suppress(WrongChecksum):  # a run rejects what it covers
            head = stream.read(PIECE_BYTES)
            more = stream.read(LOOKAHEAD_BYTES)
        length = len(head) + len(more)
        ended = length < PIECE_BYTES + LOOKAHEAD_BYTES
        # Readers read ahead, so `length` is exact if the file is not compressed.
        stored = split.size if ended else min(max(file.tell() - split.start, 1), length, split.size)
    seconds = time.thread_time() - start
    if split.format == "text" and recipe.input.text_unit == "file":
        head += more
    elif more and split.format == "json":
        head = head[: head.rfind(b"}") + 1] + b"]" * head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
    elif more:
        mark = b"\r\n\r\nWARC/" if split.format in ("warc", "wet") else b"\n"
        head = head[: head.rfind(mark) + (4 if len(mark) > 1 else 1)] or head
    if split.start and split.format not in ("warc", "wet"):
        head = head[head.find(b"\n") + 1 :]  # the first line began in the split before
    path = f"{stem}.{'txt' if split.format == 'text' else split.format}"
    Path(path).write_bytes(head)
    factor = length / max(len(head), 1) * split.size / max(stored, 1)
    return SamplePiece(path, split.size, factor, len(head), seconds * len(head) / max(length, 1))


def _cut_rows(split: Split, recipe: Recipe, stem: str) -> SamplePiece:
    """The first rows of a Parquet split, with the same columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = f"{stem}.parquet"
    with storage.open_binary(split.uri) as file:
        try:
            parquet = pq.ParquetFile(file)
        except (OSError, ValueError):  # a run rejects the whole file
            Path(path).write_bytes(b"PAR1")
            return SamplePiece(path, split.size, 1.0, 4, 0.0)
        last = parquet.num_row_groups if split.stop < 0 else split.stop
        groups = [parquet.metadata.row_group(number) for number in range(split.start, last)]
        rows = sum(group.num_rows for group in groups)
        row_bytes = sum(group.total_byte_size for group in groups) / max(rows, 1)
        limit = max(1, int(PIECE_BYTES / max(row_bytes, 1)))
        copied = 0
        # Of a damaged row group a run rejects the rest.
        with pq.ParquetWriter(path, parquet.schema_arrow) as writer, suppress(pa.ArrowException, OSError):
            for batch in parquet.iter_batches(min(limit, 8192), range(split.start, last), use_threads=False):
                writer.write_batch(batch)
                copied += batch.num_rows
                if copied >= limit:
                    break
    return SamplePiece(path, split.size, rows / max(copied, 1), int(copied * row_bytes), 0.0)
