"""The kernels of MinHash: least permuted hash of each document, and the hash of each band."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from transforms.kernels import njit
from transforms.text.hashing import mix64

_BLOCK = 2048  # shingles that stay in the first-level cache while every permutation passes over them
_NOTHING = np.uint64(0xFFFFFFFFFFFFFFFF)


@njit(cache=True, nogil=True)
def sketch_minima(
    first: npt.NDArray[np.int64],
    hashes: npt.NDArray[np.uint64],
    multiplier: npt.NDArray[np.uint64],
    summand: npt.NDArray[np.uint64],
) -> npt.NDArray[np.uint64]:
    """Least multiplier·x + summand mod 2^64 over the hashes x of each document: (n, k), 2^64 - 1 without hashes."""
    minima = np.full((first.size - 1, multiplier.size), _NOTHING)
    for d in range(first.size - 1):
        for start in range(first[d], first[d + 1], _BLOCK):
            block = hashes[start : min(start + _BLOCK, first[d + 1])]
            for k in range(multiplier.size):
                a, b, least = multiplier[k], summand[k], minima[d, k]
                for i in range(block.size):
                    least = min(least, a * block[i] + b)
                minima[d, k] = least
    return minima


@njit(cache=True, nogil=True)
def sketch_bands(signatures: npt.NDArray[np.uint64], bands: int, rows: int) -> npt.NDArray[np.uint64]:
    """Hash chain over the rows of each band, begun with the place of the band: (n, bands)."""
    banded = np.empty((signatures.shape[0], bands), np.uint64)
    for d in range(signatures.shape[0]):
        for band in range(bands):
            chained = np.uint64(band)
            for row in range(rows):
                chained = mix64(signatures[d, band * rows + row], chained)
            banded[d, band] = chained
    return banded
