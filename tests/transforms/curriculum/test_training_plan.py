"""A plan gives the learning rates of every shard, adds up to the run, and detects an order made for another schedule."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.checkpoint_weights import Checkpoints, averaging_weights
from tamis.transforms.curriculum.lint import best_decile_weights
from tamis.transforms.curriculum.order import Curriculum, Phase
from tamis.transforms.curriculum.training_plan import TrainingPlan, curriculum_of, make_plan, schedule_conflicts
from tests.transforms.core.test_schedule import schedules

BANDS = (Phase(name="web", share=0.7), Phase(name="best", share=0.3, order="ascending"))


def manifest(curriculum: Curriculum, tokens: list[tuple[str, int]]) -> dict[str, Any]:
    """As a run leaves it: shards of (phase, tokens) in order."""
    shards, files, first = [], [], 0
    for number, (phase, size) in enumerate(tokens):
        path = f"data/{phase}/shard-{number:05}.parquet"
        shards.append({"path": path, "phase": phase, "documents": 3, "first_token": first, "tokens": size})
        files.append({"path": path, "bytes": 1, "sha256": f"{number:064x}"})
        first += size
    body = {**curriculum.model_dump(mode="json"), "tokens": first, "shards": shards}
    return {"curriculum": body, "files": files, "corpus_root": "ab" * 32, "fingerprint": "c0ffee"}


SHARDS = [("web", 400), ("web", 300), ("best", 200), ("best", 100)]


def test_every_shard_has_its_rates_and_together_they_are_the_run() -> None:
    plan = make_plan(manifest(Curriculum(phases=BANDS), SHARDS))
    assert [shard.first_token for shard in plan.shards] == [0, 400, 700, 900]
    assert [shard.sha256[-1] for shard in plan.shards] == list("0123")
    assert (plan.shards[0].lr_start, plan.shards[0].lr_end, plan.shards[0].lr_mean) == pytest.approx((3e-3, 3e-3, 3e-3))
    assert plan.shards[-1].lr_end == pytest.approx(1e-5)
    assert 100 * plan.shards[-1].lr_mass == pytest.approx(1.799, abs=5e-4)
    assert sum(shard.lr_mass for shard in plan.shards) == pytest.approx(1)
    assert [(phase.name, phase.first_token, phase.tokens) for phase in plan.phases] == [("web", 0, 700), ("best", 700, 300)]
    assert sum(phase.lr_mass for phase in plan.phases) == pytest.approx(1)
    assert plan.tokens == 1000
    assert plan.shuffle is False


@settings(max_examples=25)
@given(schedules(), st.lists(st.integers(0, 1000), min_size=1, max_size=12).filter(any))
def test_under_any_schedule_means_and_masses_add_up(schedule: Schedule, tokens: list[int]) -> None:
    plan = make_plan(manifest(Curriculum(), [("phase-1", size) for size in [*tokens, 1000]]), schedule)
    mean = sum(shard.lr_mean * shard.tokens for shard in plan.shards) / plan.tokens
    assert mean == pytest.approx(float(schedule.mass(0, 1)))
    assert sum(shard.lr_mass for shard in plan.shards) == pytest.approx(1)
    for shard in plan.shards:
        low, high = schedule.lr_range(shard.first_token / plan.tokens, (shard.first_token + shard.tokens) / plan.tokens)
        slack = 1e-6 * schedule.peak
        assert all(low - slack <= rate <= high + slack for rate in (shard.lr_start, shard.lr_end, shard.lr_mean))


def test_a_shard_that_ends_at_a_step_does_not_meet_it() -> None:
    schedule = Schedule(shape="step", peak=1.0, steps=((0.5, 0.1),))
    first, second = make_plan(manifest(Curriculum(), [("phase-1", 500), ("phase-1", 500)]), schedule).shards
    assert (first.lr_start, first.lr_end, first.lr_mean) == (1, 1, 1)
    assert (second.lr_start, second.lr_end, second.lr_mean) == pytest.approx((0.1, 0.1, 0.1))


def test_six_checkpoints_at_the_end_with_normalised_weights() -> None:
    plan = make_plan(manifest(Curriculum(), [("phase-1", 1000)]))
    assert [checkpoint.token for checkpoint in plan.checkpoints] == [950, 960, 970, 980, 990, 1000]
    np.testing.assert_allclose([checkpoint.weight for checkpoint in plan.checkpoints], averaging_weights("ema"))
    alone = make_plan(manifest(Curriculum(), [("phase-1", 1000)]), checkpoints=Checkpoints(averaging="none", kept=1))
    assert [(checkpoint.token, checkpoint.weight) for checkpoint in alone.checkpoints] == [(1000, 1.0)]
    with pytest.raises(ValueError, match="do not fit into the run"):
        Checkpoints(kept=11, spacing=0.1)


def test_batch_hints_mark_the_phases_of_better_quality() -> None:
    (hint,) = make_plan(manifest(Curriculum(phases=BANDS), SHARDS)).batch_hints
    assert (hint.token, hint.phase, hint.stable_tokens, hint.ramp_tokens) == (700, "best", 75, 75)
    assert make_plan(manifest(Curriculum(phases=BANDS, assign="uniform"), SHARDS)).batch_hints == ()


def test_another_schedule_is_planned_without_touching_data_unless_the_order_was_made_for_one() -> None:
    other = Schedule.moderate(1e-3)
    assert make_plan(manifest(Curriculum(order="ascending"), [("phase-1", 9)]), other).schedule == other
    weighted = Curriculum(order="lr_weighted", schedule=Schedule(final=1e-5))
    with pytest.raises(
        ValueError, match=r"an lr_weighted order for another schedule: \d+% of its tokens .* only Decide and Emit"
    ):
        make_plan(manifest(weighted, [("phase-1", 9)]), other)
    # Another peak alone moves nothing: the half-life is one of the peak.
    assert schedule_conflicts(weighted, Schedule(peak=6e-3, final=2e-5)) == []
    early = Curriculum(phases=(Phase(name="a", share=0.5, order="lr_weighted"), Phase(name="b", share=0.5)))
    assert schedule_conflicts(early, other) == []  # constant in that half under both


def test_it_reports_the_share_of_the_best_tenth() -> None:
    sealed = manifest(Curriculum(order="ascending", half_life=0.1), [("phase-1", 9)])
    plan = make_plan(sealed, checkpoints=Checkpoints(averaging="none"))
    assert 100 * plan.best_decile_lr_mass == pytest.approx(1.799, abs=5e-4)
    assert plan.best_decile_weight == {str(k): v for k, v in best_decile_weights(Curriculum(half_life=0.1)).items()}
    assert plan.best_decile_weight["lr_weighted"] > plan.best_decile_weight["ascending"] > plan.best_decile_weight["uniform"]
    assert plan.warnings[0].startswith("[ascending-muted] ")
    # The average looks further back, past the end of an ascending order.
    averaged = make_plan(sealed).best_decile_weight
    assert averaged["ascending"] < plan.best_decile_weight["ascending"]
    assert max(averaged.values()) == averaged["lr_weighted"] == pytest.approx(plan.best_decile_weight["lr_weighted"], abs=0.01)


def test_planning_for_another_averaging_warns() -> None:
    averaging = Checkpoints(averaging="sma", kept=10, spacing=0.03)
    weighted = Curriculum(order="lr_weighted", half_life=0.1)
    declared = manifest(weighted.model_copy(update={"checkpoints": averaging}), [("phase-1", 1000)])
    plan = make_plan(declared)
    assert (plan.averaging, plan.warnings) == (averaging, ())
    (warning,) = make_plan(declared, checkpoints=Checkpoints(averaging="none")).warnings
    assert warning.startswith(
        "[other-averaging] Phase 'phase-1' has an lr_weighted order for another averaging of checkpoints: 100%"
    )
    undeclared = manifest(weighted, [("phase-1", 1000)])
    assert make_plan(undeclared, checkpoints=Checkpoints(averaging="none")).warnings == ()
    assert make_plan(undeclared).warnings[0].startswith("[other-averaging]")
    assert make_plan(manifest(Curriculum(order="ascending"), [("phase-1", 1000)]), Schedule.moderate(3e-3)).warnings == ()


def test_it_is_a_function_of_its_arguments_and_reads_back() -> None:
    sealed = manifest(Curriculum(phases=BANDS), SHARDS)
    plan = make_plan(sealed)
    assert make_plan(json.loads(json.dumps(sealed))) == plan
    assert TrainingPlan.model_validate_json(plan.model_dump_json()) == plan
    assert curriculum_of(sealed) == Curriculum(phases=BANDS)


def test_the_json_schema_accepts_a_plan_and_rejects_a_shuffle() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = TrainingPlan.model_json_schema()
    good = make_plan(manifest(Curriculum(), [("phase-1", 9)])).model_dump(mode="json")
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(good | {"shuffle": True}, schema)
    with pytest.raises(ValidationError):
        TrainingPlan.model_validate(good | {"tokens": -1})


def test_a_run_without_tokens_cannot_be_planned() -> None:
    with pytest.raises(ValueError, match="no tokens"):
        make_plan(manifest(Curriculum(), []))


def test_a_schedule_of_another_length_is_stretched_with_a_warning() -> None:
    logged = Schedule(points=((0, 2e-3), (50, 2e-3), (100, 0)))
    plan = make_plan(manifest(Curriculum(), [("phase-1", 500), ("phase-1", 500)]), logged)
    assert (plan.shards[0].lr_mean, plan.shards[1].lr_mean) == pytest.approx((2e-3, 1e-3))
    (warning,) = plan.warnings
    assert warning.startswith("[other-length] The schedule is for 100 tokens, but the corpus has 1,000")
    assert make_plan(manifest(Curriculum(), [("phase-1", 100)]), logged).warnings == ()
