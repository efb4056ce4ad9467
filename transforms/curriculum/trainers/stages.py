"""What the schedulers of trainers have in common: a warm-up, a constant stretch, a decay, a rest; counted in steps.

Sections here run over steps, not over shares of the run. Step k of n, counted from 0, has the rate at
k/n of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from pydantic import ValidationError, model_validator
from pydantic_core import PydanticCustomError

from tamis.transforms.core.errors import nearest
from tamis.transforms.core.options import Options
from tamis.transforms.core.schedule import Curve, Piece, Schedule, Section

Arguments = dict[str, Any]


class TrainerArguments(Options):
    """Arguments by the names that the trainer gives them, with - or _, and with or without their section before a dot."""

    @model_validator(mode="before")
    @classmethod
    def _spell_names(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        spelt = {str(name).lstrip("-").replace("-", "_").rsplit(".", 1)[-1]: name for name in values}
        wrong: dict[tuple[str, ...], str] = {}
        for name, written in spelt.items():
            if name not in cls.model_fields:
                near = nearest(name, cls.model_fields)
                known = f"did you mean '{near}'?" if near else f"these are: {', '.join(cls.model_fields)}"
                wrong[str(written),] = f"no such argument of the scheduler; {known}"
        if wrong:
            raise errors_at(wrong)
        return {name: values[written] for name, written in spelt.items()}


def errors_at(messages: Mapping[tuple[str, ...], str]) -> ValidationError:
    """An error with messages by the places of arguments, so that a recipe's error names their lines."""
    return ValidationError.from_exception_data(
        "arguments",
        [
            {"type": PydanticCustomError("value_error", "{text}", {"text": text}), "loc": place, "input": None}
            for place, text in messages.items()
        ],
    )


@dataclass(frozen=True, slots=True)
class Stages:
    """A schedule in four stages, any of which may be empty: from `start` to `peak` in `warmup` steps,
    the peak up to step `decay_start`, a decay to `final` up to step `decay_end`, and `final` from there on."""

    start: float
    warmup: int
    peak: float
    decay_start: int
    decay_end: int
    final: float
    curve: Curve | None
    """Of the decay; None if the rate never falls."""
    power: float
    warmup_curve: Curve
    warmup_power: float


def stages_of(schedule: Schedule, steps: int, trainer: str) -> Stages:
    """The stages of a schedule, rounded to whole steps. Raises ValueError if it has others."""
    if schedule.points:
        raise ValueError(_no_such_shape(trainer, "of points"))
    sections = _whole_steps(schedule, steps)
    warmup = sections.pop(0) if sections[0].first < sections[0].last else None
    peak = warmup.last if warmup else sections[0].first
    begin = warmup.end if warmup else 0
    hold = sections.pop(0) if sections and sections[0].first == sections[0].last == peak else None
    decay = sections.pop(0) if sections and sections[0].first == peak > sections[0].last else None
    final = decay.last if decay else peak
    rest = sections.pop(0) if decay and sections and sections[0].first == sections[0].last == final else None
    if sections or (rest is None and decay is not None and decay.end < steps):
        raise ValueError(_no_such_shape(trainer, schedule.shape))
    return Stages(
        start=warmup.first if warmup else 0.0,
        warmup=round(begin),
        peak=peak,
        decay_start=round(hold.end if hold else begin),
        decay_end=round(decay.end if decay else steps),
        final=final,
        curve=decay.curve if decay else None,
        power=decay.power if decay else 1.0,
        warmup_curve=warmup.curve if warmup else "linear",
        warmup_power=warmup.power if warmup else 1.0,
    )


def schedule_of(sections: Iterable[Section], steps: int) -> Schedule:
    """The schedule with these sections over `steps` steps: in the plainest shape that says it."""
    run = [section for section in sections if section.start < min(section.end, steps)]
    plain = list(run)
    warmup = plain.pop(0) if plain[0].first == 0 < plain[0].last and (plain[0].curve, plain[0].power) == ("linear", 1) else None
    hold = plain.pop(0) if plain and plain[0].first == plain[0].last else None
    decay = plain.pop(0) if plain and plain[0].first > plain[0].last and plain[0].end == steps else None
    peak = (hold or decay or warmup or run[0]).first or run[0].last
    joined = all(before.last == after.first for before, after in pairwise(run))
    if plain or not joined or (decay and decay.power != 1) or (warmup and warmup.end >= steps) or not (hold or decay):
        pieces = (Piece(until=_whole(s.end) / steps, first=s.first, last=s.last, curve=s.curve, power=s.power) for s in run)
        return Schedule(pieces=tuple(pieces))
    common: Arguments = {"peak": peak, "warmup": warmup.end / steps if warmup else 0.0}
    if decay is None:
        return Schedule(shape="constant", **common)
    if hold is None and decay.curve in ("linear", "cosine"):
        return Schedule(shape=decay.curve, final=decay.last, **common)
    return Schedule(shape="wsd", final=decay.last, decay=(steps - decay.start) / steps, decay_shape=decay.curve, **common)


def name_of(curve: Curve | None, names: Mapping[Curve, str], trainer: str) -> str:
    """The trainer's name of a curve. Raises ValueError if it has none."""
    if curve is None or curve not in names:
        raise ValueError(f"{trainer} has no decay of shape {curve}: choose {', '.join(names)} as decay_shape")
    return names[curve]


def _whole_steps(schedule: Schedule, steps: int) -> list[Section]:
    """The sections that take at least a step; constant ones in a row are one."""
    sections: list[Section] = []
    for section in schedule.sections():
        start, end = (min(round(at * steps), steps) if at <= 1 else at * steps for at in (section.start, section.end))
        if start >= end:
            continue
        if sections and sections[-1].first == sections[-1].last == section.first == section.last:
            sections[-1] = replace(sections[-1], end=end)
        else:
            sections.append(replace(section, start=start, end=end))
    return sections


def _whole(step: float) -> float:
    """A step that is whole but for rounding, so that a jump is at it and not just behind it."""
    return round(step) if abs(step - round(step)) < 1e-9 else step


def _no_such_shape(trainer: str, shape: str) -> str:
    return f"{trainer} has no scheduler of the shape {shape}: set each step's rate by batch.learning_rate"
