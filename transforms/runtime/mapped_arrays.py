"""Arrays in a file that processes share: written once, then mapped into memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.runtime import caches

Made = TypeVar("Made")

KEPT = 8
"""Files of each kind in the cache; those used last are kept."""


def save_arrays(uri: str, arrays: Mapping[str, Any]) -> None:
    """Writes numpy arrays, and Arrow arrays of large strings, as an Arrow IPC file of one row, which
    appears only when complete."""
    table = pa.table({name: _one_row(values) for name, values in arrays.items()})
    with storage.commit(uri) as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def map_arrays(uri: str) -> dict[str, Any]:
    """The arrays of a file; processes share the memory of a local one. Raises ValueError for other
    files."""
    path = storage.local_path(uri)
    source = pa.BufferReader(storage.read_bytes(uri)) if path is None else pa.memory_map(str(path))
    try:
        table = pa.ipc.open_file(source).read_all()
        return {name: _from_row(table.column(name).chunk(0)) for name in table.column_names}
    except (KeyError, IndexError, AttributeError, pa.ArrowInvalid) as error:
        raise ValueError(f"{uri}: not a file of arrays: {error}") from error


def cached(
    name: str, key: Callable[[], str], load: Callable[[str], Made], make: Callable[[], Made], save: Callable[[Made, str], None]
) -> Made:
    """What is in the folder `name` of the cache under `key`, which covers all that determines it; else
    what `make` makes, which is saved there, unless `key` has changed meanwhile. Without a writable
    cache, it is made every time."""
    folder = caches.first_writable(caches.candidate_folders(name))
    if folder is None:
        return make()
    before = key()
    path = folder / f"{before}.arrow"
    if path.is_file():
        try:
            loaded = load(str(path))
            path.touch()
            return loaded
        except (OSError, ValueError, TypeError):
            path.unlink(missing_ok=True)
    made = make()
    if key() != before:  # of files that changed while they were read
        return made
    try:
        save(made, str(path))
        for old in sorted(folder.glob("*.arrow"), key=lambda file: file.stat().st_mtime_ns)[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError:  # the disk is full, or another process removed the same file: the next run makes it again
        return made
    return load(str(path)) if path.is_file() else made


def _one_row(column: object) -> pa.Array:
    values = pa.array(column)
    return pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), values)


def _from_row(column: pa.Array) -> Any:
    values = column.values
    return values if pa.types.is_large_string(values.type) else values.to_numpy(zero_copy_only=True)
