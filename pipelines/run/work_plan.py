"""Decides what a run has to do: what to rate, what to reuse, which release it makes."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run import receipts
from tamis.pipelines.run.intact_files import IntactFiles
from tamis.pipelines.starter.starter import absent_fields, likely_text
from tamis.transforms import storage
from tamis.transforms.core.errors import NoInput, RunError
from tamis.transforms.core.manifest import File
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.parts import Part, PartReceipt
from tamis.transforms.core.release import RELEASES, Release, numbers, open_release, parse_name, release_folder
from tamis.transforms.provenance import tombstones
from tamis.transforms.provenance.takedown import read_takedown
from tamis.transforms.read.batch_builder import printable
from tamis.transforms.read.input_options import COMPRESSION_RATIO, Split, UnreadFile
from tamis.transforms.read.inputs import WITH_FIELDS, Beginning, plan, read_beginning
from tamis.transforms.runtime.credentials import redact

REPORT, METRICS = "report.html", "metrics.prom"
MEND = ".mend"
"""The folder in which the damaged files of a release are made again, before they are compared."""

PARTITION_BYTES = 16 << 20
"""Stored input bytes per partition of an exchange of small columns. Decompressed text may be four
times as large, and its shingles about as large as the text."""

EVEN_PARTITIONS = 128
"""Up to this many partitions, each has `PARTITION_BYTES`. A piece takes 55 µs whatever it holds; in
partitions of 45 MB it has a few hundred rows. Of a billion documents a partition has 300,000, whose
band hashes are 80 MB."""

_ERROR_CHARACTERS = 400
"""Of the names of fields, which the input chooses."""

SMALL_BYTES, FEW_SPLITS = 1 << 20, 32
"""Beyond this number, splits of fewer stored bytes share parts: a part costs four files and some
milliseconds, which is more than reading a few documents takes."""

GROUP_BYTES, GROUP_SPLITS = 4 << 20, 256
"""Stored bytes and number of the small splits in one part, about. There are at least four parts of
them, for workers to share."""


@dataclass(frozen=True)
class PartTask:
    """Splits of the input that are rated together, with a fingerprint of each. `name` is that of
    the parts they become, without their number; `parts` are those that exist, if they are intact
    and complete. `ordinal` numbers the tasks of a plan."""

    run: str
    name: str
    fingerprint: str
    splits: tuple[Split, ...]
    digests: tuple[str, ...]
    parts: tuple[Part, ...] = ()
    ordinal: int = 0

    @property
    def size(self) -> int:
        return sum(split.size for split in self.splits)

    @property
    def finished(self) -> bool:
        return bool(self.parts)

    def part(self, number: int) -> Part:
        """The part that the task gives as number `number`, from 0."""
        return Part(self.run, f"{self.name}-{number}")


def rated_parts(task: PartTask) -> list[tuple[Part, PartReceipt]]:
    """The parts of a task with their receipts; none unless all of them are finished."""
    parts: list[tuple[Part, PartReceipt]] = []
    while not parts or not parts[-1][1].last:
        part = task.parts[len(parts)] if task.parts else task.part(len(parts))
        receipt = part.receipt()
        if receipt is None or receipt.fingerprint != task.fingerprint:
            return []
        parts.append((part, receipt))
    return parts


def input_order(part: Part, receipt: PartReceipt) -> tuple[str, int, int, str]:
    """A key that sorts parts in the order of the input. A release numbers its parts in this order."""
    first = receipt.inputs[0]
    return first.uri, first.start, receipt.number, part.name


@dataclass(frozen=True)
class WorkPlan:
    """The work of a run. `fingerprint` covers everything that can change decisions/ and data/: the
    recipe and every split. `number` and `folder` are of the release that it makes. `current`: the
    current release. `unchanged`: the last release, if there is nothing to do; `mended`: the last
    release, if only its `damaged` files must be made again, in `folder`. `forecast`: what is
    probably wrong, by the beginning of the input."""

    run: str
    number: int
    folder: str
    tasks: tuple[PartTask, ...]
    fingerprint: str
    finished_shards: frozenset[int] = frozenset()
    fresh: bool = False
    current: Release | None = None
    unchanged: Release | None = None
    mended: Release | None = None
    damaged: tuple[File, ...] = ()
    unread: tuple[UnreadFile, ...] = ()
    forecast: tuple[str, ...] = ()

    @property
    def spill(self) -> str:
        return storage.join(self.run, ".spill")

    @property
    def indexes(self) -> str:
        """The folder in which the workers find benchmarks and lists."""
        return storage.join(self.run, ".state")

    @property
    def receipts(self) -> str:
        """The folder of the receipts of decided parts and finished shards."""
        return storage.join(self.folder, "receipts")

    @property
    def reused(self) -> int:
        return sum(task.finished for task in self.tasks)

    @property
    def bytes(self) -> int:
        return sum(task.size for task in self.tasks)

    @property
    def work(self) -> int:
        """Bytes of input that take as long to rate as everything that is to be done."""
        return sum(task.size // _REUSED if task.finished else task.size for task in self.tasks)

    @property
    def text_per_byte(self) -> float:
        """Bytes of text in a stored byte of the input, approximately."""
        text = sum(split.size * _expansion(split) for task in self.tasks for split in task.splits)
        return max(text / max(self.bytes, 1), 0.1)

    @property
    def partitions(self) -> int:
        """Partitions of an exchange: they bound its memory and do not change its result. A
        compressed file counts several times, since it may hold many short documents."""
        splits = [split for task in self.tasks for split in task.splits]
        return partitions(sum(split.size * _expansion(split) for split in splits))


_REUSED = 16
"""How many times longer it takes to rate, decide about and emit documents than what comes after Rate."""


def _expansion(split: Split) -> int:
    """How many times larger a file may be when it is decompressed."""
    return COMPRESSION_RATIO if is_compressed(split) else 1


def is_compressed(split: Split) -> bool:
    """Whether the size of a split is one of compressed bytes, by the name of its file."""
    return bool(storage.COMPRESSION_SUFFIXES.intersection(storage.suffixes(split.uri)[-1:]))


def partitions(size: int) -> int:
    """The number of partitions for `size` stored bytes of input. Every part sends a piece to every
    partition, so there are parts × partitions pieces, and parts grow with the input. Beyond
    `EVEN_PARTITIONS`, number and size of partitions therefore both grow with its square root."""
    even = -(-size // PARTITION_BYTES)
    return max(2, min(even, math.isqrt(even * EVEN_PARTITIONS)))


def plan_work(recipe: Recipe, run: str, fresh: bool) -> WorkPlan:
    """Compares input and recipe with what the run directory holds (`fresh`: rates everything again,
    for a new release). Raises RunError if the input is missing, NoInput if it is and the recipe
    allows that."""
    _check_against(recipe, run)
    splits, unread = list_input(recipe, run)
    current, last = current_release(run), last_release(run)
    number = max([*numbers(run), current.number if current is not None else 0]) + 1
    tasks = fresh_tasks(recipe, run, splits, number) if fresh else assign_parts(recipe, run, splits)
    beginning = None if all(task.finished for task in tasks) else check_beginning(recipe, splits)
    digests = sorted(digest for task in tasks for digest in task.digests)
    covered: dict[str, object] = {"decide": recipe.decide_fingerprint, "parts": digests}
    if takedown := read_takedown(run):
        covered["takedown"] = takedown.digest
    if digest := tombstones.digest(run):
        covered["tombstones"] = digest
    planned = fingerprint(covered)
    if not fresh and last is not None and last.manifest["fingerprint"] == planned:
        damaged = damaged_files(last)
        same = WorkPlan(run, last.number, last.folder, tuple(tasks), planned, current=current, unread=tuple(unread))
        if not damaged:
            return replace(same, unchanged=last)
        return replace(same, folder=storage.join(run, MEND), mended=last, damaged=damaged)
    started = storage.read_json(plan_uri(run)) or {}
    if storage.local_path(run) is None and started.get("release") == number and started["fingerprint"] != planned:
        number += 1  # a worker that lost its driver's lease may still write into that folder
    folder = release_folder(run, number)
    resumed = not fresh and started == plan_record(planned, number)
    shards = _finished_shards(run, folder, planned) if resumed else frozenset()
    return WorkPlan(
        *(run, number, folder, tuple(tasks), planned, shards, fresh, current),
        unread=tuple(unread),
        forecast=tuple(_forecast(recipe, splits, beginning)),
    )


def list_input(recipe: Recipe, run: str) -> tuple[list[Split], list[UnreadFile]]:
    """The splits of the input, and the files that are not read. Raises as `plan_work`."""
    try:
        splits, unread = plan(recipe.input, run)
    except (FileNotFoundError, ValueError) as error:
        raise RunError(f"input: {error}") from None
    if not splits and recipe.input.allow_empty:
        raise NoInput(f"no input: there is no file in {', '.join(recipe.input.paths)}")
    if not splits:
        raise RunError(f"input: no file is left to read; {unread[0].uri}: {unread[0].reason}" if unread else "input: no file")
    return splits, unread


def _check_against(recipe: Recipe, run: str) -> None:
    """Raises RunError if a run is against a release of its own, which has what is still in its input."""
    own = storage.local_path(run)
    for name in recipe.dedup.against if recipe.dedup is not None else ():
        named = parse_name(name)[0]
        other = storage.local_path(named)
        if named == run or (own is not None and other is not None and own.resolve() == other.resolve()):
            raise RunError(
                f"dedup.against: '{name}' is a release of this run, which reads all of its input each time and would drop what "
                "it kept before: give the new documents a run directory of their own with --output"
            )


def check_beginning(recipe: Recipe, splits: Sequence[Split]) -> Beginning:
    """What is at the beginning of the input. Raises RunError if nothing there has a text."""
    beginning = read_beginning(splits, recipe.input)
    split = beginning.textless
    if split is not None and recipe.max_rejects != 1.0:
        what = printable(f"{redact(split.uri)}: {beginning.error.partition('; name the right one')[0]}", _ERROR_CHARACTERS)
        field = likely_text(split.uri, split.format)
        raise RunError(f"input: {what}. Name the right one: --set input.fields.text={field or 'NAME'}")
    return beginning


def _forecast(recipe: Recipe, splits: Sequence[Split], beginning: Beginning | None) -> Iterator[str]:
    """Fields that are not there, and more rejects than are allowed. `beginning`: None if all is rated."""
    named = next((split for split in splits if split.format in WITH_FIELDS), None)
    if named is not None:
        yield from map(printable, absent_fields(recipe, named.uri, named.format))
    if beginning is None or beginning.rejected <= max_rejects(recipe, beginning.records):
        return
    share = beginning.rejected / beginning.records
    yield (
        f"{share:.0%} of the first {beginning.records:,} records cannot be read ({printable(beginning.error)}), and the run "
        f"stops above max_rejects ({recipe.max_rejects}): {allow_more(share)}"
    )


def max_rejects(recipe: Recipe, records: int) -> float:
    """How many of the records may be unreadable."""
    return recipe.max_rejects if isinstance(recipe.max_rejects, int) else recipe.max_rejects * records


def allow_more(share: float) -> str:
    """What allows this share of rejected records, with some room."""
    return f"allow more with --set max_rejects={min(1.0, math.ceil(20 * share + 1) / 20):g}"


def current_release(run: str) -> Release | None:
    """The current release; None before the first one, or if its manifest is damaged."""
    try:
        return open_release(run)
    except (FileNotFoundError, RunError):
        return None


def last_release(run: str) -> Release | None:
    """The release that was finished last. It is the current one, unless a run was killed before it
    could make it so, or another one was made the current one."""
    for number in reversed(numbers(run)):
        try:
            return open_release(f"{run}@{number}")
        except (FileNotFoundError, RunError):
            return current_release(run)
    return None


def damaged_files(release: Release) -> tuple[File, ...]:
    """The files of a release that are missing or have other bytes."""
    intact = IntactFiles(release.run, release_folders(release))
    files = (File(**file) for file in release.manifest["files"])
    damaged = tuple(file for file in files if file not in intact)
    intact.save()
    return damaged


def release_folders(release: Release) -> tuple[str, ...]:
    """The folders of the run that hold the files of a release."""
    own = ("data", "decisions") if release.is_early else (f"{RELEASES}/{release.number:06d}",)
    return ("rated", "sketches", "rejects", *own)


def fresh_tasks(recipe: Recipe, run: str, splits: Sequence[Split], number: int) -> list[PartTask]:
    """The tasks that rate everything again. Their parts do not replace those that releases need."""
    tasks = _group(run, splits, _digests(recipe, splits))
    return _largest_first(replace(task, name=f"{task.name}-r{number:06d}") for task in tasks)


def assign_parts(recipe: Recipe, run: str, splits: Sequence[Split]) -> list[PartTask]:
    """The tasks: one for each group of finished parts whose splits are all in the input, and one
    for each group of other splits. The largest come first, so that workers that take them in turn
    finish at about the same time."""
    digests = _digests(recipe, splits)
    by_digest = {digests[split]: split for split in splits}
    tasks = []
    missing = dict.fromkeys(splits)
    for name, group in _finished_parts(run):
        inputs = list({entry.fingerprint: entry for _, receipt in group for entry in receipt.inputs}.values())
        own = tuple(split for entry in inputs if (split := by_digest.get(entry.fingerprint)) and split in missing)
        if len(own) < len(inputs):
            continue  # a split is gone, has changed, or is in a part that came before
        for split in own:
            del missing[split]
        parts, known = tuple(part for part, _ in group), tuple(entry.fingerprint for entry in inputs)
        tasks.append(PartTask(run, name, group[0][1].fingerprint, own, known, parts))
    return _largest_first([*tasks, *_group(run, list(missing), digests)])


def _largest_first(tasks: Iterable[PartTask]) -> list[PartTask]:
    ordered = sorted(tasks, key=lambda task: (-task.size, task.splits[0].uri, task.splits[0].start))
    return [replace(task, ordinal=ordinal) for ordinal, task in enumerate(ordered)]


def _finished_parts(run: str) -> list[tuple[str, list[tuple[Part, PartReceipt]]]]:
    """(name, parts in their order) of each task whose parts are complete and intact. Of those that
    hold the same splits, the ones that were made for the later release come first."""
    names = [name.removesuffix(".json") for name in storage.names(storage.join(run, "rated")) if name.endswith(".json")]
    intact = IntactFiles(run, ("rated", "sketches", "rejects"))
    groups: dict[str, list[tuple[Part, PartReceipt]]] = {}
    with ThreadPoolExecutor() as pool:
        parts = [Part(run, name) for name in names]
        for part, receipt in zip(parts, pool.map(Part.receipt, parts), strict=True):
            if receipt is not None and all(file in intact for file in receipt.files):
                early = part.name.startswith("part-")
                groups.setdefault(part.name if early else part.name.rpartition("-")[0], []).append((part, receipt))
    intact.save()
    finished = []
    for name, group in sorted(groups.items(), reverse=True):
        group.sort(key=lambda item: item[1].number)
        if [receipt.number for _, receipt in group] == list(range(len(group))) and group[-1][1].last:
            finished.append((name, group))
    return finished


def _group(run: str, splits: Sequence[Split], digests: Mapping[Split, str]) -> list[PartTask]:
    """Tasks for splits. Many small ones share a few parts, neighbours together."""
    small = [split for split in splits if split.size < SMALL_BYTES]
    if len(small) <= FEW_SPLITS:
        groups = [[split] for split in splits]
    else:
        groups = [[split] for split in splits if split.size >= SMALL_BYTES]
        total = sum(split.size for split in small)
        number = max(4, -(-len(small) // GROUP_SPLITS), -(-total // GROUP_BYTES))
        shared: list[list[Split]] = [[] for _ in range(number)]
        # An empty file is work, too.
        before, work = 0, total + len(small)
        for split in small:
            shared[before * number // work].append(split)
            before += split.size + 1
        groups += [group for group in shared if group]
    return [_task(run, tuple(group), tuple(digests[split] for split in group)) for group in groups]


def _task(run: str, splits: tuple[Split, ...], digests: tuple[str, ...]) -> PartTask:
    name = digests[0] if len(digests) == 1 else fingerprint(digests)
    return PartTask(run, name, name, splits, digests)


def _digests(recipe: Recipe, splits: Iterable[Split]) -> dict[Split, str]:
    return {split: _digest(recipe, split) for split in splits}


def _digest(recipe: Recipe, split: Split) -> str:
    """Covers all that can change what is rated of a split: its bytes, the raters, the options."""
    return fingerprint({"rate": recipe.rate_fingerprint, "split": asdict(split)})


def plan_uri(run: str) -> str:
    """The file that says which release an unfinished run was making, and from what."""
    return storage.join(run, ".state", "plan.json")


def rollback_uri(run: str) -> str:
    """The file that says which release somebody made the current one, and which was the last."""
    return storage.join(run, ".state", "rollback.json")


def plan_record(fingerprint: str, number: int) -> dict[str, object]:
    return {"fingerprint": fingerprint, "release": number}


def _finished_shards(run: str, folder: str, fingerprint: str) -> frozenset[int]:
    """The shards of an unfinished release that are complete."""
    path = f"{RELEASES}/{folder.rsplit('/', 1)[1]}"
    intact = IntactFiles(run, (path,))
    shards = receipts.shards(storage.join(folder, "receipts"))
    return frozenset(
        shard.destination
        for shard in shards
        if shard.fingerprint == fingerprint and replace(shard.file, path=f"{path}/{shard.file.path}") in intact
    )
