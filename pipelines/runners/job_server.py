"""Runs the DAG through a Beam job server: on Flink, Spark or Prism."""

from __future__ import annotations

import json
import os
import re
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
from tamis.transforms.core.errors import RunError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

WORKER = str(Path(sys.executable).with_name("tamis-worker"))
"""What a node starts; a cluster whose nodes keep Tamis elsewhere is told with --option worker=PATH."""


ATTEMPTS = 3
"""How often a job is submitted whose nodes or workers die."""


def run(recipe: Recipe, todo: WorkPlan, options: Mapping[str, str]) -> None:
    """Submits the DAG and waits for it. An error of the run arrives as RunError, as from a local worker.

    `options` are Beam's, by name, with `worker` for the worker's command. Beam's environment is a process of the node: a worker
    that cannot start is noticed and told, where Beam's own pool of workers would let the job wait for ever. A job that lost a
    worker is submitted again, since Beam keeps what is left of the dead worker until the job's end, and gives it to whoever
    tries again in it; the next job takes the parts that are rated.
    """
    import grpc

    endpoint = options["job_endpoint"]
    for _ in range(ATTEMPTS):
        try:
            _submit(recipe, todo, dict(options))
            return
        except (RuntimeError, grpc.RpcError, grpc.FutureTimeoutError) as error:  # all that Beam tells of a job
            text = "".join(traceback.format_exception(error))
            told = RunError.from_traceback(text) or _told(text, options.get("worker", WORKER), todo.run, endpoint)
            if told is not None:
                raise told from None
            if _OURS in text:
                raise
            last = str(error)
    raise RunError(
        f"the job failed {ATTEMPTS} times; the last time the job server {endpoint} said: {last}\n"
        "The logs of the cluster tell more. The same command goes on where the run stopped"
    )


_OURS = "Error received from SDK harness"
"""How Java introduces an exception of Python's that is no RunError: a fault of ours, which would come again."""


def _submit(recipe: Recipe, todo: WorkPlan, options: dict[str, str]) -> None:
    import apache_beam as beam
    from apache_beam.runners.portability.portable_runner import PortableRunner

    from tamis.pipelines.curate import Curate

    command = options.pop("worker", WORKER)
    with worker.Wanted(todo.spill) as wanted:
        if "environment_type" not in options:
            options |= {"environment_type": "PROCESS", "environment_config": environment(command, todo.run, wanted.uri)}
        pipeline = beam.Pipeline(PortableRunner(), beam_options(options))
        pipeline | Curate(recipe, todo)
        job = pipeline.run()
        try:
            job.wait_until_finish()
        except KeyboardInterrupt:
            job.cancel()
            raise


def environment(command: str, run: str, wanted: str) -> str:
    """The JSON of a process environment: the worker's command and what it must know of the run."""
    known = {worker.RUN: run, worker.WANTED: wanted, worker.FOLDER: os.getcwd()}
    return json.dumps({"command": command, "env": worker.ENVIRONMENT | known})


def check_options(options: Mapping[str, str]) -> set[str]:
    """The names that Beam does not know; a job server may. Raises RunError for a value that Beam cannot take: Beam itself would
    print its whole usage in the midst of the run, and end the process."""
    asked = beam_options(options)
    with redirect_stderr(StringIO()) as said:
        try:
            return set(asked.get_all_options(retain_unknown_options=True)) - set(asked.get_all_options())
        except SystemExit:
            wrong = said.getvalue().rpartition("error: ")[2].strip()
            raise RunError(f"--option: {wrong}; options are Beam's, as name=value") from None


def beam_options(options: Mapping[str, str]) -> PipelineOptions:
    """Beam's PipelineOptions; the value `true` is a flag that is set."""
    from apache_beam.options.pipeline_options import PipelineOptions

    return PipelineOptions([f"--{name}" if value == "true" else f"--{name}={value}" for name, value in options.items()])


def _told(text: str, command: str, run: str, endpoint: str) -> RunError | None:
    """What a runner says when it is not Tamis that failed, in words a person can act on."""
    code = re.search(r"Process died with exit code (\d+)", text)
    if code and int(code[1]) == worker.NOT_SHARED:
        return RunError(
            f"a node of the cluster does not see '{run}' or the folder {os.getcwd()}: every node must see both under the same "
            "path. Use a shared file system, or an object store"
        )
    if code and int(code[1]) == worker.BUSY:
        return RunError(f"another run is at work in '{run}'; wait for it, or name another directory with --output")
    if code:
        return RunError(
            f"a worker could not start (exit code {code[1]}): run `{command} --help` on the cluster's nodes to see why, or "
            "name the command with --option worker=…"
        )
    if re.search(r"java.io.IOException: (Cannot run program .*)?error=(2|13),", text):  # Java names the program or not
        return RunError(
            f"the cluster's nodes have no {command}: install Tamis there too, or name its command with --option worker=…"
        )
    if "StatusCode.UNAVAILABLE" in text or "StatusCode.CANCELLED" in text:
        return RunError(f"the job server {endpoint} went away. The same command goes on where the run stopped")
    return None
