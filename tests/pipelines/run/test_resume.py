"""Stopped at any moment, the same command finishes the run, to the same bytes; what changed is redone and nothing else."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tamis.pipelines.lookup.explanation import explanation
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.report.page import write_report
from tamis.pipelines.run.run_lock import RunLock
from tamis.pipelines.run.work_plan import plan_work
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import open_release
from tamis.transforms.feed.loader import read_in_order
from tamis.transforms.provenance.verify import verify
from tests.pipelines.corpus import corpus, dealt, save
from tests.pipelines.running import command, corpus_of, folder_of, left, processes, run, typed, write_recipe

STATES = {
    "planned": ".state/plan.json",
    "first part begun": "rated/.*.tmp",
    "first part rated": "rated/*.json",
    "rated": ".spill/*.arrows",
    "first part decided": "releases/000001/decisions/part-*.parquet",
    "first shard": "releases/000001/data/phase-1/shard-*.parquet",
    "shard receipts": "releases/000001/receipts/shard-00003.json",
    "sealed": "releases/000001/manifest.json",
    "recorded": "releases/000001.json",
    "current": "manifest.json",
}
"""Moments of a run, by the first file that shows them."""


def receipts(output: Path) -> dict[str, tuple[int, int]]:
    """{name: (inode, time)} of the receipts of the rated parts: a part that is rated again gets another."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (output / "rated").glob("*.json")}


def disturbed(argv: list[str], output: Path, state: str, delay: float, kill: Callable[[subprocess.Popen[bytes]], None]) -> int:
    """Starts a run in a process group of its own and kills it `delay` seconds after it showed `state`: its exit code."""
    with subprocess.Popen(argv, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 180  # the machine may be busy
        while process.poll() is None and not any(output.glob(STATES[state])):
            assert time.monotonic() < until
            time.sleep(0.002)
        time.sleep(delay)
        kill(process)
        return process.wait(60)


def everything(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def driver(process: subprocess.Popen[bytes]) -> None:
    process.kill()


def one_worker(process: subprocess.Popen[bytes]) -> None:
    workers = [pid for pid, parent in processes("tamis.pipelines.runners.worker").items() if parent == process.pid]
    if workers:
        os.kill(min(workers), signal.SIGKILL)


def finishes(recipe: Path, source: Path, output: Path, undisturbed: Path) -> None:
    """The run can be completed: it rates nothing twice, and leaves the bytes of the undisturbed one."""
    before = receipts(output) if output.exists() else {}
    finished_before = (output / "releases/000001.json").exists()
    result = run(recipe, source, output)
    assert result.reused >= len(before)  # more where a worker outlived its driver by the last bit of a part
    assert bool(result.unchanged) == finished_before
    after = receipts(output)
    assert before.items() <= after.items()
    assert left(output) == left(undisturbed)


@pytest.mark.slow
def test_killed_while_rating_it_goes_on_with_the_parts_it_has(base, tmp_path):
    code = disturbed(command(base.recipe, base.source, tmp_path), tmp_path, "first part rated", 0.0, everything)
    assert code == -signal.SIGKILL
    assert receipts(tmp_path)
    assert not (tmp_path / "manifest.json").exists()
    finishes(base.recipe, base.source, tmp_path, base.run)


@pytest.fixture(scope="module")
def slow_base(tmp_path_factory):
    """(recipe, input, undisturbed run): eight files, so that there is time to interrupt between them."""
    folder = tmp_path_factory.mktemp("slow")
    source = save(folder / "in", dealt(corpus(2000, seed=5), 8, seed=2))
    recipe = write_recipe(folder, output={"shard_bytes": 200_000})
    typed(command(recipe, source, folder / "run"))
    return recipe, source, folder / "run"


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_run_at_once_with_a_message(slow_base, tmp_path):
    recipe, source, undisturbed = slow_base
    started = time.monotonic()
    with (tmp_path / "err").open("wb") as err:
        argv = command(recipe, source, tmp_path / "run")
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=err)
        while not any((tmp_path / "run").glob("rated/.*.tmp")):
            assert process.poll() is None
            assert time.monotonic() < started + 60
            time.sleep(0.01)
        one_worker(process)
        died = time.monotonic()
        assert process.wait(30) == 1
    assert time.monotonic() < died + 5
    assert "a worker process was killed (SIGKILL), most often because" in (tmp_path / "err").read_text()
    assert "Traceback" not in (tmp_path / "err").read_text()
    assert not (tmp_path / "run/manifest.json").exists()
    assert not processes(str(tmp_path))
    finishes(recipe, source, tmp_path / "run", undisturbed)


MOMENTS = [(state, everything) for state in ("first part begun", "rated", "first shard", "sealed", "recorded")]
MOMENTS += [("first part begun", driver), ("first part decided", one_worker)]
"""`make faults` has all states."""


@pytest.mark.slow
@pytest.mark.parametrize(("state", "kill"), MOMENTS)
def test_killed_at_any_moment_the_same_command_finishes(slow_base, tmp_path, state, kill):
    recipe, source, undisturbed = slow_base
    delay = random.Random(f"{state} {kill.__name__}").uniform(0, 0.25)
    code = disturbed(command(recipe, source, tmp_path), tmp_path, state, delay, kill)
    assert (tmp_path / "manifest.json").exists() or code != 0
    finishes(recipe, source, tmp_path, undisturbed)  # at once: the workers of a killed driver may not have noticed yet
    assert not processes(str(tmp_path))


@pytest.mark.slow
def test_killed_again_and_again_it_ends_where_an_undisturbed_run_ends(slow_base, tmp_path):
    recipe, source, undisturbed = slow_base
    draw = random.Random(9)
    argv = command(recipe, source, tmp_path / "run", "--json")
    for _ in range(3):
        process = subprocess.Popen(argv, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(1.0, 6.0))
        everything(process)
        process.wait(30)
    before = receipts(tmp_path / "run")
    out, _ = typed(argv)
    assert json.loads(out)["shards"]["reused"] == len(before)
    assert left(tmp_path / "run") == left(undisturbed)


@pytest.mark.slow
def test_a_moved_threshold_runs_only_decide_and_emit_and_says_so(base, tmp_path):
    shutil.copytree(base.run, tmp_path / "run", symlinks=True)
    before = receipts(tmp_path / "run")
    moved = ("--set", "thresholds.gopher.word_count.min=90")
    _, stderr = typed(command(base.recipe, base.source, tmp_path / "run", *moved, workers=1))
    assert "rated already: only Decide and Emit run" in stderr
    assert receipts(tmp_path / "run") == before
    run(base.recipe, base.source, tmp_path / "fresh", moved[1])
    assert left(tmp_path / "run") == left(tmp_path / "fresh")
    assert corpus_of(tmp_path / "run") != corpus_of(base.run)
    out, _ = typed(command(base.recipe, base.source, tmp_path / "run", *moved, "--json", workers=1))
    summary = json.loads(out)
    assert (summary["unchanged"], summary["shards"]["rated"], summary["shards"]["reused"]) == (True, 0, 3)
    # And back again, the other way round.
    result = run(base.recipe, base.source, tmp_path / "run")
    assert (result.rated, result.reused, result.unchanged) == (0, 3, False)
    assert left(tmp_path / "run") == left(base.run)


def files_of(output: Path) -> dict[Path, int]:
    """The times of all files of a run but what it remembers of them."""
    return {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.relative_to(output).parts[0] != ".state"}


def test_planning_changes_no_file(base):
    before = files_of(base.run)
    recipe = load_recipe(str(base.recipe), ["thresholds.gopher.word_count.min=90"], [str(base.source)])
    plan = plan_work(recipe, str(base.run), fresh=False)
    assert (plan.reused, plan.unchanged, plan.mended, plan.number) == (3, None, None, 2)
    assert plan.current is not None
    assert plan.current.number == 1
    assert plan_work(recipe, str(base.run), fresh=True).reused == 0
    assert files_of(base.run) == before


def test_an_unchanged_run_does_nothing_and_says_so(base):
    before = files_of(base.run)
    _, stderr = typed(command(base.recipe, base.source, base.run))
    assert "nothing changed since release 1" in stderr
    now = files_of(base.run)
    assert now.pop(base.run / "metrics.prom") > before.pop(base.run / "metrics.prom")  # it ended well once more
    assert now == before


@pytest.mark.slow
def test_only_new_and_changed_files_are_rated(base, tmp_path):
    pieces = dealt(base.records, 3, seed=1)
    source, output = save(tmp_path / "in", pieces[:2]), tmp_path / "run"
    assert run(base.recipe, source, output).rated == 2
    save(source, pieces)
    for number in (0, 1):  # the same bytes at another time are taken for others: put the times back
        original = os.stat(base.source / f"piece-{number:02d}.jsonl")
        os.utime(source / f"piece-{number:02d}.jsonl", ns=(original.st_atime_ns, original.st_mtime_ns))
    assert run(base.recipe, source, output).rated == 3
    shutil.copyfile(base.source / "piece-02.jsonl", source / "piece-03.jsonl")
    result = run(base.recipe, source, output)
    assert (result.rated, result.reused) == (1, 3)
    assert result.manifest["counts"]["records"] == 400 + len(pieces[2])
    (source / "piece-03.jsonl").unlink()
    result = run(base.recipe, source, output)
    assert (result.rated, result.reused) == (0, 3)
    assert corpus_of(output) == corpus_of(base.run)
    assert sorted(path.name for path in (folder_of(output) / "decisions").iterdir()) == [
        f"part-{n:05d}.parquet" for n in range(3)
    ]
    (source / "piece-01.jsonl").write_bytes((source / "piece-01.jsonl").read_bytes().replace(b"the ", b"The ", 1))
    result = run(base.recipe, source, output)
    assert (result.rated, result.reused) == (1, 2)


def test_a_raters_option_rates_again_but_a_weight_does_not(base, tmp_path):
    shutil.copytree(base.run, tmp_path / "run", symlinks=True)
    result = run(base.recipe, base.source, tmp_path / "run", "curriculum.order=descending", "seed=4")
    assert (result.rated, result.reused) == (0, 3)
    result = run(base.recipe, base.source, tmp_path / "run", "dedup.minhash.ngram=4")
    assert (result.rated, result.reused) == (3, 0)


def test_what_is_damaged_of_a_finished_run_is_made_again(base, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(base.run, output, symlinks=True)
    shard = "releases/000001/data/phase-1/shard-00002.parquet"
    (output / shard).unlink()
    result = run(base.recipe, base.source, output)
    assert (result.rated, result.reused, result.unchanged, result.mended) == (0, 3, False, (shard,))
    assert left(output) == left(base.run)
    part = sorted((output / "rated").glob("*.parquet"))[0]
    part.write_bytes(part.read_bytes()[:-1])
    report, plan = folder_of(output) / "report.html", folder_of(output) / "plan.json"
    report.write_text("torn")
    plan.unlink()
    result = run(base.recipe, base.source, output)
    assert (result.rated, result.reused, result.unchanged, result.release.number) == (1, 2, False, 1)
    assert set(result.mended) == {str(path.relative_to(output)) for path in (part, report, plan)}
    assert left(output) == left(base.run)
    assert not verify(str(output))
    assert run(base.recipe, base.source, output).unchanged


def test_a_run_that_fails_leaves_the_last_release(base, tmp_path):
    source = save(tmp_path / "in", [base.records[:50]])
    (source / "bad.jsonl").write_text("{broken\n" * 3)
    output = tmp_path / "run"
    with pytest.raises(RunError, match=r"3 of 53 records could not be read; max_rejects is 2\."):
        run(base.recipe, source, output, "max_rejects=2")
    assert not (output / "manifest.json").exists()
    assert not list(output.glob("releases/*/data"))
    result = run(base.recipe, source, output, "max_rejects=3")
    assert (result.rated, result.reused, result.manifest["counts"]["rejected"]) == (0, 2, 3)
    released, manifest = left(output), (output / "manifest.json").read_bytes()
    with pytest.raises(RunError, match="max_rejects is 0"):  # a finished run is held to it too
        run(base.recipe, source, output, "max_rejects=0")
    assert (output / "manifest.json").read_bytes() == manifest
    assert left(output) == released
    assert not verify(str(output))


@pytest.mark.slow
def test_a_release_is_not_changed_by_the_next_ones(base, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(base.run, output, symlinks=True)
    first = {path: path.read_bytes() for path in (output / "releases").rglob("*") if path.is_file()}
    asked = explanation(str(output), "doc-000007"), (folder_of(output) / "report.html").read_bytes()
    for number, change in enumerate((["thresholds.gopher.word_count.min=90"], ["dedup.minhash.ngram=4"]), 2):
        assert run(base.recipe, base.source, output, *change).release.number == number
        assert (output / "latest").resolve() == (output / "releases" / f"{number:06d}").resolve()
        write_report(open_release(f"{output}@1"), str(tmp_path / "report.html"))
        assert (explanation(f"{output}@1", "doc-000007"), (tmp_path / "report.html").read_bytes()) == asked
    assert {path: path.read_bytes() for path in first} == first
    texts = [row["text"] for shard in read_in_order(f"{output}@1") for row in shard.documents.to_pylist()]
    assert texts == [row["text"] for shard in read_in_order(str(base.run)) for row in shard.documents.to_pylist()]
    assert not verify(str(output))


def test_a_run_directory_has_one_run_at_a_time(base, tmp_path, monkeypatch):
    monkeypatch.setattr("tamis.pipelines.run.run_lock.WAIT_SECONDS", 0.2)
    output = tmp_path / "run"
    with RunLock(str(output), "exclusive") as claim:
        with pytest.raises(RunError, match="another run is using"):
            run(base.recipe, base.source, output)
        claim.share()
        with RunLock(str(output), "shared"), pytest.raises(RunError, match="another run is using"):
            run(base.recipe, base.source, output)
    with pytest.raises(RunError, match="no such file"):
        run(base.recipe, tmp_path / "nothing", output)
    assert not output.exists()
