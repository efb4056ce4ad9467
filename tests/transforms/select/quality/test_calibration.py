"""Calibrated scores are monotone, frozen, equal for equal values, and as published methods give them; missing stays missing."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tamis.transforms.core.rater import Signal
from tamis.transforms.select.quality.calibration import Calibration, CalibrationFile, Method, read_calibration
from tamis.transforms.select.quality.fit_calibration import KNOTS, fit_calibration
from tamis.transforms.select.quality.fuse import Quality, Weight, fuse

VALUES = st.lists(st.floats(0, 1, width=32), min_size=2, max_size=80).filter(lambda values: len(set(values)) > 1)


def planted(n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Values and labels of which σ(3 v − 1) are good."""
    draw = np.random.default_rng(1)
    values = draw.normal(size=n)
    return values, (draw.random(n) < 1 / (1 + np.exp(1 - 3 * values))).astype(float)


@given(VALUES, st.sampled_from(["up", "down"]))
def test_an_ecdf_is_the_share_that_is_worse_with_half_of_the_equals(values: list[float], better: str) -> None:
    numbers = np.array(values, np.float64)
    sign = 1 if better == "up" else -1
    expected = [np.mean(sign * numbers < sign * v) + np.mean(numbers == v) / 2 for v in numbers]
    np.testing.assert_allclose(fit_calibration(numbers, "ecdf", better).apply(numbers), expected, atol=1e-12)


def test_an_ecdf_of_many_values_is_kept_in_few_knots() -> None:
    values = np.random.default_rng(2).exponential(size=50_000)
    calibration = fit_calibration(values, "ecdf")
    ranks = (np.argsort(np.argsort(values)) + 0.5) / len(values)
    assert len(calibration.values) <= KNOTS
    assert np.abs(calibration.apply(values) - ranks).max() < 1.5 / KNOTS


@pytest.mark.parametrize("method", ["ecdf", "logit", "platt", "isotonic"])
def test_every_calibration_is_monotone_keeps_missing_values_and_ignores_the_order(method: Method) -> None:
    values, labels = planted()
    values = 1 / (1 + np.exp(-values))
    given_labels = labels if method in ("platt", "isotonic") else None
    calibration = fit_calibration(
        np.append(values, np.nan), method, labels=None if given_labels is None else np.append(labels, 1)
    )
    there = np.sort(np.random.default_rng(3).uniform(-0.5, 1.5, 500))
    scores = calibration.apply(np.append(there, np.nan))
    assert math.isnan(scores[-1])
    assert (np.diff(scores[:-1]) >= 0).all()
    assert 0 <= scores[0] < 0.2 < 0.8 < scores[-2] <= 1
    order = np.random.default_rng(4).permutation(len(values))
    again = fit_calibration(values[order], method, labels=None if given_labels is None else labels[order])
    assert again == calibration


def test_a_limit_means_the_same_in_a_shifted_month() -> None:
    """The calibration is frozen: documents of another month get the scores of their values, not of their ranks."""
    calibration = fit_calibration(np.linspace(0, 1, 1001), "ecdf")
    assert calibration.apply(np.array([0.7, 0.7, 0.9]))[:2].tolist() == pytest.approx([0.7, 0.7], abs=1e-3)


def test_logit_puts_the_quartiles_at_a_quarter_and_three_quarters() -> None:
    values = 1 / (1 + np.exp(-np.random.default_rng(5).normal(1, 2, 10_001)))
    calibration = fit_calibration(values, "logit")
    assert calibration.apply(np.quantile(values, [0.25, 0.5, 0.75])) == pytest.approx([0.25, 0.5, 0.75], abs=0.02)
    assert calibration.score_at(0.85) == pytest.approx(float(calibration.apply(np.quantile(values, [0.85]))[0]))


def test_platt_recovers_a_planted_logistic_curve() -> None:
    values, labels = planted(20_000)
    calibration = fit_calibration(values, "platt", labels=labels)
    assert (calibration.slope, calibration.intercept) == pytest.approx((3, -1), abs=0.15)
    falling = fit_calibration(values, "platt", labels=1 - labels)
    assert falling.slope == pytest.approx(-calibration.slope, rel=1e-3)


def test_isotonic_is_the_pooled_mean_of_violators() -> None:
    """The textbook case of pool adjacent violators."""
    values, labels = np.array([1.0, 2, 3, 4, 5]), np.array([0, 1, 0, 1, 1.0])
    calibration = fit_calibration(values, "isotonic", labels=labels)
    assert calibration.apply(values).tolist() == [0, 0.5, 0.5, 1, 1]
    falling = fit_calibration(-values, "isotonic", labels=labels)
    assert falling.apply(-values).tolist() == [0, 0.5, 0.5, 1, 1]


@pytest.mark.parametrize(
    ("values", "method", "labels", "words"),
    [
        ([1.0], "ecdf", None, "no two differ"),
        ([2.0, 2.0, math.nan], "ecdf", None, "no two differ"),
        ([1.0, 3.0], "logit", None, "probabilities"),
        ([0.5, 0.5, 0.5, 0.5, 1.0], "logit", None, "use ecdf"),
        ([1.0, 3.0], "platt", None, "needs labels"),
        ([1.0, 3.0], "isotonic", [1.0, 1.0], "some differ"),
        ([1.0, 3.0], "isotonic", [0.0, 7.0], "from 0"),
    ],
)
def test_what_cannot_be_calibrated_is_told(values: list[float], method: Method, labels: list[float] | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit_calibration(np.array(values), method, labels=None if labels is None else np.array(labels))


def written(folder: Path, calibration: Calibration) -> str:
    path = folder / "edu.json"
    path.write_text(CalibrationFile(reference="test", signals={"edu.score": calibration}).model_dump_json())
    return str(path)


def test_a_weight_keeps_what_its_file_said(tmp_path: Path) -> None:
    """The content is part of the recipe, so of its fingerprint, and a release needs no file."""
    path = written(tmp_path, fit_calibration(np.arange(10.0), "ecdf"))
    weight = Weight.model_validate({"signal": "edu.score", "calibration": path})
    Path(path).unlink()
    assert Weight.model_validate(json.loads(weight.model_dump_json())) == weight
    other = Weight.model_validate(
        {"signal": "edu.score", "calibration": written(tmp_path, fit_calibration(np.arange(11.0), "ecdf"))}
    )
    assert other.fingerprint() != weight.fingerprint()


def test_quality_is_the_calibrated_score(tmp_path: Path) -> None:
    import pyarrow as pa

    path = written(tmp_path, fit_calibration(np.arange(100.0), "ecdf", "down"))
    quality = Quality.model_validate({"signals": [{"signal": "edu.score", "calibration": path}]})
    signal = Signal("edu.score", "float64", "points", "none", "test")
    fused = fuse(pa.table({"edu.score": [0.0, 99.0, 1e9, None]}), quality, {"edu.score": signal})
    np.testing.assert_array_equal(fused, np.array([0.995, 0.005, 0.005, np.nan], np.float32))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "JSON"),
        ("{}", "reference"),
        ('{"reference": "", "signals": {"edu.score": {"method": "ecdf", "documents": 1, "quantiles": []}}}', "quantiles"),
        (None, "did you mean 'edu.score'"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    path = written(tmp_path, fit_calibration(np.arange(10.0), "ecdf"))
    if text is not None:
        Path(path).write_text(text)
    with pytest.raises(ValueError, match=words):
        read_calibration(path, "edu.scores")


@pytest.mark.parametrize(
    "wrong",
    [{"values": (1.0, 1.0), "scores": (0.0, 1.0)}, {"values": (1.0, 2.0, 3.0), "scores": (0.0, 1.0, 0.5)}, {"slope": math.nan}],
)
def test_a_calibration_that_is_not_monotone_is_refused(wrong: dict[str, object]) -> None:
    good = fit_calibration(np.arange(10.0), "ecdf").model_dump()
    with pytest.raises(ValidationError):
        Calibration.model_validate(good | wrong)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"combine": "mean", "signals": [{"signal": "a", "reference": 0.5}]}, "no effect"),
        ({"combine": "min", "signals": [{"signal": "a", "weight": 2}]}, "no effect"),
        ({"combine": "and", "signals": []}, "at least 1"),
    ],
)
def test_options_without_effect_are_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Quality.model_validate(fields)
