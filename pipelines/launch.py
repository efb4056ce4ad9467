"""Starts a run on its runner, watches it, and turns what it left into a manifest and a report."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pipelines import outcome, plan, progress
from pipelines.plan import Plan
from pipelines.recipe import Recipe
from transforms import release, storage
from transforms.errors import RunError

MOVEMENTS = ("rate", "decide", "emit")

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
    todo = plan.make(recipe, run, fresh)
    planned(todo)
    if todo.unchanged:
        return Result(run, release.read(run), 0, todo.reused, dict.fromkeys(MOVEMENTS, 0.0), True)
    progress.clear(run)
    with _Clock(run, watch) as clock:
        _run_local(recipe, todo, workers)
    environment = {"runner": "local", "workers": workers, "seconds": clock.seconds}
    manifest = outcome.finish(recipe, todo, environment)
    storage.remove_tree(todo.spill)
    progress.clear(run)
    return Result(run, manifest, len(todo.work) - todo.reused, todo.reused, clock.seconds, False)


def _run_local(recipe: Recipe, todo: Plan, workers: int) -> None:
    """Beam's FnApiRunner, named explicitly: `DirectRunner` becomes another engine when the machine is online."""
    # Beam configures the root logger on import; ours is configured first so that its warnings do not reach the terminal.
    logging.basicConfig(level=logging.ERROR)
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    from pipelines.curate import Curate

    options = {
        "direct_running_mode": "in_memory" if workers == 1 else "multi_processing",
        "direct_num_workers": workers,
        "default_sdk_harness_log_level": "ERROR",
    }
    # Kernels run single-threaded inside a worker: there is one worker a core.
    os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    try:
        with beam.Pipeline(FnApiRunner(), PipelineOptions.from_dictionary(options)) as pipeline:
            pipeline | Curate(recipe, todo)
    except RunError:
        raise
    except RuntimeError as error:
        told = RunError.from_traceback(str(error))
        if told is not None:
            raise told from None
        raise


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


def default_workers() -> int:
    """One worker a core that this process may use."""
    return len(os.sched_getaffinity(0))
