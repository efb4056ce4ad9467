"""Runs the DAG through a Beam job server, on Flink or Spark."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.work_plan import WorkPlan
from tamis.pipelines.runners import worker
from tamis.pipelines.runners.worker_failure import explain_failure
from tamis.transforms.core.errors import RunError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

ATTEMPTS = 3  # how often a job is submitted if its nodes or workers die
WORKER = str(Path(sys.executable).with_name("tamis-worker"))
"""The command that a node starts. If the nodes have Tamis elsewhere: --option worker=PATH."""

_PYTHON_ERROR = "Error received from SDK harness"
"""How Java reports a Python exception. Unless it is a RunError it is a bug, and not retried."""


def run(recipe: Recipe, plan: WorkPlan, options: Mapping[str, str]) -> None:
    """Submits the DAG and waits for it. Raises RunError as a local run does.

    `options` are Beam's, by name; `worker` is the worker's command. Nodes start workers as
    processes: if one cannot start, the job fails with the reason; Beam's own worker pool would wait
    for ever. After the death of a worker the whole job is submitted again, and reuses the parts
    that are rated: within the job, Beam would hand the dead worker's output to a retry.
    """
    import grpc

    endpoint = options["job_endpoint"]
    for _ in range(ATTEMPTS):
        try:
            submit(recipe, plan, dict(options))
            return
        # All that Beam raises for a failed job.
        except (RuntimeError, grpc.RpcError, grpc.FutureTimeoutError) as error:
            text = "".join(traceback.format_exception(error))
            command = options.get("worker", WORKER)
            if run_error := RunError.from_traceback(text) or explain_failure(text, command, plan.run, endpoint):
                raise run_error from None
            if _PYTHON_ERROR in text:
                raise
            message = str(error)
    raise RunError(
        f"the job failed {ATTEMPTS} times; the last error from the job server {endpoint}: {message}\n"
        "See the logs of the cluster. The same command goes on where the run stopped"
    )


def submit(recipe: Recipe, plan: WorkPlan, options: dict[str, str]) -> None:
    """One attempt: submits the job, waits for it, and cancels it on Ctrl-C."""
    import apache_beam as beam
    from apache_beam.runners.portability.portable_runner import PortableRunner

    from tamis.pipelines.curate import Curate

    command = options.pop("worker", WORKER)
    with worker.DriverAlive(plan.spill) as alive:
        if "environment_type" not in options:
            options |= {"environment_type": "PROCESS", "environment_config": environment(command, plan.run, alive.uri)}
        pipeline = beam.Pipeline(PortableRunner(), beam_options(options))
        pipeline | Curate(recipe, plan)
        job = pipeline.run()
        try:
            job.wait_until_finish()
        except KeyboardInterrupt:
            job.cancel()
            raise


def environment(command: str, run: str, alive: str) -> str:
    """Beam's process environment as JSON: the worker's command and its environment variables."""
    variables = {worker.RUN: run, worker.DRIVER: alive, worker.FOLDER: os.getcwd()}
    return json.dumps({"command": command, "env": worker.ENVIRONMENT | variables})


def check_options(options: Mapping[str, str]) -> set[str]:
    """The names that Beam does not know; a job server may. Raises RunError if Beam rejects a
    value: Beam itself would print its whole usage in the middle of the run and exit."""
    parsed = beam_options(options)
    with redirect_stderr(StringIO()) as stderr:
        try:
            return set(parsed.get_all_options(retain_unknown_options=True)) - set(parsed.get_all_options())
        except SystemExit:
            message = stderr.getvalue().rpartition("error: ")[2].strip()
            raise RunError(f"--option: {message}; options are Beam's, as name=value") from None


def beam_options(options: Mapping[str, str]) -> PipelineOptions:
    """Beam's PipelineOptions. The value `true` sets a flag."""
    from apache_beam.options.pipeline_options import PipelineOptions

    return PipelineOptions([f"--{name}" if value == "true" else f"--{name}={value}" for name, value in options.items()])
