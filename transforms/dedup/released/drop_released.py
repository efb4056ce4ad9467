"""The step that drops documents which were released before."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.beam.exchange import result_column
from tamis.transforms.beam.step import Documents, Kept, Step, rounded
from tamis.transforms.dedup.duplicates import hashed_rows, texts_of
from tamis.transforms.dedup.minhash import Dedup
from tamis.transforms.dedup.released.find_released import STEP, FindReleased
from tamis.transforms.dedup.released.index_files import REASON, near_settings
from tamis.transforms.dedup.released.open_indices import open_indices
from tamis.transforms.text.words import Words

if TYPE_CHECKING:
    import apache_beam as beam


class DropReleased(Step):
    """Drops every document of which an index has the text or a near copy."""

    name = STEP

    def __init__(self, options: Dedup, words: Words) -> None:
        self.options, self.words = options, words

    @classmethod
    def of(cls, options: Dedup, recipe: Any) -> DropReleased | None:
        return cls(options, recipe.words) if options.against else None

    def transform(self, kept: Kept, spill: str, partitions: int) -> beam.PTransform:
        minhash = self.options.minhash
        segments = open_indices(self.options.against, near_settings(minhash, self.words))
        rows = partial(hashed_rows, kept=kept, bands=minhash is not None)
        return FindReleased(segments, minhash, self.words, rows, texts_of, spill, partitions)

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        if results is None:
            return
        doc_ref = documents.columns["doc_ref"]
        copy_of, release, jaccard = (result_column(doc_ref, results, name, None) for name in ("copy_of", "release", "jaccard"))

        def detail(rows: pa.Array) -> pa.Array:
            similar = pc.binary_join_element_wise("Jaccard", rounded(jaccard.take(rows)), "with", " ")
            return pc.binary_join_element_wise(
                pc.fill_null(similar, "equal to"), copy_of.take(rows), "of", release.take(rows), " "
            )

        documents.end(copy_of.is_valid().to_numpy(zero_copy_only=False), "drop", REASON, detail)
