"""Which of several documents stays, before their quality decides."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tamis.transforms.core.arrays import Ints
from tamis.transforms.dedup.urls.dates import UNKNOWN, times
from tamis.transforms.dedup.urls.url_options import Keep


def preference(keep: Keep, dates: pa.Array, sizes: pa.Array, hashes: pa.Array) -> Ints:
    """A number for each document, of which the largest goes first: by its date, one without a date behind
    all others, by its size, or by the least of its `hashes` (uint64), halved. For `best`, all have the same."""
    if keep == "best":
        return np.zeros(len(sizes), np.int64)
    if keep == "longest":
        return sizes.to_numpy().astype(np.int64)
    if keep == "hash":
        return -(hashes.to_numpy() >> np.uint64(1)).astype(np.int64)
    time = times(dates)
    return time if keep == "newest" else np.where(time == UNKNOWN, UNKNOWN, -time)
