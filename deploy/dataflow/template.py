"""The program of the Flex Template: plans a run and submits it as one Dataflow job, which also
finishes the run.

`tamis run --runner dataflow` waits for its job and then writes manifest and report. A template's
launcher must end before its job starts, so here the last step of the job writes them.
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
from tamis.pipelines.releases.seal import restore_manifests
from tamis.pipelines.run import metrics, progress
from tamis.pipelines.run.finalize import finalize_run
from tamis.pipelines.run.prepare import clean_up, prepare
from tamis.pipelines.run.run_lock import RunLock
from tamis.pipelines.run.work_plan import WorkPlan, plan_work
from tamis.pipelines.runners import dataflow
from tamis.transforms import storage
from tamis.transforms.core.errors import NoInput


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--input", default="", help="separated by spaces")
    parser.add_argument("--output", required=True)
    parser.add_argument("--set", default="", help="a.b=c, separated by spaces")
    arguments, beam_options = parser.parse_known_args(argv)
    recipe = load(arguments.recipe, arguments.set.split(), arguments.input.split())
    options = [f"--{name}={value}" for name, value in dataflow.DEFAULTS.items()]
    pipeline = beam.Pipeline(options=PipelineOptions([*options, *beam_options]))
    compose(pipeline, recipe, arguments.output)
    pipeline.run()


def load(name: str, overrides: Sequence[str], paths: Sequence[str]) -> Recipe:
    """The recipe `name`, which may be in a bucket."""
    if "://" not in name:
        return load_recipe(name, overrides, paths)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / name.rpartition("/")[2]
        copy.write_bytes(storage.read_bytes(name))
        return load_recipe(str(copy), overrides, paths)


def compose(pipeline: beam.Pipeline, recipe: Recipe, run: str) -> None:
    """Adds the remaining work of a run to `pipeline`, or a step that does nothing."""
    with RunLock(run, "exclusive"):
        restore_manifests(run)
        try:
            plan = plan_work(recipe, run, fresh=False)
            prepare(recipe, plan)
        except NoInput:
            plan = None
        if plan is None or plan.unchanged is not None:
            pipeline | "Nothing to do" >> beam.Create([run])
            return
        progress.clear(run)
    outputs = [beam.pvalue.AsList(output) for output in pipeline | Curate(recipe, plan)]
    pipeline | "Once" >> beam.Create([plan]) | "Finish" >> beam.Map(_finish, recipe, *outputs)


def _finish(plan: WorkPlan, recipe: Recipe, *_: Sequence[None]) -> None:
    """Finishes the run like `tamis.pipelines.run.launch.launch`. A retry writes the same files."""
    release = finalize_run(recipe, plan, {"runner": "dataflow"}, allow_shrink=False)
    metrics.write_finished(plan.run, release.manifest, time.time())
    clean_up(recipe, plan, release)
    progress.clear(plan.run)


if __name__ == "__main__":
    main()
