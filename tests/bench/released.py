"""Measures what an index of released documents costs to make, to add 1 % to, and to keep, by the number of documents.

    python -m tests.bench.released FOLDER 1250000 5000000 20000000

For each number it makes an index of so many generated documents of 24 words, with 14 bands of generated hashes each, as a
release does. Then 1 % more come: half are new, a quarter have a released text, and a quarter share all bands with a released
document but differ from it in a word. They are looked up, and the new ones become an index of their own. It prints processor
seconds, megabytes, and how many documents were found. Each step runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from tamis.transforms.beam.exchange import PartState
from tamis.transforms.core.documents import doc_refs
from tamis.transforms.dedup.minhash import MinHash
from tamis.transforms.dedup.released.find_released import STEP, FindReleased
from tamis.transforms.dedup.released.index_files import near_settings
from tamis.transforms.dedup.released.open_indices import open_indices
from tamis.transforms.dedup.released.write_index import WriteIndex
from tamis.transforms.text.hashing import hash128, mix
from tamis.transforms.text.words import DEFAULT_WORDS

OPTIONS = MinHash()
PART, CHUNK, WORDS = 250_000, 50_000, 24


@dataclass(frozen=True)
class Generated:
    """Documents `first` to `first + count`, which differ in a word from those of these numbers if they are `edited`."""

    first: int
    count: int
    edited: bool = False

    def texts(self, rows: npt.NDArray[np.int64]) -> pa.LargeStringArray:
        numbers = (self.first + rows).astype(np.uint64)[:, None] * np.uint64(WORDS) + np.arange(WORDS, dtype=np.uint64)
        letters = mix(numbers.ravel(), 1)[:, None] >> np.arange(0, 28, 4, dtype=np.uint64) & np.uint64(15)
        text = np.frombuffer(b"abcdefghiklmnopr", np.uint8)[letters.astype(np.intp)]
        text[:, 6] = ord(" ")
        if self.edited:
            text.reshape(len(rows), WORDS, 7)[:, -1, :6] = ord("z")
        offsets = np.arange(len(rows) + 1) * 7 * WORDS
        return pa.LargeStringArray.from_buffers(len(rows), pa.py_buffer(offsets), pa.py_buffer(text))


def rows(part_state: PartState) -> pa.RecordBatch:
    """The columns that the transforms read, with bands made of the number of the document."""
    documents = part_state.handle
    assert isinstance(documents, Generated)
    place = np.arange(documents.count)
    hashes = np.concatenate([hash128(text) for _, text in texts(part_state, place)])
    numbers = (documents.first + place).astype(np.uint64)
    bands = mix(
        np.repeat(numbers, OPTIONS.bands) * np.uint64(OPTIONS.bands) + np.tile(place[:14].astype(np.uint64), len(place)), 2
    )
    return pa.record_batch(
        {
            "doc_ref": doc_refs(part_state.part, documents.count),
            "id": pa.array(np.char.add("crawl-", numbers.astype("U10")).astype(object), pa.string()),
            "text_hash_0": np.ascontiguousarray(hashes[:, 0]),
            "text_hash_1": np.ascontiguousarray(hashes[:, 1]),
            "bands": pa.FixedSizeListArray.from_arrays(pa.array(bands), OPTIONS.bands),
        }
    )


def texts(part_state: PartState, wanted: npt.NDArray[np.int64]) -> Iterator[tuple[npt.NDArray[np.int64], pa.Array]]:
    """The texts of a part, some at a time."""
    for start in range(0, len(wanted), CHUNK):
        yield wanted[start : start + CHUNK], part_state.handle.texts(wanted[start : start + CHUNK])  # type: ignore[attr-defined]


def parts(*groups: Generated) -> list[PartState]:
    """Parts of at most `PART` documents."""
    cut = [
        Generated(start, min(PART, group.first + group.count - start), group.edited)
        for group in groups
        for start in range(group.first, group.first + group.count, PART)
    ]
    return [PartState(ordinal, documents) for ordinal, documents in enumerate(cut)]


def run(
    states: list[PartState], transform: beam.PTransform, use: Callable[[PartState], None] | None = None
) -> dict[str, float]:
    """Processor seconds of a transform, after which `use` sees its part states, and peak memory."""
    start = time.process_time()
    with beam.Pipeline(FnApiRunner()) as pipeline:
        out = pipeline | beam.Create(states, reshuffle=False) | transform
        if use is not None:
            _ = out | beam.Map(use)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return {"seconds": round(time.process_time() - start, 1), "peak MB": peak}


def write(folder: Path, name: str, states: list[PartState]) -> dict[str, float]:
    """Makes an index."""
    spill = folder / "spill"
    measured = run(states, WriteIndex(OPTIONS, DEFAULT_WORDS, (), rows, texts, str(folder / name), str(spill)))
    size = sum(path.stat().st_size for path in (folder / name).iterdir())
    shutil.rmtree(spill)
    return measured | {"MB": round(size / 1e6, 1)}


def look_up(folder: Path, states: list[PartState]) -> dict[str, float]:
    """Looks documents up in the large index."""
    segments = open_indices([str(folder / "large")], near_settings(OPTIONS, DEFAULT_WORDS))
    (folder / "spill").mkdir()
    find = FindReleased(segments, OPTIONS, DEFAULT_WORDS, rows, texts, str(folder / "spill"), 16)
    measured = run(states, find, _count)
    shutil.rmtree(folder / "spill")
    return measured | {"found": sum(_found)}


_found: list[int] = []


def _count(part_state: PartState) -> None:
    results = part_state.result(STEP)
    _found.append(0 if results is None else len(results))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="a new folder on the disk to measure")
    parser.add_argument("documents", type=int, nargs="+")
    parser.add_argument("--step", choices=["make", "look up", "add"], help="do this one: how the program calls itself")
    options = parser.parse_args()
    for documents in options.documents:
        more = documents // 100
        if options.step == "make":
            print(json.dumps(write(options.folder, "large", parts(Generated(0, documents)))))
        elif options.step == "look up":
            new, same = Generated(documents, more // 2), Generated(7, more // 4)
            print(json.dumps(look_up(options.folder, parts(new, same, Generated(documents // 2, more // 4, True)))))
        elif options.step == "add":
            print(json.dumps(write(options.folder, "small", parts(Generated(documents, more // 2)))))
        else:
            for step in ("make", "look up", "add"):
                # Not as __main__, which Beam would copy, and its list with it.
                program = [sys.executable, "-c", "from tests.bench.released import main; main()"]
                again = [*program, str(options.folder), str(documents), "--step", step]
                done = subprocess.run(again, stdout=subprocess.PIPE, text=True, check=True)
                print(f"{documents:>12,}  {step:8}  {done.stdout.strip()}", flush=True)
            shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
