"""A recipe's schedule: written out, or as the arguments of a trainer's own scheduler."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

from pydantic import AfterValidator, Discriminator, Field, GetCoreSchemaHandler, Tag
from pydantic_core import CoreSchema

from tamis.transforms.core.options import Options
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.trainers.hugging_face import TransformersArguments
from tamis.transforms.curriculum.trainers.megatron import MegatronArguments
from tamis.transforms.curriculum.trainers.torch_compositions import TorchArguments
from tamis.transforms.curriculum.trainers.torchtitan import NanochatArguments, TorchtitanArguments

Name = TypeVar("Name")
Args = TypeVar("Args")


class OfTrainer(Options, Generic[Name, Args]):
    """The schedule of a trainer, by its own arguments."""

    trainer: Name = Field(alias="from")
    args: Args


_Known = Literal["megatron", "transformers", "torchtitan", "nanochat", "torch"]


def _tag(value: Any) -> str:
    """Which model checks a schedule; of one from a trainer that is not known, the one that names those that are."""
    if not isinstance(value, dict) or not value.keys() & {"from", "args"}:
        return "[schedule]"
    return f"[{value['from']}]" if value.get("from") in get_args(_Known) else "[unknown]"


def _written_out(options: Any) -> Schedule:
    schedule: Schedule = options if isinstance(options, Schedule) else options.args.schedule()
    return schedule


_WRITTEN = Annotated[
    Annotated[
        Annotated[Schedule, Tag("[schedule]")]
        | Annotated[OfTrainer[Literal["megatron"], MegatronArguments], Tag("[megatron]")]
        | Annotated[OfTrainer[Literal["transformers"], TransformersArguments], Tag("[transformers]")]
        | Annotated[OfTrainer[Literal["torchtitan"], TorchtitanArguments], Tag("[torchtitan]")]
        | Annotated[OfTrainer[Literal["nanochat"], NanochatArguments], Tag("[nanochat]")]
        | Annotated[OfTrainer[Literal["torch"], TorchArguments], Tag("[torch]")]
        | Annotated[OfTrainer[_Known, Any], Tag("[unknown]")],
        Discriminator(_tag),
    ],
    AfterValidator(_written_out),
]


class _AsWritten:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(_WRITTEN)


ScheduleOptions = Annotated[Schedule, _AsWritten()]
"""What a recipe may say of its schedule; read as a `Schedule`, which is what a run keeps."""
