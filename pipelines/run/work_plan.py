"""Decides what a run has to do: what to rate, what to reuse, which files are stale."""

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
from tamis.transforms.curriculum.training_plan import PLAN_FILE
from tamis.transforms.provenance import release_chain
from tamis.transforms.read.input_options import Split
from tamis.transforms.read.inputs import plan

REPORT, METRICS = "report.html", "metrics.prom"

PARTITION_BYTES = 16 << 20
"""Stored input bytes per partition of an exchange of small columns. Decompressed text may be four
times as large, and its shingles about as large as the text."""

EVEN_PARTITIONS = 128
"""Up to this many partitions, each has `PARTITION_BYTES`. A piece takes 55 µs whatever it holds; in
partitions of 45 MB it has a few hundred rows. Of a billion documents a partition has 300,000, whose
band hashes are 80 MB."""

HISTORY_FILES = (METRICS, release_chain.FOLDER)  # differ between runs with identical results

RUN_FILES = (
    *(MANIFEST, REPORT, PLAN_FILE, "decisions", "data", STATE),
    *("rated", "sketches", "rejects", ".spill", ".progress", ".feed", *HISTORY_FILES),
)
"""What a run directory holds, in the order of deletion: first the files that refer to others."""

_DECIDED_FILES = RUN_FILES[: RUN_FILES.index(STATE) + 1]  # stale once the decisions change

FilesCheck = Callable[[str, Iterable[File]], bool]  # whether files of a run are as recorded


@dataclass(frozen=True)
class PartTask:
    """A split of the input and the part that it becomes. `finished`: the part is rated already."""

    part: Part
    split: Split
    fingerprint: str
    finished: bool

    @property
    def ordinal(self) -> int:
        return self.part.ordinal


@dataclass(frozen=True)
class WorkPlan:
    """The work of a run. `fingerprint` covers everything that can change decisions/ and data/: the
    recipe and every part. `stale_files` are the names in the run directory that must be removed
    first. `stale_training_plan`: plan.json is one of them, so training must be planned again."""

    run: str
    tasks: tuple[PartTask, ...]
    fingerprint: str
    finished_shards: frozenset[int]
    unchanged: bool
    stale_parts: tuple[Part, ...]
    stale_files: tuple[str, ...]
    stale_training_plan: bool

    @property
    def spill(self) -> str:
        return storage.join(self.run, ".spill")

    @property
    def index(self) -> str:
        """Where the workers find the benchmarks' n-grams."""
        return storage.join(self.run, STATE, "benchmarks.arrow")

    @property
    def reused(self) -> int:
        return sum(task.finished for task in self.tasks)

    @property
    def bytes(self) -> int:
        return sum(task.split.size for task in self.tasks)

    @property
    def partitions(self) -> int:
        """Partitions of an exchange: they bound its memory and do not change its result."""
        return partitions(self.bytes)


def partitions(size: int) -> int:
    """The number of partitions for `size` stored bytes of input. Every part sends a piece to every
    partition, so there are parts × partitions pieces, and parts grow with the input. Beyond
    `EVEN_PARTITIONS`, number and size of partitions therefore both grow with its square root."""
    even = -(-size // PARTITION_BYTES)
    return max(2, min(even, math.isqrt(even * EVEN_PARTITIONS)))


def plan_work(recipe: Recipe, run: str, fresh: bool) -> WorkPlan:
    """Compares input and recipe with what the run directory holds (`fresh`: as if it held nothing).
    Raises RunError if the input is missing, NoInput if it is and the recipe allows that."""
    splits = list_input(recipe)
    manifest = None if fresh else storage.read_json(storage.join(run, MANIFEST))
    # A power loss can leave torn files in an unfinished run, but not on an object store.
    check = _have_sizes if manifest is not None or storage.local_path(run) is None else _have_checksums
    tasks, stale_parts = assign_parts(recipe, run, splits, check, fresh)
    current = fingerprint({"decide": recipe.decide_fingerprint, "parts": sorted(task.fingerprint for task in tasks)})
    same = not fresh and _planned_fingerprint(run) == current
    unchanged = same and all(task.finished for task in tasks) and _is_complete(run, manifest)
    stale_files: tuple[str, ...] = RUN_FILES if fresh else () if unchanged else (MANIFEST, REPORT) if same else _DECIDED_FILES
    return WorkPlan(
        run,
        tuple(tasks),
        current,
        _finished_shards(run, current, check) if same else frozenset(),
        unchanged,
        tuple(stale_parts),
        stale_files,
        PLAN_FILE in stale_files and storage.exists(storage.join(run, PLAN_FILE)),
    )


def list_input(recipe: Recipe) -> list[Split]:
    """The splits of the input. Raises as `plan_work`."""
    try:
        splits = plan(recipe.input)
    except (FileNotFoundError, ValueError) as error:
        raise RunError(f"input: {error}") from None
    if not splits and recipe.input.allow_empty:
        raise NoInput(f"no input: there is no file in {', '.join(recipe.input.paths)}")
    return splits


def _have_sizes(run: str, files: Iterable[File]) -> bool:
    try:
        return all(storage.entry(storage.join(run, file.path)).size == file.bytes for file in files)
    except FileNotFoundError:
        return False


def _have_checksums(run: str, files: Iterable[File]) -> bool:
    files = list(files)
    return _have_sizes(run, files) and all(storage.sha256(storage.join(run, file.path)) == file.sha256 for file in files)


def assign_parts(
    recipe: Recipe, run: str, splits: list[Split], check: FilesCheck = _have_sizes, fresh: bool = False
) -> tuple[list[PartTask], list[Part]]:
    """The tasks, and the parts whose splits are gone or changed. Finished parts keep their number,
    new splits get free ones. The largest splits come first, so that workers that take them in turn
    finish at about the same time."""
    by_fingerprint = {fingerprint({"rate": recipe.rate_fingerprint, "split": asdict(split)}): split for split in splits}
    finished: dict[str, Part] = {}
    stale = []
    parts = [] if fresh else [Part(run, ordinal) for ordinal in _part_ordinals(run)]
    part_receipts = [part.receipt() for part in parts]
    with ThreadPoolExecutor() as pool:
        checks = pool.map(lambda receipt: receipt is not None and check(run, receipt.files), part_receipts)
    for part, receipt, intact in zip(parts, part_receipts, checks, strict=True):
        if receipt is not None and intact and receipt.fingerprint in by_fingerprint.keys() - finished.keys():
            finished[receipt.fingerprint] = part
        else:
            stale.append(part)
    used = {part.ordinal for part in finished.values()}
    free = (ordinal for ordinal in range(len(splits) + len(used)) if ordinal not in used)
    tasks = [
        PartTask(finished.get(digest) or Part(run, next(free)), split, digest, digest in finished)
        for digest, split in by_fingerprint.items()
    ]
    return sorted(tasks, key=lambda task: (-task.split.size, task.ordinal)), stale


def _part_ordinals(run: str) -> list[int]:
    folders = (storage.join(run, name) for name in ("rated", "sketches", "rejects"))
    return sorted({part_ordinal(name) for folder in folders for name in storage.names(folder) if name.startswith("part-")})


def part_ordinal(name: str) -> int:
    """The ordinal in the name of a part's file."""
    return int(name.removeprefix("part-").split(".")[0])


def _is_complete(run: str, manifest: Manifest | None) -> bool:
    """Whether a run is finished and its files have their size (`tamis verify` checks all bytes)."""
    if manifest is None or not _have_sizes(run, (File(**file) for file in manifest["files"])):
        return False
    names = [name for name in storage.names(storage.join(run, STATE)) if name.endswith(".json")]
    return all(storage.read_json(storage.join(run, STATE, name)) is not None for name in names)


def plan_uri(run: str) -> str:
    """The file that holds the fingerprint of the last plan."""
    return storage.join(run, STATE, "plan.json")


def _planned_fingerprint(run: str) -> str | None:
    plan = storage.read_json(plan_uri(run))
    return None if plan is None else str(plan["fingerprint"])


def _finished_shards(run: str, fingerprint: str, check: FilesCheck) -> frozenset[int]:
    return frozenset(
        shard.destination for shard in receipts.shards(run) if shard.fingerprint == fingerprint and check(run, [shard.file])
    )
