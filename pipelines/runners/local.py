"""Runs the DAG on this machine: in this process, or with worker processes beside it."""

from __future__ import annotations

import os
import traceback
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.work_plan import WorkPlan
from tamis.pipelines.runners import worker
from tamis.pipelines.runners.plain_beam import import_plain_beam
from tamis.pipelines.runners.worker_pool import WorkerPool
from tamis.transforms.core.errors import RunError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

WORTH_A_WORKER = 10 << 20
"""Bytes of stored input that pay for a worker process."""


MOST_THREADS = 4
"""Each holds what a worker holds: a part's columns, or a shard."""


def default_workers(size: int) -> int:
    """Workers for `size` bytes of stored input: at most one per core of this process."""
    return max(1, min(len(os.sched_getaffinity(0)), size // WORTH_A_WORKER))


def run(recipe: Recipe, plan: WorkPlan, workers: int) -> None:
    """Runs the DAG. With one worker, that is this process; if all parts are rated, its threads."""
    os.environ.update(worker.ENVIRONMENT)
    try:
        if workers == 1:
            _execute(recipe, plan, None)
        else:
            with worker.DriverAlive(plan.spill) as alive, WorkerPool(workers, plan.run, alive.uri) as pool:
                _execute(recipe, plan, pool)
    except Exception as error:
        if run_error := RunError.from_traceback("".join(traceback.format_exception(error))):
            raise run_error from None
        raise


def _execute(recipe: Recipe, plan: WorkPlan, pool: WorkerPool | None) -> None:
    # Imported here, because all of this takes half a second, while the workers start.
    import_plain_beam()
    import apache_beam as beam
    from apache_beam.runners.runner import PipelineRunner

    from tamis.pipelines.curate import Curate
    from tamis.pipelines.decisions.document_states import serve_threads
    from tamis.pipelines.runners.executor import apply_here, execute
    from tamis.pipelines.runners.threads import apply_in_threads

    _remember_signatures()
    pipeline = beam.Pipeline(PipelineRunner(), _options())
    pipeline | Curate(recipe, plan)
    threads = min(len(os.sched_getaffinity(0)), MOST_THREADS) if plan.reused == len(plan.tasks) else 1
    serve_threads(threads)
    execute(pipeline, pool.apply if pool else apply_in_threads(threads) if threads > 1 else apply_here)


def _options() -> PipelineOptions:
    """Options that keep their views: Beam asks for 500, and makes a parser for each, in .3 s. The types
    of the DAG are checked by the tests, which also run it on Beam's own runner."""
    from apache_beam.options.pipeline_options import PipelineOptions

    views: dict[type[PipelineOptions], PipelineOptions] = {}

    class Options(PipelineOptions):
        def view_as(self, kind: type[PipelineOptions]) -> PipelineOptions:
            if kind not in views:
                views[kind] = super().view_as(kind)
            return views[kind]

    return Options.from_dictionary({"pipeline_type_check": False})


_signatures: WeakKeyDictionary[FunctionType, tuple[list[str], list[Any]]] = WeakKeyDictionary()


def _remember_signatures() -> None:
    """Lets Beam look at the signature of each method once: it does so 6,000 times for one pipeline."""
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
