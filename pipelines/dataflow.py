"""Google Cloud Dataflow: the workers are containers of deploy/Dockerfile, the run directory is in a bucket."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Mapping

from pipelines import portable
from pipelines.plan import Plan
from pipelines.recipe import Recipe
from transforms.errors import RunError

DEFAULTS = {
    # An image of ours has the code; nothing is to be staged or installed when a worker starts.
    "sdk_location": "container",
    # Work is known at the start, and a worker more than it can use costs money.
    "autoscaling_algorithm": "THROUGHPUT_BASED",
}


def run(recipe: Recipe, todo: Plan, options: Mapping[str, str]) -> None:
    """Submits the DAG and waits for it. Raises RunError when the job of a driver that was killed is at work in the run yet."""
    import apache_beam as beam
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
    from apache_beam.runners.dataflow.internal.apiclient import DataflowJobAlreadyExistsError

    from pipelines.curate import Curate

    asked = DEFAULTS | {"job_name": job_name(todo.run)} | dict(options)
    pipeline = beam.Pipeline(DataflowRunner(), portable.beam_options(asked))
    pipeline | Curate(recipe, todo)
    job = None
    try:
        job = pipeline.run()
        job.wait_until_finish()
    except KeyboardInterrupt:
        if job is not None:
            job.cancel()
        raise
    except DataflowJobAlreadyExistsError:
        raise RunError(
            f"a job '{asked['job_name']}' is at work already, most likely in '{todo.run}': wait for it, or cancel it with "
            f"`gcloud dataflow jobs list --status=active` and `gcloud dataflow jobs cancel`"
        ) from None
    except Exception as error:
        told = RunError.from_traceback("".join(traceback.format_exception(error)))
        if told is None:
            raise
        raise told from None


def job_name(run: str) -> str:
    """One for each run directory: Dataflow starts no second job of a name, so no two jobs meet in a run."""
    return f"tamis-{hashlib.sha256(run.encode()).hexdigest()[:16]}"
