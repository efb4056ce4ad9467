"""The report says exactly how many documents another limit would drop."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from tamis.pipelines.report.other_limits import STEPS, LimitRow, OtherLimit, other_limits
from tamis.pipelines.report.page_data import Histogram
from tamis.pipelines.run.receipts import edges
from tamis.transforms.core.rater import Signal
from tamis.transforms.select.rule_blocks import Rules
from tamis.transforms.select.thresholds import Threshold

VALUES = st.floats(0, 300, width=32)


def histogram(values: list[float], rules: Rules) -> Histogram:
    bins = edges(Signal("x", "float64", "words", "up", "", 0.0, 200.0), SimpleNamespace(rules=rules))  # type: ignore[arg-type]
    assert bins is not None
    counts = np.histogram(np.clip(values, bins[0], bins[-1]), bins)[0].tolist()
    return {"unit": "words", "edges": bins, "counts": counts, "missing": 3}


@given(st.lists(VALUES, min_size=1, max_size=60), VALUES, VALUES)
def test_counts_are_those_of_every_document(values: list[float], one: float, other: float) -> None:
    low, high = sorted((one, other))
    assume(0 < low < high)
    rules = Rules(thresholds={"x": Threshold(min=low, max=high)})
    for row in other_limits({"x": histogram(values, rules)}, rules):
        by_step = {limit.step: limit for limit in row.limits}
        assert by_step[0].value == (low if row.side == "min" else high)
        for limit in row.limits:
            if row.side == "min":
                failing = sum(value < limit.value for value in values)
            elif limit.step:
                failing = sum(value >= limit.value for value in values)
            else:
                failing = sum(value > limit.value for value in values)
            assert limit.fails == failing
        fails = [limit.fails for limit in row.limits]
        assert fails == sorted({*fails})
        assert [limit.step for limit in row.limits] == sorted(by_step)
        assert max(map(abs, by_step)) <= STEPS


def test_a_limit_of_a_block_is_not_counted_over_all_documents() -> None:
    rules = Rules(thresholds={"x": Threshold(min=2)}, per_source={"web": {"thresholds": {"x": None}}})  # type: ignore[dict-item]
    bins: Histogram = {"unit": "", "edges": [0.0, 1.0, 2.0, 3.0, 4.0], "counts": [1, 2, 4, 8], "missing": 0}
    assert [*other_limits({"x": bins}, rules)] == []
    rules = Rules(thresholds={"x": Threshold(min=2)})
    limits = [OtherLimit(-1, 1.0, 1), OtherLimit(0, 2.0, 3), OtherLimit(1, 3.0, 7)]
    assert [*other_limits({"x": bins}, rules)] == [LimitRow("x", "min", limits)]
