"""Faults while the next release is made: the last one stays whole, and the same command finishes.

A case makes release 1, changes the input, disturbs the making of release 2, and checks that every
byte of release 1 is as it was, that verify and a loader agree, and that the same command then gives
the data and decisions of a run that nobody disturbed.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run.launch import Result, launch
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import open_release
from tamis.transforms.feed.loader import read_in_order
from tamis.transforms.provenance.verify import verify
from tamis.transforms.storage import connection
from tests.pipelines.corpus import Record, corpus, dealt, save
from tests.pipelines.running import CHANGES, RECIPE, command, processes, write_recipe
from tests.stores.faulty import Faults, proxy
from tests.stores.servers import Server, seaweed

Kill = Callable[["subprocess.Popen[bytes]"], None]

MOMENTS = (
    *("planned", "first part rated", "rated", "first part decided", "first shard", "first receipt of a shard"),
    *("report", "manifest of the release", "record of the release"),
)
"""Moments in the making of release 2, by the first file that shows them."""

NEXT = "releases/000002"

_FILES = {
    "first part decided": f"{NEXT}/decisions/part-",
    "first shard": f"{NEXT}/data/phase-1/shard-",
    "first receipt of a shard": f"{NEXT}/receipts/shard-",
    "report": f"{NEXT}/report.html",
    "manifest of the release": f"{NEXT}/manifest.json",
    "record of the release": "releases/000002.json",
}

Outcome = dict[str, str]  # path below a release → SHA-256


@dataclass(frozen=True)
class Nights:
    """The recipe, the records of two nights, and what an undisturbed run makes of the second."""

    recipe: Path
    first: list[list[Record]]
    second: list[list[Record]]
    expected: Outcome

    def run(self, source: str, run: str, *sets: str) -> Result:
        """A run in this process."""
        return launch(load_recipe(str(self.recipe), sets, [source]), run, workers=1)


def make_nights(folder: Path) -> Nights:
    """In the second night a file is gone, one has changed and two are new."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = write_recipe(folder, **CHANGES, output=RECIPE["output"] | {"shard_bytes": 100_000}, max_rejects=0.01)
    dealt_records = dealt(corpus(600, seed=8), 6, seed=3)
    first, second = dealt_records[:4], [*dealt_records[1:3], dealt_records[3][:50], *dealt_records[4:]]
    source = save(folder / "undisturbed-in", second)
    nights = Nights(recipe, first, second, {})
    result = nights.run(str(source), str(folder / "undisturbed"))
    return Nights(recipe, first, second, outcome(result.run))


def outcome(run: str) -> Outcome:
    """The files of data/ and decisions/ of the current release."""
    release = open_release(run)
    prefix = release.path("")
    paths = (file["path"].removeprefix(prefix) for file in release.manifest["files"] if file["path"].startswith(prefix))
    return {path: storage.sha256(release.uri(path)) for path in paths if path.startswith(("data/", "decisions/"))}


@dataclass(frozen=True)
class Snapshot:
    """Every file of a release with its checksum, and a digest of its texts in training order."""

    name: str
    files: dict[str, str]
    texts: str

    @classmethod
    def take(cls, run: str, number: int) -> Snapshot:
        release = open_release(f"{run}@{number}")
        paths = [file["path"] for file in release.manifest["files"]]
        paths += [release.path("manifest.json"), f"releases/{number:06d}.json"]
        files = {path: storage.sha256(storage.join(run, path)) for path in paths}
        return cls(f"{run}@{number}", files, read_digest(f"{run}@{number}"))

    def check(self, run: str) -> None:
        """The release is as it was, verify finds nothing, and a loader reads the same texts."""
        changed = [path for path, digest in self.files.items() if storage.sha256(storage.join(run, path)) != digest]
        assert not changed, changed
        assert not verify(self.name), verify(self.name)
        assert read_digest(self.name) == self.texts


def read_digest(name: str) -> str:
    """SHA-256 of the texts of a release as a loader reads them."""
    digest = hashlib.sha256()
    for shard in read_in_order(name):
        for text in shard.documents["text"].to_pylist():
            digest.update(text.encode() + b"\0")
    return digest.hexdigest()


def current_number(run: str) -> int:
    return open_release(run).number


def change_input(nights: Nights, source: Path) -> None:
    """The second night's files, in the same folder."""
    shutil.rmtree(source)
    save(source, nights.second)


@contextmanager
def first_night(nights: Nights, folder: Path) -> Iterator[tuple[Path, str, Snapshot]]:
    """(input, run, release 1), with the input of the second night."""
    source, run = save(folder / "in", nights.first), str(folder / "run")
    nights.run(str(source), run)
    change_input(nights, source)
    yield source, run, Snapshot.take(run, 1)


def finish(nights: Nights, source: str, run: str, first: Snapshot) -> str:
    """The same command again: it makes the undisturbed release, and leaves the first one alone."""
    result = nights.run(source, run)
    assert current_number(run) == 2
    assert outcome(run) == nights.expected
    assert not verify(run), verify(run)
    first.check(run)
    return (
        "nothing to do: equal" if result.unchanged else f"rates {result.rated} of {result.rated + result.reused} parts: equal"
    )


def is_reached(run: str, moment: str, parts_before: int) -> bool:
    if moment == "planned":
        return (storage.read_json(storage.join(run, ".state/plan.json")) or {}).get("release") == 2
    if moment == "first part rated":
        return sum(name.endswith(".json") for name in storage.names(storage.join(run, "rated"))) > parts_before
    if moment == "rated":
        return any(name.endswith(".arrows") for name in storage.names(storage.join(run, ".spill")))
    folder, _, name = _FILES[moment].rpartition("/")
    return any(entry.startswith(name) for entry in storage.names(storage.join(run, folder)))


def disturb(argv: list[str], run: str, moment: str, delay: float, kill: Kill, parts_before: int) -> int:
    """Starts a run in a process group of its own and kills it `delay` seconds after a moment."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(argv, start_new_session=True, stdout=quiet, stderr=quiet) as process:
        until = time.monotonic() + 90
        while process.poll() is None and not is_reached(run, moment, parts_before):
            assert time.monotonic() < until
            time.sleep(0.002)
        time.sleep(delay)
        kill(process)
        return process.wait(90)


def everything(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def driver(process: subprocess.Popen[bytes]) -> None:
    process.kill()


def one_worker(process: subprocess.Popen[bytes]) -> None:
    workers = [pid for pid, parent in processes("tamis.pipelines.runners.worker").items() if parent == process.pid]
    if workers:
        os.kill(min(workers), signal.SIGKILL)


Do = Callable[[Nights, Path], tuple[str, str]]


def killed(moment: str, kill: Kill) -> Do:
    def do(nights: Nights, folder: Path) -> tuple[str, str]:
        with first_night(nights, folder) as (source, run, first):
            parts = sum(name.endswith(".json") for name in storage.names(f"{run}/rated"))
            delay = random.Random(f"{moment} {kill.__name__}").uniform(0, 0.1)
            code = disturb(command(nights.recipe, source, run), run, moment, delay, kill, parts)
            current = current_number(run)
            first.check(run)
            assert code or current == 2
            ending = "had finished" if code == 0 else "killed" if code < 0 else f"stopped with exit code {code}"
            again = finish(nights, str(source), run, first)
            assert not processes(run)
            return f"{ending}; release {current} is current, release 1 whole", again

    return do


def broken_input(nights: Nights, folder: Path) -> tuple[str, str]:
    """One file of tonight's input is no JSON at all."""
    with first_night(nights, folder) as (source, run, first):
        broken = source / "tonight.jsonl"
        broken.write_bytes(b"\x00\xffthis is no JSON\n" * 200)
        message = refusal(nights, source, run, first)
        assert "could not be read" in message
        broken.unlink()
        return "stopped: too many rejects; release 1 is current and whole", finish(nights, str(source), run, first)


def refusal(nights: Nights, source: Path, run: str, first: Snapshot, *sets: str) -> str:
    """The message of a run that makes no release."""
    try:
        nights.run(str(source), run, *sets)
    except RunError as error:
        assert current_number(run) == 1
        first.check(run)
        return str(error)
    raise AssertionError("a release was made")


def refused(what: str, says: str, *sets: str) -> Do:
    def do(nights: Nights, folder: Path) -> tuple[str, str]:
        with first_night(nights, folder) as (source, run, first):
            message = refusal(nights, source, run, first, *sets)
            assert says in message, message
            return f"refused: {what}; release 1 is current and whole", finish(nights, str(source), run, first)

    return do


def shrunk(nights: Nights, folder: Path) -> tuple[str, str]:
    """Most files are missing tonight."""
    with first_night(nights, folder) as (source, run, first):
        for path in sorted(source.iterdir())[1:]:
            path.rename(folder / path.name)
        message = refusal(nights, source, run, first)
        assert "--set max_shrink=1" in message, message
        for path in folder.glob("*.jsonl*"):
            path.rename(source / path.name)
        return "refused: shrank by more than half; release 1 is current and whole", finish(nights, str(source), run, first)


def torn(pattern: str) -> Do:
    """Half of the last block of a file of the unfinished release is zero, as after a power cut."""

    def do(nights: Nights, folder: Path) -> tuple[str, str]:
        with first_night(nights, folder) as (source, run, first):
            argv = command(nights.recipe, source, run)
            disturb(argv, run, "first receipt of a shard", 0.1, everything, 0)
            mine = set(first.files)
            path = next(path for path in sorted(Path(run).glob(pattern)) if str(path.relative_to(run)) not in mine)
            data = path.read_bytes()
            cut = len(data) - min(len(data), 4096) // 2
            path.write_bytes(data[:cut] + bytes(len(data) - cut))
            first.check(run)
            return "killed, file torn; release 1 is current and whole", finish(nights, str(source), run, first)

    return do


def full(room: float) -> Do:
    """The disk has room for release 1 and a share of what release 2 adds. Then it grows."""

    def do(nights: Nights, folder: Path) -> tuple[str, str]:
        folder.mkdir()
        probe = folder / "probe"
        with first_night(nights, probe) as (source, run, _):
            before = _size(Path(run))
            nights.run(str(source), run)
            after = _size(Path(run))
        disk = folder / "disk"
        disk.mkdir()
        size = int(before * 1.1 + (after - before) * room) // 4096 * 4096
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", disk], check=True)
        try:
            source = save(folder / "in", nights.first)
            nights.run(str(source), f"{disk}/run")
            change_input(nights, source)
            first = Snapshot.take(f"{disk}/run", 1)
            subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)
            try:
                nights.run(str(source), f"{disk}/run")
            except RunError as error:
                assert "No space left" in str(error), error  # noqa: PT017
            else:
                return "it was enough", finish(nights, str(source), f"{disk}/run", first)
            assert current_number(f"{disk}/run") == 1
            first.check(f"{disk}/run")
            subprocess.run(["mount", "-o", "remount,size=1g", disk], check=True)
            again = finish(nights, str(source), f"{disk}/run", first)
            return "“No space left on device”; release 1 is current and whole", again
        finally:
            subprocess.run(["umount", "-l", disk], check=True)

    return do


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# --- stores ---


@contextmanager
def connected(server: Server) -> Iterator[str]:
    """Makes this process and its children use a store."""
    names = (*server.environment, storage.TIMEOUT, "TAMIS_LEASE")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({**server.environment, storage.TIMEOUT: "2", "TAMIS_LEASE": "6"})
    connection.connected.clear()
    try:
        yield server.bucket
    finally:
        connection.connected.clear()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def upload(bucket: str, folder: Path, records: list[list[Record]]) -> str:
    """Replaces the input in a bucket."""
    storage.remove_tree(f"{bucket}/in")
    for path in save(folder, records).iterdir():
        storage.write_bytes(f"{bucket}/in/{path.name}", path.read_bytes())
    return f"{bucket}/in"


@contextmanager
def first_night_in_a_store(nights: Nights, folder: Path) -> Iterator[tuple[Server, str, str, Snapshot]]:
    with seaweed() as server, connected(server) as bucket:
        source, run = upload(bucket, folder / "first", nights.first), f"{bucket}/run"
        nights.run(source, run)
        upload(bucket, folder / "second", nights.second)
        yield server, source, run, Snapshot.take(run, 1)


def killed_in_a_store(moment: str) -> Do:
    def do(nights: Nights, folder: Path) -> tuple[str, str]:
        with first_night_in_a_store(nights, folder) as (_, source, run, first):
            parts = sum(name.endswith(".json") for name in storage.names(f"{run}/rated"))
            code = disturb(command(nights.recipe, source, run), run, moment, 0.0, everything, parts)
            current = current_number(run)
            first.check(run)
            assert code or current == 2
            again = finish(nights, source, run, first)  # waits for the lease to expire
            return f"killed; release {current} is current, release 1 whole", again

    return do


def bad_store(kinds: tuple[str, ...]) -> Do:
    def do(nights: Nights, folder: Path) -> tuple[str, str]:
        faults = Faults(0.1, seed=12, kinds=kinds, stall=2.5)
        with first_night_in_a_store(nights, folder) as (server, source, run, first), ExitStack() as stack:
            port = stack.enter_context(proxy(server.port, faults))
            with connected(server.through(port)):
                nights.run(source, run)
            with connected(server):
                again = finish(nights, source, run, first)
        assert faults.counts.total() > 5
        return f"finished; {faults.counts.total()} of {faults.requests} requests failed, release 1 whole", again

    return do


def cases(may_mount: bool) -> list[tuple[str, str, Do]]:
    """(fault, moment, what to do) of each case."""
    table: list[tuple[str, str, Do]] = [
        ("SIGKILL of driver and workers", moment, killed(moment, everything)) for moment in MOMENTS
    ]
    table += [("SIGKILL of the driver", moment, killed(moment, driver)) for moment in MOMENTS[1:]]
    table += [("SIGKILL of a worker", moment, killed(moment, one_worker)) for moment in MOMENTS[1:5]]
    table += [("tonight's input is broken", "Rate", broken_input)]
    table += [("most of the input is missing", "end", shrunk)]
    everything_fails = "thresholds.gopher.word_count.min=1000000"
    table += [
        ("a threshold keeps nothing", "end", refused("an empty corpus", "empty corpus is not released", everything_fails))
    ]
    guard = ("guards.shares.web.where.source=[web]", "guards.shares.web.fail_above=0.01")
    table += [("a guard fails", "end", refused("a guard", "fails its guards", *guard))]
    patterns = (f"{NEXT}/data/phase-1/shard-*", f"{NEXT}/receipts/shard-*", "rated/*.parquet", "rated/*.json", "sketches/*")
    table += [("torn last block", pattern, torn(pattern)) for pattern in patterns]
    if may_mount:
        table += [("full disk", f"room for {room:.0%} of the next release", full(room)) for room in (0.05, 0.3, 0.6, 0.9)]
    store_moments = ("first part rated", "first part decided", "first shard", "report", "record of the release")
    table += [("S3: SIGKILL of driver and workers", moment, killed_in_a_store(moment)) for moment in store_moments]
    table += [("S3: 10 % of requests fail", "all the time", bad_store(("500", "503", "reset", "truncated", "lost")))]
    return table
