"""The copies of FineWeb-2 by size of a cluster of duplicates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.select.upsampling.rehydration import check_copies_by_size, copies_of_clusters

FINEWEB2 = {1: 1, 2: 2, 3: 3, 5: 5, 100: 8, 1000: 1}


def test_the_copies_of_fineweb_2() -> None:
    published = {1: 1, 2: 2, 3: 3, 4: 3, 5: 5, 99: 5, 100: 8, 999: 8, 1000: 1, 5000: 1}
    assert copies_of_clusters(np.array(list(published)), FINEWEB2).tolist() == list(published.values())


@given(st.dictionaries(st.integers(2, 50), st.integers(0, 9)), st.lists(st.integers(1, 60)))
def test_the_last_size_that_is_no_larger_decides(table: dict[int, int], sizes: list[int]) -> None:
    table = table | {1: 1}
    expected = [table[max(least for least in table if least <= size)] for size in sizes]
    assert copies_of_clusters(np.array(sizes, np.int64), table).tolist() == expected


@pytest.mark.parametrize(("table", "message"), [({2: 2}, "add 1: 1"), ({1: 0, 2: 0}, "nothing would be taken")])
def test_a_table_that_says_too_little_is_an_error(table: dict[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_copies_by_size(table)
