"""A recipe's schedule: written out, or as the arguments of a trainer's own scheduler."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, Discriminator, Field, GetCoreSchemaHandler, Tag, ValidationError
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import CoreSchema

from tamis.transforms.core.options import Options
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.batch_size import BatchSize
from tamis.transforms.curriculum.trainers.hugging_face import TransformersArguments
from tamis.transforms.curriculum.trainers.megatron import MegatronArguments
from tamis.transforms.curriculum.trainers.torch_compositions import TorchArguments
from tamis.transforms.curriculum.trainers.torchtitan import NanochatArguments, TorchtitanArguments

Args = TypeVar("Args")


class FromTrainer(Options, Generic[Args]):
    """A schedule by a trainer's own arguments."""

    trainer: Literal["megatron", "transformers", "torchtitan", "nanochat", "torch"] = Field(
        alias="from", description="whose scheduler it is"
    )
    args: Args = Field(description="its arguments that set the learning rate, by the names that the trainer gives them")


class FromAnyTrainer(FromTrainer[dict[str, Any]]):
    """The schedule of a trainer's own scheduler, in place of the fields above. Step k of n, counted from 0, is at
    k/n of the run."""


_ARGUMENTS = {
    "megatron": MegatronArguments,
    "transformers": TransformersArguments,
    "torchtitan": TorchtitanArguments,
    "nanochat": NanochatArguments,
    "torch": TorchArguments,
}


def _tag(value: Any) -> str:
    """Which model checks a schedule; of a trainer that is not known, the one that names those that are."""
    if not isinstance(value, dict) or not value.keys() & {"from", "args"}:
        return "[schedule]"
    return f"[{value['from']}]" if value.get("from") in _ARGUMENTS else "[unknown]"


def _written_out(options: Any) -> Schedule:
    schedule: Schedule = options if isinstance(options, Schedule) else options.args.schedule()
    return schedule


_WRITTEN = Annotated[
    Annotated[
        Annotated[Schedule, Tag("[schedule]")]
        | Annotated[FromTrainer[MegatronArguments], Tag("[megatron]"), SkipJsonSchema()]
        | Annotated[FromTrainer[TransformersArguments], Tag("[transformers]"), SkipJsonSchema()]
        | Annotated[FromTrainer[TorchtitanArguments], Tag("[torchtitan]"), SkipJsonSchema()]
        | Annotated[FromTrainer[NanochatArguments], Tag("[nanochat]"), SkipJsonSchema()]
        | Annotated[FromTrainer[TorchArguments], Tag("[torch]"), SkipJsonSchema()]
        | Annotated[FromAnyTrainer, Tag("[unknown]")],
        Discriminator(_tag),
    ],
    AfterValidator(_written_out),
]


def batch_in(schedule: Any) -> BatchSize | None:
    """The batch size that the arguments of a schedule tell, too. None if they do not, or are wrong, which reading the
    schedule reports."""
    if not isinstance(schedule, dict) or schedule.get("from") != "megatron":
        return None
    try:
        return MegatronArguments.model_validate(schedule.get("args")).batch()
    except ValidationError:
        return None


class _AsWritten:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(_WRITTEN)


ScheduleOptions = Annotated[Schedule, _AsWritten()]
"""What a recipe may say of its schedule; read as a `Schedule`, which is what a run keeps."""
