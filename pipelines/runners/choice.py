"""The choice of a runner, and all that can be checked about it before anything starts.

Every runner leaves the same bytes. What of a manifest may differ is its `environment` (transforms/provenance/verify.py):
the runner, its workers and the time they took are named there.
"""

from __future__ import annotations

import json
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError

if TYPE_CHECKING:
    from tamis.pipelines.recipe.schema import Recipe
    from tamis.pipelines.run.work_plan import Plan

NAMES = ("local", "flink", "spark", "prism", "dataflow")

REFUSED = {
    "direct": "Beam's DirectRunner silently becomes another engine when the machine is online; use --runner local",
    "dask": "Beam's DaskRunner drops sinks, bundles and tagged outputs without a word; use --runner local",
}

JOB_SERVER = "localhost:8099"
"""Where a job server listens when nobody says otherwise."""

PRISM = "github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0"
"""What `go install` makes the program of."""

_DATAFLOW_NEEDS = ("project", "region", "temp_location", "sdk_container_image")

_PATIENCE = 5.0
"""Seconds for a server to answer."""


@dataclass(frozen=True)
class Runner:
    """Where the DAG runs, checked. `workers` is what the manifest names, 0 where the cluster decides; `options` are Beam's."""

    name: str
    workers: int
    options: Mapping[str, str] = field(default_factory=dict)

    def sized(self, todo: Plan) -> Runner:
        """Itself, with as many workers as pay for the input if it is the local runner and was given no number."""
        if self.name != "local" or self.workers:
            return self
        from tamis.pipelines.runners.local import default_workers

        return replace(self, workers=default_workers(todo.bytes))

    def run(self, recipe: Recipe, todo: Plan) -> None:
        """Runs the DAG and returns when it is done. Raises RunError with what to do."""
        if self.name == "local":
            from tamis.pipelines.runners import local

            local.run(recipe, todo, self.workers)
        elif self.name == "dataflow":
            from tamis.pipelines.runners import dataflow

            dataflow.run(recipe, todo, self.options)
        elif self.name == "prism":
            from tamis.pipelines.runners import prism

            prism.run(recipe, todo, self.options)
        else:
            from tamis.pipelines.runners import job_server

            job_server.run(recipe, todo, self.options)


def unusable(name: str, options: Mapping[str, str]) -> str | None:
    """What is wrong with the wish itself, whatever this machine has."""
    if name in REFUSED:
        return REFUSED[name]
    if name not in NAMES:
        return f"unknown; there is {', '.join(NAMES)}"
    if name == "local" and options:
        return f"the local runner has no options, but --option names {', '.join(options)}"
    if name == "dataflow" and (missing := [option for option in _DATAFLOW_NEEDS if option not in options]):
        return "needs " + " and ".join(f"--option {option}=…" for option in missing)
    return None


def choose(name: str, workers: int, options: Mapping[str, str], run: str) -> Runner:
    """The runner `name` for the run directory `run`; 0 workers are as many as pay, or as there is room for.

    Raises RunError when the cluster, its job server, a program or an extra is missing, and for an option that Beam cannot take.
    """
    wrong = unusable(name, options)
    if wrong:
        raise RunError(f"{name}: {wrong}")
    choice = {"local": _local, "flink": _flink, "spark": _spark, "prism": _prism, "dataflow": _dataflow}[name]
    chosen = choice(workers, dict(options), run)
    if options:
        from tamis.pipelines.runners import job_server

        unknown = job_server.check_options(options)
        if name == "dataflow" and unknown:  # job servers have options of their own
            raise RunError(f"dataflow: Beam has no option {' and no option '.join(sorted(unknown))}")
    return chosen


def _local(workers: int, options: dict[str, str], run: str) -> Runner:
    return Runner("local", workers)


def _flink(workers: int, options: dict[str, str], run: str) -> Runner:
    """Beam's job server, in front of a Flink whose REST interface says how many slots there are."""
    endpoint = options.setdefault("job_endpoint", JOB_SERVER)
    _answers(endpoint, "Beam's job server for Flink", "deploy/cluster flink start")
    master = options.pop("flink_master", "localhost:8081")
    cluster = _flink_overview(master)
    slots, nodes = int(cluster["slots-total"]), int(cluster["taskmanagers"])
    if not slots and not workers:
        raise RunError(f"the Flink at {master} has no task manager; start some, or name with --workers the slots to ask for")
    if slots and workers > slots:
        raise RunError(f"the Flink at {master} has {slots} slots, {workers} workers need as many; start more, or use fewer")
    workers = workers or slots
    defaults = {
        "parallelism": str(workers),
        # Beam starts one Python for all the slots of a task manager unless it is told how many there are.
        "sdk_worker_parallelism": str(max(1, -(-slots // max(nodes, 1)))),
        # A stage ends before the next begins: what a lost task manager held is made again, and nothing else.
        "execution_mode_for_batch": "BATCH_FORCED",
    }
    return Runner("flink", workers, _KEPT | defaults | options)


def _spark(workers: int, options: dict[str, str], run: str) -> Runner:
    """Beam's job server, in whose settings Spark finds its master and how finely it cuts the work: no job can change them."""
    if workers:
        raise RunError("spark works on all cores that its job server was given (spark.cores.max there); leave --workers out")
    _answers(options.setdefault("job_endpoint", JOB_SERVER), "Beam's job server for Spark", "deploy/cluster spark start")
    return Runner("spark", 0, _KEPT | options)


def _prism(workers: int, options: dict[str, str], run: str) -> Runner:
    """A server that is named, or one that the run starts for itself."""
    if workers > 1:
        raise RunError("prism works in one process; leave --workers out, or use --runner local")
    if "job_endpoint" in options:
        _answers(options["job_endpoint"], "Prism", "prism --job_port=8073")
    else:
        binary = options.setdefault("prism", "prism")
        if shutil.which(binary) is None:
            raise RunError(f"there is no program '{binary}': go install {PRISM}, and name it with --option prism=PATH")
    return Runner("prism", 1, options)


def _dataflow(workers: int, options: dict[str, str], run: str) -> Runner:
    if find_spec("apitools") is None:
        raise RunError("Dataflow needs Beam's Google Cloud parts: pip install 'tamis[dataflow,gcs]'")
    if storage.local_path(run) is not None:
        raise RunError(f"the workers of Dataflow do not see '{run}'; name a run directory in a bucket: --output gs://…")
    sizes = {"num_workers": str(workers), "max_num_workers": str(workers)} if workers else {}
    return Runner("dataflow", workers, sizes | options)


_KEPT = {"environment_cache_millis": "600000"}
"""Without it workers end after every stage and new ones begin the next. After the run they end since nobody wants them."""


def _answers(endpoint: str, what: str, start: str) -> None:
    """Raises RunError unless something listens at `host:port`."""
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
    except ValueError:
        raise RunError(f"--option job_endpoint={endpoint} is not of the form host:port") from None
    except OSError as error:
        raise RunError(
            f"{what} does not answer at {endpoint} ({error.strerror or error}): start it (on this machine: {start}), or name "
            "another with --option job_endpoint=host:port"
        ) from None


def _flink_overview(master: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://{master.removeprefix('http://')}/overview", timeout=_PATIENCE) as answer:
            return dict(json.load(answer))
    except (OSError, ValueError) as error:
        raise RunError(
            f"the job server answers, but no Flink at {master} ({error}): start it, or name its REST interface with "
            "--option flink_master=host:port"
        ) from None
