"""Starts a run on its runner, watches it, and turns what it left into a manifest and a report."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run import finalize, metrics, progress, work_plan
from tamis.pipelines.run.progress import EVERY, MOVEMENTS, Attempt
from tamis.pipelines.run.run_lock import RunLock
from tamis.pipelines.run.work_plan import WorkPlan
from tamis.pipelines.runners import registry
from tamis.transforms import storage
from tamis.transforms.core.errors import NoInput
from tamis.transforms.core.manifest import MANIFEST, read_manifest
from tamis.transforms.provenance import release_chain
from tamis.transforms.runtime.redaction import redact

Watch = Callable[[dict[str, progress.Done]], None]
"""Called a few times a second with what each movement has done."""


@dataclass(frozen=True)
class Result:
    """A finished run."""

    run: str
    manifest: dict[str, object]
    rated: int
    reused: int
    seconds: dict[str, float]
    unchanged: bool


def launch(
    recipe: Recipe,
    run: str,
    workers: int,
    fresh: bool = False,
    planned: Callable[[WorkPlan], None] = lambda _: None,
    watch: Watch = lambda _: None,
    runner: str = "local",
    options: Mapping[str, str] = MappingProxyType({}),
) -> Result:
    """Runs `recipe` into the directory `run` and returns when it is finished, or raises RunError with what to do.

    0 workers are as many as pay, or as the cluster has; `options` are the runner's.
    """
    engine = registry.make_runner(runner, workers, options, run)
    with RunLock(run, "alone") as claim:
        work_plan.check_directory(run)
        if not fresh:
            release_chain.record(run)  # if a run was killed between its manifest and its record
        try:
            todo = work_plan.make(recipe, run, fresh)
        except NoInput:
            if storage.exists(storage.join(run, MANIFEST)):
                metrics.write_finished(run, read_manifest(run), time.time())
            raise
        planned(todo)
        if todo.unchanged:
            progress.clear(run)
            if not storage.exists(storage.join(run, work_plan.REPORT)):  # it was killed between the manifest and the report
                from tamis.pipelines.report.page import write_report

                write_report(run)
            manifest = read_manifest(run)
            metrics.write_finished(run, manifest, time.time())
            return Result(run, manifest, 0, todo.reused, dict.fromkeys(MOVEMENTS, 0.0), True)
        engine = engine.with_default_workers(todo)
        progress.clear(run)
        claim.share()
        with _Clock(_attempt(todo, engine.name, engine.workers), run, watch) as clock:
            engine.run(recipe, todo)
        work_plan.sweep(run)  # a runner that lost a worker went on without it
        environment = {
            "runner": engine.name,
            "workers": engine.workers,
            "seconds": clock.seconds,
            "finished": _now(),
        }
        manifest = finalize.finish(recipe, todo, environment)
        release_chain.record(run)
        metrics.write_finished(run, manifest, time.time(), clock.attempt)
        storage.remove_tree(todo.spill)
        progress.clear(run)
    return Result(run, manifest, len(todo.tasks) - todo.reused, todo.reused, clock.seconds, False)


def _attempt(todo: WorkPlan, runner: str, workers: int) -> Attempt:
    now = time.time()
    reused = sum(work.split.size for work in todo.tasks if work.finished)
    size = (len(todo.tasks), todo.reused, todo.bytes, reused)
    return Attempt(now, now, socket.gethostname(), os.getpid(), runner, workers, *size)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class _Clock:
    """Watches the progress files, and tells of them: to `watch`, and every `EVERY` seconds in the attempt and the metrics.

    A movement lasts until the last thing it did, the next one starts there.
    """

    def __init__(self, attempt: Attempt, run: str, watch: Watch) -> None:
        self.attempt = attempt
        self.run = run
        self.watch = watch
        self._ended = dict.fromkeys(MOVEMENTS, 0.0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_often, daemon=True)

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time of each movement, once all have ended."""
        return self.attempt.seconds

    def __enter__(self) -> _Clock:
        self._start = time.monotonic()
        self._tell({})
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._stop.set()
        self._thread.join()
        if kind is None:
            self.watch(progress.done(self.run))
        begun, seconds = 0.0, {}
        for movement in MOVEMENTS:
            ended = max(begun, self._ended[movement])
            if movement == MOVEMENTS[-1]:
                ended = time.monotonic() - self._start
            seconds[movement] = round(ended - begun, 2)
            begun = ended
        if kind is not None:
            self.attempt = replace(self.attempt, error=redact(str(error)) or kind.__name__)
            self._tell(progress.done(self.run))
        self.attempt = replace(self.attempt, seconds=seconds)

    def _look_often(self) -> None:
        last: dict[str, progress.Done] = {}
        told = self._start
        while not self._stop.wait(0.2):
            now = progress.done(self.run)
            for movement, done in now.items():
                if done != last.get(movement):
                    self._ended[movement] = time.monotonic() - self._start
            last = now
            self.watch(now)
            if time.monotonic() > told + EVERY:
                told = time.monotonic()
                self._tell(now)

    def _tell(self, done: dict[str, progress.Done]) -> None:
        self.attempt = replace(self.attempt, updated=time.time(), seconds=self._spent())
        with suppress(OSError):  # who cannot be told of a full disk is told by what cannot be written there
            progress.tell(self.run, self.attempt)
        metrics.write_progress(self.run, self.attempt, done)

    def _spent(self) -> dict[str, float]:
        """Wall time so far of the movements that have begun."""
        begun, seconds = 0.0, {}
        for number, movement in enumerate(MOVEMENTS):
            over = any(self._ended[later] for later in MOVEMENTS[number + 1 :])
            ended = max(begun, self._ended[movement]) if over else time.monotonic() - self._start
            seconds[movement] = round(ended - begun, 2)
            if not over:
                break
            begun = ended
        return seconds
