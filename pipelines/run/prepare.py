"""Prepares a run directory: removes stale files, writes the plan and the benchmarks' index."""

import json

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run.receipts import STATE
from tamis.pipelines.run.run_lock import not_writable
from tamis.pipelines.run.work_plan import RUN_FILES, WorkPlan, part_ordinal, plan_uri
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.decontaminate.ngrams import Contamination


def check_directory(run: str) -> None:
    """Raises RunError if `run` is a file, or a directory that holds something other than a run."""
    path = storage.local_path(run)
    if path is None or not path.exists():
        return
    if not path.is_dir():
        raise RunError(f"--output '{run}' is a file; name a directory")
    others = sorted(entry.name for entry in path.iterdir() if entry.name not in RUN_FILES)
    if others and not (path / STATE).exists():
        raise RunError(f"--output '{run}' holds other files ({', '.join(others[:3])}); name an empty or new directory")


def prepare(recipe: Recipe, plan: WorkPlan) -> None:
    """Removes stale files and the remains of earlier attempts, and writes what the workers need.
    Raises RunError if the directory cannot be written."""
    run = plan.run
    for name in plan.stale_files:
        storage.remove_tree(storage.join(run, name))
    for part in plan.stale_parts:
        part.remove()
    ordinals = {task.ordinal for task in plan.tasks}
    for folder in (storage.join(run, "decisions"), storage.join(run, STATE)):
        for name in storage.names(folder):
            if name.startswith("part-") and part_ordinal(name) not in ordinals:
                storage.remove(storage.join(folder, name))
    remove_temporary_files(run)
    storage.remove_tree(plan.spill)
    if plan.unchanged:
        return
    try:
        storage.write_bytes(plan_uri(run), json.dumps({"fingerprint": plan.fingerprint}).encode())
    except OSError as error:
        raise not_writable(run, error) from None
    if plan.reused < len(plan.tasks):
        for rater in recipe.raters:
            if isinstance(rater, Contamination):
                rater.index.save(plan.index)


def remove_temporary_files(run: str) -> None:
    """Removes files that killed workers did not finish."""
    phases = [f"data/{name}" for name in storage.names(storage.join(run, "data"))]
    for folder in ("", "rated", "sketches", "rejects", "decisions", STATE, *phases):
        storage.sweep(storage.join(run, folder))
