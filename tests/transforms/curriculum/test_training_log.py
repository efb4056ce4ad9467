"""A log of the planned run deviates nowhere, however its trainer counts; each mistake is found where it was made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.core.arrays import Ints
from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.batch_size import BatchSize
from tamis.transforms.curriculum.training_log import Deviation, TokensAfter, TrainingLog, rate_deviations, token_deviations

BATCH, STEPS = 512, 400
TOTAL = BATCH * STEPS
SCHEDULES = (
    Schedule(shape="wsd", peak=3e-3, final=1e-3, warmup=0.1),
    Schedule(shape="cosine", peak=1e-3, warmup=0.03),
    Schedule(shape="step", peak=1e-3, steps=((0.5, 0.3), (0.75, 0.1))),
)


def constant(steps: Ints) -> Ints:
    return steps * BATCH


def log(schedule: Schedule, first: int = 1, ahead: int = 0, every: int = 1, after: TokensAfter = constant) -> TrainingLog:
    """What a trainer logs that counts from `first`, and logs the rate of the step `ahead` of the one that it made."""
    made = np.arange(1, STEPS + 1)[::every]
    rate = schedule.learning_rate(np.clip(after(made - 1 + ahead) / after(np.array(STEPS)), 0, 1))
    return TrainingLog(made - 1 + first, rate, after(made).astype(float))


def rates(log: TrainingLog, schedule: Schedule = SCHEDULES[0], after: TokensAfter = constant) -> list[tuple[int, int]]:
    """The first and the last steps of deviations."""
    return [(each.step, each.last_step) for each in rate_deviations(log, after, schedule, int(after(np.array(STEPS))))]


def tokens(log: TrainingLog, after: TokensAfter = constant) -> list[tuple[int, int]]:
    return [(each.step, each.last_step) for each in token_deviations(log, after)]


RAMPS = st.sampled_from([None, (1, 1, 100), (2, 3, 1500), (4, 4, 30)])


@given(st.sampled_from(SCHEDULES), st.sampled_from([0, 1]), st.sampled_from([0, 1]), st.integers(1, 30), RAMPS)
def test_the_planned_run_deviates_nowhere(
    schedule: Schedule, first: int, ahead: int, every: int, ramp: tuple[int, int, int] | None
) -> None:
    after = BatchSize(sequences=8, sequence_length=64, ramp=ramp).tokens_after
    ours = log(schedule, first, ahead, every, after)
    assert rates(ours, schedule, after) == tokens(ours, after) == []


def test_a_run_that_ramps_its_batch_size_deviates_from_a_plan_without() -> None:
    ours = log(SCHEDULES[0], after=BatchSize(sequences=8, sequence_length=64, ramp=(4, 4, 400)).tokens_after)
    assert tokens(ours) == [(2, STEPS)]


def test_a_rate_off_by_more_than_a_thousandth_of_the_peak_deviates() -> None:
    ours = log(SCHEDULES[0])
    ours.rate[200] += 0.9e-6
    ours.rate[210] += 6e-6
    assert rates(ours) == [(211, 211)]


def test_a_warm_up_of_another_length_deviates_until_both_are_over() -> None:
    ours = log(SCHEDULES[0])
    short = Schedule(shape="wsd", peak=3e-3, final=1e-3, warmup=0.05)
    wrong = TrainingLog(ours.step, log(short).rate, ours.tokens)
    assert rates(wrong) == [(4, 38)]  # at 39, the plan reaches the peak within a step
    assert tokens(wrong) == []


def test_deviations_of_the_rate_are_separate_where_it_is_as_planned_in_between() -> None:
    ours = log(SCHEDULES[0])
    ours.rate[[3, 4, 5, 300, 301]] = 0
    ours.rate[200] = np.nan  # not logged
    assert rates(ours) == [(4, 6), (301, 302)]


def test_a_loader_that_starts_anew_deviates_in_tokens_alone() -> None:
    ours = log(SCHEDULES[0])
    missed = TrainingLog(ours.step, ours.rate, np.where(ours.step > 250, ours.tokens - 250 * BATCH, ours.tokens))
    assert token_deviations(missed, constant) == [Deviation(251, STEPS, 150, BATCH, 251 * BATCH)]
    assert rates(missed) == []


@given(st.sets(st.integers(1, STEPS - 1), max_size=8), st.integers(1, 7))
def test_each_restart_of_the_loader_is_a_deviation(restarts: set[int], every: int) -> None:
    """After each, tokens count from 0. The first logged step behind it is named."""
    ours = log(SCHEDULES[0], every=every)
    last = np.array([max([0, *(step for step in restarts if step < own)]) for own in ours.step.tolist()])
    missed = TrainingLog(ours.step, ours.rate, (ours.step - last) * float(BATCH))
    firsts = [int(ours.step[row]) for row in range(1, len(ours.step)) if last[row] != last[row - 1]]
    assert [first for first, _ in tokens(missed)] == firsts


def test_tokens_that_jump_back_to_the_plan_end_a_deviation() -> None:
    ours = log(SCHEDULES[0])
    ours.tokens[100:200] += 5 * BATCH
    assert tokens(ours) == [(101, 200)]


@pytest.mark.parametrize("share", [0.5, 0.75, 2.0])
def test_steps_of_another_size_are_one_deviation(share: float) -> None:
    """From the beginning, or from somewhere on."""
    ours = log(SCHEDULES[0], every=10)
    (whole,) = tokens(TrainingLog(ours.step, ours.rate, ours.tokens * share))
    assert whole[1] == ours.step[-1]
    later = ours.tokens + np.maximum(ours.step - 301, 0) * BATCH * (share - 1)
    assert tokens(TrainingLog(ours.step, ours.rate, later)) == [(311, ours.step[-1])]


def test_a_run_that_resumes_from_its_checkpoint_repeats_steps_and_deviates_nowhere() -> None:
    ours = log(SCHEDULES[0])
    rows = np.concatenate([np.arange(250), np.arange(200, STEPS)])
    resumed = TrainingLog(ours.step[rows], ours.rate[rows], ours.tokens[rows])
    assert rates(resumed) == tokens(resumed) == []


def test_tokens_of_a_step_are_the_usual_ones() -> None:
    assert log(SCHEDULES[0]).batch_tokens() == BATCH


@pytest.mark.parametrize("counts", [[np.nan, np.nan], [1024.0, np.nan], [1024.0, 0.0]])
def test_a_log_may_not_tell_the_tokens_of_a_step(counts: list[float]) -> None:
    assert TrainingLog(np.array([1, 2]), np.zeros(2), np.array(counts)).batch_tokens() is None


def test_nothing_logged_deviates_nowhere() -> None:
    ours = log(SCHEDULES[0])
    silent = TrainingLog(ours.step, np.full(STEPS, np.nan), np.full(STEPS, np.nan))
    assert rates(silent) == tokens(silent) == []
