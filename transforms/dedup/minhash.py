"""MinHash with banded locality-sensitive hashing: proposes which documents may be near-duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tamis.transforms.core.options import Options

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import SegmentedTexts

Scheme = Literal["multiply", "fss"]


class MinHash(Options):
    """Near-duplicate detection: bands propose pairs, the exact Jaccard similarity of their shingles decides.

    Bands, rows, shingle length and seed are datatrove's (`pipeline/dedup/minhash.py`, MinhashConfig). datatrove removes
    whatever shares a band; `threshold` is ours and sits at the knee of 14 bands of 8 rows, (1/14)^(1/8) = 0.72.
    """

    bands: int = Field(
        default=14, ge=1, le=4096, description="bands of the signature; documents that agree on one are compared"
    )
    rows: int = Field(default=8, ge=1, le=4096, description="hashes a band")
    ngram: int = Field(default=5, ge=1, le=4096, description="words a shingle")
    threshold: float = Field(default=0.7, gt=0, le=1, description="smallest exact Jaccard similarity of a near-duplicate")
    seed: int = Field(default=1, ge=0, description="seed of the hash family")
    scheme: Scheme = Field(
        default="fss",
        description="how a document is sketched: fss (Fast Similarity Sketching) or multiply (one permutation of the shingles "
        "a hash, as the textbook and datatrove do). Both find the same share of near-duplicates; fss takes a quarter of the "
        "time and estimates short documents with a quarter less error",
    )
    max_candidates: int = Field(default=1000, ge=1, description="kept documents compared with one document, best first")

    def proposed(self, jaccard: float) -> float:
        """Chance that two documents of this Jaccard similarity share a band, and so are compared (Leskovec, Rajaraman, Ullman,
        3.4.2)."""
        return 1 - (1 - jaccard**self.rows) ** self.bands


def signatures(
    first: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64], k: int, seed: int, scheme: Scheme
) -> npt.NDArray[np.uint64]:
    """Signatures (n, k) of the sets of shingles: two of them agree in a share of slots that estimates Jaccard without bias.

    `multiply`: slot i is the least a·x + b mod 2^64 over the shingles x, with an odd a and a b of its own. That permutes
    the 64-bit numbers, and shingles are uniform hashes already, so a slot of two documents is equal just when one
    shingle is the least of both, with a probability close to their Jaccard similarity (Broder 1997). `fss`: what
    `sketch_fss` says. Neither minds repeats. A document without shingles has no signature: `no_shingles` is true and
    its row is all 2^64 - 1.
    """
    from tamis.transforms.dedup.sketch import sketch_fss, sketch_minima

    # The raw stream of a bit generator is fixed for ever; that of numpy's Generator methods is not (NEP 19).
    raw = np.random.PCG64(seed).random_raw(2 * k).astype(np.uint64)
    if scheme == "fss":
        return sketch_fss(first, hashes, raw | np.uint64(1))
    return sketch_minima(first, hashes, raw[:k] | np.uint64(1), raw[k:])


def no_shingles(first: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """The null mask of signatures and bands: documents that have nothing to compare."""
    return first[1:] == first[:-1]


def band_hashes(signatures: npt.NDArray[np.uint64], bands: int, rows: int) -> npt.NDArray[np.uint64]:
    """One 64-bit hash a band, (n, bands), with the place of the band mixed in so that two places never meet."""
    from tamis.transforms.dedup.sketch import sketch_bands

    if signatures.shape[1] != bands * rows:
        raise ValueError(f"{bands} bands of {rows} rows need signatures of {bands * rows}, not {signatures.shape[1]}")
    return sketch_bands(signatures, bands, rows)


def sketch(texts: SegmentedTexts, options: MinHash) -> pa.FixedSizeListArray:
    """The band hashes of each document, null without shingles."""
    import pyarrow as pa

    from tamis.transforms.dedup.shingles import windows

    first, hashes = windows(texts, options.ngram)
    signed = signatures(first, hashes, options.bands * options.rows, options.seed, options.scheme)
    banded = band_hashes(signed, options.bands, options.rows)
    return pa.FixedSizeListArray.from_arrays(pa.array(banded.reshape(-1)), options.bands, mask=pa.array(no_shingles(first)))
