"""Samples of a run that a small training repeats as often as the target training repeats the run.

A scarce source that a long training sees ten times is seen less than once by a short one, which then
overrates it. So the pool shrinks with the training: D_proxy / D_target of each source (arXiv 2606.07597).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tamis.pipelines.training.tokenized_corpus import DocumentSizes, make_batches, measure_documents, read_corpus, sample
from tamis.transforms.core.errors import RunError
from tamis.transforms.feed.corpus_index import load_corpus
from tamis.transforms.feed.packing import PackedBatch
from tamis.transforms.feed.text_to_ids import Tokenizer


@dataclass(frozen=True)
class MatchedPool:
    """A run, the `tokens` of the small training, and how often the target reads the run (`epochs`)."""

    run: str
    documents: DocumentSizes
    tokens: int
    epochs: float

    @property
    def share(self) -> float:
        """The share of each source that is sampled."""
        return self.tokens / self.epochs / int(self.documents.lengths.sum())

    def batches(self, tokenizer: Tokenizer, seed: int, length: int, batch_size: int) -> list[PackedBatch]:
        """The sample of a seed in the order of the run, again and again, up to `tokens`."""
        pool = read_corpus(self.run, tokenizer, sample(self.documents, self.share, seed))
        times = -(-self.tokens // int(pool.lengths.sum()))
        documents = np.tile(np.arange(len(pool.lengths)), times + 1)
        return make_batches(pool, documents, length, batch_size)[: self.tokens // (length * batch_size)]

    def sampled_epochs(self, seed: int) -> float:
        """How often the small training reads the sample of a seed, which has whole documents."""
        return self.tokens / int(self.documents.lengths[sample(self.documents, self.share, seed)].sum())


def match_pool(run: str, tokenizer: Tokenizer, tokens: int, target_tokens: int) -> MatchedPool:
    """The pool for `tokens` of the small models' tokenizer, where the target trains on `target_tokens`,
    as the run counts tokens. Raises RunError if that would need more than the run."""
    pool = MatchedPool(run, measure_documents(run, tokenizer), tokens, target_tokens / load_corpus(run).tokens)
    if pool.share > 1:
        raise RunError(
            f"{run}: the small models would take {pool.share * pool.epochs:.3g} epochs of it, the target takes "
            f"{pool.epochs:.3g}. Lower --tokens, or raise --target-tokens"
        )
    return pool
