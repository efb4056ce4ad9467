"""The documents that a run must not contain: by id, or by the host of their address.

`takedown.json` in the run directory lists them. Their text is removed where it was stored, and it
is never stored again, whatever the input holds.
"""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from tamis.transforms import storage
from tamis.transforms.core.documents import hosts
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.json_model import JsonModel
from tamis.transforms.core.parts import EDITS

FILE = "takedown.json"
PURGED = "purged"
"""The reason of the documents."""

PURGED_BYTES = -1
"""The `bytes` of a purged document in a sketch, by which Decide knows it."""

_TEXT_COLUMNS = ("url", "licence", "date", "metadata")
_TEXT_COUNTS = {"chars", "chars_read", "text_hash_0", "text_hash_1", "record_hash"}


class Takedown(JsonModel):
    """Ids as in the input, and hosts, each with its subdomains."""

    ids: list[str] = Field(default_factory=list)
    hosts: list[str] = Field(default_factory=list)

    @property
    def digest(self) -> str:
        """SHA-256 of the list."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def __bool__(self) -> bool:
        return bool(self.ids or self.hosts)

    def extended(self, ids: list[str], hosts: list[str]) -> "Takedown":
        """The list with more ids and hosts."""
        hosts = [host.lower().strip(".") for host in hosts]
        return Takedown(ids=sorted({*self.ids, *ids}), hosts=sorted({*self.hosts, *hosts}))

    def hides(self, line: str) -> bool:
        """Whether a line of rejects/ names something in the list."""
        return any(name in line for name in self.ids) or any(name in line.lower() for name in self.hosts)

    def redacted(self, reject: dict[str, Any]) -> dict[str, Any]:
        """A reject without its excerpt if that, or its error, names something in the list."""
        if not self.hides(f"{reject['excerpt']} {reject['error']}"):
            return reject
        return {**reject, "excerpt": "", "error": "purged"}

    def matches(self, ids: pa.Array, urls: pa.Array) -> npt.NDArray[np.bool_]:
        """Which documents are in the list: bool[n]."""
        matched = pc.is_in(ids, value_set=pa.array(self.ids, ids.type)).to_numpy(zero_copy_only=False)
        if self.hosts:
            host = hosts(urls)
            for name in self.hosts:
                same = pc.or_(pc.equal(host, name), pc.ends_with(host, f".{name}"))
                matched = matched | same.fill_null(False).to_numpy(zero_copy_only=False)
        return np.asarray(matched, np.bool_)


def read_takedown(run: str) -> Takedown:
    """The list of a run; empty if there is none. Raises RunError if it is damaged: it must not be
    lost in silence."""
    uri = storage.join(run, FILE)
    if not storage.exists(uri):
        return Takedown()
    takedown = Takedown.read(uri)
    if takedown is None:
        raise RunError(f"{uri} is damaged. It lists documents that must not come back: restore it from a copy")
    return takedown


def without_texts(batch: pa.RecordBatch, purged: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    """A batch whose purged documents keep their id and source, and no text or other field."""
    mask = pa.array(purged)
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    columns["text"] = pc.if_else(mask, pa.scalar("", columns["text"].type), columns["text"])
    for name in _TEXT_COLUMNS:
        columns[name] = pc.if_else(mask, pa.scalar(None, columns[name].type), columns[name])
    if EDITS in columns:
        columns[EDITS] = pc.if_else(mask, pa.scalar(None, columns[EDITS].type), columns[EDITS])
    return pa.record_batch(list(columns.values()), schema=batch.schema)


def marked(sketch: pa.RecordBatch, purged: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    """A sketch that tells Decide which documents are purged, and nothing about their texts."""
    mask = pa.array(purged)
    columns = dict(zip(sketch.schema.names, sketch.columns, strict=True))
    columns["bytes"] = pc.if_else(mask, pa.scalar(PURGED_BYTES, columns["bytes"].type), columns["bytes"])
    for name in _TEXT_COUNTS & columns.keys():
        columns[name] = pc.if_else(mask, pa.scalar(0, columns[name].type), columns[name])
    if "bands" in columns:
        bands = columns["bands"]
        flat = bands.flatten().to_numpy().reshape(len(bands), -1).copy() if len(bands) else None
        if flat is not None:
            flat[purged] = 0
            columns["bands"] = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), type=bands.type)
    return pa.record_batch(list(columns.values()), schema=sketch.schema)
