"""MinHash with banded locality-sensitive hashing, which finds candidates for near-duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tamis.transforms.core.options import Options
from tamis.transforms.dedup.repeats.repeat_options import RepeatedLines, RepeatedParagraphs, RepeatedSentences
from tamis.transforms.dedup.urls.url_options import Keep, RepeatedUrls

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.transforms.text.segment import SegmentedTexts
    from tamis.transforms.text.word_hashes import HashedWords

Scheme = Literal["multiply", "fss"]


class ShortTexts(Options):
    """Texts of few words, which share no run of five words after an edit or two."""

    words: int = Field(default=20, ge=1, le=4096, description="a text with fewer words is short; marks do not count")
    characters: int = Field(default=5, ge=1, le=4096, description="characters per shingle of a short text")
    threshold: float = Field(
        default=0.85,
        gt=0,
        le=1,
        description="smallest exact Jaccard similarity of short near-duplicates; the lower it is, the more forms that differ "
        "in a date alone are some",
    )


class MinHash(Options):
    """Near-duplicates: bands find candidates, exact Jaccard similarity of shingles decides.

    Bands, rows, shingle length and seed are those of datatrove (`pipeline/dedup/minhash.py`,
    MinhashConfig). datatrove removes every document that shares a band; here `threshold` decides.
    Its default is near the knee of 14 bands of 8 rows, (1/14)^(1/8) = 0.72. Bands are of
    folded words, so that pairs that differ in case or numbers alone are proposed as well; the
    similarity that decides is that of the words as they are, unless the recipe says `fold`.
    """

    bands: int = Field(
        default=14, ge=1, le=4096, description="number of bands of the signature; documents that share one are compared"
    )
    rows: int = Field(default=8, ge=1, le=4096, description="hashes per band")
    permutations: int | None = Field(
        default=None,
        ge=2,
        le=1024,
        description="hashes of a signature, in place of bands and rows: those are then chosen so that pairs on both sides of "
        "the threshold are mistaken least, as by datasketch (128 and 0.7: 14 bands of 9 rows)",
    )
    ngram: int = Field(default=5, ge=1, le=4096, description="words per shingle")
    short: ShortTexts | None = Field(
        default=None, description="cut short texts into runs of characters; they are then compared among themselves alone"
    )
    threshold: float = Field(default=0.7, gt=0, le=1, description="smallest exact Jaccard similarity of near-duplicates")
    containment: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="drop a document below the threshold, too, if a kept one has this share of its shingles and is not "
        "shorter, as a page has an excerpt (`dedup.contained`). Bands of fewer rows propose shorter excerpts",
    )
    preserve: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="drop a near-duplicate only if the kept one has this share of its shingles and is not shorter, so that "
        "what it alone says is not lost",
    )
    seed: int = Field(default=1, ge=0, description="seed of the hash family")
    scheme: Scheme = Field(
        default="fss",
        description="how signatures are computed: fss (Fast Similarity Sketching) or multiply (one permutation of the shingles "
        "per hash, as in textbooks and datatrove). Both find the same share of near-duplicates; fss needs a quarter of the "
        "time and has a quarter less error on short documents",
    )
    fold: bool = Field(
        default=False,
        description="compare words without their case, diacritics, punctuation and digits (each counts as 0), as datatrove "
        "does: texts that differ in nothing else are then near-duplicates. false: words and marks count as they are",
    )

    @model_validator(mode="before")
    @classmethod
    def _choose_bands(cls, options: Any) -> Any:
        """Sets bands and rows by the permutations. Values that are wrong in themselves are left to their fields."""
        if not isinstance(options, dict):
            return options
        permutations, threshold = options.get("permutations"), options.get("threshold", cls.model_fields["threshold"].default)
        if not isinstance(permutations, int) or not isinstance(threshold, int | float):
            return options
        if not 2 <= permutations <= 1024 or not 0 < threshold <= 1:
            return options
        bands, rows = bands_and_rows(threshold, permutations)
        for name, value in (("bands", bands), ("rows", rows)):
            if options.get(name, value) != value:
                raise ValueError(f"permutations chooses {bands} bands of {rows} rows: leave out {name}, or permutations")
        return options | {"bands": bands, "rows": rows}

    def candidate_probability(self, jaccard: float) -> float:
        """Probability of a shared band (Leskovec, Rajaraman, Ullman, section 3.4.2), by the similarity
        of the folded texts."""
        return 1 - (1 - jaccard**self.rows) ** self.bands


def bands_and_rows(threshold: float, permutations: int) -> tuple[int, int]:
    """The bands b and rows r, b · r ≤ `permutations`, by which pairs are mistaken least: the area below the
    chance of a shared band, 1 - (1 - s^r)^b, for similarities s up to `threshold`, and above it from there
    on, with equal weights (datasketch 1.6, `MinHashLSH`; Zhu et al., VLDB 2016, section 5.3)."""
    node, weight = np.polynomial.legendre.leggauss(16)
    edges = [np.linspace(*ends, 33) for ends in ((0.0, threshold), (threshold, 1.0))]
    points = [
        ((edge[:-1] + edge[1:] + np.outer(node, np.diff(edge))) / 2, np.outer(weight, np.diff(edge)) / 2) for edge in edges
    ]
    best = (np.inf, 1, 1)
    for bands in range(1, permutations + 1):
        for rows in range(1, permutations // bands + 1):
            apart = [(1 - point**rows) ** bands for point, _ in points]
            mistaken = ((1 - apart[0]) * points[0][1]).sum() + (apart[1] * points[1][1]).sum()
            best = min(best, (float(mistaken), bands, rows))
    return best[1:]


def signatures(
    first: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64], k: int, seed: int, scheme: Scheme
) -> npt.NDArray[np.uint64]:
    """Signatures, u64[n, k]; the share of equal slots is an unbiased estimate of Jaccard.

    The shingles of document d are `hashes[first[d]:first[d + 1]]`; repeats do not matter.
    `multiply`: slot i is the least a·x + b mod 2^64 over the shingles x, with its own odd a and b.
    This permutes the 64-bit numbers, and shingles are uniform hashes, so a slot of two documents is
    equal exactly if the same shingle is the least of both. The probability of that is close to
    their Jaccard similarity (Broder 1997). `fss`: see `sketch_fss`. No shingles: slots of 2^64 - 1.
    """
    from tamis.transforms.dedup.sketch import sketch_fss, sketch_minima

    # The raw stream of a bit generator never changes; numpy's Generator methods may (NEP 19).
    raw = np.random.PCG64(seed).random_raw(2 * k).astype(np.uint64)
    if scheme == "fss":
        return sketch_fss(first, hashes, raw | np.uint64(1))
    return sketch_minima(first, hashes, raw[:k] | np.uint64(1), raw[k:])


class Dedup(Options):
    """How duplicates are found, and which of them stays."""

    exact: bool = Field(True, description="documents with equal text are duplicates")
    minhash: MinHash | None = Field(
        None, description="near-duplicates, proposed by MinHash bands and decided by exact Jaccard similarity"
    )
    keep: Keep = Field(
        "best",
        description="which duplicate stays: that of the best quality, the newest or the oldest by its `date`, the longest, or "
        "the one that a seeded hash of the id picks; of equals, the one of the best quality, then the hash decides. A document "
        "without a date goes behind those that have one",
    )
    prefer: tuple[str, ...] = Field(
        (), description="sources whose documents stay before those of others, in this order, whatever `keep` says"
    )
    parent: str | None = Field(
        None,
        description="the field of the metadata that names what a document was made of, such as the original of a rewrite: "
        "documents that have it go behind all others, whatever `keep` and `prefer` say",
    )
    sources: bool = Field(
        False,
        description="a kept document names the sources of all documents that it stands for, itself included, in the column "
        "`copy_sources` of the corpus and of decisions/",
    )
    url: RepeatedUrls | None = Field(None, description="one document for each address; the others are dropped first of all")
    lines: RepeatedLines | None = Field(
        None, description="lines that many texts of a host have, which are cut before duplicates are looked for"
    )
    paragraphs: RepeatedParagraphs | None = Field(
        None, description="paragraphs that several texts have, which are cut after duplicates are dropped"
    )
    sentences: RepeatedSentences | None = Field(
        None, description="spans of three sentences that several texts have, which are cut after repeated paragraphs"
    )
    against: tuple[str, ...] = Field(
        (),
        description="what was released before: releases (RUN, RUN@41) that left an index, or folders of indices; a document "
        "of which one has the text, or with minhash a near copy, is dropped",
    )
    index: bool | Literal["extend"] = Field(
        False,
        description="leave an index of the documents that are kept, for `against` of later runs: true for these alone, extend "
        "for those of `against`, too",
    )

    @model_validator(mode="after")
    def _index_has_texts_as_they_are_looked_up(self) -> Dedup:
        if self.index and not self.exact:
            raise ValueError("index needs exact: true: an index has a text once")
        if self.index and (self.paragraphs is not None or self.sentences is not None):
            raise ValueError(
                "index has the texts as they end, and paragraphs and sentences are cut after `against` has looked them up, so "
                "a later copy would not be found: use one or the other"
            )
        return self

    @model_validator(mode="after")
    def _near_includes_exact(self) -> Dedup:
        if self.minhash is not None and not self.exact:
            raise ValueError("minhash needs exact: true, since it finds equal texts too")
        return self


def band_hashes(signatures: npt.NDArray[np.uint64], bands: int, rows: int) -> npt.NDArray[np.uint64]:
    """The hash of each band, u64[n, bands], seeded with its number, so bands do not collide. Raises
    ValueError if `signatures` does not have bands × rows columns."""
    from tamis.transforms.dedup.sketch import sketch_bands

    if signatures.shape[1] != bands * rows:
        raise ValueError(f"{bands} bands of {rows} rows need signatures of {bands * rows}, not {signatures.shape[1]}")
    return sketch_bands(signatures, bands, rows)


def sketch(texts: SegmentedTexts | HashedWords, options: MinHash) -> pa.FixedSizeListArray:
    """The band hashes of each document's folded words, as lists of u64; null if nothing is left of it."""
    import pyarrow as pa

    from tamis.transforms.dedup.shingles import windows

    first, hashes = windows(texts, options.ngram, fold=True, short=options.short)
    signed = signatures(first, hashes, options.bands * options.rows, options.seed, options.scheme)
    banded = band_hashes(signed, options.bands, options.rows)
    return pa.FixedSizeListArray.from_arrays(
        pa.array(banded.reshape(-1)), options.bands, mask=pa.array(first[1:] == first[:-1])
    )
