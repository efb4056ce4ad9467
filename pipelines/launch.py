"""Starts a run on its runner, watches it, and turns what it left into a manifest and a report."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass

from pipelines import outcome, plan, progress, worker
from pipelines.claim import Claim
from pipelines.plan import Plan
from pipelines.progress import MOVEMENTS
from pipelines.recipe import Recipe
from transforms import release, storage
from transforms.errors import RunError

_WORKER_ENVIRONMENT = {
    # Kernels run single-threaded inside a worker: there is one worker a core.
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Beam takes a new thread for each bundle. With an arena each, and a pool of Arrow's own, no stage can use what another has
    # freed: on 1 GB of text two workers peak at 1.3 GiB instead of 1.6.
    "MALLOC_ARENA_MAX": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}

_WORKER = "run_worker"
"""The thread in which Beam waits for a worker process (worker_handlers.py)."""

_WORKER_THREADS = {_WORKER, "beam_control_read", "read_grpc_client_inputs"}
"""All that end when a worker process does; unless it ended well, with an exception."""

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
            _run_local(recipe, todo, workers)
        environment = {"runner": "local", "workers": workers, "seconds": clock.seconds}
        manifest = outcome.finish(recipe, todo, environment)
        storage.remove_tree(todo.spill)
        progress.clear(run)
    return Result(run, manifest, len(todo.work) - todo.reused, todo.reused, clock.seconds, False)


def _run_local(recipe: Recipe, todo: Plan, workers: int) -> None:
    """Runs the DAG in a thread and waits for it. A worker process that dies ends the run at once: Beam would wait for the
    others, for hours perhaps, and then say that a channel closed."""
    os.environ.update(_WORKER_ENVIRONMENT)
    wanted = storage.join(todo.spill, "workers-wanted")
    storage.write_bytes(wanted, b"")
    done: Future[None] = Future()
    lost: list[str] = []

    def run() -> None:
        try:
            _run_beam(recipe, todo, workers, wanted)
            done.set_result(None)
        except BaseException as error:
            done.set_exception(error)

    def hook(failed: threading.ExceptHookArgs) -> None:
        name = failed.thread.name if failed.thread is not None else ""
        if name == _WORKER:
            lost.append(str(failed.exc_value))
        elif name not in _WORKER_THREADS:
            otherwise(failed)

    otherwise, threading.excepthook = threading.excepthook, hook
    try:
        threading.Thread(target=run, name="beam", daemon=True).start()
        while not done.done() and not lost:
            wait([done], timeout=0.2)
        if not done.done():
            raise RunError(
                f"a worker process died ({lost[0]}), most often for want of memory. "
                "The same command goes on where it stopped; fewer --workers need less memory"
            )
        done.result()
    finally:
        storage.remove(wanted)
        for thread in threading.enumerate():
            if thread.name in _WORKER_THREADS:
                thread.join(timeout=5)
        threading.excepthook = otherwise


def _run_beam(recipe: Recipe, todo: Plan, workers: int, wanted: str) -> None:
    """Beam's FnApiRunner, named explicitly: `DirectRunner` becomes another engine when the machine is online."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner
    from apache_beam.transforms.environments import EmbeddedPythonEnvironment, SubprocessSDKEnvironment

    from pipelines.curate import Curate

    if workers == 1:
        environment = EmbeddedPythonEnvironment.default()
    else:
        environment = SubprocessSDKEnvironment.from_command_string(worker.command(todo.run, wanted))
    options = PipelineOptions.from_dictionary({"direct_num_workers": workers})
    try:
        with beam.Pipeline(FnApiRunner(environment), options) as pipeline:
            pipeline | Curate(recipe, todo)
    except Exception as error:
        told = RunError.from_traceback("".join(traceback.format_exception(error)))
        if told is None:
            raise
        raise told from None


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
