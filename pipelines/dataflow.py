"""Google Cloud Dataflow: the workers are containers of deploy/Dockerfile, the run directory is in a bucket."""

from __future__ import annotations

import traceback
from collections.abc import Mapping

from pipelines import portable
from pipelines.plan import Plan
from pipelines.recipe import Recipe
from transforms.errors import RunError

DEFAULTS = {
    # An image of ours has the code; nothing is to be staged or installed when a worker starts.
    "sdk_location": "container",
    "experiments": "use_runner_v2",
    # Work is known at the start, and a worker more than it can use costs money.
    "autoscaling_algorithm": "THROUGHPUT_BASED",
    "job_name": "tamis",
}


def run(recipe: Recipe, todo: Plan, options: Mapping[str, str]) -> None:
    """Submits the DAG and waits for it."""
    import apache_beam as beam
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner

    from pipelines.curate import Curate

    pipeline = beam.Pipeline(DataflowRunner(), portable.beam_options(DEFAULTS | dict(options)))
    pipeline | Curate(recipe, todo)
    job = None
    try:
        job = pipeline.run()
        job.wait_until_finish()
    except KeyboardInterrupt:
        if job is not None:
            job.cancel()
        raise
    except Exception as error:
        told = RunError.from_traceback("".join(traceback.format_exception(error)))
        if told is None:
            raise
        raise told from None
