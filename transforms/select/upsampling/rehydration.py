"""Repeats the survivor of a cluster of duplicates by the size of the cluster (FineWeb-2's rehydration).

A page that many sites copied is one that people found worth copying, up to a point: what has a
thousand copies is boilerplate.
"""

from collections.abc import Mapping

import numpy as np

from tamis.transforms.core.arrays import Ints


def check_copies_by_size(table: Mapping[int, int]) -> None:
    """Raises ValueError unless the table says something of every size, and keeps something."""
    if 1 not in table:
        raise ValueError("it says nothing of documents without duplicates: add 1: 1")
    if not any(table.values()):
        raise ValueError("every number of copies is 0, so nothing would be taken")


def copies_of_clusters(sizes: Ints, table: Mapping[int, int]) -> Ints:
    """Copies of n survivors of clusters with so many documents: int64[n]. The table has the least
    size of a cluster for each number of copies.

    Source: the README of huggingface/fineweb-2; FineWeb2-HQ, src/fineweb2_hq/rehydrater.py.
    """
    least = np.array(sorted(table), np.int64)
    copies = np.array([table[size] for size in sorted(table)], np.int64)
    return np.asarray(copies[np.searchsorted(least, sizes, side="right") - 1])
