"""Tombstones: the documents that were taken down, by which no later release of the run keeps them.

`tombstones.parquet` in the run directory has a row for each. A document falls under it by its id in
the input, by the hash of its text as it was rated, or by the hash of its other fields (its record).
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError, damage

FILE = "tombstones.parquet"
TAKEDOWN = "takedown"
"""The reason of the documents."""

SCHEMA = pa.schema(
    [
        pa.field("release", pa.int64(), nullable=False),  # the patch without the document
        pa.field("day", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),  # as it was given; may be empty
        pa.field("document", pa.string(), nullable=False),  # its id in the release, which may have a number
        pa.field("cause", pa.string(), nullable=False),  # why it was taken, as "near copy of doc-7, Jaccard 0.9123"
        pa.field("id", pa.string()),  # null: documents that stay have this id, too
        pa.field("text_hash_0", pa.uint64()),  # null: it has no text
        pa.field("text_hash_1", pa.uint64()),
        pa.field("record_hash", pa.uint64()),  # null: its fields do not tell it from others
    ]
)
HASHED = ("id", "text_hash_0", "text_hash_1", "record_hash")
"""The columns of a sketch that are compared."""

_COMPARED = {"id": "the id of ", "text_hash_0": "the text of ", "record_hash": "the record of "}


def read_tombstones(run: str) -> pa.Table:
    """All tombstones of a run; none before its first takedown. Raises RunError if the file is damaged:
    it must not be lost in silence."""
    current = version(run)
    return _read(storage.join(run, FILE), current) if current else SCHEMA.empty_table()


def version(run: str) -> str:
    """What changes with the tombstones of a run; "" before the first."""
    uri = storage.join(run, FILE)
    return storage.entry(uri).version if storage.exists(uri) else ""


def write_tombstones(run: str, new: pa.Table) -> None:
    """Adds the tombstones of a release, in place of those that an attempt at it left."""
    before = read_tombstones(run)
    before = before.filter(pc.invert(pc.is_in(before["release"], value_set=new["release"].unique())))
    with storage.commit(storage.join(run, FILE)) as sink:
        pq.write_table(pa.concat_tables([before, new.cast(SCHEMA)]), sink, compression="zstd", write_page_checksum=True)


def digest(run: str) -> str | None:
    """SHA-256 of the tombstones of a run, None before the first."""
    uri = storage.join(run, FILE)
    return storage.sha256(uri) if storage.exists(uri) else None


def under(tombstones: pa.Table, sketch: Mapping[str, pa.Array]) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """(rows, details) of the documents that fall under a tombstone, from the columns `HASHED` of their
    sketch. Of several tombstones, the first one decides; an id goes before a text, and that before a
    record."""
    first = np.full(len(sketch["id"]), -1)
    how = np.zeros(len(first), np.int64)
    for number, name in enumerate(_COMPARED):
        rows = pa.array(np.flatnonzero(tombstones[name].is_valid()))
        found = pc.index_in(sketch[name], value_set=_plain(tombstones[name]).take(rows))
        place = rows.take(found)
        if name == "text_hash_0":  # the other half has to be the same, too
            same = pc.equal(_plain(tombstones["text_hash_1"]).take(place), sketch["text_hash_1"])
            place = pc.if_else(same.fill_null(False), place, None)
        place = place.fill_null(-1).to_numpy(zero_copy_only=False)
        new = (first < 0) & (place >= 0)
        first[new], how[new] = place[new], number
    matched = np.flatnonzero(first >= 0)
    stones = tombstones.take(pa.array(first[matched]))
    kinds = pa.array(list(_COMPARED.values())).take(pa.array(how[matched]))
    return matched, details(stones, pc.binary_join_element_wise(kinds, _plain(stones["document"]), ""))


def details(tombstones: pa.Table, causes: pa.Array | None = None) -> pa.Array:
    """What decisions say of each tombstone: its release, the day, the cause (by default its own), and
    the reason that was given."""
    given = pc.if_else(pc.equal(tombstones["reason"], ""), "", pc.binary_join_element_wise(" (", tombstones["reason"], ")", ""))
    words = ("release ", tombstones["release"].cast(pa.string()), ", ", tombstones["day"], ": ")
    return _plain(pc.binary_join_element_wise(*words, tombstones["cause"] if causes is None else causes, given, ""))


def problems(run: str, patches: Iterable[tuple[int, int]]) -> list[tuple[str, str]]:
    """What is wrong with the tombstones, as (path, problem). `patches`: (number, documents taken down) of
    the patch releases of the run."""
    try:
        listed = read_tombstones(run)["release"].to_pylist()
    except RunError:
        return [(FILE, "its bytes have changed")]
    return [
        (FILE, f"it does not have the {documents:,} documents that release {number} took down")
        for number, documents in patches
        if listed.count(number) != documents
    ]


@lru_cache(maxsize=2)
def _read(uri: str, _: str) -> pa.Table:
    try:
        with storage.open_binary(uri) as file:
            return pq.ParquetFile(file, page_checksum_verification=True).read(use_threads=False).cast(SCHEMA)
    except (pa.ArrowException, OSError) as error:
        raise RunError(
            f"{uri} is damaged ({damage(error)}). It lists documents that must not come back: restore it from a copy"
        ) from error


def _plain(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
