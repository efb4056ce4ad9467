"""Small finished runs as `tamis run` leaves them: shards, and the parts of the manifest that loaders read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.transforms import storage
from tamis.transforms.core import documents
from tamis.transforms.core.release import open_release
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.core.shards import Output, write_shard
from tamis.transforms.curriculum.order import Curriculum
from tamis.transforms.curriculum.training_plan import BatchHint, make_plan
from tamis.transforms.provenance import release_chain

WSD = Schedule(peak=3e-3, final=1e-3, decay=0.5)


def tokens_of(texts: Sequence[str]) -> list[int]:
    """Token counts that a run may have, by no tokenizer."""
    return [len(text) // 3 + 1 for text in texts]


def table(texts: Sequence[str], first: int = 0) -> pa.Table:
    """Documents numbered from `first`, as a shard holds them."""
    rows = [
        {"id": f"doc-{number}", "text": text, "source": f"s{number % 3}", "url": None if number % 2 else f"u{number}"}
        for number, text in enumerate(texts, first)
    ]
    documents_table = pa.Table.from_pylist(rows, schema=documents.SCHEMA)
    documents_table = documents_table.append_column("quality", pa.array(np.linspace(0, 1, len(texts), dtype=np.float32)))
    return documents_table.append_column("tokens", pa.array(tokens_of(texts), pa.int64()))


def release(
    folder: Path,
    shards: Sequence[Sequence[str]],
    format: str = "parquet",
    row_group_bytes: int = 200,
    schedule: Schedule = WSD,
    tokenizer: str | None = None,
    sha256: str | None = None,
    counts: Sequence[Sequence[int]] | None = None,
) -> str:
    """A run of these texts, shard by shard. The names of its phases are not in alphabetical order."""
    output = Output.model_validate({"format": format, "row_group_bytes": row_group_bytes})
    entries, files = [], []
    number = first = 0
    for index, texts in enumerate(shards):
        phase = "web" if index < (len(shards) + 1) // 2 else "best"
        path = f"releases/000001/data/{phase}/shard-{index:05d}{output.suffix}"
        rows = table(texts, number)
        if counts is not None:
            rows = rows.set_column(rows.schema.get_field_index("tokens"), "tokens", pa.array(counts[index], pa.int64()))
        written = write_shard(rows, str(folder / path), output)
        tokens = sum(rows["tokens"].to_pylist())
        entry = {"path": path, "phase": phase, "documents": len(texts), "first_token": first, "tokens": tokens}
        entries.append(entry | {"lr_min": schedule.final, "lr_max": schedule.peak})
        files.append({"path": path, "bytes": written.bytes, "sha256": written.sha256})
        number, first = number + len(texts), first + tokens
    manifest: dict[str, Any] = {
        "tokenizer": None if tokenizer is None else {"name": tokenizer, "sha256": sha256},
        "curriculum": Curriculum(schedule=schedule).model_dump(mode="json") | {"tokens": first, "shards": entries},
        "files": files,
        "corpus_root": "ab" * 32,
        "fingerprint": "c0ffee",
    }
    write_manifest(str(folder), manifest)
    return str(folder)


def write_manifest(run: str, manifest: dict[str, Any]) -> None:
    """Writes the two copies of the manifest of the first release, and its record."""
    counts = dict.fromkeys(("records", "kept", "dropped", "review", "rejected"), 0)
    counts |= {"reasons": [], "sources": {}, "tokens": {"kept": 0}}
    others = {"tamis": "1", "release": 1, "recipe": {}, "counts": counts, "inputs": [], "environment": {}}
    content = json.dumps(others | {"release_root": "cd" * 32} | manifest).encode()
    for path in ("manifest.json", "releases/000001/manifest.json"):
        storage.write_bytes(f"{run}/{path}", content)
    release_chain.record(open_release(run), content)


def write_plan(run: str, schedule: Schedule | None = None, hints: Sequence[BatchHint] = ()) -> None:
    """Writes the training plan of a release as `tamis run` does, with these hints."""
    release = open_release(run)
    plan = make_plan(release.manifest, schedule).model_copy(update={"batch_hints": tuple(hints)})
    storage.write_bytes(release.uri("plan.json"), plan.model_dump_json().encode())
