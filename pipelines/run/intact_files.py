"""Tells which files of a run still have the bytes that were recorded, without reading all of them.

Beside each checksum that was right, `.state/checked.parquet` remembers the version of the file: its
size, times and inode on a disk, its tag in a store. A file of that version is not read again.
"""

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.transforms import storage
from tamis.transforms.core.manifest import File

_CHECKED = (".state", "checked.parquet")
_SCHEMA = pa.schema([("path", pa.string()), ("version", pa.string()), ("sha256", pa.string())])


class IntactFiles:
    """The files in some folders of a run, as they are now.

    In a store, a file of the right size that was never checked counts as intact: a store shows no
    file before it is complete. A disk may tear one when the power fails.
    """

    def __init__(self, run: str, folders: Sequence[str]) -> None:
        self._run = run
        self._listed = tuple(f"{folder}/" for folder in folders)
        self._trusted = storage.local_path(run) is None
        self._entries = {
            f"{folder}/{path}": entry for folder in folders for path, entry in storage.files(storage.join(run, folder)).items()
        }
        self._before = _read(run)
        self._checked = dict(self._before)

    def __contains__(self, file: File) -> bool:
        """Whether the file has its size and its SHA-256."""
        entry = self._entries.get(file.path)
        if entry is None or entry.size != file.bytes:
            return False
        if self._checked.get(file.path) == (entry.version, file.sha256):
            return True
        trusted = self._trusted and file.path not in self._checked
        if not trusted and storage.sha256(storage.join(self._run, file.path)) != file.sha256:
            return False
        self._checked[file.path] = (entry.version, file.sha256)
        return True

    def trust(self, files: Iterable[File]) -> None:
        """Takes files for intact without reading them: their checksums were made as they were
        written."""
        for file in files:
            entry = self._entries.get(file.path)
            if entry is not None and entry.size == file.bytes:
                self._checked[file.path] = (entry.version, file.sha256)

    def save(self) -> None:
        """Remembers the versions of all files that were found intact, if there is one more, and
        forgets files that are gone."""
        if self._checked == self._before:
            return
        elsewhere = {path: known for path, known in self._checked.items() if not path.startswith(self._listed)}
        known = elsewhere | {path: self._checked[path] for path in self._checked.keys() & self._entries.keys()}
        rows = [(path, *known[path]) for path in sorted(known)]
        columns = zip(*rows, strict=True) if rows else ((), (), ())
        table = pa.table(list(map(pa.array, map(list, columns), [field.type for field in _SCHEMA])), schema=_SCHEMA)
        with storage.commit(storage.join(self._run, *_CHECKED)) as sink:
            pq.write_table(table, sink, compression="zstd")


def _read(run: str) -> dict[str, tuple[str, str]]:
    uri = storage.join(run, *_CHECKED)
    if not storage.exists(uri):
        return {}
    try:
        with storage.open_binary(uri) as file:
            columns = pq.read_table(file, use_threads=False).to_pydict()
    except (pa.ArrowException, OSError):
        return {}  # torn when the power failed: every file is read again
    return {path: (version, sha) for path, version, sha in zip(*columns.values(), strict=True)}
