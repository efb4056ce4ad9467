"""Reads the training plan of a release, or another plan."""

from pydantic import ValidationError

from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.release import open_release
from tamis.transforms.curriculum.training_plan import PLAN_FILE, TrainingPlan


def open_plan(run: str, plan_file: str = "") -> TrainingPlan:
    """The plan in a file, or that of a release (`RUN` or `RUN@41`). Raises FileNotFoundError without one, and
    RunError if it is of another version."""
    uri = plan_file or open_release(run).uri(PLAN_FILE)
    if not storage.exists(uri):
        raise FileNotFoundError(f"there is no plan {uri}; write one with: tamis plan {run}")
    try:
        return TrainingPlan.model_validate_json(storage.read_bytes(uri))
    except ValidationError as error:
        raise RunError(
            f"{uri} is not a plan of this version ({error.error_count()} errors); write it again: tamis plan {run}"
        ) from None
