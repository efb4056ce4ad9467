"""Runs the DAG on this machine, with worker processes or with one worker inside this process."""

from __future__ import annotations

import os
import threading
import traceback
from concurrent.futures import Future, wait
from types import FunctionType, MethodType
from typing import Any
from weakref import WeakKeyDictionary

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.work_plan import WorkPlan
from tamis.pipelines.runners import worker
from tamis.pipelines.runners.worker_failure import explain_death
from tamis.transforms.core.errors import RunError

_WORKER = "run_worker"  # the thread in which Beam waits for a worker process (worker_handlers.py)
_WORKER_THREADS = {_WORKER, "beam_control_read", "read_grpc_client_inputs"}
"""The threads that end when a worker process does, with an exception if it failed."""

WORTH_A_WORKER = 40 << 20
"""Bytes of stored input that pay for starting a worker process (3 CPU seconds). On 100 MB of text
in 43 MB of Parquet, two workers take longer than one in this process, and twice the CPU time."""


def default_workers(size: int) -> int:
    """Workers for `size` bytes of stored input: at most one per core of this process."""
    return max(1, min(len(os.sched_getaffinity(0)), size // WORTH_A_WORKER))


def run(recipe: Recipe, plan: WorkPlan, workers: int) -> None:
    """Runs the DAG in a thread and waits for it. If a worker process dies, the run ends at once:
    Beam would first wait for the others, perhaps for hours, and then report a closed channel."""
    os.environ.update(worker.ENVIRONMENT)
    result: Future[None] = Future()
    deaths: list[str] = []

    def beam(alive: str) -> None:
        try:
            _run_beam(recipe, plan, workers, alive)
            result.set_result(None)
        except BaseException as error:
            result.set_exception(error)

    def hook(failure: threading.ExceptHookArgs) -> None:
        name = failure.thread.name if failure.thread is not None else ""
        if name == _WORKER:
            deaths.append(str(failure.exc_value))
        elif name not in _WORKER_THREADS:
            original_hook(failure)

    original_hook, threading.excepthook = threading.excepthook, hook
    try:
        with worker.DriverAlive(plan.spill) as alive:
            threading.Thread(target=beam, args=(alive.uri,), name="beam", daemon=True).start()
            while not result.done() and not deaths:
                wait([result], timeout=0.2)
            if not result.done():
                raise explain_death(deaths[0])
            result.result()
    finally:
        for thread in threading.enumerate():
            if thread.name in _WORKER_THREADS:
                thread.join(timeout=5)
        threading.excepthook = original_hook


_signatures: WeakKeyDictionary[FunctionType, tuple[list[str], list[Any]]] = WeakKeyDictionary()


def _remember_signatures() -> None:
    """Lets Beam look at the signature of each method once: it does so 6,000 times in a run, a sixth of
    the CPU time of a small one."""
    from apache_beam.transforms import core

    look = core.get_function_args_defaults
    if look.__module__ == __name__:
        return

    def remembered(function: Any) -> tuple[list[str], list[Any]]:
        method = getattr(function, "__func__", None)
        if not isinstance(function, MethodType) or not isinstance(method, FunctionType):
            return look(function)
        if method not in _signatures:
            _signatures[method] = look(function)
        names, defaults = _signatures[method]
        return list(names), list(defaults)

    core.get_function_args_defaults = remembered


def _run_beam(recipe: Recipe, plan: WorkPlan, workers: int, alive: str) -> None:
    """Runs Beam's FnApiRunner by name: `DirectRunner` uses another engine on an online machine."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner
    from apache_beam.transforms.environments import EmbeddedPythonEnvironment, SubprocessSDKEnvironment

    from tamis.pipelines.curate import Curate

    _remember_signatures()
    if workers == 1:
        environment = EmbeddedPythonEnvironment.default()
    else:
        environment = SubprocessSDKEnvironment.from_command_string(worker.command(plan.run, alive))
    views: dict[type[PipelineOptions], PipelineOptions] = {}

    class Options(PipelineOptions):
        """Keeps its views: Beam asks for 500, and makes a parser for each, in 0.3 s per run."""

        def view_as(self, kind: type[PipelineOptions]) -> PipelineOptions:
            if kind not in views:
                views[kind] = super().view_as(kind)
            return views[kind]

    options = Options.from_dictionary({"direct_num_workers": workers})
    try:
        with beam.Pipeline(FnApiRunner(environment), options) as pipeline:
            pipeline | Curate(recipe, plan)
    except Exception as error:
        if run_error := RunError.from_traceback("".join(traceback.format_exception(error))):
            raise run_error from None
        raise
