"""An order is an object: its key and where its best documents are agree, also for one that is added."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tamis.transforms.core.schedule import Schedule
from tamis.transforms.curriculum.lint import best_decile_mass, best_decile_weights
from tamis.transforms.curriculum.order import Curriculum, Ordering, Phase, quantile, sort_value
from tamis.transforms.curriculum.orders import ORDERS, Cells, Order, Window


class Outward(Order):
    """From the middle outwards: the best documents at both ends of the phase, half and half."""

    name = "outward"
    description = "the best at both ends"

    def key(self, options: Any, quality: Any, tie_break: Any, quantile: Any, cells: Cells | None) -> Any:
        first = (tie_break >> np.uint64(1)) % np.uint64(2) == 0
        return np.where(first, quality ^ np.uint64(0xFFFFFFFF), quality | np.uint64(1 << 33))

    def best(self, options: Any, portion: float, cells: Cells | None) -> Iterator[Window]:
        yield 0.0, portion / 2, 1.0
        yield 1 - portion / 2, 1.0, 1.0


@pytest.fixture
def outward(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(ORDERS, "outward", Outward())
    return "outward"


def test_an_order_that_is_added_is_known_everywhere(outward: str) -> None:
    curriculum = Curriculum(order=outward, schedule=Schedule(shape="constant", peak=1e-3))
    assert best_decile_mass(curriculum) == pytest.approx(0.1)
    assert outward in best_decile_weights(curriculum)
    key = sort_value(Ordering(order=outward), np.array([0.9, 0.1], np.float32), np.array([0, 2], np.uint64))
    assert key[0] < key[1]


def test_an_unknown_order_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'ascending'"):
        Ordering(order="ascendign")


@pytest.mark.parametrize("name", [*ORDERS, "outward"])
def test_the_best_documents_are_where_the_order_says(name: str, outward: str) -> None:
    """Of many equal documents, the share of the best tenth in each window is what `best` yields."""
    size = 40_000
    draw = np.random.default_rng(7)
    quality, tie_break = draw.random(size).astype(np.float32), draw.integers(0, 1 << 63, size, dtype=np.uint64)
    phase = Phase(name="p", order=name, temperature=0.3, buckets=20)
    curriculum = Curriculum(order=name, temperature=0.3, buckets=20)
    rank = np.empty(size)
    rank[np.lexsort((tie_break, quality))] = np.arange(1, size + 1)
    cells = curriculum.cells(0) if name == "lr_weighted" else None
    key = sort_value(phase, quality, tie_break, quantile(rank, 1.0, float(size)), cells)
    best = (rank > 0.9 * size)[np.lexsort((tie_break, key))]
    expected = np.zeros(size)
    for start, stop, portion in ORDERS[name].best(phase, 0.1, cells):
        expected[round(start * size) : round(stop * size)] += portion
    slices = 50
    np.testing.assert_allclose(best.reshape(slices, -1).mean(axis=1), expected.reshape(slices, -1).mean(axis=1), atol=0.1)
