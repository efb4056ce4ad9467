"""Prepares a run directory for a plan, and cleans up after it. Finished releases are left alone."""

import json

from tamis.pipelines.contamination.target_examples import check_targets
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.releases.retention import retain
from tamis.pipelines.run.intact_files import IntactFiles
from tamis.pipelines.run.run_lock import not_writable
from tamis.pipelines.run.work_plan import MEND, WorkPlan, plan_record, plan_uri, release_folders
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import File
from tamis.transforms.core.parts import FOLDERS, Part
from tamis.transforms.core.release import RUN_FILES, Release
from tamis.transforms.dedup.released.index_files import FOLDER as INDEX_FOLDER
from tamis.transforms.dedup.released.index_files import MERGED


def check_directory(run: str) -> None:
    """Raises RunError if `run` is a file, or a directory that holds something other than a run."""
    path = storage.local_path(run)
    if path is None or not path.exists():
        return
    if not path.is_dir():
        raise RunError(f"--output '{run}' is a file; name a directory")
    others = sorted(entry.name for entry in path.iterdir() if entry.name not in RUN_FILES)
    if others and not (path / ".state").exists():
        raise RunError(f"--output '{run}' holds other files ({', '.join(others[:3])}); name an empty or new directory")


def prepare(recipe: Recipe, plan: WorkPlan) -> None:
    """Removes what an earlier attempt left that cannot be used, and writes what the workers need.
    Raises RunError if the directory cannot be written, and as `check_targets` does."""
    storage.remove_tree(plan.spill)
    storage.remove_tree(storage.join(plan.run, MEND))
    if plan.unchanged is not None:
        return
    if plan.mended is None:
        record = plan_record(plan.fingerprint, plan.number)
        if plan.fresh or storage.read_json(plan_uri(plan.run)) != record:
            storage.remove_tree(plan.folder)
        storage.remove_tree(storage.join(plan.folder, "decisions"))  # the parts may be numbered otherwise
        for name in storage.names(plan.receipts):
            if name.startswith("part-"):
                storage.remove(storage.join(plan.receipts, name))
        try:
            storage.write_bytes(plan_uri(plan.run), json.dumps(record).encode())
        except OSError as error:
            raise not_writable(plan.run, error) from None
    _remove_unfinished_parts(plan)
    remove_temporary_files(plan)
    if plan.reused < len(plan.tasks) or any(step.cuts for step in recipe.steps):
        check_targets(recipe)
        for rater in recipe.raters:
            if rater.index_file:
                rater.save_index(storage.join(plan.indexes, rater.index_file))


def _remove_unfinished_parts(plan: WorkPlan) -> None:
    """Removes parts that are incomplete or damaged: their tasks write them again."""
    names = {task.name for task in plan.tasks if not task.finished}
    for folder, suffix in FOLDERS:
        for file in storage.names(storage.join(plan.run, folder)) if names else ():
            part = file.removesuffix(f".{suffix}")
            if part.rpartition("-")[0] in names:
                Part(plan.run, part).remove()


def remove_temporary_files(plan: WorkPlan) -> None:
    """Removes files that killed workers did not finish."""
    data = storage.join(plan.folder, "data")
    index = storage.join(plan.folder, INDEX_FOLDER)
    own = [plan.folder, plan.receipts, storage.join(plan.folder, "decisions"), index, storage.join(index, MERGED)]
    shared = [storage.join(plan.run, folder) for folder in ("", ".state", *sorted({folder for folder, _ in FOLDERS}))]
    for folder in (*shared, *own, *(storage.join(data, name) for name in storage.names(data))):
        storage.sweep(folder)


def clean_up(recipe: Recipe, plan: WorkPlan, release: Release) -> None:
    """Removes what a finished run no longer needs, and the releases that `output.retain` does not."""
    storage.remove_tree(plan.spill)
    storage.remove_tree(storage.join(plan.run, MEND))
    intact = IntactFiles(plan.run, release_folders(release))
    intact.trust(File(**file) for file in release.manifest["files"])
    intact.save()
    if recipe.output.retain is not None:
        retain(plan.run, recipe.output.retain)
