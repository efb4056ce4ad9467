"""Simulates how uneven the pieces of a run of a billion documents are, by drawing sizes from a model of each cut.

Hashes are uniform, so unique documents fall into partitions by Poisson's law. Copies do not: a cluster goes to one partition.
Cluster sizes are assumed to follow Zipf's law, the k-th largest cluster having C/k documents, down to pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

COPIES = 0.3
"""Share of the documents that are in a cluster: an assumption, as is the next."""

EXACT = 0.5
"""Share of a cluster that repeats a text exactly: such copies carry no shingles."""

SAMPLE = 64
"""Sampled keys for each range of a ranking (transforms/beam/ranking.py)."""

Chance = np.random.Generator


@dataclass(frozen=True)
class Skew:
    """Rows of the partitions of one exchange."""

    mean: float
    largest: float

    @property
    def ratio(self) -> float:
        return self.largest / self.mean


def clusters(documents: int) -> npt.NDArray[np.int64]:
    """Sizes of the clusters, largest first: C/k for k = 1, 2, …, C/2, with the C that makes them `COPIES` of the documents."""
    low, high = 2.0, float(documents)
    for _ in range(100):
        largest = (low + high) / 2
        total = largest * (np.log(largest / 2) + np.euler_gamma)
        low, high = (largest, high) if total < COPIES * documents else (low, largest)
    return np.floor(low / np.arange(1, int(low / 2) + 1)).astype(np.int64)


def hashed(own: int, sizes: npt.NDArray[np.int64], partitions: int, chance: Chance, bands: int = 1) -> Skew:
    """`own` rows each with a hash of its own, and groups of rows that share one; for each of `bands` hashes a document has."""
    load = chance.poisson(own * bands / partitions, partitions).astype(float)
    for _ in range(bands):
        load += np.bincount(chance.integers(0, partitions, sizes.size), sizes, partitions)
    return Skew(float(load.mean()), float(load.max()))


def ranges(rows: float, partitions: int, chance: Chance) -> Skew:
    """Ranges cut at every `SAMPLE`-th of a sorted sample: each is a sum of so many exponential gaps."""
    load = chance.gamma(SAMPLE, size=partitions)
    load *= rows / load.sum()
    return Skew(rows / partitions, float(load.max()))


def shards(size: float, documents: float, off: float, count: int, chance: Chance) -> Skew:
    """Bytes of shards that are even in tokens; a document differs by `off` bytes (standard deviation) from its share."""
    load = chance.normal(size, off * np.sqrt(documents), count)
    return Skew(size, float(load.max()))
