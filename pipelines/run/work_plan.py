"""What a run has to do: which splits are new, which parts and shards an earlier attempt finished, what is out of date."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run import receipts
from tamis.pipelines.run.receipts import STATE
from tamis.transforms import storage
from tamis.transforms.core.errors import NoInput, RunError
from tamis.transforms.core.manifest import MANIFEST, File, Manifest
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.parts import Part
from tamis.transforms.curriculum import training_plan as training
from tamis.transforms.decontaminate.ngrams import Contamination
from tamis.transforms.provenance import release_chain
from tamis.transforms.read.input_options import Split
from tamis.transforms.read.inputs import plan

REPORT, METRICS = "report.html", "metrics.prom"

PARTITION_BYTES = 16 << 20
"""Stored input bytes for each partition of an exchange of small columns. Text may be four times that when it is decompressed,
and the shingles of so much text are about as large."""

EVEN_PARTITIONS = 128
"""Up to so many partitions each has `PARTITION_BYTES`. A piece takes 55 µs whatever it holds, and in partitions of 45 MB it has
a few hundred rows. Of a billion documents a partition has 300,000, whose band hashes are 80 MB."""

HISTORY = (METRICS, release_chain.ROOM)
"""What tells when a run was made and after which others: it differs between runs whose results are the same, byte for byte."""

OURS = (
    *(MANIFEST, REPORT, training.PLAN_FILE, "decisions", "data", STATE),
    *("rated", "sketches", "rejects", ".spill", ".progress", ".feed", *HISTORY),
)
"""What a run directory holds, in the order in which it is deleted: first what says that the rest is there. Nothing else is."""


Complete = Callable[[str, Iterable[File]], bool]
"""Whether files of a run are what they should be."""


@dataclass(frozen=True)
class PartTask:
    """One split of the input and the part it becomes."""

    part: Part
    split: Split
    fingerprint: str
    finished: bool

    @property
    def ordinal(self) -> int:
        return self.part.ordinal


@dataclass(frozen=True)
class WorkPlan:
    """The work of a run. `fingerprint` covers everything that can change decisions/ and data/: the recipe and every part.
    `unplanned`: there was a plan.json, of the corpus before, and it is gone: who trained by it must plan again."""

    run: str
    tasks: tuple[PartTask, ...]
    fingerprint: str
    finished_shards: frozenset[int]
    unchanged: bool
    unplanned: bool = False

    @property
    def spill(self) -> str:
        return storage.join(self.run, ".spill")

    @property
    def index(self) -> str:
        """Where the benchmarks' n-grams are saved for the workers."""
        return storage.join(self.run, STATE, "benchmarks.arrow")

    @property
    def reused(self) -> int:
        return sum(work.finished for work in self.tasks)

    @property
    def bytes(self) -> int:
        return sum(work.split.size for work in self.tasks)

    @property
    def partitions(self) -> int:
        """Partitions of an exchange. They bound its memory; the result is the same for any number."""
        return partitions(self.bytes)


def partitions(size: int) -> int:
    """How many partitions `size` stored bytes of input are spread over.

    Every part sends every partition a piece, so the pieces are parts × partitions, and parts grow with the input. Beyond
    `EVEN_PARTITIONS` the partitions therefore grow in number and in size alike, each with the square root of the input.
    """
    even = -(-size // PARTITION_BYTES)
    return max(2, min(even, math.isqrt(even * EVEN_PARTITIONS)))


def make(recipe: Recipe, run: str, fresh: bool) -> WorkPlan:
    """Lists the input, compares it with what the run directory holds and clears what is out of date.

    Raises RunError when the input is missing.
    """
    splits = list_input(recipe)
    training_plan = storage.join(run, training.PLAN_FILE)
    planned_before = storage.exists(training_plan)
    if fresh:
        for name in OURS:
            storage.remove_tree(storage.join(run, name))
    manifest = storage.read_json(storage.join(run, MANIFEST))
    # What an interrupted run left may be torn: a machine lost its power. On a store there is no half of an object.
    complete = _complete if manifest is not None or storage.local_path(run) is None else _intact
    work, stale = assign(recipe, run, splits, complete)
    mark = fingerprint({"decide": recipe.decide_fingerprint, "parts": sorted(item.fingerprint for item in work)})
    current = _state(run)
    unchanged = current == mark and all(item.finished for item in work) and _sound(run, manifest)
    if not unchanged:
        for name in (MANIFEST, REPORT) if current == mark else OURS[: OURS.index(STATE) + 1]:
            storage.remove_tree(storage.join(run, name))
    for part in stale:
        part.remove()
    ordinals = {item.ordinal for item in work}
    for room in ("decisions", STATE):
        for name in storage.names(storage.join(run, room)):
            if name.startswith("part-") and _ordinal(name) not in ordinals:
                storage.remove(storage.join(run, room, name))
    sweep(run)
    storage.remove_tree(storage.join(run, ".spill"))
    if current != mark:
        try:
            storage.write_bytes(storage.join(run, STATE, "plan.json"), json.dumps({"fingerprint": mark}).encode())
        except OSError as error:
            raise RunError(
                f"cannot write the run directory '{run}': {error.strerror or error}. Name another with --output"
            ) from None
    unplanned = planned_before and not storage.exists(training_plan)
    planned = WorkPlan(run, tuple(work), mark, _finished_shards(run, mark, complete), unchanged, unplanned)
    for rater in recipe.raters:
        if isinstance(rater, Contamination) and planned.reused < len(work):
            rater.index.save(planned.index)
    return planned


def _complete(run: str, files: Iterable[File]) -> bool:
    try:
        return all(storage.entry(storage.join(run, file.path)).size == file.bytes for file in files)
    except FileNotFoundError:
        return False


def _intact(run: str, files: Iterable[File]) -> bool:
    """Whether the files are there, to the last byte."""
    files = list(files)
    return _complete(run, files) and all(storage.sha256(storage.join(run, file.path)) == file.sha256 for file in files)


def list_input(recipe: Recipe) -> list[Split]:
    """The splits of the input. Raises RunError when it is missing, and NoInput when it may be and is."""
    try:
        splits = plan(recipe.input)
    except (FileNotFoundError, ValueError) as error:
        raise RunError(f"input: {error}") from None
    if not splits and recipe.input.allow_empty:
        raise NoInput(f"no input: {', '.join(recipe.input.paths)} {'hold' if len(recipe.input.paths) > 1 else 'holds'} no file")
    return splits


def sweep(run: str) -> None:
    """Removes what killed workers left half-written."""
    phases = [f"data/{name}" for name in storage.names(storage.join(run, "data"))]
    for room in ("", "rated", "sketches", "rejects", "decisions", STATE, *phases):
        storage.sweep(storage.join(run, room))


def assign(recipe: Recipe, run: str, splits: list[Split], complete: Complete = _complete) -> tuple[list[PartTask], list[Part]]:
    """The work, and the parts of splits that are gone or changed. Finished parts keep their number, new splits get free ones.

    Largest splits come first, so that workers that take them in turn end at about the same time.
    """
    marks = {fingerprint({"rate": recipe.rate_fingerprint, "split": asdict(split)}): split for split in splits}
    kept: dict[str, Part] = {}
    stale = []
    parts = _parts(run)
    found = [part.receipt() for part in parts]
    with ThreadPoolExecutor() as pool:
        whole = pool.map(lambda receipt: receipt is not None and complete(run, receipt.files), found)
    for part, receipt, sound in zip(parts, found, whole, strict=True):
        if receipt is not None and sound and receipt.fingerprint in marks.keys() - kept.keys():
            kept[receipt.fingerprint] = part
        else:
            stale.append(part)
    taken = {part.ordinal for part in kept.values()}
    free = (ordinal for ordinal in range(len(marks) + len(taken)) if ordinal not in taken)
    work = [PartTask(kept.get(mark) or Part(run, next(free)), split, mark, mark in kept) for mark, split in marks.items()]
    return sorted(work, key=lambda item: (-item.split.size, item.ordinal)), stale


def _parts(run: str) -> list[Part]:
    ordinals = {
        _ordinal(name)
        for room in ("rated", "sketches", "rejects")
        for name in storage.names(storage.join(run, room))
        if name.startswith("part-")
    }
    return [Part(run, ordinal) for ordinal in sorted(ordinals)]


def _ordinal(name: str) -> int:
    return int(name.removeprefix("part-").split(".")[0])


def _sound(run: str, manifest: Manifest | None) -> bool:
    """Whether a run is finished and every file of it is there. `tamis verify` reads them too."""
    if manifest is None or not _complete(run, (File(**file) for file in manifest["files"])):
        return False
    state = [name for name in storage.names(storage.join(run, STATE)) if name.endswith(".json")]
    return all(storage.read_json(storage.join(run, STATE, name)) is not None for name in state)


def _state(run: str) -> str | None:
    found = storage.read_json(storage.join(run, STATE, "plan.json"))
    return None if found is None else str(found["fingerprint"])


def _finished_shards(run: str, mark: str, complete: Complete) -> frozenset[int]:
    return frozenset(
        receipt.destination for receipt in receipts.shards(run) if receipt.fingerprint == mark and complete(run, [receipt.file])
    )


def check_directory(run: str) -> None:
    """Raises RunError when a run cannot lie at `run`: it is a file, or holds something that is not a run."""
    path = storage.local_path(run)
    if path is None or not path.exists():
        return
    if not path.is_dir():
        raise RunError(f"--output '{run}' is a file; name a directory")
    strangers = sorted(entry.name for entry in path.iterdir() if entry.name not in OURS)
    if strangers and not (path / STATE).exists():
        raise RunError(f"--output '{run}' holds other files ({', '.join(strangers[:3])}); name an empty or new directory")
