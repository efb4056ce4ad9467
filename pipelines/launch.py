"""Starts a run on its runner, watches it, and turns what it left into a manifest and a report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pipelines import local, outcome, plan, progress
from pipelines.claim import Claim
from pipelines.plan import Plan
from pipelines.progress import MOVEMENTS
from pipelines.recipe import Recipe
from transforms import release, storage

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
    planned: Callable[[Plan], None] = lambda _: None,
    watch: Watch = lambda _: None,
) -> Result:
    """Runs `recipe` into the directory `run` and returns when it is finished, or raises RunError with what to do."""
    with Claim(run, "alone") as claim:
        todo = plan.make(recipe, run, fresh)
        planned(todo)
        if todo.unchanged:
            return Result(run, release.read(run), 0, todo.reused, dict.fromkeys(MOVEMENTS, 0.0), True)
        progress.clear(run)
        claim.share()
        with _Clock(run, watch) as clock:
            local.run(recipe, todo, workers)
        environment = {"runner": "local", "workers": workers, "seconds": clock.seconds}
        manifest = outcome.finish(recipe, todo, environment)
        storage.remove_tree(todo.spill)
        progress.clear(run)
    return Result(run, manifest, len(todo.work) - todo.reused, todo.reused, clock.seconds, False)


class _Clock:
    """Watches the progress files; a movement lasts until the last thing it did, the next one starts there."""

    def __init__(self, run: str, watch: Watch) -> None:
        self.run = run
        self.watch = watch
        self.seconds: dict[str, float] = {}
        self._ended = dict.fromkeys(MOVEMENTS, 0.0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_often, daemon=True)

    def __enter__(self) -> _Clock:
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        begun = 0.0
        for movement in MOVEMENTS:
            ended = max(begun, self._ended[movement])
            if movement == MOVEMENTS[-1]:
                ended = time.monotonic() - self._start
            self.seconds[movement] = round(ended - begun, 2)
            begun = ended

    def _look_often(self) -> None:
        last: dict[str, progress.Done] = {}
        while not self._stop.wait(0.2):
            now = progress.done(self.run)
            for movement, done in now.items():
                if done != last.get(movement):
                    self._ended[movement] = time.monotonic() - self._start
            last = now
            self.watch(now)
