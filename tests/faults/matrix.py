"""Causes every fault at every moment: `make faults` runs the cases and writes docs/faults.md.

A case disturbs a first run of the sample job, or the making of a later release (reruns.py), runs
the same command again, and compares the files with those of an undisturbed run, byte by byte.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.run.launch import Result, launch
from tamis.pipelines.run.run_lock import RunLock
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.storage import connection
from tests.faults import reruns
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.run.test_resume import STATES, disturbed, driver, everything, one_worker
from tests.pipelines.running import CHANGES, RECIPE, command, left, processes, write_recipe
from tests.stores.faulty import KINDS, Faults, proxy
from tests.stores.runs import same, upload
from tests.stores.servers import Server, seaweed

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"

HEAD = """# Faults and their consequences

Written by `make faults`.

## The first release

Each row was done to a first run of the sample job ({documents} documents in {files} files, {shards}
shards), and then the same command was given again. *Equal* means that every file of the release has
the bytes of an undisturbed run; in a store, every file of `data/` and `decisions/`.

| fault | moment | what the run did | the same command again |
|---|---|---|---|
"""

RERUNS = """
## The next release

Each row was done while the second release was made, from an input in which a file was gone, one had
changed and two were new. After the fault, every byte of release 1 was compared with what it was
before, `tamis verify RUN@1` ran, and a loader read it. Then the same command was given again, and
`data/` and `decisions/` of release 2 were compared with those of an undisturbed run; release 1 was
checked once more.

| fault | moment | what the run did | the same command again |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Job:
    """The sample job: recipe, input, an undisturbed run, and a folder for the cases."""

    recipe: Path
    source: Path
    undisturbed: Path
    folder: Path

    def run(self, output: Path | str, source: Path | str | None = None) -> Result:
        """A run in this process."""
        return launch(load_recipe(str(self.recipe), (), [str(source or self.source)]), str(output), workers=1)


@dataclass(frozen=True)
class Case:
    """`do` returns (what the run did, what the repeated command did), or raises AssertionError."""

    fault: str
    moment: str
    do: Callable[[Job, Path], tuple[str, str]]

    @property
    def name(self) -> str:
        return f"{self.fault}, {self.moment}"


def make(folder: Path) -> Job:
    """The sample job in `folder`."""
    source = save(folder / "in", dealt(corpus(400, seed=5), 4, seed=2))
    recipe = write_recipe(folder, **CHANGES, output=RECIPE["output"] | {"shard_bytes": 100_000})
    job = Job(recipe, source, folder / "undisturbed", folder)
    job.run(job.undisturbed)
    return job


def finished(job: Job, output: Path) -> str:
    """Runs the command again and compares."""
    result = job.run(output)
    assert left(output) == left(job.undisturbed)
    if result.unchanged:
        return "nothing to do: equal"
    return f"rates {result.rated} of {result.rated + result.reused} parts: equal"


# --- death ---


def killed(state: str, kill: Callable[[subprocess.Popen[bytes]], None]) -> Callable[[Job, Path], tuple[str, str]]:
    def do(job: Job, output: Path) -> tuple[str, str]:
        delay = random.Random(f"{state} {kill.__name__}").uniform(0, 0.25)
        code = disturbed(command(job.recipe, job.source, output), output, state, delay, kill)
        sealed = (output / "manifest.json").exists()
        assert code != 0 or sealed
        ending = "had finished" if code == 0 else "killed" if code < 0 else f"stopped with exit code {code}"
        again = finished(job, output)
        assert not processes(str(output))
        return ending + (", manifest sealed" if sealed and code else ""), again

    return do


# --- files ---


def torn(name: str, interrupted: bool) -> Callable[[Job, Path], tuple[str, str]]:
    """Half of the last block of a file is gone, or is zero if `interrupted` (no release yet)."""

    def do(job: Job, output: Path) -> tuple[str, str]:
        shutil.copytree(job.undisturbed, output)
        path = sorted(output.glob(name))[-1]
        data = path.read_bytes()
        cut = len(data) - min(len(data), 4096) // 2
        path.write_bytes(data[:cut] + bytes(len(data) - cut) * interrupted)
        if interrupted:
            for record in ("manifest.json", "releases/000001.json", "releases/000001/manifest.json"):
                (output / record).unlink()
        return "noticed", finished(job, output)

    return do


def torn_spill(job: Job, output: Path) -> tuple[str, str]:
    code = disturbed(command(job.recipe, job.source, output), output, "rated", 0.1, everything)
    for path in (output / ".spill").glob("*.arrows"):
        path.write_bytes(path.read_bytes()[:-100])
    return f"killed ({code}), spills cut", finished(job, output)


def skewed(shift: float, date: str) -> Callable[[Job, Path], tuple[str, str]]:
    def do(job: Job, output: Path) -> tuple[str, str]:
        disturbed(command(job.recipe, job.source, output), output, "first part decided", 0.0, everything)
        now = time.time()
        for path in output.rglob("*"):
            if path.is_file():
                os.utime(path, (now + shift, now + shift))
        return f"killed, all its files dated {date}", finished(job, output)

    return do


def full(share: float) -> Callable[[Job, Path], tuple[str, str]]:
    """The disk has room for a share of what the run needs. Then it grows."""

    def do(job: Job, output: Path) -> tuple[str, str]:
        size = sum(path.stat().st_size for path in job.undisturbed.rglob("*") if path.is_file())
        output.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={int(size * share)}", "tmpfs", output], check=True)
        try:
            try:
                job.run(output / "run")
            except RunError as error:
                message = str(error)
            else:
                return "it was enough", finished(job, output / "run")
            assert "No space left" in message, message
            assert not (output / "run/manifest.json").exists()
            unfinished = [path.name for path in (output / "run").rglob("*") if path.name.endswith(".tmp")]
            subprocess.run(["mount", "-o", "remount,size=1g", output], check=True)
            again = finished(job, output / "run")
            return f"“{message.replace(str(output), '…')}”; {len(unfinished)} unfinished files left", again
        finally:
            subprocess.run(["umount", "-l", output], check=True)

    return do


def may_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4096", "tmpfs", folder], capture_output=True, check=False)
        if mount.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        return mount.returncode == 0


def poisoned(job: Job, output: Path) -> tuple[str, str]:
    """One page of a crawl has 200,000 nested divs, so that the extractor does not end."""
    output.mkdir()
    pages = [b"<html><body><p>" + b"A page of text that says something. " * 30 + b"%d</p></body></html>" % n for n in range(20)]
    pages[7] = b"<div>" * 200_000
    with (output / "crawl.warc").open("wb") as file:
        for number, page in enumerate(pages):
            block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page
            head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:{number}>\r\nContent-Length: {len(block)}\r\n\r\n"
            file.write(head.encode() + block + b"\r\n\r\n")
    settings = load_recipe(str(job.recipe), ("max_rejects=1",), [str(output / "crawl.warc")])
    counts = launch(settings, str(output / "run"), workers=1).manifest["counts"]
    assert isinstance(counts, dict)
    assert (counts["records"], counts["rejected"]) == (20, 1)
    (line,) = next((output / "run/rejects").iterdir()).read_text().splitlines()
    assert "kept the extractor busy" in line
    return "the page is a reject, with the reason; the other 19 are documents", "nothing to do"


def two(job: Job, output: Path) -> tuple[str, str]:
    with RunLock(str(output), "exclusive"):
        try:
            job.run(output)
        except RunError as error:
            message = str(error)
        else:
            raise AssertionError("two runs in one directory")
    return f"the second: “{message.split(';')[0].replace(str(output), 'run')}”", finished(job, output)


# --- stores ---


@contextmanager
def connected(server: Server) -> Iterator[str]:
    """Makes this process and its children use a store."""
    before = {name: os.environ.get(name) for name in (*server.environment, storage.TIMEOUT)}
    os.environ.update({**server.environment, storage.TIMEOUT: "2"})
    connection.connected.clear()
    try:
        yield server.bucket
    finally:
        connection.connected.clear()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def bad_store(kind: str) -> Callable[[Job, Path], tuple[str, str]]:
    def do(job: Job, output: Path) -> tuple[str, str]:
        faults = Faults(0.1, seed=11, kinds=(kind,) if kind != "all" else KINDS, stall=2.5)
        with seaweed() as server:
            with connected(server) as bucket:
                upload(job.source, bucket)
            with proxy(server.port, faults) as port, connected(server.through(port)) as bucket:
                job.run(f"{bucket}/run", f"{bucket}/in")
            with connected(server) as bucket:
                same(f"{bucket}/run", job.undisturbed)
                again = job.run(f"{bucket}/run", f"{bucket}/in")
        assert again.unchanged
        assert faults.counts.total() > 5
        return f"finished, equal; {faults.counts.total()} of {faults.requests} requests failed", "nothing to do: equal"

    return do


def killed_in_a_store(marker: str) -> Callable[[Job, Path], tuple[str, str]]:
    def do(job: Job, output: Path) -> tuple[str, str]:
        with seaweed() as server, connected(server) as bucket, ExitStack() as stack:
            os.environ["TAMIS_LEASE"] = "6"
            stack.callback(os.environ.pop, "TAMIS_LEASE")
            run = f"{bucket}/run"
            argv = command(job.recipe, upload(job.source, bucket), run)
            room, first = marker.rsplit("/", 1)
            quiet = subprocess.DEVNULL
            with subprocess.Popen(argv, start_new_session=True, stdout=quiet, stderr=quiet) as process:
                while process.poll() is None and not any(name.startswith(first) for name in storage.names(f"{run}/{room}")):
                    time.sleep(0.02)
                everything(process)
                process.wait()
            started = time.monotonic()
            again = subprocess.run(argv, capture_output=True, text=True, check=False)
            assert again.returncode == 0, again.stderr
            assert time.monotonic() > started + 6
            same(run, job.undisturbed)
            return "killed; its lease stays", "waits for the lease to expire, then continues: equal"

    return do


def cases() -> list[Case]:
    table = [Case("SIGKILL of driver and workers", state, killed(state, everything)) for state in STATES]
    table += [Case("SIGKILL of the driver", state, killed(state, driver)) for state in STATES if state != "planned"]
    with_workers = [state for state in STATES if state not in ("planned", "manifest")]
    table += [Case("SIGKILL of a worker", state, killed(state, one_worker)) for state in with_workers]
    folder = "releases/000001"
    files = ("rated/*.parquet", "sketches/*.arrow", "rated/*.json", f"{folder}/data/phase-1/*", f"{folder}/receipts/shard-*")
    table += [Case("torn last block", f"{name}, run unfinished", torn(name, True)) for name in files]
    more = (*files, f"{folder}/receipts/part-*", f"{folder}/decisions/*", f"{folder}/report.html", "manifest.json")
    table += [Case("torn last block", f"{name}, run finished", torn(name, False)) for name in more]
    table += [Case("torn last block", "every spill file", torn_spill)]
    if may_mount():
        table += [Case("full disk", f"room for {share:.0%} of the run", full(share)) for share in (0.05, 0.3, 0.6, 0.8, 0.95)]
    table += [Case("clock skew, ahead", "Decide", skewed(3e8, "ten years ahead"))]
    table += [Case("clock skew, behind", "Decide", skewed(-1e9, "in 1995"))]
    table += [Case("poisoned page", "Rate", poisoned), Case("two runs on one output", "start", two)]
    table += [Case(f"S3: {kind} in 10 % of requests", "all the time", bad_store(kind)) for kind in (*KINDS, "all")]
    rooms = {"Rate": "rated/", "Decide": f"{folder}/decisions/part-", "Emit": f"{folder}/data/phase-1/shard-"}
    table += [Case("S3: SIGKILL of driver and workers", name, killed_in_a_store(room)) for name, room in rooms.items()]
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only cases with this in their name")
    parser.add_argument("--out", type=Path, default=PAGE)
    arguments = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = make(folder)
        manifest = storage.read_json(str(job.undisturbed / "manifest.json"))
        rows = [
            HEAD.format(
                documents=manifest["counts"]["records"],
                files=len(list(job.source.iterdir())),
                shards=len(manifest["curriculum"]["shards"]),
            )
        ]
        first = [(case.fault, case.moment, partial(case.do, job)) for case in cases()]
        nights = reruns.make_nights(folder / "nights")
        later = [(fault, moment, partial(do, nights)) for fault, moment, do in reruns.cases(may_mount())]
        number = 0
        for table in (first, later):
            for fault, moment, do in table:
                if arguments.only not in f"{fault}, {moment}":
                    continue
                number += 1
                try:
                    outcome, again = do(folder / f"case-{number}")
                except Exception as error:  # a failure is a row too
                    failed += 1
                    outcome, again = f"**{type(error).__name__}: {str(error)[:200]}**", "**broken**"
                words = [word.replace("|", "/").replace("\n", " ").strip() for word in (fault, moment, outcome, again)]
                rows.append(f"| {' | '.join(words)} |\n")
                print(rows[-1], end="", flush=True)
                shutil.rmtree(folder / f"case-{number}", ignore_errors=True)
            if table is first:
                rows.append(RERUNS)
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text("".join(rows) + f"\n{number} cases, {failed} broken.\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
