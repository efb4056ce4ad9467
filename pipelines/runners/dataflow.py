"""Runs the DAG on Google Cloud Dataflow, in containers of deploy/Dockerfile."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.work_plan import WorkPlan
from tamis.pipelines.runners import job_server
from tamis.transforms.core.errors import RunError

DEFAULTS = {
    # Our image has the code: nothing is staged or installed when a worker starts.
    "sdk_location": "container",
    # The amount of work is known at the start, and a worker too many costs money.
    "autoscaling_algorithm": "THROUGHPUT_BASED",
}


def run(recipe: Recipe, plan: WorkPlan, options: Mapping[str, str]) -> None:
    """Submits the DAG and waits for it. Raises RunError for an invalid option, if Google refuses
    the job, if the job fails, and if a killed driver's job still works in the same directory."""
    import apache_beam as beam
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner, DataflowRuntimeException
    from apache_beam.runners.dataflow.internal.apiclient import DataflowJobAlreadyExistsError
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    from tamis.pipelines.curate import Curate

    options = DEFAULTS | {"job_name": job_name(plan.run)} | dict(options)
    try:
        pipeline = beam.Pipeline(DataflowRunner(), job_server.beam_options(options))
    except ValueError as error:
        raise RunError(f"dataflow: {error} (a value is given with --option name=value)") from None
    pipeline | Curate(recipe, plan)
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
            f"a job '{options['job_name']}' is running already, most likely in '{plan.run}': wait for it, or cancel it with "
            f"`gcloud dataflow jobs list --status=active` and `gcloud dataflow jobs cancel`"
        ) from None
    except (GoogleAPIError, GoogleAuthError) as error:
        raise RunError(
            f"Google refuses the job '{options['job_name']}' in project '{options['project']}': {error}. Is the project's name "
            "right, its Dataflow API enabled, and are you logged in (`gcloud auth application-default login`)?"
        ) from None
    except DataflowRuntimeException as error:
        raise RunError.from_traceback(str(error)) or RunError(
            f"the job '{options['job_name']}' failed: {error}\nSee the job's log in Google's console. "
            "The same command resumes the run"
        ) from None


def job_name(run: str) -> str:
    """A name per run directory: Dataflow refuses a second job of a name, so no two share a run."""
    return f"tamis-{hashlib.sha256(run.encode()).hexdigest()[:16]}"
