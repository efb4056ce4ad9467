"""`tamis plan`: writes plan.json of a finished run, for the schedule it was ordered for or for another."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from pipelines.recipe_file import RecipeError, RecipeFile
from transforms import release, storage
from transforms.curriculum.plan import NAME, Checkpoints, TrainingPlan, plan
from transforms.errors import RunError
from transforms.schedule import Schedule


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


def write_plan(run: str, schedule: Schedule | None = None, checkpoints: Checkpoints | None = None) -> tuple[str, TrainingPlan]:
    """Writes the plan into the run; returns where, and the plan. Raises RunError when the data would have to lie elsewhere."""
    try:
        made = plan(release.read(run), schedule, checkpoints)
    except ValueError as error:
        raise RunError(f"{run}: {error}") from None
    uri = storage.join(run, NAME)
    storage.write_bytes(uri, (made.model_dump_json(indent=1) + "\n").encode())
    return uri, made
