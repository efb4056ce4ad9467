"""The program of the Flex Template: plans a run and submits it as one Dataflow job, which finishes the run itself.

`tamis run --runner dataflow` waits for its job and then writes manifest and report. The launcher of a template must end before
the job begins, so here that is the last step of the job.
"""

from __future__ import annotations

import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from tamis.pipelines.curate import Curate
from tamis.pipelines.recipe.load import load_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run import finalize, metrics, progress, work_plan
from tamis.pipelines.run.run_lock import RunLock
from tamis.pipelines.run.work_plan import WorkPlan
from tamis.pipelines.runners import dataflow
from tamis.transforms import storage
from tamis.transforms.core.errors import NoInput
from tamis.transforms.provenance import release_chain


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--input", default="", help="separated by spaces")
    parser.add_argument("--output", required=True)
    parser.add_argument("--set", default="", help="a.b=c, separated by spaces")
    asked, beams = parser.parse_known_args(argv)
    wanted = load(asked.recipe, asked.set.split(), asked.input.split())
    options = [f"--{name}={value}" for name, value in dataflow.DEFAULTS.items()]
    pipeline = beam.Pipeline(options=PipelineOptions([*options, *beams]))
    compose(pipeline, wanted, asked.output)
    pipeline.run()


def load(name: str, overrides: Sequence[str], paths: Sequence[str]) -> Recipe:
    """The recipe `name`, which may lie in a bucket."""
    if "://" not in name:
        return load_recipe(name, overrides, paths)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / name.rpartition("/")[2]
        copy.write_bytes(storage.read_bytes(name))
        return load_recipe(str(copy), overrides, paths)


def compose(pipeline: beam.Pipeline, wanted: Recipe, run: str) -> None:
    """Puts all that a run still has to do into `pipeline`; when that is nothing, a job that does nothing."""
    with RunLock(run, "alone"):
        release_chain.record(run)
        try:
            todo = work_plan.make(wanted, run, fresh=False)
        except NoInput:
            todo = None
        if todo is None or todo.unchanged:
            pipeline | "Nothing to do" >> beam.Create([run])
            return
        progress.clear(run)
    ended = [beam.pvalue.AsList(each) for each in pipeline | Curate(wanted, todo)]
    pipeline | "Once" >> beam.Create([todo]) | "Finish" >> beam.Map(_finish, wanted, *ended)


def _finish(todo: WorkPlan, wanted: Recipe, *ended: Sequence[None]) -> None:
    """As the end of `tamis.pipelines.run.launch.launch`. A second try writes the same."""
    manifest = finalize.finish(wanted, todo, {"runner": "dataflow"})
    release_chain.record(todo.run)
    metrics.write_finished(todo.run, manifest, time.time())
    storage.remove_tree(todo.spill)
    progress.clear(todo.run)


if __name__ == "__main__":
    main()
