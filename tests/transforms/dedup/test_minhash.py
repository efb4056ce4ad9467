"""MinHash: signatures estimate Jaccard as well as theory allows, and bands catch pairs along the published S-curve."""

import itertools
import subprocess
import sys

import datasketch
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from transforms.dedup.minhash import MinHash, band_hashes, candidate_probability, no_shingles, signatures, sketch
from transforms.dedup.shingles import jaccard
from transforms.text.hashing import mix64
from transforms.text.segment import segment

OPTIONS = MinHash()
K = OPTIONS.bands * OPTIONS.rows


def pairs(similarity, count, union=200, seed=0):
    """`count` pairs of sets of random hashes, each pair of exactly this Jaccard similarity: (first, hashes, sets)."""
    both = round(similarity * union)
    assert both / union == similarity
    rng = np.random.default_rng([seed, both])
    sets = []
    for _ in range(count):
        pool = rng.integers(0, 2**64, union, np.uint64)
        half = both + (union - both) // 2
        sets += [pool[:half], np.concatenate((pool[:both], pool[half:]))]
    return np.cumsum([0, *map(len, sets)]), np.concatenate(sets), sets


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=9), max_size=5), st.integers(1, 3), st.integers(1, 4))
def test_signatures_and_bands_are_what_their_definition_says(documents, bands, rows):
    first = np.cumsum([0, *map(len, documents)])
    hashes = np.array([x for document in documents for x in document], np.uint64)
    raw = [int(draw) for draw in np.random.PCG64(3).random_raw(2 * bands * rows)]
    family = [(draw | 1, summand) for draw, summand in zip(raw[: bands * rows], raw[bands * rows :], strict=True)]
    signed = signatures(first, hashes, bands * rows, seed=3)
    minima = [[min(((a * x + b) % 2**64 for x in of), default=2**64 - 1) for a, b in family] for of in documents]
    assert signed.tolist() == minima
    banded = band_hashes(signed, bands, rows)
    assert banded.shape == (len(documents), bands)
    for d, signature in enumerate(minima):
        for band in range(bands):
            chained = np.uint64(band)
            for value in signature[band * rows : (band + 1) * rows]:
                chained = np.uint64(mix64(np.uint64(value), chained))
            assert banded[d, band] == chained


@pytest.mark.parametrize("similarity", [0.1, 0.5, 0.7, 0.9])
def test_the_estimate_has_the_error_of_theory_and_no_bias(similarity):
    count = 1500
    first, hashes, _ = pairs(similarity, count)
    signed = signatures(first, hashes, K, seed=1)
    error = (signed[0::2] == signed[1::2]).mean(axis=1) - similarity
    theory = np.sqrt(similarity * (1 - similarity) / K)
    assert np.sqrt((error**2).mean()) <= 1.15 * theory
    assert abs(error.mean()) <= 4 * theory / np.sqrt(count)


@pytest.mark.parametrize("size", [1, 2, 10, 5000])
def test_the_estimate_holds_for_small_and_large_documents(size):
    """Pairs that share half of each: J = 1/3 (or 0 for single shingles)."""
    rng = np.random.default_rng(size)
    count = 400 if size < 5000 else 30
    sets = rng.integers(0, 2**64, (count, 2, size), np.uint64)
    sets[:, 1, : size // 2] = sets[:, 0, : size // 2]
    signed = signatures(np.arange(2 * count + 1) * size, sets.reshape(-1), K, seed=1)
    truth = (size // 2) / (2 * size - size // 2)
    estimate = (signed[0::2] == signed[1::2]).mean()
    assert abs(estimate - truth) <= 4 * np.sqrt(truth * (1 - truth) / (K * count)) + 1e-12


@pytest.mark.parametrize(
    ("similarity", "published"), [(0.5, 0.053), (0.6, 0.211), (0.7, 0.565), (0.8, 0.924), (0.9, 1.0)]
)
def test_the_published_curve(similarity, published):
    assert candidate_probability(similarity, 14, 8) == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize("similarity", [0.5, 0.6, 0.7, 0.8])
def test_bands_propose_pairs_as_the_curve_and_datasketch_do(similarity):
    count = 800
    first, hashes, sets = pairs(similarity, count, seed=1)
    banded = band_hashes(signatures(first, hashes, K, OPTIONS.seed), OPTIONS.bands, OPTIONS.rows)
    found = (banded[0::2] == banded[1::2]).any(axis=1).mean()

    def peer(members):
        sketched = datasketch.MinHash(num_perm=K, hashfunc=lambda x: int(x) & 0xFFFFFFFF)
        sketched.update_batch(members)
        return sketched.hashvalues.reshape(OPTIONS.bands, OPTIONS.rows)

    peers = [peer(members) for members in sets]
    theirs = np.mean([(a == b).all(axis=1).any() for a, b in zip(peers[0::2], peers[1::2], strict=True)])
    theory = candidate_probability(similarity, OPTIONS.bands, OPTIONS.rows)
    spread = np.sqrt(theory * (1 - theory) / count)
    assert abs(found - theory) <= 4 * spread
    assert abs(found - theirs) <= 4 * np.sqrt(2) * spread


def test_bands_agree_when_their_rows_do_and_never_across_places():
    same = np.full((2, 6), 5, np.uint64)
    same[1, 0] = 6
    banded = band_hashes(same, 3, 2)
    assert (banded[0] == banded[1]).tolist() == [False, True, True]
    assert np.unique(banded).size == 4
    swapped = band_hashes(np.array([[1, 2], [2, 1]], np.uint64), 1, 2)
    assert swapped[0, 0] != swapped[1, 0]


def test_rows_and_bands_must_fit_the_signature():
    with pytest.raises(ValueError, match="3 bands of 2 rows need signatures of 6, not 8"):
        band_hashes(np.zeros((1, 8), np.uint64), 3, 2)


def test_documents_without_shingles_have_no_bands():
    first = np.array([0, 0, 3, 3])
    signed = signatures(first, np.array([1, 2, 3], np.uint64), 4, seed=1)
    assert no_shingles(first).tolist() == [True, False, True]
    assert (signed[[0, 2]] == np.iinfo(np.uint64).max).all()
    bands, shingles = sketch(
        segment(pa.array(["", "some words are here for all to see", "!"], pa.large_string())), OPTIONS
    )
    assert bands.type == pa.list_(pa.uint64(), OPTIONS.bands)
    assert bands.is_null().to_pylist() == [True, False, True]
    assert [len(of) for of in shingles.to_pylist()] == [0, 4, 0]


def test_signatures_depend_on_the_seed_and_on_nothing_else():
    first, hashes, _ = pairs(0.5, 5)
    one = signatures(first, hashes, K, seed=1)
    assert (one == signatures(first, hashes, K, seed=1)).all()
    assert (one != signatures(first, hashes, K, seed=2)).any()
    assert (one[:, :8] != signatures(first, hashes, 8, seed=2)).any()
    order = np.concatenate(
        [np.random.default_rng(3).permutation(np.arange(a, b)) for a, b in itertools.pairwise(first)]
    )
    assert (one == signatures(first, hashes[order], K, seed=1)).all()


def test_long_documents_are_sketched_as_short_ones_are():
    """The least over blocks is the least over all."""
    rng = np.random.default_rng(4)
    hashes = rng.integers(0, 2**64, 10_000, np.uint64)
    whole = signatures(np.array([0, hashes.size]), hashes, K, seed=1)
    parts = signatures(np.arange(0, hashes.size + 1, 500), hashes, K, seed=1)
    assert (whole[0] == parts.min(axis=0)).all()


def test_options_are_closed_and_sound():
    for wrong in ({"bandz": 3}, {"bands": 0}, {"threshold": 0}, {"threshold": 1.1}):
        with pytest.raises(ValidationError):
            MinHash(**wrong)
    assert (OPTIONS.bands, OPTIONS.rows, OPTIONS.ngram) == (14, 8, 5)


def test_options_import_without_the_heavy_libraries():
    code = "import sys, transforms.dedup.minhash; print(*{'numba', 'pyarrow', 'scipy', 'apache_beam'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


@pytest.mark.slow
def test_real_near_duplicates_meet_in_a_band(shared):
    """On web pages with a tenth of one page's words replaced, pairs share a band as often as their similarity says."""
    import json

    import zstandard

    with zstandard.open(shared / "web" / "weborganizer-00.jsonl.zst", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines][:600]
    rng = np.random.default_rng(5)
    edited = []
    for text in texts:
        words = text.split()
        for place in np.flatnonzero(rng.random(len(words)) < 0.04):
            words[place] = f"w{chr(97 + rng.integers(26))}{chr(97 + rng.integers(26))}{chr(97 + rng.integers(26))}"
        edited.append(" ".join(words))
    bands, shingles = sketch(segment(pa.array(texts + edited, pa.large_string())), OPTIONS)
    expected, met = [], []
    for d in range(len(texts)):
        if bands[d].is_valid and bands[len(texts) + d].is_valid:
            similarity = jaccard(*(np.array(shingles[e].as_py(), np.uint64) for e in (d, len(texts) + d)))
            expected.append(candidate_probability(similarity, OPTIONS.bands, OPTIONS.rows))
            met.append(any(a == b for a, b in zip(bands[d].as_py(), bands[len(texts) + d].as_py(), strict=True)))
    spread = np.sqrt(np.mean([p * (1 - p) for p in expected]) / len(expected))
    assert abs(np.mean(met) - np.mean(expected)) <= 4 * spread
