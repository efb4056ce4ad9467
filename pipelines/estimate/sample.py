"""Copies a sample of the input into files of the same formats: windows that are spread over its bytes.

Every record has about the same chance to be in the sample, wherever it is and however long: it is
in if it begins in a window. Windows lie in all large splits, and in some of the small ones.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.work_plan import is_compressed
from tamis.transforms import storage
from tamis.transforms.read.decompress import ByteStream, WrongChecksum, is_plain
from tamis.transforms.read.input_options import AUTO, COMPRESSION_RATIO, PYTHON_ENV, Input, Split
from tamis.transforms.text.hashing import mix

SAMPLE_BYTES = 16 << 20  # decompressed; about what the sample has
SMALL_BYTES = 48 << 20  # of an input of so many bytes, it has this share, and at least so many
SMALL_SHARE, SMALL_SAMPLE_BYTES = 0.25, 4 << 20
WHOLE_BYTES = 6 << 20  # an input of so many bytes is its own sample
WINDOW_BYTES = 64 << 10  # decompressed
_SPLITS = 64  # that are opened, or as many as the sample needs if they are small
_BLOCK = 1 << 20
_TAIL = 64 << 10
_BATCH_ROWS = 4096
_ENDLESS = 1 << 62
_MARKS = dict.fromkeys(("jsonl", "text"), (b"\n", 1)) | dict.fromkeys(("warc", "wet"), (b"\r\n\r\nWARC/", 4))
"""What is between two records, and how much of it belongs to the first."""


@dataclass(frozen=True)
class SamplePiece:
    """Windows of a split, in a file of their own. `size`: stored bytes of the split. `factor`:
    documents of the input for each document of the piece. `read`: bytes of the split that were read,
    in `seconds`."""

    uri: str
    size: int
    factor: float
    read: int
    seconds: float


@dataclass(frozen=True)
class _Copy:
    """What was copied of a split, as a share of it; `uri` is empty if nothing was."""

    uri: str
    size: int
    share: float
    read: int = 0
    seconds: float = 0.0


def sample(splits: Sequence[Split], recipe: Recipe, folder: str, size: int | None = None) -> list[SamplePiece]:
    """A sample of the splits, which are sorted by place; all of a small input. `size`: decompressed
    bytes of the sample, about; by default as many as a rehearsal pays for."""
    units = _units(splits)
    share = _share(units) if size is None else min(1.0, size / max(_text_bytes(units), 1))
    least = sum(unit.size for unit in units) / _SPLITS
    strata = defaultdict(list)
    for unit in units:
        strata[unit.format if _is_whole(unit, recipe) else "", unit.size >= least].append(unit)
    pieces: list[SamplePiece] = []
    for (whole, large), stratum in strata.items():
        opened = 1.0 if large and not whole else min(1.0, max(_SPLITS / len(stratum), share))
        weight = [1 if whole == "text" else unit.size for unit in stratum]  # each file is a document
        copies: list[_Copy] = []
        copied = 0.0
        for number in spread(len(stratum), opened):
            stem = _stem(stratum[number], folder, len(pieces) + len(copies))
            copies.append(_copy(stratum[number], recipe, stem, 1.0 if whole else share / opened))
            copied += copies[-1].share * weight[number]
        factor = sum(weight) / copied if copied else 0.0
        pieces += [SamplePiece(copy.uri, copy.size, factor, copy.read, copy.seconds) for copy in copies if copy.uri]
    return pieces


def sampled_input(options: Input, pieces: Sequence[SamplePiece]) -> Input:
    """The options that read the pieces of a sample as the input is read."""
    # A sampled distribution must not yield more than it does as one of many.
    harvest = sum(piece.size for piece in pieces if piece.uri.startswith(PYTHON_ENV)) or options.harvest_bytes
    paths = tuple(piece.uri for piece in pieces)
    return options.model_copy(update={"paths": paths, "format": AUTO, "harvest_bytes": harvest})


def is_small(splits: Sequence[Split]) -> bool:
    """Whether the splits are so small that a rehearsal of one document would take longer than theirs."""
    return _text_bytes(splits) <= SMALL_BYTES


def _share(units: Sequence[Split]) -> float:
    size = _text_bytes(units)
    if size <= WHOLE_BYTES:
        return 1.0
    return max(SMALL_SHARE, SMALL_SAMPLE_BYTES / size) if size <= SMALL_BYTES else SAMPLE_BYTES / size


def _text_bytes(splits: Sequence[Split]) -> int:
    return sum(split.size * (COMPRESSION_RATIO if is_compressed(split) else 1) for split in splits)


def spread(count: int, share: float) -> Iterator[int]:
    """A share of the numbers below `count`, one at a hashed place in each stretch of 1 / share."""
    yield from (int(start) for start, _ in windows(count, 1, share))


def windows(length: float, width: float, share: float) -> Iterator[tuple[float, float]]:
    """Starts and ends of windows that cover a share of a length, one at a hashed place in each stretch."""
    if share >= 1:
        width, share = (1, 1) if width == 1 else (length, 1)
    step, number = width / share, 0
    while (start := number * step + _fraction(number) * (step - width)) < length:
        yield start, min(start + width, length)
        number += 1


def _fraction(number: int) -> float:
    return int(mix(np.array([number], np.uint64), 0)[0]) / 2**64


def _units(splits: Sequence[Split]) -> list[Split]:
    """The splits; those of one Python distribution as one, since it is read as a whole."""
    units: dict[object, Split] = {}
    for split in splits:
        key: object = split.uri if split.format == PYTHON_ENV else (split.uri, split.start)
        units[key] = replace(units[key], size=units[key].size + split.size) if key in units else split
    return list(units.values())


def _is_whole(split: Split, recipe: Recipe) -> bool:
    """Whether a split is copied as a whole: it is one document, or no file."""
    return split.format == PYTHON_ENV or (split.format == "text" and recipe.input.text_unit == "file")


def _stem(split: Split, folder: str, number: int) -> str:
    """The path of a piece without its suffix. The folders of a path may be columns (`lang=en/…`)."""
    columns = [name for name in split.uri.split("/")[:-1] if "=" in name]
    Path(folder, *columns).mkdir(parents=True, exist_ok=True)
    return "/".join([folder, *columns, f"piece-{number:06d}"])


def _copy(split: Split, recipe: Recipe, stem: str, share: float) -> _Copy:
    if split.format == PYTHON_ENV or (share >= 1 and not split.start and split.stop < 0 and recipe.input.format == AUTO):
        return _Copy(split.uri, split.size, 1.0)  # needs no copy
    return (_copy_rows if split.format == "parquet" else _copy_bytes)(split, stem, share)


class _Stream:
    """The decompressed bytes of a split and what follows it. `end`: where the split ends, once that is
    known. A compressed one is read from front to back."""

    def __init__(self, file: BinaryIO, split: Split) -> None:
        self._file, self.plain = file, is_plain(file, split.uri)
        self._first, self._buffer = split.start, b""
        self.offset = self.read = 0
        self.end: int | None = None
        if self.plain:
            self.end = (file.seek(0, 2) if split.stop < 0 else split.stop) - split.start
            file.seek(split.start)
        elif file.seekable():
            file.seek(0)
        self._stream = ByteStream(file, split.uri, split.start, split.stop)

    def length(self) -> int:
        """The length of the split, for which a compressed one is read to its end."""
        while self.end is None and self.take(_BLOCK):
            pass
        return self.offset if self.end is None else self.end

    def advance(self, offset: int) -> None:
        """Goes to this place, or to the end; in a compressed split, not back."""
        if self.plain:
            self._file.seek(self._first + offset)
            self._buffer, self.offset = b"", offset
        while self.offset < offset and self.take(min(offset - self.offset, _BLOCK)):
            pass

    def take(self, size: int) -> bytes:
        """The next bytes, at most so many; none at the end, or at damage."""
        if not self._buffer:
            if self.plain:
                self._buffer = self._file.read(size)
            else:
                with suppress(WrongChecksum):  # a run rejects what it covers
                    self._buffer = next(iter(self._stream), b"")
                self.end = self._stream.end
            self.read += len(self._buffer)
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        self.offset += len(data)
        return data

    def untake(self, data: bytes) -> None:
        """Puts back the bytes that were taken last."""
        self._buffer = data + self._buffer
        self.offset -= len(data)


def _copy_bytes(split: Split, stem: str, share: float) -> _Copy:
    """The records that begin in windows. Of a format whose records cannot be found from within, those
    at the beginning of the split."""
    path = f"{stem}.{'txt' if split.format == 'text' else split.format}"
    begun = time.thread_time()
    covered = written = 0
    with storage.open_binary(split.uri) as file, open(path, "wb") as piece:
        stream = _Stream(file, split)
        if split.format in _MARKS:
            for start, stop in windows(_ENDLESS if stream.end is None else stream.end, WINDOW_BYTES, share):
                width, records = _records(stream, int(start), int(stop), split)
                covered += width
                written += piece.write(records)
                if width < int(stop) - int(start):
                    break
        else:
            records = _head(stream, split, share)
            covered, written = len(records), piece.write(records)
        length = stream.length()
    share = min(covered / max(length, 1), 1.0)
    return _Copy(path if written else "", split.size, share, stream.read, time.thread_time() - begun)


def _records(stream: _Stream, start: int, stop: int, split: Split) -> tuple[int, bytes]:
    """The records that begin in a window, the last one as a whole, and the bytes of the window that
    the split has."""
    mark, kept = _MARKS[split.format]
    stream.advance(start)
    origin, data = stream.offset, bytearray()  # after `start`, if the last record of the window before ends there
    while origin + len(data) < (stop if stream.end is None else min(stop, stream.end)):
        block = stream.take(min(stop - origin - len(data), _BLOCK))
        if not block:
            break
        data += block
    stop = min(stop, origin + len(data) if stream.end is None or stream.end > origin + len(data) else stream.end)
    width, begin = stop - origin, 0
    if width <= 0:  # the split ends before, or the record before goes on
        return max(stop - start, 0), b""
    if origin == start and (start or (split.start and kept == 1)):  # the record before began outside
        data += stream.take(len(mark) - 1)
        found = data.find(mark, 0, width + len(mark) - 1)
        if found < 0:
            stream.untake(bytes(data[width:]))
            return stop - start, b""
        begin = found + kept
    searched = width
    while (end := data.find(mark, searched)) < 0:
        searched = max(width, len(data) - len(mark) + 1)
        block = stream.take(_TAIL)
        if not block:
            return stop - start, bytes(data[begin:])
        data += block
    stream.untake(bytes(data[end + kept :]))
    return stop - start, bytes(data[begin : end + kept])


def _head(stream: _Stream, split: Split, share: float) -> bytes:
    size = max(WINDOW_BYTES, int(share * split.size * (COMPRESSION_RATIO if is_compressed(split) else 1)))
    data = bytearray()
    while len(data) < size and (block := stream.take(_BLOCK)):
        data += block
    if not stream.take(1):
        return bytes(data)
    if split.format == "json":
        return bytes(data[: data.rfind(b"}") + 1]) + b"]" * data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
    return bytes(data[: data.rfind(b"\n") + 1] or data)


def _copy_rows(split: Split, stem: str, share: float) -> _Copy:
    """The rows of a Parquet split in windows, with the same columns. Row groups without are not read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, begun = f"{stem}.parquet", time.thread_time()
    with storage.open_binary(split.uri) as file:
        try:
            parquet = pq.ParquetFile(file)
        except (OSError, ValueError):  # a run rejects the whole file
            Path(path).write_bytes(b"PAR1")
            return _Copy(path, split.size, 1.0)
        last = parquet.num_row_groups if split.stop < 0 else split.stop
        groups = range(split.start, last)
        end = np.cumsum([parquet.metadata.row_group(number).num_rows for number in groups])
        rows, size = int(end[-1]) if len(end) else 0, sum(parquet.metadata.row_group(n).total_byte_size for n in groups)
        ranges = [(int(a), int(b)) for a, b in windows(rows, max(1, WINDOW_BYTES * rows // max(size, 1)), share)]
        copied: list[pa.RecordBatch] = []
        read = 0
        for number, stop in zip(groups, end.tolist(), strict=True):
            row = stop - parquet.metadata.row_group(number).num_rows
            inside = [(max(a, row), min(b, stop)) for a, b in ranges if a < stop and b > row]
            if not inside:
                continue
            read += parquet.metadata.row_group(number).total_byte_size
            # Of a damaged row group a run rejects the rest.
            with suppress(pa.ArrowException, OSError):
                for batch in parquet.iter_batches(_BATCH_ROWS, [number], use_threads=False):
                    copied += [
                        batch.slice(max(a - row, 0), min(b - row, len(batch)) - max(a - row, 0))
                        for a, b in inside
                        if a < row + len(batch) and b > row
                    ]
                    row += len(batch)
        pq.write_table(pa.Table.from_batches(copied, parquet.schema_arrow), path)
    covered = sum(b - a for a, b in ranges) / max(rows, 1)
    return _Copy(path if copied else "", split.size, covered, read, time.thread_time() - begun)
