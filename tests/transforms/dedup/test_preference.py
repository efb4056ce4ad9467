"""Which of several documents stays before their quality decides: the one with the largest number."""

import pyarrow as pa
import pytest

from tamis.transforms.dedup.preference import preference

DATES = pa.array(["2024-05-01", None, "2026-01-31", "2025-01-01"])
SIZES = pa.array([30, 70, 10, 20])
HASHES = pa.array([2**64 - 1, 2**63, 8, 9], pa.uint64())


@pytest.mark.parametrize(
    ("keep", "order"),
    [
        ("best", [0, 1, 2, 3]),
        ("newest", [2, 3, 0, 1]),
        ("oldest", [0, 3, 2, 1]),
        ("longest", [1, 0, 3, 2]),
        ("hash", [2, 3, 1, 0]),
    ],
)
def test_the_documents_that_go_first(keep, order):
    numbers = preference(keep, DATES, SIZES, HASHES).tolist()
    assert sorted(range(4), key=lambda place: (-numbers[place], place)) == order
