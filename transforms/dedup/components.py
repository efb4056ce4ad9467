"""Connected components of the candidate graph, as a spanning forest that can be merged in any order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def bucket_edges(bucket: npt.NDArray[np.uint64], member: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Edges (least member, other) of every bucket with at least two distinct members: (m, 2), by bucket and member.

    A bucket of n members becomes a star of n - 1 edges, not n² pairs; an edge recurs for each bucket that has it.
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
    """Star forest of the components of `edges` (m, 2): (least node of the component, node), one for every other.

    The same for any order, direction or repetition of the edges, and exact under merging: `forest(concat(forest(a),
    forest(b))) == forest(concat(a, b))`, so a combiner may take partial forests as they come. Nodes without an edge to
    another node do not appear.
    """
    if not len(edges):
        return np.empty((0, 2), np.uint64)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    nodes, place = np.unique(edges, return_inverse=True)
    start, end = place.reshape(-1, 2).T
    graph = coo_array((np.ones(len(edges)), (start, end)), shape=(nodes.size, nodes.size))
    _, label = connected_components(graph, directed=False)
    _, least = np.unique(label, return_index=True)  # nodes are sorted, so the first of a label is its least
    root = nodes[least][label]
    return np.column_stack((root, nodes))[root != nodes]
