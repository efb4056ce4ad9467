"""Finds connected components of the candidate graph, as forests that merge in any order."""

import numpy as np
import numpy.typing as npt

from tamis.transforms.runtime.kernels import njit


def bucket_edges(bucket: npt.NDArray[np.uint64], member: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Edges (least member, other) of every bucket of at least two distinct members, u64[m, 2].

    They are sorted by bucket and member. A bucket of n members becomes a star of n - 1 edges
    instead of n² pairs. An edge occurs once per bucket that has it.
    """
    order = np.lexsort((member, bucket))
    bucket, member = bucket[order], member[order]
    starts = np.ones(bucket.size, np.bool_)
    starts[1:] = bucket[1:] != bucket[:-1]
    fresh = starts.copy()
    fresh[1:] |= member[1:] != member[:-1]
    least = member[starts][np.cumsum(starts) - 1]
    other = fresh & ~starts
    return np.column_stack((least[other], member[other]))


def forest(edges: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The components of `edges`, u64[m, 2], as stars: rows (least node, other node).

    The result does not depend on order, direction or repetition of the edges. Merging is exact:
    `forest(concat(forest(a), forest(b))) == forest(concat(a, b))`, so a combiner may merge partial
    forests in any order. Nodes without an edge to another node do not appear.
    """
    nodes, place = np.unique(edges, return_inverse=True)
    root = _roots(place.reshape(-1, 2), nodes.size)
    return np.column_stack((nodes[root], nodes))[root != np.arange(nodes.size)]


@njit(cache=True, nogil=True)
def _roots(edges: npt.NDArray[np.intp], nodes: int) -> npt.NDArray[np.intp]:
    """Least node of each component: union-find with path halving (Tarjan, van Leeuwen 1984)."""
    parent = np.arange(nodes)
    for edge in range(len(edges)):
        one, other = edges[edge]
        while parent[one] != one:
            parent[one] = one = parent[parent[one]]
        while parent[other] != other:
            parent[other] = other = parent[parent[other]]
        parent[max(one, other)] = min(one, other)
    for node in range(nodes):  # a parent is less than its child, so its root is already known
        parent[node] = parent[parent[node]]
    return parent
