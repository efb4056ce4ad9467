"""Megatron-LM's OptimizerParamScheduler (megatron-core 0.14 to 0.19): a schedule as its arguments, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError, model_validator

from tamis.transforms.core.schedule import Curve, Rate, Schedule, Section
from tamis.transforms.curriculum.batch_size import BatchSize
from tamis.transforms.curriculum.trainers.stages import Arguments, TrainerArguments, errors_at, name_of, schedule_of, stages_of

_CURVES: Final[Mapping[Curve, str]] = {"linear": "linear", "cosine": "cosine", "sqrt": "minus_sqrt", "halving": "exponential"}
"""Of `--lr-wsd-decay-style`, by ours. Its `exponential` falls by 2·½^r − 1."""

_INVERSE_SQRT: Final = "inverse-square-root"

Positive = Annotated[int, Field(ge=1)]


class MegatronArguments(TrainerArguments):
    """Arguments of Megatron-LM's command line. Lengths are in iterations, or all in samples, as a run that
    ramps its batch size up has them. Those of the batch may be left out."""

    lr: float = Field(gt=0, allow_inf_nan=False)
    min_lr: Rate = 0.0
    lr_decay_style: Literal["constant", "linear", "cosine", "inverse-square-root", "WSD"] = "linear"
    lr_wsd_decay_style: Literal["exponential", "linear", "cosine", "minus_sqrt"] = "exponential"
    lr_warmup_init: Rate = 0.0
    lr_warmup_fraction: float | None = Field(None, ge=0, lt=1)
    train_iters: int | None = Field(None, ge=1)
    lr_decay_iters: int | None = Field(None, ge=1)
    lr_warmup_iters: int = Field(0, ge=0)
    lr_wsd_decay_iters: int | None = Field(None, ge=0)
    train_samples: int | None = Field(None, ge=1)
    lr_decay_samples: int | None = Field(None, ge=1)
    lr_warmup_samples: int = Field(0, ge=0)
    lr_wsd_decay_samples: int | None = Field(None, ge=0)
    global_batch_size: int | None = Field(None, ge=1)
    seq_length: int | None = Field(None, ge=1)
    rampup_batch_size: tuple[Positive, Positive, Positive] | None = None

    @model_validator(mode="after")
    def _lengths_fit(self) -> MegatronArguments:
        iterations, samples = (
            [name for name in type(self).model_fields if name.endswith(unit) and name in self.model_fields_set]
            for unit in ("_iters", "_samples")
        )
        if (self.train_iters is None) == (self.train_samples is None) or (iterations and samples):
            raise ValueError("set train_iters or train_samples, and all other lengths in the same unit")
        unit = "iters" if iterations else "samples"
        run, decay, warmup, wsd = self.lengths
        wrong: dict[tuple[str, ...], str] = {}
        for name in ("min_lr", "lr_warmup_init"):
            if getattr(self, name) > self.lr:
                wrong[name,] = f"is above lr, {self.lr:g}"
        if warmup >= min(run, decay):
            name = f"lr_warmup_{unit}" if self.lr_warmup_fraction is None else "lr_warmup_fraction"
            wrong[name,] = f"leaves nothing to train or to decay: set it below {min(run, decay):,} {unit}"
        elif self.lr_decay_style == "WSD" and not 0 < wsd <= decay - warmup:
            wrong[f"lr_wsd_decay_{unit}",] = f"should be 1 to {decay - warmup:g}, what the warm-up leaves of the decay"
        if self.rampup_batch_size and self.train_samples is None:
            wrong["rampup_batch_size",] = "needs the lengths in samples (train_samples, lr_warmup_samples, …), as in Megatron"
        elif self.rampup_batch_size and not (self.global_batch_size and self.seq_length):
            wrong["rampup_batch_size",] = "needs global_batch_size and seq_length, which say what it ramps up to"
        if wrong:
            raise errors_at(wrong)
        try:
            self.batch()
        except ValidationError as error:
            raise errors_at({("rampup_batch_size",): str(error.errors()[0]["ctx"]["error"])}) from None
        return self

    def batch(self) -> BatchSize | None:
        """The batch size; None if the arguments do not tell it."""
        if self.global_batch_size is None or self.seq_length is None:
            return None
        return BatchSize(sequences=self.global_batch_size, sequence_length=self.seq_length, ramp=self.rampup_batch_size)

    @property
    def lengths(self) -> tuple[int, int, float, int]:
        """(run, end of the decay, warm-up, WSD's decay) in iterations or samples."""
        run, decay, warmup, wsd = self.train_iters, self.lr_decay_iters, self.lr_warmup_iters, self.lr_wsd_decay_iters
        if run is None:
            run, decay, warmup = self.train_samples, self.lr_decay_samples, self.lr_warmup_samples
            wsd = self.lr_wsd_decay_samples
        assert run is not None
        decay = run if decay is None else decay
        return run, decay, warmup if self.lr_warmup_fraction is None else self.lr_warmup_fraction * decay, wsd or 0

    def schedule(self) -> Schedule:
        schedule, batch = schedule_of(self._sections(), self.lengths[0]), self.batch()
        if batch is None:
            return schedule
        tokens = self.lengths[0] * (batch.tokens if self.train_samples is None else batch.sequence_length)
        return schedule.model_copy(update={"tokens": tokens})

    def _sections(self) -> Iterator[Section]:
        run, decay, warmup, wsd = self.lengths
        yield Section(0, warmup, "linear", self.lr_warmup_init, self.lr)
        if self.lr_decay_style == "constant":
            yield Section(warmup, run, "linear", self.lr, self.lr)
            return
        if self.lr_decay_style == _INVERSE_SQRT:
            yield from self._inverse_sqrt(run, decay, warmup)
            return
        start = decay - wsd if self.lr_decay_style == "WSD" else warmup
        curves = {name: curve for curve, name in _CURVES.items()}
        curve = curves[self.lr_wsd_decay_style if self.lr_decay_style == "WSD" else self.lr_decay_style]
        yield Section(warmup, start, "linear", self.lr, self.lr)
        yield Section(start, decay, curve, self.lr, self.min_lr)
        yield Section(decay, run, "linear", self.min_lr, self.min_lr)

    def _inverse_sqrt(self, run: int, decay: int, warmup: float) -> Iterator[Section]:
        """lr·√(warm-up / step), at least min_lr, which it is after the end of the decay, too."""
        first = max(warmup, 1)
        floor = first * (self.lr / self.min_lr) ** 2 if self.min_lr else float("inf")
        end = min(floor, run if decay >= run else decay + 1)
        yield Section(warmup, first, "linear", self.lr, self.lr)
        yield Section(first, end, "inverse_sqrt", self.lr, self.min_lr if end == floor else self.lr * (first / end) ** 0.5)
        yield Section(end, run, "linear", self.min_lr, self.min_lr)


def megatron_arguments(schedule: Schedule, steps: int) -> Arguments:
    """Options of Megatron-LM's command line. Raises ValueError if it has no such schedule."""
    stages = stages_of(schedule, steps, "Megatron")
    if (stages.warmup_curve, stages.warmup_power, stages.power) != ("linear", 1, 1):
        raise ValueError("Megatron's warm-up and decay have no power: set each step's rate by batch.learning_rate")
    arguments: Arguments = {
        "lr": stages.peak,
        "min-lr": stages.final,
        "lr-decay-style": "constant",
        "lr-warmup-iters": stages.warmup,
        "lr-decay-iters": stages.decay_end,
        "train-iters": steps,
    }
    if stages.start:
        arguments["lr-warmup-init"] = stages.start
    if stages.curve is None:
        return arguments
    if stages.curve == "inverse_sqrt":
        return arguments | _inverse_sqrt_arguments(stages.warmup, stages.decay_start, schedule, steps)
    if stages.decay_start == stages.warmup and stages.curve in ("linear", "cosine"):
        return arguments | {"lr-decay-style": stages.curve}
    return arguments | {
        "lr-decay-style": "WSD",
        "lr-wsd-decay-style": name_of(stages.curve, _CURVES, "Megatron"),
        "lr-wsd-decay-iters": stages.decay_end - stages.decay_start,
    }


def _inverse_sqrt_arguments(warmup: int, start: int, schedule: Schedule, steps: int) -> Arguments:
    """Those of a decay that begins at `start`. Raises ValueError unless it is that of its warm-up."""
    decay = next(section for section in schedule.sections() if section.curve == "inverse_sqrt")
    length = decay.end * steps / max(start, 1)
    if start != max(warmup, 1) or abs((decay.first / decay.last) ** 2 / length - 1) > 1e-9:
        raise ValueError(
            "Megatron's inverse square root is peak·√(warm-up / step), which this decay is not: set each step's rate by "
            "batch.learning_rate"
        )
    return {"lr-decay-style": _INVERSE_SQRT, "lr-decay-iters": steps, "min-lr": decay.last if decay.end < 1 else 0.0}
