"""The runners by name, and every check of one that can be made before anything starts.

All runners write the same bytes. Only `environment` in the manifest differs: it names the runner,
its workers and the seconds they took (transforms/provenance/verify.py ignores it).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError, missing_package

if TYPE_CHECKING:
    from tamis.pipelines.recipe.schema import Recipe
    from tamis.pipelines.run.work_plan import WorkPlan

NAMES = ("local", "flink", "spark", "dataflow")

REFUSED = {
    "direct": "Beam's DirectRunner silently switches to another engine when the machine is online; use --runner local",
    "dask": "Beam's DaskRunner silently drops sinks, bundles and tagged outputs; use --runner local",
}

JOB_SERVER = "localhost:8099"  # the default address of a Beam job server

_DATAFLOW_NEEDS = ("project", "region", "temp_location", "sdk_container_image")
_TIMEOUT = 5.0  # seconds for a server to answer
_KEEP_WORKERS = {"environment_cache_millis": "600000"}
"""By default Beam ends the workers after each stage. Ours end with their driver anyway."""


@dataclass(frozen=True)
class Runner:
    """A checked runner. `options` are Beam's; with 0 `workers` the cluster decides."""

    name: str
    workers: int
    options: Mapping[str, str] = field(default_factory=dict)

    def with_default_workers(self, plan: WorkPlan) -> Runner:
        """This runner. A local one with 0 workers gets as many as the input pays for."""
        if self.name != "local" or self.workers:
            return self
        from tamis.pipelines.runners.local import default_workers

        return replace(self, workers=default_workers(plan.work))

    def run(self, recipe: Recipe, plan: WorkPlan) -> None:
        """Runs the DAG and returns when it is done. Raises RunError, which says what to do."""
        from tamis.pipelines.runners import dataflow, job_server, local

        if self.name == "local":
            local.run(recipe, plan, self.workers)
        elif self.name == "dataflow":
            dataflow.run(recipe, plan, self.options)
        else:
            job_server.run(recipe, plan, self.options)


def usage_error(name: str, options: Mapping[str, str]) -> str | None:
    """What is wrong with the arguments themselves, apart from what is installed or running."""
    if name in REFUSED:
        return REFUSED[name]
    if name not in NAMES:
        return f"unknown runner; choose one of {', '.join(NAMES)}"
    if name == "local" and options:
        return f"the local runner has no options, but --option names {', '.join(options)}"
    if name == "dataflow" and (missing := [option for option in _DATAFLOW_NEEDS if option not in options]):
        return "needs " + " and ".join(f"--option {option}=…" for option in missing)
    return None


def make_runner(name: str, workers: int, options: Mapping[str, str], run: str) -> Runner:
    """The runner `name` for the run directory `run`. 0 workers: as many as pay, or as have room.
    Raises RunError if the cluster, its job server or an extra is missing, or an option invalid."""
    if error := usage_error(name, options):
        raise RunError(f"{name}: {error}")
    makers = {"local": _local, "flink": _flink, "spark": _spark, "dataflow": _dataflow}
    runner = makers[name](workers, dict(options), run)
    if options:
        from tamis.pipelines.runners import job_server

        unknown = job_server.check_options(options)
        if name == "dataflow" and unknown:  # a job server may have options of its own
            raise RunError(f"dataflow: Beam has no option {' and no option '.join(sorted(unknown))}")
    return runner


def _local(workers: int, options: dict[str, str], run: str) -> Runner:
    return Runner("local", workers)


def _flink(workers: int, options: dict[str, str], run: str) -> Runner:
    """Beam's job server in front of a Flink, whose REST interface has the number of slots."""
    endpoint = options.setdefault("job_endpoint", JOB_SERVER)
    _check_listening(endpoint, "Beam's job server for Flink", "deploy/cluster flink start")
    master = options.pop("flink_master", "localhost:8081")
    cluster = _flink_overview(master)
    slots, nodes = int(cluster["slots-total"]), int(cluster["taskmanagers"])
    if not slots and not workers:
        raise RunError(f"the Flink at {master} has no task manager; start one, or give the number of slots with --workers")
    if slots and workers > slots:
        raise RunError(f"the Flink at {master} has {slots} slots, too few for {workers} workers; add slots, or lower --workers")
    workers = workers or slots
    defaults = {
        "parallelism": str(workers),
        # By default Beam starts one Python process for all slots of a task manager.
        "sdk_worker_parallelism": str(max(1, -(-slots // max(nodes, 1)))),
        # Each stage ends before the next begins, so a lost task manager costs only its own output.
        "execution_mode_for_batch": "BATCH_FORCED",
    }
    return Runner("flink", workers, _KEEP_WORKERS | defaults | options)


def _spark(workers: int, options: dict[str, str], run: str) -> Runner:
    """Beam's job server in front of a Spark. Only the server's settings limit the cores."""
    if workers:
        raise RunError("spark uses all cores of its job server (its setting spark.cores.max); leave --workers out")
    endpoint = options.setdefault("job_endpoint", JOB_SERVER)
    _check_listening(endpoint, "Beam's job server for Spark", "deploy/cluster spark start")
    return Runner("spark", 0, _KEEP_WORKERS | options)


def _dataflow(workers: int, options: dict[str, str], run: str) -> Runner:
    if find_spec("apitools") is None:
        raise RunError(missing_package("Dataflow", "apache-beam[gcp]"))
    if storage.local_path(run) is not None:
        raise RunError(f"Dataflow's workers cannot see '{run}'; name a run directory in a bucket: --output gs://…")
    sizes = {"num_workers": str(workers), "max_num_workers": str(workers)} if workers else {}
    return Runner("dataflow", workers, sizes | options)


def _check_listening(endpoint: str, server: str, start: str) -> None:
    """Raises RunError unless something listens at `host:port`."""
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_TIMEOUT).close()
    except ValueError:
        raise RunError(f"--option job_endpoint={endpoint} is not of the form host:port") from None
    except OSError as error:
        raise RunError(
            f"{server} does not answer at {endpoint} ({error.strerror or error}): start it (on this machine: {start}), or "
            "name another with --option job_endpoint=host:port"
        ) from None


def _flink_overview(master: str) -> dict[str, Any]:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"http://{master.removeprefix('http://')}/overview", timeout=_TIMEOUT) as response:
            return dict(json.load(response))
    except (OSError, ValueError) as error:
        raise RunError(
            f"the job server answers, but no Flink at {master} ({error}): start it, or name its REST interface with "
            "--option flink_master=host:port"
        ) from None
