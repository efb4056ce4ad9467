"""The linter knows where the best tenth of the data lies, and warns of curricula that the paper found to waste it."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.lint import (
    best_decile_mass,
    best_decile_weights,
    lint,
    lint_epochs,
    lint_length,
    lint_repeats,
    lint_shares,
    lr_mass_shares,
    spearman,
)
from tamis.transforms.curriculum.order import Curriculum, Phase, quantile, sort_value

CDMA = Schedule(final=1e-3)
TO_ZERO = Schedule(final=1e-5)
COSINE = Schedule(shape="cosine", final=1e-5)
CONSTANT = Schedule(shape="constant")


def codes(curriculum: Curriculum) -> list[str]:
    return [warning.code for warning in lint(curriculum)]


def simulated(curriculum: Curriculum, steps: int = 20_000) -> float:
    """The same share, by ordering `steps` equal documents of one source as the curriculum says."""
    quality = np.arange(steps)
    rng = np.random.default_rng(0)
    pool = quality if curriculum.assign == "quality" else rng.permutation(quality)
    cuts = np.round(np.cumsum([phase.share for phase in curriculum.effective_phases]) * steps).astype(int)[:-1]
    order: list[int] = []
    for phase, members in zip(curriculum.effective_phases, np.split(pool, cuts), strict=True):
        if phase.order == "uniform":
            order += rng.permutation(members).tolist()
        elif phase.order == "descending":
            order += sorted(members.tolist(), reverse=True)
        elif phase.order in ("bucketed", "blended", "lr_weighted"):
            members = np.sort(members)
            ones, tie_break = np.ones(len(members)), rng.integers(0, 2**64, len(members), np.uint64)
            share = quantile(np.cumsum(ones), ones, np.full(len(members), len(members)))
            cells = curriculum.cells(curriculum.effective_phases.index(phase))
            order += members[
                np.lexsort((tie_break, sort_value(phase, members.astype(np.float32), tie_break, share, cells)))
            ].tolist()
        else:
            folds = phase.folds if phase.order == "folded" else 1
            for fold in np.array_split(rng.permutation(members), folds):
                order += sorted(fold.tolist())
    rate = curriculum.schedule.learning_rate((np.arange(steps) + 0.5) / steps)
    return float(rate[np.array(order) >= 0.9 * steps].sum() / rate.sum())


@pytest.mark.parametrize(
    ("schedule", "percent"),
    [
        (CONSTANT, 10.000),
        (Schedule(decay=0.06), 6.263),
        (CDMA, 4.750),
        (TO_ZERO, 1.799),
        (Schedule(decay=0.37), 0.982),
        (COSINE, 0.229),
    ],
)
def test_an_ascending_order_gives_the_best_tenth_the_papers_share(schedule: Schedule, percent: float) -> None:
    assert 100 * best_decile_mass(Curriculum(order="ascending", schedule=schedule)) == pytest.approx(percent, abs=5e-4)


def test_a_uniform_order_gives_an_even_share() -> None:
    for schedule in (CONSTANT, CDMA, COSINE):
        assert best_decile_mass(Curriculum(order="uniform", schedule=schedule)) == pytest.approx(0.1)


PHASES = (
    Phase(name="a", share=0.6, order="ascending"),
    Phase(name="b", share=0.35, order="descending"),
    Phase(name="c", share=0.05, order="uniform"),
)
QUANTILES = (
    Phase(name="a", share=0.6, order="bucketed", buckets=16),
    Phase(name="b", share=0.36, order="lr_weighted"),
    Phase(name="c", share=0.04, order="blended"),
)


@pytest.mark.parametrize(
    "curriculum",
    [
        Curriculum(order="ascending", schedule=COSINE),
        Curriculum(order="descending", schedule=TO_ZERO),
        Curriculum(order="folded", folds=3, schedule=COSINE),
        Curriculum(order="bucketed", buckets=7, schedule=COSINE),
        Curriculum(order="blended", temperature=0.3, schedule=COSINE),
        Curriculum(order="blended", temperature=5, schedule=TO_ZERO),
        Curriculum(order="lr_weighted", half_life=0.3, schedule=COSINE),
        Curriculum(order="lr_weighted", schedule=TO_ZERO),
        Curriculum(phases=QUANTILES, schedule=TO_ZERO),
        Curriculum(phases=QUANTILES, schedule=TO_ZERO, assign="uniform"),
        Curriculum(phases=PHASES, schedule=COSINE),
        Curriculum(phases=PHASES, schedule=COSINE, assign="uniform"),
        Curriculum(phases=(Phase(name="a", share=0.5), Phase(name="b", share=0.5, order="folded", folds=2)), schedule=CDMA),
    ],
)
def test_the_planned_share_is_that_of_a_simulated_run(curriculum: Curriculum) -> None:
    assert best_decile_mass(curriculum) == pytest.approx(simulated(curriculum), abs=2e-3)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 1)), min_size=1, max_size=20))
def test_measured_share_is_the_token_by_token_sum(segments: list[tuple[int, float]]) -> None:
    tokens = np.array([size for size, _ in segments])
    best = np.array([size * share for size, share in segments])
    start = np.cumsum(tokens) - tokens
    total = int(tokens.sum())
    measured, none = lr_mass_shares(TO_ZERO, start, tokens, np.stack([best, 0 * best], axis=1)).tolist()
    assert none == 0
    if not total:
        assert measured == 0
        return
    ends = np.arange(total + 1) / total
    a_token = TO_ZERO.mass(ends[:-1], ends[1:]) / TO_ZERO.mass(0, 1)
    share = np.repeat([s for _, s in segments], tokens)
    assert measured == pytest.approx(float((a_token * share).sum()), abs=1e-9)


def test_measured_equals_planned_where_the_best_tenth_is_last() -> None:
    (share,) = lr_mass_shares(CDMA, [0, 900], [900, 100], [[0], [100]])
    assert share == pytest.approx(best_decile_mass(Curriculum(order="ascending", schedule=CDMA)))


@pytest.mark.parametrize("schedule", [TO_ZERO, COSINE, Schedule(decay=0.37), Schedule(decay_shape="linear")])
def test_a_decay_that_mutes_the_best_documents_is_flagged(schedule: Schedule) -> None:
    (warning,) = lint(Curriculum(order="ascending", schedule=schedule))
    assert warning.code == "ascending-muted"
    assert f"{warning.numbers['best_decile_mass']:.2%}" in warning.message
    assert warning.numbers["remedy_mass"] == pytest.approx(0.0475, abs=1e-4)
    assert "final: 0.001" in warning.message


@pytest.mark.parametrize("schedule", [CDMA, CONSTANT, Schedule(decay=0.06)])
def test_a_moderate_decay_is_not_flagged(schedule: Schedule) -> None:
    assert codes(Curriculum(order="ascending", schedule=schedule)) == []


def test_the_remedy_removes_the_warning() -> None:
    for warmup in (0.0, 0.05, 0.3):
        muted = Curriculum(order="ascending", schedule=Schedule(shape="cosine", peak=6e-4, warmup=warmup))
        (warning,) = lint(muted)
        remedy = Schedule(peak=6e-4, final=warning.numbers["remedy_final"], warmup=warmup)
        assert codes(Curriculum(order="ascending", schedule=remedy)) == []


def test_the_shuffled_baseline_is_not_flagged() -> None:
    for schedule in (TO_ZERO, COSINE, CONSTANT):
        assert codes(Curriculum(schedule=schedule)) == []


def test_sorting_only_the_last_phase_is_flagged() -> None:
    last = Phase(name="b", share=0.3, order="ascending")
    uniform, sorted_ = Phase(name="a", share=0.7), Phase(name="a", share=0.7, order="ascending")
    assert codes(Curriculum(phases=(uniform, last), schedule=CONSTANT)) == ["last-phase-only"]
    assert codes(Curriculum(phases=(sorted_, last), schedule=CONSTANT)) == []


def test_folding_and_descending_are_flagged() -> None:
    assert codes(Curriculum(order="folded", folds=4, schedule=CONSTANT)) == ["folding"]
    assert codes(Curriculum(order="folded", folds=1, schedule=CONSTANT)) == []
    assert codes(Curriculum(order="descending", schedule=CONSTANT)) == ["descending"]


def test_lr_weighted_gives_the_best_tenth_the_most_of_the_final_model() -> None:
    """The share of the final weight that each order gives the best tenth."""
    for schedule in (CONSTANT, CDMA, TO_ZERO, COSINE, Schedule(shape="linear")):
        shares = best_decile_weights(Curriculum(schedule=schedule, half_life=0.1))
        assert max(shares.values()) <= shares["lr_weighted"] + 1e-9
        assert shares["uniform"] == pytest.approx(0.1)
        if schedule is CONSTANT:
            assert shares["lr_weighted"] == pytest.approx(shares["ascending"])
            assert shares["ascending"] == pytest.approx(0.5, abs=1e-3)  # one half-life
    alone = best_decile_weights(Curriculum(schedule=COSINE, half_life=None))
    assert alone["ascending"] == pytest.approx(0.00229, abs=5e-6)
    assert alone["lr_weighted"] == pytest.approx(alone["descending"], abs=1e-4)


def test_a_source_whose_share_drifts_is_named_with_its_numbers() -> None:
    assert lint_shares([{"web": 90, "code": 10}] * 32) == []
    assert lint_shares([]) == []
    drifting = [{"web": 100 - k, "code": k} for k in range(32)]
    (warning,) = lint_shares(drifting)
    assert warning.code == "share-drifts"
    assert warning.numbers["share"] == pytest.approx(0.845 if "'web'" in warning.message else 0.155)
    assert warning.numbers["drift"] == pytest.approx(0.15)
    assert lint_shares(drifting, document=15) == []


@given(st.lists(st.dictionaries(st.sampled_from("ab"), st.integers(0, 9)), max_size=40))
def test_any_segments_are_accepted(segments: list[dict[str, int]]) -> None:
    lint_shares(segments)


def test_repeats_too_close_are_flagged() -> None:
    assert lint_repeats(None, 10) == []
    assert lint_repeats(10, 10) == []
    (warning,) = lint_repeats(9, 10)
    assert (warning.code, warning.numbers) == ("repeats-too-close", {"closest": 9, "distance": 10})


def test_a_source_alone_repeats_up_to_four_times_and_one_among_others_twenty() -> None:
    assert lint_epochs({}) == lint_epochs({"web": 4.0}) == lint_epochs({"web": 1.0, "books": 20.0}) == []
    (alone,), (among,) = lint_epochs({"web": 4.1}), lint_epochs({"web": 1.0, "books": 20.5})
    assert (alone.code, alone.numbers) == ("repeats-many", {"epochs": 4.1, "threshold": 4.0})
    assert (among.code, among.numbers) == ("repeats-many", {"epochs": 20.5, "threshold": 20.0})
    assert "'books' is seen 20.5 times" in among.message


def test_a_quality_that_is_length_is_flagged() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 10_000, 5_000)
    assert lint_length(rng.random(5_000), tokens) == []
    (warning,) = lint_length(-np.log(tokens) + rng.normal(0, 0.3, 5_000), tokens)
    assert warning.code == "quality-is-length"
    assert "shorter documents last" in warning.message
    assert warning.numbers["spearman"] < -0.8


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 2.0, float("nan")]), st.integers(0, 3)), max_size=30))
def test_spearman_is_scipys(pairs: list[tuple[float, int]]) -> None:
    complete = [(a, b) for a, b in pairs if a == a]
    one, other = [a for a, _ in complete], [b for _, b in complete]
    expected = stats.spearmanr(one, other).statistic if len(set(one)) > 1 and len(set(other)) > 1 else 0.0
    assert spearman([a for a, _ in pairs], [b for _, b in pairs]) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_pairs_may_be_counted_and_come_in_any_order(pairs: list[tuple[int, int]], random: Random) -> None:
    cells = list(Counter(pairs).items())
    random.shuffle(cells)
    counted = [*zip(*(cell for cell, _ in cells), strict=True), [times for _, times in cells]]
    assert spearman(*counted) == spearman([a for a, _ in pairs], [b for _, b in pairs])


def test_few_documents_give_no_warning_about_length() -> None:
    assert lint_length(range(29), range(29)) == []
    assert len(lint_length(range(30), range(30))) == 1
    assert len(lint_length([0, 1], [0, 1], [15, 15])) == 1
