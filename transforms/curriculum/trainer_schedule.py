"""A recipe's schedule: written out, or as the arguments of a trainer's own scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    Tag,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import CoreSchema

from tamis.transforms.core.options import Options
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.batch_size import BatchSize

_ARGUMENTS: Final[Mapping[str, str]] = {
    "megatron": "megatron:MegatronArguments",
    "transformers": "hugging_face:TransformersArguments",
    "torchtitan": "torchtitan:TorchtitanArguments",
    "nanochat": "torchtitan:NanochatArguments",
    "torch": "torch_compositions:TorchArguments",
}
"""The arguments by trainer, as module and name: few recipes need any, and all of them take 20 ms to import."""


def _arguments(trainer: str, written: Any) -> Any:
    module, _, name = _ARGUMENTS[trainer].partition(":")
    return getattr(import_module(f"tamis.transforms.curriculum.trainers.{module}"), name).model_validate(written)


class FromTrainer(Options):
    """The schedule of a trainer's own scheduler, in place of the fields above. Step k of n, counted from 0, is at
    k/n of the run."""

    trainer: Literal["megatron", "transformers", "torchtitan", "nanochat", "torch"] = Field(
        alias="from", description="whose scheduler it is"
    )
    args: Annotated[Any, WithJsonSchema({"type": "object", "additionalProperties": True})] = Field(
        description="its arguments that set the learning rate, by the names that the trainer gives them"
    )

    @field_validator("args")
    @classmethod
    def _are_of_the_trainer(cls, args: Any, info: ValidationInfo) -> Any:
        return _arguments(info.data["trainer"], args) if "trainer" in info.data else args


def _tag(value: Any) -> str:
    """Which model checks a schedule."""
    return "[from]" if isinstance(value, dict) and value.keys() & {"from", "args"} else "[schedule]"


def _written_out(options: Any) -> Schedule:
    schedule: Schedule = options if isinstance(options, Schedule) else options.args.schedule()
    return schedule


_WRITTEN = Annotated[
    Annotated[Annotated[Schedule, Tag("[schedule]")] | Annotated[FromTrainer, Tag("[from]")], Discriminator(_tag)],
    AfterValidator(_written_out),
]


def batch_in(schedule: Any) -> BatchSize | None:
    """The batch size that the arguments of a schedule tell, too. None if they do not, or are wrong, which reading the
    schedule reports."""
    if not isinstance(schedule, dict) or schedule.get("from") != "megatron":
        return None
    try:
        batch: BatchSize | None = _arguments("megatron", schedule.get("args")).batch()
    except ValidationError:
        return None
    return batch


class _AsWritten:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(_WRITTEN)


ScheduleOptions = Annotated[Schedule, _AsWritten()]
"""What a recipe may say of its schedule; read as a `Schedule`, which is what a run keeps."""
