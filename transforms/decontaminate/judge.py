"""The step that ends documents which contain benchmark items."""

import pyarrow as pa
import pyarrow.compute as pc

from tamis.transforms.beam.step import Documents, Step, rounded
from tamis.transforms.decontaminate.ngrams import Decontaminate


class JudgeContamination(Step):
    """Drops or reviews documents by the coverage of the benchmark item that they are closest to.
    Adds the column `benchmark`, its name."""

    name = "contamination"
    signals = ("contamination.benchmark", "contamination.coverage", "contamination.item")

    def __init__(self, options: Decontaminate) -> None:
        self.options = options

    def decide(self, documents: Documents, results: pa.Table | None) -> None:
        benchmark, coverage, item = (documents.columns[name] for name in self.signals)
        coverage = coverage.fill_null(0.0)

        def detail(rows: pa.Array) -> pa.Array:
            words = (rounded(coverage.take(rows)), "of", benchmark.take(rows), item.take(rows))
            return pc.binary_join_element_wise(*words, " ", null_handling="skip")

        value = coverage.to_numpy()
        documents.end(value >= self.options.drop, "drop", "contamination", detail)
        documents.end(value >= self.options.review, "review", "contamination", detail)
        documents.columns["benchmark"] = benchmark
