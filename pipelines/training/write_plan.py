"""`tamis plan`: writes plan.json for a finished run, for its own schedule or another."""

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


def parse_schedule(text: str) -> Schedule:
    """The schedule in a CSV file of tokens and learning rates, in a YAML file, or in inline YAML
    (`{shape: cosine, …}`). Raises RecipeError naming the field."""
    if text.endswith(".csv"):
        file = RecipeFile(text, "")
        file.data["points"] = text
    elif Path(text).is_file():
        file = RecipeFile(text, Path(text).read_text("utf-8"))
    else:
        file = RecipeFile("--schedule", text)
    try:
        return Schedule.model_validate(file.data)
    except ValidationError as error:
        raise RecipeError(*file.problems(error, Schedule)) from None


def write_plan(
    run: str, schedule: Schedule | None = None, checkpoints: Mapping[str, object] = MappingProxyType({})
) -> tuple[str, TrainingPlan]:
    """Writes plan.json into the run; returns its path and the plan. `checkpoints` overrides fields
    of `Checkpoints`. Raises RunError if the run's order does not fit the schedule, or the
    checkpoints are impossible."""
    manifest = read_manifest(run)
    own = curriculum_of(manifest).checkpoints or Checkpoints()
    try:
        plan = make_plan(manifest, schedule, Checkpoints.model_validate({**own.model_dump(), **checkpoints}))
    except ValidationError as error:
        problems = (".".join(map(str, problem["loc"])) + ": " + problem["msg"] for problem in error.errors())
        raise RunError("; ".join(problem.removeprefix(": ") for problem in problems)) from None
    except ValueError as error:
        raise RunError(f"{run}: {error}") from None
    uri = storage.join(run, PLAN_FILE)
    storage.write_bytes(uri, (plan.model_dump_json(indent=1) + "\n").encode())
    return uri, plan
