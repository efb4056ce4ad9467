"""Components: the forest is exact, canonical, and may be merged in any order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.transforms.dedup.components import bucket_edges, forest

NODES = st.integers(0, 12) | st.integers(2**64 - 4, 2**64 - 1)
EDGES = st.lists(st.tuples(NODES, NODES), max_size=25)


def edges_of(rows):
    return np.array(rows, np.uint64).reshape(-1, 2)


def stars(rows):
    """The least node of each component, by relabelling until nothing changes."""
    least = {node: node for row in rows for node in row}
    changed = True
    while changed:
        changed = False
        for a, b in rows:
            low = min(least[a], least[b])
            changed |= least[a] != low or least[b] != low
            least[a] = least[b] = low
    return [(root, node) for node, root in sorted(least.items()) if root != node]


@given(EDGES)
def test_forest_names_the_least_node_of_each_component(rows):
    assert [tuple(row) for row in forest(edges_of(rows)).tolist()] == stars(rows)


@given(EDGES, st.randoms())
def test_forest_ignores_order_direction_and_repetition(rows, random):
    shuffled = [(b, a) for a, b in rows] + rows[: len(rows) // 2]
    random.shuffle(shuffled)
    assert np.array_equal(forest(edges_of(rows)), forest(edges_of(shuffled)))


@given(EDGES, EDGES, EDGES)
def test_forests_merge_in_any_grouping(a, b, c):
    expected = forest(edges_of(a + b + c))
    one, two, three = (forest(edges_of(rows)) for rows in (a, b, c))
    left = forest(np.concatenate((forest(np.concatenate((one, two))), three)))
    right = forest(np.concatenate((three, forest(np.concatenate((two, one))))))
    assert np.array_equal(left, expected)
    assert np.array_equal(right, expected)


def test_many_equal_edges_are_one():
    assert forest(np.tile(np.array([[3, 9]], np.uint64), (1000, 1))).tolist() == [[3, 9]]


@given(st.lists(st.tuples(st.integers(0, 5), NODES), max_size=30), st.randoms())
def test_bucket_edges_are_stars_of_the_distinct_members(rows, random):
    members = {}
    for bucket, member in rows:
        members.setdefault(bucket, set()).add(member)
    expected = [(min(nodes), other) for _, nodes in sorted(members.items()) for other in sorted(nodes - {min(nodes)})]
    random.shuffle(rows)
    bucket, member = (np.array(column, np.uint64) for column in (zip(*rows, strict=True) if rows else ((), ())))
    result = bucket_edges(bucket, member)
    assert result.dtype == np.uint64
    assert [tuple(row) for row in result.tolist()] == expected


def test_no_edges():
    nothing = np.empty(0, np.uint64)
    assert bucket_edges(nothing, nothing).shape == (0, 2)
    assert forest(bucket_edges(nothing, nothing)).shape == (0, 2)
    assert forest(np.array([[5, 5]], np.uint64)).shape == (0, 2)
