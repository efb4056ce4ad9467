"""`tamis plan`: the training plan of a release, for its own schedule or for another one."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import get_args

from pydantic import TypeAdapter, ValidationError

from tamis.pipelines.recipe.field_messages import field_messages
from tamis.pipelines.recipe.yaml_file import RecipeFile
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.options import fingerprint
from tamis.transforms.core.release import open_release
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.batch_size import BatchSize
from tamis.transforms.curriculum.checkpoint_weights import Checkpoints
from tamis.transforms.curriculum.trainer_schedule import ScheduleOptions, batch_in
from tamis.transforms.curriculum.training_plan import PLAN_FILE, TrainingPlan, curriculum_of, make_plan


def parse_schedule(text: str) -> tuple[Schedule, BatchSize | None]:
    """The schedule in a CSV file of tokens and learning rates, in a YAML file, or in inline YAML
    (`{shape: cosine, …}`), and the batch size if it is told by arguments of a trainer. Raises RecipeError naming the field."""
    if text.endswith(".csv"):
        file = RecipeFile(text, "")
        file.data["points"] = text
    elif text in get_args(Schedule.model_fields["shape"].annotation):
        raise RunError(f"--schedule {text}: write {{shape: {text}}}, with its other fields, or name a file")
    elif Path(text).is_file():
        file = RecipeFile(text, Path(text).read_text("utf-8"))
    else:
        file = RecipeFile("--schedule", text)
    schedule = file.check(Schedule, lambda fields, _: TypeAdapter(ScheduleOptions).validate_python(fields))
    return schedule, batch_in(file.data)


def parse_batch(text: str) -> BatchSize:
    """The batch size in inline YAML (`{sequences: 1024, sequence_length: 4096}`). Raises RecipeError naming the field."""
    return RecipeFile("--batch", text).check(BatchSize, lambda fields, _: BatchSize.model_validate(fields))


def write_plan(
    run: str,
    schedule: Schedule | None = None,
    checkpoints: Mapping[str, object] = MappingProxyType({}),
    output: str = "",
    batch: BatchSize | None = None,
) -> tuple[str, TrainingPlan]:
    """The path of a plan of a release, `RUN` or `RUN@41`, and the plan. Its own plan is part of
    the release; one for another schedule, batch size or other checkpoints is written to `output`, by
    default in plans/ of the run. `checkpoints` overrides fields of `Checkpoints`. Raises RunError if the
    release's order does not fit the schedule, or the checkpoints are impossible."""
    release = open_release(run)
    manifest = release.manifest
    own = curriculum_of(manifest).checkpoints or Checkpoints()
    try:
        plan = make_plan(manifest, schedule, Checkpoints.model_validate({**own.model_dump(), **checkpoints}), batch)
    except ValidationError as error:
        messages = field_messages(error, Checkpoints).items()
        raise RunError("; ".join(": ".join(filter(None, (".".join(map(str, at)), text))) for at, text in messages)) from None
    except ValueError as error:
        raise RunError(f"{run}: {error}") from None
    content = (plan.model_dump_json(indent=1) + "\n").encode()
    own_plan = release.uri(PLAN_FILE)
    if not output and storage.exists(own_plan) and storage.read_bytes(own_plan) == content:
        return own_plan, plan
    name = f"{release.number:06d}-{fingerprint(plan.model_dump(mode='json'))}.json"
    uri = output or storage.join(release.run, "plans", name)
    storage.write_bytes(uri, content)
    return uri, plan
