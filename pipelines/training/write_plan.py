"""`tamis plan`: writes plan.json of a finished run, for the schedule it was ordered for or for another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from tamis.pipelines.recipe.yaml_file import RecipeError, RecipeFile
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import read_manifest
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.checkpoint_weights import Checkpoints
from tamis.transforms.curriculum.training_plan import PLAN_FILE, TrainingPlan, curriculum_of, make_plan


def schedule_of(text: str) -> Schedule:
    """A schedule as a person gives one: a CSV file of tokens and learning rates, a YAML file, or `{shape: cosine, …}` itself.

    Raises RecipeError naming the field.
    """
    if text.endswith(".csv"):
        file, written = text, RecipeFile(text, "")
        written.data["points"] = text
    else:
        file = text if Path(text).is_file() else "--schedule"
        written = RecipeFile(file, Path(text).read_text("utf-8") if file == text else text)
    try:
        return Schedule.model_validate(written.data)
    except ValidationError as error:
        raise RecipeError(*written.problems(error, Schedule)) from None


def write_plan(
    run: str, schedule: Schedule | None = None, checkpoints: Mapping[str, object] = MappingProxyType({})
) -> tuple[str, TrainingPlan]:
    """Writes the plan into the run; returns where, and the plan. `checkpoints`: what of `Checkpoints` is given.

    Raises RunError when the data would have to lie elsewhere, and for checkpoints that cannot be.
    """
    manifest = read_manifest(run)
    own = curriculum_of(manifest).checkpoints or Checkpoints()
    try:
        made = make_plan(manifest, schedule, Checkpoints.model_validate({**own.model_dump(), **checkpoints}))
    except ValidationError as error:
        told = (".".join(map(str, problem["loc"])) + ": " + problem["msg"] for problem in error.errors())
        raise RunError("; ".join(problem.removeprefix(": ") for problem in told)) from None
    except ValueError as error:
        raise RunError(f"{run}: {error}") from None
    uri = storage.join(run, PLAN_FILE)
    storage.write_bytes(uri, (made.model_dump_json(indent=1) + "\n").encode())
    return uri, made
