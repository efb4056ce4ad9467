"""A small training repeats its sample of a run as often as the target training repeats the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tamis.pipelines.training.matched_pool import MatchedPool, match_pool
from tamis.pipelines.training.tokenized_corpus import DocumentSizes, read_corpus
from tamis.transforms.core.errors import RunError
from tamis.transforms.feed.text_to_ids import load_tokenizer
from tests.transforms.feed.releases import release, tokens_of

BYTES = load_tokenizer("bytes")


def test_published_arithmetic() -> None:
    """arXiv 2606.07597: a pool of 10 B tokens that a target of 1 T reads with weight 0.1 is read ten times, and so is what a
    proxy of 1 B (0.1 B of the pool) reads: 10 M tokens."""
    documents = DocumentSizes(np.full(1000, 10_000_000), np.arange(1000, dtype=np.uint64), np.zeros(1000, np.int64))
    pool = MatchedPool("pool", documents, 100_000_000, epochs=10.0)
    assert pool.share * documents.lengths.sum() == pytest.approx(10_000_000)
    assert pool.sampled_epochs(0) == 10


def test_batches_are_the_sample_again_and_again(tmp_path: Path) -> None:
    texts = [f"{number:02d}" * 5 for number in range(60)]
    run = release(tmp_path, [texts[:30], texts[30:]])
    pool = match_pool(run, BYTES, 320, target_tokens=4 * sum(tokens_of(texts)))
    assert pool.epochs == 4
    batches = pool.batches(BYTES, 1, 16, 2)
    stream = np.concatenate([batch.tokens.ravel() for batch in batches])
    assert len(stream) == 320
    one = round(320 / pool.sampled_epochs(1))  # tokens of the sample
    assert (stream[one:] == stream[:-one]).all()
    assert 80 <= one < 80 + 3 * 11  # a document of each of three sources more, at most
    ends = np.flatnonzero(stream[:one] == 256)
    seen = [bytes(part[part < 256].astype(np.uint8)).decode() for part in np.split(stream[:one], ends + 1)[:-1]]
    assert seen == [text for text in texts if text in seen]  # in the order of the run
    assert len(seen) == one / 11
    assert (pool.batches(BYTES, 1, 16, 2)[0].tokens == batches[0].tokens).all()
    assert (pool.batches(BYTES, 2, 16, 2)[0].tokens != batches[0].tokens).any()


def test_a_target_shorter_than_the_run_reads_a_part_of_the_sample(tmp_path: Path) -> None:
    texts = [f"{number:02d}" * 5 for number in range(60)]
    run = release(tmp_path, [texts])
    pool = match_pool(run, BYTES, 96, target_tokens=sum(tokens_of(texts)) // 2)
    assert pool.share == pytest.approx(2 * 96 / read_corpus(run, BYTES).lengths.sum())
    assert sum(batch.tokens.size for batch in pool.batches(BYTES, 0, 16, 2)) == 96


def test_a_small_training_that_repeats_more_than_its_target_is_refused(tmp_path: Path) -> None:
    run = release(tmp_path, [["abc"] * 10])
    with pytest.raises(RunError, match=r"would take 2\.5 epochs of it, the target takes 1\. Lower"):
        match_pool(run, BYTES, 100, target_tokens=sum(tokens_of(["abc"] * 10)))
