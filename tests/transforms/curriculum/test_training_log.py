"""A log of the planned run deviates nowhere, however its trainer counts; each mistake is found where it was made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.training_log import TrainingLog, other_rates, other_tokens

BATCH, STEPS = 512, 400
TOTAL = BATCH * STEPS
SCHEDULES = (
    Schedule(shape="wsd", peak=3e-3, final=1e-3, warmup=0.1),
    Schedule(shape="cosine", peak=1e-3, warmup=0.03),
    Schedule(shape="step", peak=1e-3, steps=((0.5, 0.3), (0.75, 0.1))),
)


def log(schedule: Schedule, first: int = 1, ahead: int = 0, every: int = 1) -> TrainingLog:
    """What a trainer logs that counts from `first`, and logs the rate of the step `ahead` of the one that it made."""
    made = np.arange(1, STEPS + 1)[::every]
    rate = schedule.learning_rate(np.clip((made - 1 + ahead) / STEPS, 0, 1))
    return TrainingLog(made - 1 + first, rate, (made * BATCH).astype(float))


@given(st.sampled_from(SCHEDULES), st.sampled_from([0, 1]), st.sampled_from([0, 1]), st.integers(1, 30))
def test_the_planned_run_deviates_nowhere(schedule: Schedule, first: int, ahead: int, every: int) -> None:
    ours = log(schedule, first, ahead, every)
    assert ours.batch_tokens() == BATCH
    assert not other_rates(ours, BATCH, schedule, TOTAL).any()
    assert not other_tokens(ours, BATCH).any()


def test_a_rate_off_by_more_than_a_thousandth_of_the_peak_deviates() -> None:
    ours = log(SCHEDULES[0])
    ours.rate[200] += 0.9e-6
    ours.rate[210] += 6e-6
    assert np.flatnonzero(other_rates(ours, BATCH, SCHEDULES[0], TOTAL)).tolist() == [210]


def test_a_warm_up_of_another_length_deviates_until_both_are_over() -> None:
    ours = log(SCHEDULES[0])
    short = Schedule(shape="wsd", peak=3e-3, final=1e-3, warmup=0.05)
    wrong = TrainingLog(ours.step, log(short).rate, ours.tokens)
    places = np.flatnonzero(other_rates(wrong, BATCH, SCHEDULES[0], TOTAL))
    assert (wrong.step[places[0]], wrong.step[places[-1]]) == (4, 38)  # at 39, the plan reaches the peak within a step
    assert not other_tokens(wrong, BATCH).any()


def test_a_loader_that_starts_anew_deviates_in_tokens_alone() -> None:
    ours = log(SCHEDULES[0])
    missed = TrainingLog(ours.step, ours.rate, np.where(ours.step > 250, ours.tokens - 250 * BATCH, ours.tokens))
    assert np.flatnonzero(other_tokens(missed, BATCH)).tolist() == list(range(250, STEPS))
    assert not other_rates(missed, BATCH, SCHEDULES[0], TOTAL).any()


def test_a_run_that_resumes_from_its_checkpoint_repeats_steps_and_deviates_nowhere() -> None:
    ours = log(SCHEDULES[0])
    rows = np.concatenate([np.arange(250), np.arange(200, STEPS)])
    resumed = TrainingLog(ours.step[rows], ours.rate[rows], ours.tokens[rows])
    assert not other_tokens(resumed, BATCH).any()
    assert not other_rates(resumed, BATCH, SCHEDULES[0], TOTAL).any()


@pytest.mark.parametrize("tokens", [[np.nan, np.nan], [1024.0, np.nan], [1024.0, 0.0]])
def test_a_log_may_not_tell_the_tokens_of_a_step(tokens: list[float]) -> None:
    assert TrainingLog(np.array([1, 2]), np.zeros(2), np.array(tokens)).batch_tokens() is None
