"""Orders by quantile: buckets, blends, and the placement that puts the best documents where the schedule makes them count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.checkpoint_weights import Checkpoints
from tamis.transforms.curriculum.order import Curriculum, Ordering, Phase, quantile, sort_value
from tamis.transforms.curriculum.orders import CELLS, weighted_cells
from tamis.transforms.text.hashing import mix
from tests.transforms.core.test_schedule import schedules

HALF_LIVES = st.one_of(st.none(), st.floats(1e-3, 100))


def ordered(order: Ordering, quality: np.ndarray, tokens: np.ndarray, cells: object = None, seed: int = 0) -> np.ndarray:
    """Indices of one source's documents in training order, by the two rankings of the DAG, written out."""
    quality = np.asarray(quality, np.float32)
    tie_break = mix(np.arange(len(quality), dtype=np.uint64), seed)
    up = np.lexsort((tie_break, sort_value(Ordering(order="ascending"), quality, tie_break)))
    through = np.empty(len(tie_break), np.int64)
    through[up] = np.cumsum(tokens[up])
    share = quantile(through, tokens, np.full(len(tie_break), tokens.sum()))
    return np.lexsort((tie_break, sort_value(order, quality, tie_break, share, cells)))


def ascending(quality: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    return ordered(Ordering(order="ascending"), quality, tokens)


@st.composite
def documents(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    size = draw(st.integers(1, 200))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    levels = draw(st.sampled_from([1, 3, 10_000]))  # many equal documents, or none
    quality = rng.integers(0, levels, size) / levels
    quality[rng.random(size) < 0.1] = np.nan
    return quality, rng.integers(0, draw(st.sampled_from([2, 500])), size)  # documents without tokens, too


CONSTANT = [
    Schedule(shape="constant"),
    Schedule(decay=0.0),
    Schedule(shape="step", steps=((0.3, 1.0), (0.7, 1.0))),
    Schedule(points=((0, 3e-4), (300, 3e-4), (999, 3e-4), (1234, 3e-4))),
]


@st.composite
def averagings(draw: st.DrawFn) -> Checkpoints:
    kept = draw(st.integers(1, 12))
    kind = draw(st.sampled_from(["none", "sma", "ema", "wma"]))
    return Checkpoints(averaging=kind, kept=kept, spacing=draw(st.floats(1e-3, 0.99 / kept)), alpha=draw(st.floats(0.05, 0.9)))


@settings(max_examples=60)
@given(documents(), st.sampled_from(CONSTANT), HALF_LIVES, st.sampled_from([(0.0, 1.0), (0.3, 0.7), (0.95, 1.0)]))
def test_under_a_constant_rate_lr_weighted_is_ascending(
    corpus: tuple[np.ndarray, np.ndarray], schedule: Schedule, half_life: float | None, bounds: tuple[float, float]
) -> None:
    cells = weighted_cells(schedule, *bounds, schedule.curvature(half_life))
    np.testing.assert_array_equal(cells.by_weight, np.arange(CELLS))
    assert not cells.falls.any()
    np.testing.assert_array_equal(ordered(Ordering(order="lr_weighted"), *corpus, cells), ascending(*corpus))


@settings(max_examples=60)
@given(documents())
def test_a_blend_without_temperature_and_one_document_a_bucket_are_ascending(corpus: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_array_equal(ordered(Ordering(order="blended", temperature=0), *corpus), ascending(*corpus))
    quality, tokens = corpus
    fine = ordered(Ordering(order="bucketed", buckets=1 << 32), quality, tokens + 1)
    np.testing.assert_array_equal(fine, ascending(quality, tokens + 1))


@settings(max_examples=60)
@given(schedules())
def test_without_forgetting_the_learning_rate_alone_sorts(schedule: Schedule) -> None:
    cells = weighted_cells(schedule, 0.0, 1.0, 0.0)
    ends = np.arange(CELLS + 1) / CELLS
    rate = schedule.mass(ends[:-1], ends[1:])[cells.by_weight] * CELLS
    assert (np.diff(rate) >= -1e-8 * schedule.peak).all()


@settings(max_examples=40)
@given(
    schedules(),
    HALF_LIVES,
    st.sampled_from([(0.0, 1.0), (0.4, 1.0), (0.1, 0.5)]),
    st.integers(1, 3),
    averagings(),
    st.integers(0, 2**32),
)
def test_no_order_gives_quality_more_weight(
    schedule: Schedule, half_life: float | None, bounds: tuple[float, float], per_cell: int, checkpoints: Checkpoints, seed: int
) -> None:
    """Σ quality × w is never less than in another order: for any schedule, range, λ and averaging."""
    size = CELLS * per_cell
    curvature = schedule.curvature(half_life)
    rng = np.random.default_rng(seed)
    quality = np.sort(rng.random(size) ** rng.uniform(0.2, 5))
    tokens = np.full(size, 7)
    start, end = bounds
    ends = start + (end - start) * np.arange(CELLS + 1) / CELLS
    weight = np.repeat(checkpoints.weight(schedule, ends[:-1], np.minimum(ends[1:], 1.0), curvature), per_cell)

    def gained(order: Ordering, cells: object = None) -> float:
        return float((quality[ordered(order, quality, tokens, cells, seed)] * weight).sum())

    ours = gained(Ordering(order="lr_weighted"), weighted_cells(schedule, start, end, curvature, checkpoints))
    for other in ("ascending", "descending", "uniform", "folded", "bucketed", "blended"):
        assert ours >= gained(Ordering(order=other)) * (1 - 1e-5)
    assert ours >= float((rng.permutation(quality) * weight).sum()) * (1 - 1e-5)


@settings(max_examples=30)
@given(schedules(), HALF_LIVES, st.integers(1, 9))
def test_without_averaging_the_weights_are_those_of_the_last_model_to_the_bit(
    schedule: Schedule, half_life: float | None, kept: int
) -> None:
    ends, curvature = np.arange(101) / 100, schedule.curvature(half_life)
    alone = Checkpoints(averaging="none", kept=kept).log_weight(schedule, ends[:-1], ends[1:], curvature)
    mass = np.maximum(schedule.mass(ends[:-1], ends[1:]), 0)
    with np.errstate(divide="ignore"):
        inside = np.log(-np.expm1(-curvature * mass) / curvature) if curvature else np.log(mass)
    np.testing.assert_array_equal(alone, inside - curvature * schedule.mass(ends[1:], 1.0) if curvature else inside)


@pytest.mark.parametrize("kind", ["sma", "ema", "wma"])
def test_the_weight_in_an_average_is_that_of_small_steps_of_sgd(kind: str) -> None:
    """On a quadratic of curvature λ each step keeps 1 − λη of what was there; the average is that of models along the way."""
    steps, curvature = 20_000, 700.0
    schedule = Schedule(final=1e-5)
    rate = schedule.learning_rate((np.arange(steps) + 0.5) / steps) / steps
    checkpoints = Checkpoints(averaging=kind, kept=4, spacing=0.1)
    kept = np.zeros(steps)
    average = np.zeros(steps)
    for step in range(steps):
        kept[:step] *= 1 - curvature * rate[step]
        kept[step] = rate[step]
        for back, weight in zip(range(3, -1, -1), checkpoints.weights, strict=True):
            if step + 1 == round(steps * (1 - 0.1 * back)):
                average += weight * kept
    ends = np.arange(101) / 100
    found = checkpoints.weight(schedule, ends[:-1], ends[1:], curvature)
    np.testing.assert_allclose(found, average.reshape(100, -1).sum(axis=1), rtol=2e-3)


def test_averaged_the_best_documents_lie_before_the_first_checkpoint_and_after_it_as_many_as_know_them() -> None:
    schedule, checkpoints = Schedule(shape="constant"), Checkpoints(averaging="sma", kept=4, spacing=0.125)
    cells = weighted_cells(schedule, 0.0, 1.0, 0.0, checkpoints)
    ranks = np.argsort(cells.by_weight) // (CELLS // 8)
    assert ranks.reshape(8, -1).mean(axis=1).tolist() == pytest.approx([3, 4, 5, 6, 7, 2, 1, 0])


def test_inside_a_cell_the_better_come_first_where_the_weight_falls() -> None:
    """So a corpus of more documents than cells is sorted to the last one: a linear decay without forgetting is descending."""
    schedule = Schedule(shape="linear", final=0.0)
    cells = weighted_cells(schedule, 0.0, 1.0, 0.0)
    quality, tokens = np.linspace(0, 1, 3 * CELLS), np.ones(3 * CELLS, np.int64)
    found = ordered(Ordering(order="lr_weighted"), quality, tokens, cells)
    np.testing.assert_array_equal(found, np.arange(3 * CELLS)[::-1])


def test_under_a_decay_the_best_documents_lie_before_the_muted_tail() -> None:
    schedule = Schedule(decay=0.18, final=1e-5)
    cells = weighted_cells(schedule, 0.0, 1.0, schedule.curvature(0.1))
    best = np.sort(cells.by_weight[-CELLS // 10 :]) / CELLS
    assert best.min() > 0.75
    assert best.max() < 0.95
    assert cells.by_weight[0] == 0  # what is seen first is forgotten most


def test_shares_hold_in_every_stretch() -> None:
    """Each cell gets an even part of the source's tokens, but for documents that overhang it."""
    rng = np.random.default_rng(3)
    tokens = rng.integers(1, 50, 50_000)
    schedule = Schedule(shape="cosine", warmup=0.05)
    cells = weighted_cells(schedule, 0.0, 1.0, schedule.curvature(0.1))
    quality = rng.permutation(50_000)
    order = ordered(Ordering(order="lr_weighted"), quality, tokens, cells)
    up = np.argsort(quality, kind="stable")
    through = np.cumsum(tokens[up])
    place = np.empty(50_000)
    place[up] = cells.by_weight[(quantile(through, tokens[up], np.full(50_000, through[-1])) * CELLS).astype(int)]
    before = np.concatenate([[0], np.cumsum(tokens[order])[:-1]]) / tokens.sum()
    assert np.abs(before - place[order] / CELLS).max() < 5 / CELLS


@pytest.mark.parametrize("buckets", [1, 4, 376])
def test_buckets_are_even_rise_and_are_shuffled_inside(buckets: int) -> None:
    size = 376 * 100
    quality, tokens = np.arange(size) / size, np.full(size, 3)
    order = ordered(Ordering(order="bucketed", buckets=buckets), quality, tokens)
    inside = order.reshape(buckets, -1)
    width = size // buckets
    np.testing.assert_array_equal(np.sort(inside, axis=1), np.arange(size).reshape(buckets, -1))
    assert abs(np.corrcoef(np.arange(width), inside[0])[0, 1]) < 0.3


def test_a_blend_moves_no_document_far_and_a_hot_one_is_a_shuffle() -> None:
    size = 20_000
    quality, tokens = np.arange(size) / size, np.ones(size, np.int64)
    warm = ordered(Ordering(order="blended", temperature=0.1), quality, tokens)
    assert 0.02 < np.abs(warm - np.arange(size)).mean() / size < 0.05
    assert np.abs(warm - np.arange(size)).max() <= 0.1 * size
    hot = ordered(Ordering(order="blended", temperature=1e4), quality, tokens)
    assert abs(np.corrcoef(np.arange(size), hot)[0, 1]) < 0.03


@pytest.mark.parametrize("size", [100, 128, 1000, 1024])
def test_documents_longer_than_a_cell_do_not_all_fall_to_one_side(size: int) -> None:
    """A rate that rises as it falls: of neighbours in quality, one goes before the peak and one behind it."""
    schedule = Schedule(shape="linear", warmup=0.5, final=0.0)
    quality, tokens = (np.arange(size) + 0.5) / size, np.full(size, 64)
    found = ordered(Ordering(order="lr_weighted"), quality, tokens, weighted_cells(schedule, 0.0, 1.0, 0.0))
    ends = np.arange(size + 1) / size
    weight = schedule.weight(ends[:-1], ends[1:], 0.0)
    assert (quality[found] * weight).sum() >= 0.995 * (quality * np.sort(weight)).sum()


@settings(max_examples=100)
@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=100))
def test_quantiles_lie_inside_their_documents_and_never_fall(sizes: list[int]) -> None:
    tokens = np.array(sizes)
    through, whole = np.cumsum(tokens), tokens.sum()
    found = quantile(through, tokens, np.full(len(sizes), whole))
    assert (np.diff(found) >= 0).all()
    if whole:
        assert ((through - tokens) / whole <= found).all()
        assert (found <= through / whole).all()
    else:
        assert not found.any()


def test_a_half_life_in_tokens_needs_the_length_of_the_run() -> None:
    with pytest.raises(ValidationError, match="set schedule"):
        Curriculum(order="lr_weighted", half_life=1000)
    tokens = Curriculum(order="lr_weighted", half_life=1000, schedule=Schedule(tokens=10_000))
    share = Curriculum(order="lr_weighted", half_life=0.1)
    assert tokens.curvature(tokens.effective_phases[0]) == share.curvature(share.effective_phases[0])
    logged = Schedule(points=((0, 1e-3), (4000, 1e-3)))
    assert Curriculum(half_life=1000, schedule=logged).curvature(Phase(name="a", half_life=1000)) == pytest.approx(
        np.log(2) / 1e-3 / 0.25
    )
    assert Curriculum.model_validate(tokens.model_dump(mode="json")) == tokens


def test_a_phase_is_weighed_by_its_own_part_of_the_schedule() -> None:
    phases = (
        Phase(name="a", share=0.82, order="lr_weighted"),
        Phase(name="b", share=0.18, order="lr_weighted", half_life=None),
    )
    curriculum = Curriculum(phases=phases, schedule=Schedule(final=1e-5))
    np.testing.assert_array_equal(curriculum.cells(0).by_weight, np.arange(CELLS))
    np.testing.assert_array_equal(curriculum.cells(1).by_weight, np.arange(CELLS)[::-1])
    assert curriculum.by_quantile
    assert curriculum.bounds == [(0.0, 0.82), (0.82, 1.0)]


def test_missing_quantiles_or_cells_are_an_error() -> None:
    one, tie_break = np.ones(1, np.float32), np.ones(1, np.uint64)
    with pytest.raises(ValueError, match="needs quantiles"):
        sort_value(Ordering(order="bucketed"), one, tie_break)
    with pytest.raises(ValueError, match="needs the cells"):
        sort_value(Ordering(order="lr_weighted"), one, tie_break, np.ones(1))
