"""Google Cloud Dataflow: the workers are containers of deploy/Dockerfile, the run directory is in a bucket."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.work_plan import Plan
from tamis.pipelines.runners import job_server
from tamis.transforms.core.errors import RunError

DEFAULTS = {
    # An image of ours has the code; nothing is to be staged or installed when a worker starts.
    "sdk_location": "container",
    # Work is known at the start, and a worker more than it can use costs money.
    "autoscaling_algorithm": "THROUGHPUT_BASED",
}


def run(recipe: Recipe, todo: Plan, options: Mapping[str, str]) -> None:
    """Submits the DAG and waits for it.

    Raises RunError for options that cannot be, when Google refuses the job, when the job fails, and when that of a driver that
    was killed is at work in the run yet.
    """
    import apache_beam as beam
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner, DataflowRuntimeException
    from apache_beam.runners.dataflow.internal.apiclient import DataflowJobAlreadyExistsError
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    from tamis.pipelines.curate import Curate

    asked = DEFAULTS | {"job_name": job_name(todo.run)} | dict(options)
    try:
        pipeline = beam.Pipeline(DataflowRunner(), job_server.beam_options(asked))
    except ValueError as wrong:
        raise RunError(f"dataflow: {wrong} (a value is given with --option name=value)") from None
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
    except (GoogleAPIError, GoogleAuthError) as refused:
        raise RunError(
            f"Google refuses the job '{asked['job_name']}' in project '{asked['project']}': {refused}. Is the project's name "
            "right, its Dataflow API enabled, and are you logged in (`gcloud auth application-default login`)?"
        ) from None
    except DataflowRuntimeException as failed:
        raise RunError.from_traceback(str(failed)) or RunError(
            f"the job '{asked['job_name']}' failed: {failed}\nThe job's log in Google's "
            "console tells more. The same command goes on where it stopped"
        ) from None


def job_name(run: str) -> str:
    """One for each run directory: Dataflow starts no second job of a name, so no two jobs meet in a run."""
    return f"tamis-{hashlib.sha256(run.encode()).hexdigest()[:16]}"
