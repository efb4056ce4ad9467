"""Runs a recipe from start to finish: lock, plan, prepare, run the DAG, finalize."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run import metrics, progress
from tamis.pipelines.run.finalize import finalize_run
from tamis.pipelines.run.prepare import check_directory, prepare, remove_temporary_files
from tamis.pipelines.run.progress import MOVEMENTS, UPDATE_SECONDS, Attempt, MovementProgress, Observer
from tamis.pipelines.run.run_lock import RunLock
from tamis.pipelines.run.work_plan import REPORT, WorkPlan, plan_work
from tamis.pipelines.runners.registry import Runner, make_runner
from tamis.transforms import storage
from tamis.transforms.core.errors import NoInput
from tamis.transforms.core.manifest import MANIFEST, Environment, Manifest, read_manifest
from tamis.transforms.provenance import release_chain
from tamis.transforms.runtime.credentials import redact


@dataclass(frozen=True)
class Result:
    """A finished run. `rated` and `reused` count parts; `seconds` is the time of each movement."""

    run: str
    manifest: Manifest
    rated: int
    reused: int
    seconds: dict[str, float]
    unchanged: bool


def launch(
    recipe: Recipe,
    run: str,
    workers: int,
    fresh: bool = False,
    observer: Observer = Observer(),  # noqa: B008 - it has no state
    runner: str = "local",
    options: Mapping[str, str] = MappingProxyType({}),
) -> Result:
    """Runs `recipe` in the directory `run`, and returns when the run is finished. 0 workers: as
    many as pay for the input, or as the cluster has. `options` are the runner's. Raises RunError,
    which says what to do."""
    checked_runner = make_runner(runner, workers, options, run)
    with RunLock(run, "exclusive") as lock:
        check_directory(run)
        if not fresh:
            release_chain.record(run)  # the last run may have been killed before its record
        try:
            plan = plan_work(recipe, run, fresh)
        except NoInput:
            if storage.exists(storage.join(run, MANIFEST)):
                metrics.write_finished(run, read_manifest(run), time.time())
            raise
        prepare(recipe, plan)
        observer.planned(plan)
        progress.clear(run)
        if plan.unchanged:
            result = _unchanged(plan)
        else:
            result = _run(recipe, plan, checked_runner.with_default_workers(plan), lock, observer)
    observer.finished(result)
    return result


def _unchanged(plan: WorkPlan) -> Result:
    run = plan.run
    if not storage.exists(storage.join(run, REPORT)):  # the run was killed before its report
        from tamis.pipelines.report.page import write_report

        write_report(run)
    manifest = read_manifest(run)
    metrics.write_finished(run, manifest, time.time())
    return Result(run, manifest, 0, plan.reused, dict.fromkeys(MOVEMENTS, 0.0), True)


def _run(recipe: Recipe, plan: WorkPlan, runner: Runner, lock: RunLock, observer: Observer) -> Result:
    run = plan.run
    lock.share()
    with _Monitor(_attempt(plan, runner), run, observer) as monitor:
        runner.run(recipe, plan)
    remove_temporary_files(run)  # a runner may have lost a worker and gone on without it
    attempt = monitor.attempt
    finished = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    environment: Environment = {
        "runner": runner.name,
        "workers": runner.workers,
        "seconds": attempt.seconds,
        "finished": finished,
    }
    manifest = finalize_run(recipe, plan, environment)
    release_chain.record(run)
    metrics.write_finished(run, manifest, time.time(), attempt)
    storage.remove_tree(plan.spill)
    progress.clear(run)
    return Result(run, manifest, len(plan.tasks) - plan.reused, plan.reused, attempt.seconds, False)


def _attempt(plan: WorkPlan, runner: Runner) -> Attempt:
    now = time.time()
    return Attempt(
        started=now,
        updated=now,
        host=socket.gethostname(),
        process=os.getpid(),
        runner=runner.name,
        workers=runner.workers,
        parts=len(plan.tasks),
        reused=plan.reused,
        bytes=plan.bytes,
        reused_bytes=sum(task.split.size for task in plan.tasks if task.finished),
    )


class _Monitor:
    """Reads the progress files while the DAG runs, for the observer, the attempt and the metrics.
    A movement lasts until the last progress it made; the next one starts there."""

    def __init__(self, attempt: Attempt, run: str, observer: Observer) -> None:
        self.attempt, self._run, self._observer = attempt, run, observer
        self._last_progress = dict.fromkeys(MOVEMENTS, 0.0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> _Monitor:
        self._start = time.monotonic()
        self._record({})
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._stop.set()
        self._thread.join()
        movements = progress.read_progress(self._run)
        if kind is None:
            self._observer.progress(movements)
            self.attempt = self.attempt.model_copy(update={"seconds": self._seconds(MOVEMENTS[-1])})
        else:
            self.attempt = self.attempt.model_copy(update={"error": redact(str(error)) or kind.__name__})
            self._record(movements)

    def _poll(self) -> None:
        last: dict[str, MovementProgress] = {}
        recorded = self._start
        while not self._stop.wait(0.2):
            movements = progress.read_progress(self._run)
            for name, movement in movements.items():
                if movement != last.get(name):
                    self._last_progress[name] = time.monotonic() - self._start
            last = movements
            self._observer.progress(movements)
            if time.monotonic() > recorded + UPDATE_SECONDS:
                recorded = time.monotonic()
                self._record(movements)

    def _record(self, movements: Mapping[str, MovementProgress]) -> None:
        current = next((name for name in reversed(MOVEMENTS) if self._last_progress[name]), MOVEMENTS[0])
        self.attempt = self.attempt.model_copy(update={"updated": time.time(), "seconds": self._seconds(current)})
        with suppress(OSError):  # a full disk is reported by the writes that matter
            progress.write_attempt(self._run, self.attempt)
        metrics.write_progress(self._run, self.attempt, movements)

    def _seconds(self, current: str) -> dict[str, float]:
        """Wall time of each movement up to the current one, which is still going on."""
        start, seconds = 0.0, {}
        for name in MOVEMENTS[: MOVEMENTS.index(current) + 1]:
            end = time.monotonic() - self._start if name == current else max(start, self._last_progress[name])
            seconds[name] = round(end - start, 2)
            start = end
        return seconds
