"""Nothing is ranked by models that do not tell text from its words shuffled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.pipelines.training.planted_pair import check_pair
from tamis.transforms.core.errors import RunError

LOSSES = st.lists(st.floats(1, 9), min_size=1, max_size=6).map(np.array)


def check(text: list[float], shuffled: list[float], entropy: float = 6.0) -> float:
    cost: float = check_pair("run/a", 1e-5, np.array(text), np.array(shuffled), entropy, "Train longer")["cost"]
    return cost


def test_text_that_wins_clearly_passes() -> None:
    assert check([5.0], [5.1]) == pytest.approx(0.1)
    assert check([5.0, 5.2], [5.1, 5.5]) == pytest.approx(0.2)  # two seeds: each has to win
    assert check([5.0, 5.2, 5.1], [5.3, 5.5, 5.3]) == pytest.approx(0.8 / 3)


@pytest.mark.parametrize(
    ("text", "shuffled", "entropy"),
    [
        ([5.1], [5.0], 6.0),  # shuffled text wins
        ([5.0, 5.2], [5.5, 5.1], 6.0),  # it does with a seed
        ([5.0, 5.0, 5.0], [5.4, 5.01, 5.01], 6.0),  # t = 1.08 < 2.92 = t(0.95, 2)
        ([5.0, 5.0, 5.0], [5.4, 5.4, 5.4], 4.9),  # token frequencies win
        ([5.0, 5.0, 5.0], [5.0, 5.0, 5.0], 6.0),  # they are the same
    ],
)
def test_what_luck_may_have_done_is_refused_with_numbers_and_a_cure(
    text: list[float], shuffled: list[float], entropy: float
) -> None:
    with pytest.raises(
        RunError, match=r"at learning rate 1e-05 .* too few tokens .* run/a .* alone .* Train longer"
    ) as refused:
        check(text, shuffled, entropy)
    assert f"{shuffled[0] - text[0]:+.4f}" in str(refused.value)


@given(LOSSES, LOSSES)
def test_of_a_text_and_its_shuffle_at_most_one_wins(one: np.ndarray, other: np.ndarray) -> None:
    size = min(len(one), len(other))
    passed = 0
    for text, shuffled in ((one[:size], other[:size]), (other[:size], one[:size])):
        try:
            check_pair("run/a", 1e-5, text, shuffled, 10.0, "")
            passed += 1
        except RunError:
            pass
    assert passed < 2
