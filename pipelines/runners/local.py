"""The local runner: Beam's FnApiRunner with a worker process a core, or in this process for one worker."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from concurrent.futures import Future, wait

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.work_plan import Plan
from tamis.pipelines.runners import worker
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError

_WORKER = "run_worker"
"""The thread in which Beam waits for a worker process (worker_handlers.py)."""

_WORKER_THREADS = {_WORKER, "beam_control_read", "read_grpc_client_inputs"}
"""All that end when a worker process does; unless it ended well, with an exception."""


WORTH_A_WORKER = 40 << 20
"""Bytes of stored input that make up for the start of a worker process, 3 CPU seconds: on 100 MB of text in 43 MB of Parquet
two workers take longer than one in this process, and twice the CPU seconds."""


def default_workers(size: int) -> int:
    """Workers for so many bytes of stored input: one a core that this process may use, and fewer where they would not pay."""
    return max(1, min(len(os.sched_getaffinity(0)), size // WORTH_A_WORKER))


def run(recipe: Recipe, todo: Plan, workers: int) -> None:
    """Runs the DAG in a thread and waits for it. A worker process that dies ends the run at once: Beam would wait for the
    others, for hours perhaps, and then say that a channel closed."""
    os.environ.update(worker.ENVIRONMENT)
    wanted = storage.join(todo.spill, "workers-wanted")
    storage.write_bytes(wanted, b"")
    done: Future[None] = Future()
    lost: list[str] = []

    def beam() -> None:
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
        threading.Thread(target=beam, name="beam", daemon=True).start()
        while not done.done() and not lost:
            wait([done], timeout=0.2)
        if not done.done():
            raise _worker_died(lost[0])
        done.result()
    finally:
        storage.remove(wanted)
        for thread in threading.enumerate():
            if thread.name in _WORKER_THREADS:
                thread.join(timeout=5)
        threading.excepthook = otherwise


def _worker_died(beam_message: str) -> RunError:
    """What to tell a person of a worker that died. Beam's message ends with the exit code, negative for a signal."""
    code = int(beam_message.rsplit(maxsplit=1)[-1])
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):  # nobody but the system's out-of-memory killer sends it unasked
        return RunError(
            "a worker process was killed (SIGKILL), most often because the machine ran out of memory. "
            "The same command goes on where it stopped; fewer --workers need less memory"
        )
    ended = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return RunError(
        f"a worker process ended {ended}. The same command goes on where it stopped; "
        "if a worker ends again, --workers 1 runs in this process and shows the error itself"
    )


def _run_beam(recipe: Recipe, todo: Plan, workers: int, wanted: str) -> None:
    """Beam's FnApiRunner, named explicitly: `DirectRunner` becomes another engine when the machine is online."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner
    from apache_beam.transforms.environments import EmbeddedPythonEnvironment, SubprocessSDKEnvironment

    from tamis.pipelines.curate import Curate

    if workers == 1:
        environment = EmbeddedPythonEnvironment.default()
    else:
        environment = SubprocessSDKEnvironment.from_command_string(worker.command(todo.run, wanted))
    views: dict[type[PipelineOptions], PipelineOptions] = {}

    class Options(PipelineOptions):
        """Keeps its views, which share their values: Beam asks for 500 to build the DAG, and makes a parser for each."""

        def view_as(self, kind: type[PipelineOptions]) -> PipelineOptions:
            if kind not in views:
                views[kind] = super().view_as(kind)
            return views[kind]

    options = Options.from_dictionary({"direct_num_workers": workers})
    try:
        with beam.Pipeline(FnApiRunner(environment), options) as pipeline:
            pipeline | Curate(recipe, todo)
    except Exception as error:
        told = RunError.from_traceback("".join(traceback.format_exception(error)))
        if told is None:
            raise
        raise told from None
