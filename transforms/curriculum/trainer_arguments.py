"""A schedule as the arguments of a trainer's own scheduler, which then has the planned rate at every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.trainers.hugging_face import transformers_arguments
from tamis.transforms.curriculum.trainers.megatron import megatron_arguments
from tamis.transforms.curriculum.trainers.stages import Arguments
from tamis.transforms.curriculum.trainers.torchtitan import nanochat_arguments, torchtitan_arguments

Trainer = Literal["megatron", "transformers", "torchtitan", "nanochat"]


def trainer_arguments(schedule: Schedule, trainer: Trainer, steps: int) -> Arguments:
    """The arguments, by name, for a run of so many steps. Raises ValueError if the trainer has no such schedule."""
    return _TRAINERS[trainer](schedule, steps)


_TRAINERS: Final[Mapping[Trainer, Callable[[Schedule, int], Arguments]]] = {
    "megatron": megatron_arguments,
    "transformers": transformers_arguments,
    "torchtitan": torchtitan_arguments,
    "nanochat": nanochat_arguments,
}
