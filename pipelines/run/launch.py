"""Runs a recipe from start to finish: lock, plan, prepare, run the DAG, finalize."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.releases.seal import make_current, restore_manifests
from tamis.pipelines.run import metrics, progress
from tamis.pipelines.run.finalize import decided_counts, finalize_run
from tamis.pipelines.run.prepare import check_directory, clean_up, prepare, remove_temporary_files
from tamis.pipelines.run.progress import MOVEMENTS, UPDATE_SECONDS, Attempt, MovementProgress, Observer
from tamis.pipelines.run.run_lock import RunLock
from tamis.pipelines.run.work_plan import WorkPlan, current_release, plan_work, rollback_uri
from tamis.pipelines.runners.registry import Runner, make_runner
from tamis.transforms import storage
from tamis.transforms.core.errors import NoInput, NothingNew, RunError
from tamis.transforms.core.manifest import Environment, Manifest
from tamis.transforms.core.release import Release
from tamis.transforms.runtime.credentials import redact


@dataclass(frozen=True)
class Result:
    """A finished run. `rated` and `reused` count parts; `seconds` is the time of each movement.
    `mended` are the files of the release that were damaged, and were made again."""

    release: Release
    rated: int
    reused: int
    seconds: dict[str, float]
    unchanged: bool
    mended: tuple[str, ...] = ()

    @property
    def run(self) -> str:
        return self.release.run

    @property
    def manifest(self) -> Manifest:
        return self.release.manifest


def launch(
    recipe: Recipe,
    run: str,
    workers: int,
    fresh: bool = False,
    observer: Observer = Observer(),  # noqa: B008 - it has no state
    runner: str = "local",
    options: Mapping[str, str] = MappingProxyType({}),
    allow_shrink: bool = False,
) -> Result:
    """Runs `recipe` in the directory `run`, and returns when its release is finished. 0 workers: as
    many as pay for the input, or as the cluster has. `options` are the runner's. `allow_shrink`:
    whatever `max_shrink` says. Raises RunError, which says what to do, and NothingNew if all was
    released before; the current release stays."""
    checked_runner = make_runner(runner, workers, options, run)
    with RunLock(run, "exclusive") as lock:
        check_directory(run)
        restore_manifests(run)
        try:
            plan = plan_work(recipe, run, fresh)
            prepare(recipe, plan)
        except NoInput:
            current = current_release(run)
            if current is not None:
                metrics.write_finished(run, current.manifest, time.time())
            raise
        except RunError as error:
            if current_release(run) is not None:
                progress.write_attempt(run, progress.new_attempt(runner=checked_runner.name, error=redact(str(error))))
            raise
        observer.planned(plan)
        progress.clear(run)
        if plan.unchanged is not None:
            result = _unchanged(plan, plan.unchanged)
        else:
            result = _run(recipe, plan, checked_runner.with_default_workers(plan), lock, observer, allow_shrink)
    observer.finished(result)
    return result


def _unchanged(plan: WorkPlan, release: Release) -> Result:
    rolled_back = storage.read_json(rollback_uri(plan.run)) or {}
    if plan.current is not None and rolled_back == {"release": plan.current.number, "last": release.number}:
        release = plan.current  # somebody wants it to be the current one
    make_current(release)
    metrics.write_finished(plan.run, release.manifest, time.time())
    return Result(release, 0, plan.reused, dict.fromkeys(MOVEMENTS, 0.0), True)


def _run(recipe: Recipe, plan: WorkPlan, runner: Runner, lock: RunLock, observer: Observer, allow_shrink: bool) -> Result:
    run = plan.run
    lock.share()
    nothing_new: NothingNew | None = None
    with _Monitor(_attempt(plan, runner), plan, observer) as monitor:
        runner.run(recipe, plan)
        monitor.stop()
        remove_temporary_files(plan)  # a runner may have lost a worker and gone on without it
        attempt = monitor.attempt
        finished = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        environment: Environment = {
            "runner": runner.name,
            "workers": runner.workers,
            "seconds": attempt.seconds,
            "finished": finished,
        }
        try:
            release = finalize_run(recipe, plan, environment, allow_shrink)
        except NothingNew as found:
            nothing_new = found
    if nothing_new is not None:
        _leave_nothing(recipe, plan)
        raise nothing_new
    metrics.write_finished(run, release.manifest, time.time(), attempt)
    clean_up(recipe, plan, release)
    progress.clear(run)
    mended = tuple(file.path for file in plan.damaged) if plan.mended is not None else ()
    return Result(release, len(plan.tasks) - plan.reused, plan.reused, attempt.seconds, False, mended)


def _leave_nothing(recipe: Recipe, plan: WorkPlan) -> None:
    """Leaves a run that brought nothing new as it was; later ones can be against it, too."""
    from tamis.pipelines.decisions.kept_index import leave_empty_index  # which imports Beam

    storage.remove_tree(plan.spill)
    storage.remove_tree(plan.folder)
    if plan.current is None:
        leave_empty_index(recipe, plan.run)
    else:
        metrics.write_finished(plan.run, plan.current.manifest, time.time())
    progress.clear(plan.run)


def _attempt(plan: WorkPlan, runner: Runner) -> Attempt:
    return progress.new_attempt(
        runner=runner.name,
        workers=runner.workers,
        parts=len(plan.tasks),
        reused=plan.reused,
        bytes=plan.bytes,
        reused_bytes=sum(task.size for task in plan.tasks if task.finished),
        text_per_byte=plan.text_per_byte,
    )


class _Monitor:
    """Reads the progress files while the DAG runs, for the observer, the attempt and the metrics.
    A movement lasts until the last progress it made, as its files say; the next one starts there."""

    def __init__(self, attempt: Attempt, plan: WorkPlan, observer: Observer) -> None:
        self.attempt, self._plan, self._run, self._observer = attempt, plan, plan.run, observer
        self._is_decided = False
        self._last_progress = dict.fromkeys(MOVEMENTS, 0.0)  # since the start
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> _Monitor:
        self._start, self._began = time.monotonic(), time.time()
        self._record({})
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stops reading when the DAG has finished."""
        self._stop.set()
        self._thread.join()
        self._observe()
        self.attempt = self.attempt.model_copy(update={"seconds": self._seconds(MOVEMENTS[-1])})

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._stop.set()
        self._thread.join()
        if kind is not None:
            self.attempt = self.attempt.model_copy(update={"error": redact(str(error)) or kind.__name__})
            self._record(self._read())

    def _poll(self) -> None:
        recorded = self._start
        while not self._stop.wait(0.2):
            movements = self._observe()
            if time.monotonic() > recorded + UPDATE_SECONDS:
                recorded = time.monotonic()
                self._record(movements)

    def _observe(self) -> dict[str, MovementProgress]:
        movements = self._read()
        self._observer.progress(movements)
        decide = movements.get("decide", MovementProgress())
        if not self._is_decided and decide.total and decide.finished >= decide.total:
            counts = decided_counts(self._plan)  # None if a part was decided twice before another was
            if counts is not None:
                self._is_decided = True
                self._observer.decided(counts)
        return movements

    def _read(self) -> dict[str, MovementProgress]:
        movements = progress.read_progress(self._run, self.attempt.text_per_byte)
        for name, movement in movements.items():
            self._last_progress[name] = max(0.0, movement.updated - self._began)
        return movements

    def _record(self, movements: Mapping[str, MovementProgress]) -> None:
        current = next((name for name in reversed(MOVEMENTS) if self._last_progress[name]), MOVEMENTS[0])
        self.attempt = self.attempt.model_copy(update={"updated": time.time(), "seconds": self._seconds(current)})
        with suppress(OSError):  # a full disk is reported by the writes that matter
            progress.write_attempt(self._run, self.attempt)
        metrics.write_progress(self._run, self.attempt, movements)

    def _seconds(self, current: str) -> dict[str, float]:
        """Wall time of each movement up to the current one, which is still going on."""
        if storage.local_path(self._run) is None:
            return {"run": round(time.monotonic() - self._start, 2)}
        start, seconds = 0.0, {}
        for name in MOVEMENTS[: MOVEMENTS.index(current) + 1]:
            end = time.monotonic() - self._start if name == current else max(start, self._last_progress[name])
            seconds[name] = round(end - start, 2)
            start = end
        return seconds
