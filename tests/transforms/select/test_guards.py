"""Guards warn and fail at their limits, on the whole and along the order, and count each matching document once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from tamis.transforms.select.guards import Guard, Guards, check_guards, check_real_tokens, matching


def guards(**fields: object) -> Guards:
    return Guards.model_validate(fields)


SYNTHETIC = guards(synthetic={"where": {"source": ["cosmopedia"]}}, clean={"where": {"quality": {"min": 0.7}}})


def violations(synthetic: float, clean: float = 0.5) -> list[tuple[str, bool]]:
    parts = {"synthetic": [synthetic * 100] * 32, "clean": [clean * 100] * 32}
    return [(violation.code, violation.fails) for violation in check_guards(SYNTHETIC, [100] * 32, parts)]


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.2, []), (0.25, [("guard-synthetic", False)]), (0.3, [("guard-synthetic", False)]), (0.31, [("guard-synthetic", True)])],
)
def test_a_quarter_of_synthetic_text_warns_and_a_third_fails(share: float, expected: list[tuple[str, bool]]) -> None:
    assert violations(share) == expected


def test_less_than_a_tenth_of_clean_text_warns() -> None:
    assert violations(0, 0.1) == []
    assert violations(0, 0.09) == [("guard-clean", False)]


def test_a_slice_of_the_order_fails_though_the_whole_does_not() -> None:
    synthetic = [0.0] * 30 + [40, 40]
    (violation,) = check_guards(SYNTHETIC, [100] * 32, {"synthetic": synthetic, "clean": [50] * 32})
    assert (violation.code, violation.fails) == ("guard-synthetic", True)
    assert "40.0% of slice 16 of 16 of the order, above the limit of 30%" in violation.message
    # Two large documents may exceed the limit.
    assert check_guards(SYNTHETIC, [100] * 32, {"synthetic": synthetic, "clean": [50] * 32}, document=25) == []


def test_shares_of_any_kind_are_capped_and_floored() -> None:
    capped = guards(shares={"code": {"where": {"source": ["code"]}, "fail_above": 0.5, "warn_below": 0.1}})
    assert check_guards(capped, [10, 10], {"code": [5, 5]}) == []
    (over,) = check_guards(capped, [10, 10], {"code": [9, 5]})
    assert (over.code, over.fails, over.numbers) == ("guard-code", True, {"share": 0.7, "limit": 0.5})
    assert "guards.shares.code.fail_above" in over.message
    assert [violation.fails for violation in check_guards(capped, [10, 10], {"code": [0, 1]})] == [False]


def test_a_corpus_without_tokens_violates_nothing() -> None:
    assert check_guards(SYNTHETIC, [], {"synthetic": [], "clean": []}) == []
    assert check_guards(SYNTHETIC, [0], {"synthetic": [0], "clean": [0]}) == []


def test_real_tokens_never_shrink() -> None:
    assert check_real_tokens(5, None) == check_real_tokens(5, 5) == check_real_tokens(6, 5) == []
    (lost,) = check_real_tokens(1_000, 3_500)
    assert lost.fails
    assert "2,500 fewer than the 3,500" in lost.message


def test_documents_that_meet_any_condition_match() -> None:
    columns = {
        "source": pa.array(["a", "b", None, "c"]),
        "quality": pa.array([0.1, 0.9, 0.9, None]),
        "flag": pa.array([True, False, None, False]),
    }

    def mask(**where: object) -> list[bool]:
        return matching(columns, Guard.model_validate({"where": where, "warn_above": 0.5})).tolist()

    assert mask(source=["a", "c"]) == [True, False, False, True]
    assert mask(quality={"min": 0.9}) == [False, True, True, False]
    assert mask(source=["b"], quality={"max": 0.1}) == [True, True, False, False]
    assert mask(flag=["true"]) == [True, False, False, False]
    with pytest.raises(ValueError, match="'quality' is a number"):
        mask(quality=["high"])
    with pytest.raises(ValueError, match="'source' is text"):
        mask(source={"min": 1})
    assert isinstance(matching(columns, SYNTHETIC.by_name["synthetic"]), np.ndarray)


def test_a_guard_without_limits_is_refused() -> None:
    with pytest.raises(ValidationError, match="has no limit"):
        guards(shares={"code": {"where": {"source": ["code"]}}})
    with pytest.raises(ValidationError, match="the name of another guard"):
        guards(shares={"clean": {"where": {"source": ["code"]}, "warn_above": 0.1}})
