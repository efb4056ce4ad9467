"""Kernels of MinHash: signatures by either scheme, and hashes of bands."""

import numpy as np
import numpy.typing as npt

from tamis.transforms.dedup.shingles import sort_unique
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.hashing import mix64

_BLOCK = 2048  # shingles that fit into the first-level cache while all permutations pass over them
_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_REPETITIVE = 16  # throws per slot that indicate repeated shingles, since filling k slots takes k ln k throws


@njit(cache=True, nogil=True)
def sketch_minima(
    first: npt.NDArray[np.int64],
    hashes: npt.NDArray[np.uint64],
    multiplier: npt.NDArray[np.uint64],
    summand: npt.NDArray[np.uint64],
) -> npt.NDArray[np.uint64]:
    """Least multiplier·x + summand mod 2^64 over hashes x, u64[n, k]; 2^64 - 1 without any."""
    minima = np.full((first.size - 1, multiplier.size), _EMPTY)
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
def sketch_fss(
    first: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64], multiplier: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    """Fast Similarity Sketching of the hashes of each document, u64[n, k]; 2^64 - 1 without hashes.

    `multiplier` has length 2k. Round r throws every hash x into one of the k slots, by the high
    bits of multiplier[r]·x, and a slot keeps the least (round, product). The rounds end when no
    slot is empty. Round r ≥ k only fills slot r - k, so 2k rounds suffice (Dahlgaard, Knudsen,
    Thorup, FOCS 2017, algorithm 1). A document of n hashes needs about n + k ln k throws.
    """
    k = multiplier.size // 2
    bits = 0  # of a round number
    while 2 * k >> bits:
        bits += 1
    slots = np.full((first.size - 1, k), _EMPTY)
    for d in range(first.size - 1):
        shingles = hashes[first[d] : first[d + 1]]
        filled = round_ = 0
        while filled < k and round_ < k and shingles.size:
            if round_ * shingles.size > _REPETITIVE * k:
                shingles = _unique(shingles)
            a, place = multiplier[round_], np.uint64(round_) << np.uint64(64 - bits)
            for i in range(shingles.size):
                product = a * shingles[i]
                slot = np.int64((product >> np.uint64(32)) * np.uint64(k) >> np.uint64(32))
                least = slots[d, slot]
                filled += least == _EMPTY
                slots[d, slot] = min(least, place | product >> np.uint64(bits))
            round_ += 1
        for empty in range(k if filled < k and shingles.size else 0):
            if slots[d, empty] == _EMPTY:
                a, place = multiplier[k + empty], np.uint64(k + empty) << np.uint64(64 - bits)
                for i in range(shingles.size):
                    slots[d, empty] = min(slots[d, empty], place | a * shingles[i] >> np.uint64(bits))
    return slots


@njit(cache=True, nogil=True)
def _unique(hashes):  # type: ignore[no-untyped-def]
    out = np.empty_like(hashes)
    return out[: sort_unique(hashes, np.empty(hashes.size + 2, np.int64), out)]


@njit(cache=True, nogil=True)
def sketch_bands(signatures: npt.NDArray[np.uint64], bands: int, rows: int) -> npt.NDArray[np.uint64]:
    """The hash of the rows of each band, seeded with the number of the band, u64[n, bands]."""
    banded = np.empty((signatures.shape[0], bands), np.uint64)
    for d in range(signatures.shape[0]):
        for band in range(bands):
            chained = np.uint64(band)
            for row in range(rows):
                chained = mix64(signatures[d, band * rows + row], chained)
            banded[d, band] = chained
    return banded
