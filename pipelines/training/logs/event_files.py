"""Scalars of TensorBoard's event files: records of a length, its checksum, an `Event` of protocol buffers, its checksum.

Read without TensorBoard, which needs 180 MB. Checksums are not compared. Formats: tensorflow's record_writer.h,
event.proto, summary.proto and tensor.proto.
"""

import struct
from collections.abc import Iterator
from typing import Final

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError

_NAME: Final = "events.out.tfevents."

_STEP, _SUMMARY, _VALUE = 2, 5, 1  # of an Event, and the repeated field of its Summary
_TAG, _SIMPLE, _TENSOR = 1, 2, 8  # of a Value
_CONTENT, _FLOATS, _DOUBLES = 4, 5, 6  # of a tensor


def event_files(path: str) -> list[str]:
    """The event files that a path names: itself, or those in a folder, in the order of the times in their names."""
    if _NAME in path.rsplit("/", 1)[-1]:
        return [path] if storage.exists(path) else []
    return [storage.join(path, name) for name in sorted(storage.names(path)) if name.startswith(_NAME)]


def read_events(path: str) -> Iterator[dict[str, float]]:
    """The scalars by tag, with their `step`, in the order of the file; those of a step that follow each other are one
    row. A record that is not finished ends the file. Raises RunError for what is no event file."""
    row: dict[str, float] = {}
    for step, tag, value in _scalars(path, storage.read_bytes(path)):
        if row and row["step"] != step:
            yield row
            row = {}
        row |= {"step": step, tag: value}
    if row:
        yield row


def _scalars(path: str, file: bytes) -> Iterator[tuple[int, str, float]]:
    place = 0
    while place + 12 <= len(file):
        (length,) = struct.unpack_from("<Q", file, place)
        if place + 16 + length > len(file):
            return
        try:
            yield from _event(file[place + 12 : place + 12 + length])
        except (IndexError, struct.error, UnicodeDecodeError):
            raise RunError(f"{path}: byte {place:,} begins no event of TensorBoard") from None
        place += 16 + length


def _event(record: bytes) -> Iterator[tuple[int, str, float]]:
    step, summaries = 0, []
    for number, field in _fields(record):
        if number == _STEP and isinstance(field, int):
            step = field
        elif number == _SUMMARY and isinstance(field, bytes):
            summaries.append(field)
    for summary in summaries:
        for number, field in _fields(summary):
            if number == _VALUE and isinstance(field, bytes):
                tag, value = _value(field)
                if value is not None:
                    yield step, tag, value


def _value(message: bytes) -> tuple[str, float | None]:
    tag, value = "", None
    for number, field in _fields(message):
        if isinstance(field, bytes):
            if number == _TAG:
                tag = field.decode()
            elif number == _SIMPLE and len(field) == 4:
                (value,) = struct.unpack("<f", field)
            elif number == _TENSOR:
                value = _scalar_tensor(field)
    return tag, value


def _scalar_tensor(message: bytes) -> float | None:
    """The number in a tensor of one float or double; None for other tensors."""
    for number, field in _fields(message):
        if number in (_CONTENT, _FLOATS, _DOUBLES) and isinstance(field, bytes) and len(field) in (4, 8):
            double = len(field) == 8
            return float(struct.unpack("<d" if double else "<f", field)[0])
    return None


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of the fields of a message: integers, or the bytes of anything else."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
            size, place = _varint(message, place)
        if place + size > len(message):
            raise IndexError(place)
        yield key >> 3, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128:
            return value, place
