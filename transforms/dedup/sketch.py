"""The kernels of MinHash: the sketch of each document by either scheme, and the hash of each band."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tamis.transforms.dedup.shingles import sort_unique
from tamis.transforms.runtime.kernels import njit
from tamis.transforms.text.hashing import mix64

_BLOCK = 2048  # shingles that stay in the first-level cache while every permutation passes over them
_NOTHING = np.uint64(0xFFFFFFFFFFFFFFFF)
_PATIENCE = 16  # throws a slot after which a document must be repeating itself: k slots take k ln k


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
def sketch_fss(
    first: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64], multiplier: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    """Fast Similarity Sketching of the hashes of each document: (n, k), 2^64 - 1 without hashes. `multiplier` has 2k.

    Round r throws every hash x into one of the k slots by the high bits of multiplier[r]·x, and a slot keeps the least
    (round, product) thrown into it; rounds end when no slot is empty. Rounds from k on fill one slot each, r - k, so 2k
    suffice. (Dahlgaard, Knudsen, Thorup, FOCS 2017, algorithm 1.) A document of n hashes needs n + k ln k throws or so.
    """
    k = multiplier.size // 2
    bits = 0  # of a round number
    while 2 * k >> bits:
        bits += 1
    slots = np.full((first.size - 1, k), _NOTHING)
    for d in range(first.size - 1):
        thrown = hashes[first[d] : first[d + 1]]
        filled = turn = 0
        while filled < k and turn < k and thrown.size:
            if turn * thrown.size > _PATIENCE * k:
                thrown = _unique(thrown)
            a, place = multiplier[turn], np.uint64(turn) << np.uint64(64 - bits)
            for i in range(thrown.size):
                product = a * thrown[i]
                slot = np.int64((product >> np.uint64(32)) * np.uint64(k) >> np.uint64(32))
                least = slots[d, slot]
                filled += least == _NOTHING
                slots[d, slot] = min(least, place | product >> np.uint64(bits))
            turn += 1
        for empty in range(k if filled < k and thrown.size else 0):
            if slots[d, empty] == _NOTHING:
                a, place = multiplier[k + empty], np.uint64(k + empty) << np.uint64(64 - bits)
                for i in range(thrown.size):
                    slots[d, empty] = min(slots[d, empty], place | a * thrown[i] >> np.uint64(bits))
    return slots


@njit(cache=True, nogil=True)
def _unique(hashes):  # type: ignore[no-untyped-def]
    out = np.empty_like(hashes)
    return out[: sort_unique(hashes, np.empty(hashes.size + 2, np.int64), out)]


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
