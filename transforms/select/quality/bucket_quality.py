"""Finds the highest bucket that any rater gives each document, over the whole corpus.

One ranking of the scores of all raters, a reduction to a few cuts for each rater, and these back to
all parts. Cost: a row for every document and rater goes once through `Exchange`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import apache_beam as beam
import numpy as np
import pyarrow as pa

from tamis.transforms.beam.exchange import JoinResults, MapDoFn, PartState, Rows
from tamis.transforms.beam.ranking import Rank
from tamis.transforms.core.documents import row_of
from tamis.transforms.select.quality.score_buckets import Scores, bucket_cuts, highest_bucket

STEP = "quality_buckets"
"""The results: `doc_ref` and `bucket` of every document, -1 if no rater gives it a score."""

_RANKS = "score_ranks"

PartScores = Callable[[PartState], tuple[pa.Array, Scores]]
"""Loads doc_ref (n) and scores (f32[n, raters], higher is better, NaN if missing) of all documents of
a part, in the order of its rows."""


class BucketQuality(beam.PTransform):
    """Adds results under `STEP`. `rows` are what a ranking reads: one for each score of the documents
    that the cuts are of, the lowest first, in groups by rater, which `copy_no` numbers, too."""

    def __init__(self, buckets: int, rows: Rows, scores: PartScores, spill: str, partitions: int) -> None:
        super().__init__()
        self.buckets, self.rows, self.scores = buckets, rows, scores
        self.spill, self.partitions = spill, partitions

    def expand(self, part_states: beam.PCollection) -> beam.PCollection:
        cuts = beam.pvalue.AsSingleton(
            part_states
            | "Scores" >> Rank(_RANKS, self.rows, self.spill, self.partitions)
            | "Cuts of parts" >> beam.ParDo(MapDoFn(partial(_cuts, scores=self.scores, buckets=self.buckets)))
            | "Cuts" >> beam.CombineGlobally(_least).without_defaults()
        )
        find = MapDoFn(partial(_buckets, scores=self.scores))
        buckets = part_states | "Buckets" >> beam.ParDo(find, cuts).with_output_types(pa.RecordBatch)
        return part_states | "Return" >> JoinResults({STEP: buckets}, self.spill)


def _cuts(part_state: PartState, scores: PartScores, buckets: int) -> Scores:
    """The cuts of each rater by the documents of a part: f32[raters, buckets - 1]."""
    _, values = scores(part_state)
    cuts = np.full((values.shape[1], buckets - 1), np.inf, np.float32)
    ranks = part_state.result(_RANKS)
    if ranks is None:
        return cuts
    row, rater = row_of(ranks["doc_ref"].to_numpy()), ranks["copy_no"].to_numpy()
    rank, total = ranks["rank"].to_numpy(), ranks["group_tokens"].to_numpy()
    for number in np.unique(rater):
        own = np.flatnonzero(rater == number)
        cuts[number] = bucket_cuts(values[row[own], number], rank[own], int(total[own[0]]), buckets)
    return cuts


def _least(cuts: Iterable[Scores]) -> Scores:
    return np.asarray(np.minimum.reduce(list(cuts)))


def _buckets(part_state: PartState, cuts: Scores, scores: PartScores) -> pa.RecordBatch:
    doc_ref, values = scores(part_state)
    return pa.record_batch({"doc_ref": doc_ref, "bucket": highest_bucket(values, cuts)})
