"""MinHash: signatures of both schemes estimate Jaccard as in theory, and bands find pairs along the published curve."""

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

from tamis.transforms.dedup.minhash import MinHash, ShortTexts, band_hashes, bands_and_rows, signatures, sketch
from tamis.transforms.dedup.shingles import jaccard, shingles
from tamis.transforms.text.hashing import mix64
from tamis.transforms.text.segment import segment
from tamis.transforms.text.word_hashes import hashed_words
from tamis.transforms.text.words import DEFAULT_WORDS

OPTIONS = MinHash()
K = OPTIONS.bands * OPTIONS.rows
EMPTY = 2**64 - 1

either_scheme = pytest.mark.parametrize("scheme", ["multiply", "fss"])


def pairs(similarity, count, union=200, seed=0):
    """`count` pairs of random sets of hashes with exactly this Jaccard similarity: (first, hashes, sets)."""
    both = round(similarity * union)
    assert both / union == similarity
    rng = np.random.default_rng([seed, both])
    sets = []
    for _ in range(count):
        pool = rng.integers(0, 2**64, union, np.uint64)
        half = both + (union - both) // 2
        sets += [pool[:half], np.concatenate((pool[:both], pool[half:]))]
    return np.cumsum([0, *map(len, sets)]), np.concatenate(sets), sets


def minima(shingles, k, raw):
    """A plain version of `multiply`: the least of a·x + b for each of k pairs."""
    family = [(draw | 1, summand) for draw, summand in zip(raw[:k], raw[k:], strict=True)]
    return [min(((a * x + b) % 2**64 for x in shingles), default=EMPTY) for a, b in family]


def throws(shingles, k, raw):
    """A plain version of `fss`: all 2k rounds of algorithm 1; the paper's round + fraction is a pair here."""
    slots = [[] for _ in range(k)]
    for turn, a in enumerate(raw):
        for x in shingles:
            product = (a | 1) * x % 2**64
            slots[(product >> 32) * k >> 32 if turn < k else turn - k].append((turn, product))
    bits = (2 * k).bit_length()
    return [min(((turn << 64 - bits) + (product >> bits) for turn, product in slot), default=EMPTY) for slot in slots]


@pytest.mark.parametrize(("scheme", "reference"), [("multiply", minima), ("fss", throws)])
@given(
    st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=9), max_size=5),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 50),
)
def test_signatures_and_bands_follow_their_definition(scheme, reference, documents, bands, rows, repeats):
    first = np.cumsum([0, *(repeats * len(document) for document in documents)])
    hashes = np.array([x for document in documents for x in repeats * document], np.uint64)
    raw = [int(draw) for draw in np.random.PCG64(3).random_raw(2 * bands * rows)]
    signed = signatures(first, hashes, bands * rows, seed=3, scheme=scheme)
    assert signed.tolist() == [reference(document, bands * rows, raw) for document in documents]
    banded = band_hashes(signed, bands, rows)
    assert banded.shape == (len(documents), bands)
    for d, signature in enumerate(signed):
        for band in range(bands):
            chained = np.uint64(band)
            for value in signature[band * rows : (band + 1) * rows]:
                chained = np.uint64(mix64(value, chained))
            assert banded[d, band] == chained


@either_scheme
@pytest.mark.parametrize("similarity", [0.1, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("union", [20, 200, 1000])
def test_the_estimate_has_the_error_of_theory_and_no_bias(similarity, union, scheme):
    count = 1500
    first, hashes, _ = pairs(similarity, count, union)
    signed = signatures(first, hashes, K, 1, scheme)
    error = (signed[0::2] == signed[1::2]).mean(axis=1) - similarity
    theory = np.sqrt(similarity * (1 - similarity) / K)
    assert np.sqrt((error**2).mean()) <= 1.15 * theory
    assert abs(error.mean()) <= min(0.005, 4 * theory / np.sqrt(count))
    if scheme == "fss" and union < K:  # few shingles fill the slots evenly, unlike independent permutations
        assert np.sqrt((error**2).mean()) <= 0.8 * theory


@either_scheme
@pytest.mark.parametrize("size", [1, 2, 10, 5000])
def test_the_estimate_holds_for_small_and_large_documents(size, scheme):
    """Pairs that share half of their shingles: J = 1/3, or 0 for single shingles."""
    rng = np.random.default_rng(size)
    count = 400 if size < 5000 else 30
    sets = rng.integers(0, 2**64, (count, 2, size), np.uint64)
    sets[:, 1, : size // 2] = sets[:, 0, : size // 2]
    signed = signatures(np.arange(2 * count + 1) * size, sets.reshape(-1), K, 1, scheme)
    expected = (size // 2) / (2 * size - size // 2)
    estimate = (signed[0::2] == signed[1::2]).mean()
    assert abs(estimate - expected) <= 4 * np.sqrt(expected * (1 - expected) / (K * count)) + 1e-12


@pytest.mark.parametrize(("similarity", "published"), [(0.5, 0.053), (0.6, 0.211), (0.7, 0.565), (0.8, 0.924), (0.9, 1.0)])
def test_the_published_curve(similarity, published):
    assert MinHash(bands=14, rows=8).candidate_probability(similarity) == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.75, 0.8, 0.9])
@pytest.mark.parametrize("permutations", [64, 112, 128, 256])
def test_permutations_are_dealt_as_by_datasketch(threshold, permutations):
    lsh = datasketch.MinHashLSH(threshold=threshold, num_perm=permutations)
    assert bands_and_rows(threshold, permutations) == (lsh.b, lsh.r)


def test_permutations_stand_for_bands_and_rows():
    options = MinHash(threshold=0.7, permutations=128)
    assert (options.bands, options.rows) == (14, 9)
    assert MinHash.model_validate(options.model_dump()) == options
    with pytest.raises(ValueError, match="permutations chooses 14 bands of 9 rows: leave out rows, or permutations"):
        MinHash(threshold=0.7, permutations=128, rows=8)
    with pytest.raises(ValueError, match="less than or equal to 1024"):
        MinHash(permutations=5000)


def datasketch_bands(members):
    """The bands of a set of shingles by datasketch, with our number of bands and rows."""
    sketched = datasketch.MinHash(num_perm=K, hashfunc=lambda x: int(x) & 0xFFFFFFFF)
    sketched.update_batch(members)
    return sketched.hashvalues.reshape(OPTIONS.bands, OPTIONS.rows)


@pytest.mark.parametrize("similarity", [0.5, 0.6, 0.7, 0.8])
def test_bands_propose_pairs_as_the_curve_and_datasketch_do(similarity):
    count = 800
    first, hashes, sets = pairs(similarity, count, seed=1)
    peers = [datasketch_bands(members) for members in sets]
    theirs = np.mean([(a == b).all(axis=1).any() for a, b in zip(peers[0::2], peers[1::2], strict=True)])
    theory = OPTIONS.candidate_probability(similarity)
    spread = np.sqrt(theory * (1 - theory) / count)
    for scheme in ("multiply", "fss"):
        banded = band_hashes(signatures(first, hashes, K, OPTIONS.seed, scheme), OPTIONS.bands, OPTIONS.rows)
        share = (banded[0::2] == banded[1::2]).any(axis=1).mean()
        assert abs(share - theory) <= 4 * spread
        assert abs(share - theirs) <= 4 * np.sqrt(2) * spread


def test_pairs_that_are_similar_as_they_are_share_a_band_as_often_as_the_curve_says():
    """Bands are of folded words, and edits of any kind may fold to nothing, or not."""
    draw = np.random.default_rng(3)
    vocabulary = [f"{a}{b}{c}" for a in "bcdfglmnprst" for b in "aeiou" for c in "klmnrst"]
    texts = []
    for _ in range(600):
        words = draw.choice(vocabulary, 150).astype("U20")
        edited = words.copy()
        for place in draw.choice(150, draw.integers(1, 7), replace=False):
            word = words[place]
            edited[place] = draw.choice([word.upper(), f"{word},", f"{word} 7", "changed", f"({word})"])
        texts += [" ".join(words), " ".join(edited)]
    segmented = segment(pa.array(texts, pa.large_string()))
    first, hashes = shingles(segmented, OPTIONS.ngram, fold=False)
    sets = [hashes[a:b] for a, b in itertools.pairwise(first)]
    similarity = np.array([jaccard(a, b) for a, b in zip(sets[::2], sets[1::2], strict=True)])
    banded = np.array(sketch(segmented, OPTIONS).to_pylist())
    shared = (banded[::2] == banded[1::2]).any(axis=1)
    for low in (0.7, 0.8, 0.9):
        near = (similarity >= low) & (similarity < low + 0.1)
        expected = np.mean([OPTIONS.candidate_probability(j) for j in similarity[near]])
        assert near.sum() > 50
        assert shared[near].mean() >= expected - 0.02


def test_bands_agree_if_their_rows_do_and_never_across_positions():
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


@either_scheme
def test_documents_without_shingles_have_no_bands(scheme):
    first = np.array([0, 0, 3, 3])
    signed = signatures(first, np.array([1, 2, 3], np.uint64), 4, 1, scheme)
    assert (signed[[0, 2]] == EMPTY).all()
    assert (signed[1] != EMPTY).all()
    texts = segment(pa.array(["", "some words are here for all to see", "!", " \n"], pa.large_string()))
    bands = sketch(texts, MinHash(scheme=scheme))
    assert bands.type == pa.list_(pa.uint64(), OPTIONS.bands)
    assert bands.is_null().to_pylist() == [True, False, True, True]


@either_scheme
def test_signatures_depend_on_the_seed_and_on_nothing_else(scheme):
    first, hashes, _ = pairs(0.5, 5)
    one = signatures(first, hashes, K, 1, scheme)
    assert (one == signatures(first, hashes, K, 1, scheme)).all()
    assert (one != signatures(first, hashes, K, 2, scheme)).any()
    assert (one[:, :8] != signatures(first, hashes, 8, 2, scheme)).any()
    shuffled = [np.random.default_rng(3).permutation(hashes[a:b]) for a, b in itertools.pairwise(first)]
    assert (one == signatures(first, np.concatenate(shuffled), K, 1, scheme)).all()
    repeated = np.concatenate([np.tile(hashes[a:b], 40) for a, b in itertools.pairwise(first)])
    assert (one == signatures(40 * first, repeated, K, 1, scheme)).all()


def test_long_documents_are_sketched_as_short_ones_are():
    """The least over all blocks is the least over all shingles."""
    rng = np.random.default_rng(4)
    hashes = rng.integers(0, 2**64, 10_000, np.uint64)
    complete = signatures(np.array([0, hashes.size]), hashes, K, 1, "multiply")
    parts = signatures(np.arange(0, hashes.size + 1, 500), hashes, K, 1, "multiply")
    assert (complete[0] == parts.min(axis=0)).all()


@pytest.mark.parametrize(
    "text", ["", "  \n ", "word", "no newline at all", "Ελληνικά 中文 العربية", "x " * 500_000, "y" * 1_000_000]
)
@either_scheme
def test_odd_texts(text, scheme):
    """A shingle counts once, however often the text repeats it."""
    texts = segment(pa.array([text], pa.large_string()))
    options = MinHash(scheme=scheme)
    first, hashes = shingles(texts, options.ngram, fold=True)
    banded = band_hashes(signatures(first, hashes, K, options.seed, scheme), options.bands, options.rows)
    assert sketch(texts, options).to_pylist() == ([banded[0].tolist()] if hashes.size else [None])


@settings(max_examples=100)
@given(st.lists(st.text(st.sampled_from("aB1é語.,' \n"), max_size=80), max_size=4), st.sampled_from([None, 4]))
def test_words_without_their_tables_have_the_same_bands(documents, few):
    array, options = pa.array(documents, pa.large_string()), MinHash(short=few and ShortTexts(words=few))
    assert sketch(hashed_words(array, DEFAULT_WORDS, fold=True), options).equals(sketch(segment(array), options))


def test_the_schemes_differ_and_the_default_is_fss():
    texts = segment(pa.array(["a few words that make more than one shingle"]))
    multiply, fss = (sketch(texts, MinHash(scheme=scheme)).to_pylist()[0] for scheme in ("multiply", "fss"))
    assert not {*multiply} & {*fss}
    assert sketch(texts, OPTIONS).to_pylist() == [fss]


def test_options_are_closed_and_sound():
    for wrong in ({"bandz": 3}, {"bands": 0}, {"scheme": "oph"}, {"threshold": 0}, {"threshold": 1.1}):
        with pytest.raises(ValidationError):
            MinHash(**wrong)
    assert (OPTIONS.bands, OPTIONS.rows, OPTIONS.ngram) == (14, 8, 5)


def test_options_import_without_the_heavy_libraries():
    code = "import sys, tamis.transforms.dedup.minhash; print(*{'numba', 'pyarrow', 'scipy', 'apache_beam'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


@pytest.mark.slow
def test_real_near_duplicates_meet_in_a_band_as_often_as_with_datasketch(shared):
    """Web pages and edited copies share a band as often as their exact similarity predicts."""
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
    first, hashes = shingles(segment(pa.array(texts + edited, pa.large_string())), OPTIONS.ngram, OPTIONS.fold)
    sets = [hashes[a:b] for a, b in itertools.pairwise(first)]
    compared = [(a, b) for a, b in zip(sets[: len(texts)], sets[len(texts) :], strict=True) if a.size and b.size]
    expected = [OPTIONS.candidate_probability(jaccard(a, b)) for a, b in compared]
    spread = np.sqrt(np.mean([p * (1 - p) for p in expected]) / len(expected))
    theirs = np.mean([(datasketch_bands(a) == datasketch_bands(b)).all(axis=1).any() for a, b in compared])
    members = [shingle_set for pair in compared for shingle_set in pair]
    for scheme in ("multiply", "fss"):
        signed = signatures(np.cumsum([0, *map(len, members)]), np.concatenate(members), K, OPTIONS.seed, scheme)
        banded = band_hashes(signed, OPTIONS.bands, OPTIONS.rows)
        share = (banded[0::2] == banded[1::2]).any(axis=1).mean()
        assert abs(share - np.mean(expected)) <= 4 * spread
        assert abs(share - theirs) <= 4 * np.sqrt(2) * spread


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "chances"),
    [
        (MinHash(), {0.9: 1.0, 0.75: 0.77, 0.5: 0.05, 0.25: 0.0, 0.1: 0.0}),
        (MinHash(bands=50, rows=3), {0.9: 1.0, 0.75: 1.0, 0.5: 1.0, 0.25: 0.55, 0.1: 0.05}),
        (MinHash(bands=100, rows=2), {0.9: 1.0, 0.75: 1.0, 0.5: 1.0, 0.25: 1.0, 0.1: 0.63}),
    ],
)
def test_bands_propose_excerpts_by_the_share_of_the_page_that_they_are(shared, options, chances):
    """The similarity of an excerpt and its page is the excerpt's share of the page. The table of docs/dedup.md."""
    import json

    import zstandard

    with zstandard.open(shared / "web" / "weborganizer-00.jsonl.zst", "rt", encoding="utf-8") as lines:
        pages = [words for words in (json.loads(line)["text"].split() for line in lines) if len(words) >= 200][:800]
    draw = np.random.default_rng(0)

    def bands(texts):
        return np.array(sketch(segment(pa.array(texts, pa.large_string())), options).to_pylist())

    whole = bands([" ".join(words) for words in pages])
    for share, chance in chances.items():
        starts = [int(draw.integers(0, len(words) - int(share * len(words)) + 1)) for words in pages]
        excerpts = [words[start : start + int(share * len(words))] for words, start in zip(pages, starts, strict=True)]
        proposed = (whole == bands([" ".join(words) for words in excerpts])).any(axis=1).mean()
        assert abs(proposed - options.candidate_probability(share)) < 0.1
        assert options.candidate_probability(share) == pytest.approx(chance, abs=0.006)
