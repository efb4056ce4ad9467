"""Writes the record of contamination of a release, from what Decide has found in its parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.pipelines.decisions.document_states import decided_documents
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms import storage
from tamis.transforms.beam.exchange import Gathered, PartState, addressed
from tamis.transforms.beam.step import one_batch
from tamis.transforms.decontaminate import judge
from tamis.transforms.decontaminate.record import FILE, RECORD, in_order


def match_rows(part_state: PartState, documents: pa.Table, recipe: Recipe) -> pa.Table:
    """The rows of `RECORD` about the documents of a part, with their doc_ref. `documents`: as decided by all steps."""
    results = part_state.result(judge.STEP)
    if recipe.decontaminate is None or results is None:
        return pa.Table.from_batches([], RECORD.insert(0, judge.MATCHES.field("doc_ref")))
    results = results.filter(pc.equal(results["start"], results["stop"]))  # the others are cuts
    names = ("doc_ref", "benchmark", "item", "number", "part", "class", "action", "score")
    columns = {name: results[name] for name in names}
    columns |= {"start": results["match_start"], "stop": results["match_stop"]}
    columns["metric"] = pa.repeat(pa.scalar(recipe.decontaminate.score), len(results))
    place = pc.index_in(results["doc_ref"], value_set=documents["doc_ref"])
    columns |= {name: documents[name].take(place) for name in ("id", "decision", "reason")}
    return pa.table({name: columns[name] for name in ("doc_ref", *RECORD.names)})


def sent_rows(part_state: PartState, recipe: Recipe) -> Iterator[pa.RecordBatch]:
    """The rows about a part, addressed to the one file."""
    batch = one_batch(match_rows(part_state, decided_documents(part_state, recipe), recipe).drop_columns(["doc_ref"]))
    if batch.num_rows:
        yield addressed(batch, np.zeros(batch.num_rows, np.uint32))


def write_record(_: object, gathered: Sequence[Gathered], recipe: Recipe, release: str) -> str:
    """Writes the rows of all parts into the folder `release`, also if there are none. Memory: about 200 bytes a row.
    Returns the name of the file."""
    assert recipe.decontaminate is not None
    rows = pa.concat_tables([RECORD.empty_table(), *(each.table().cast(RECORD) for each in gathered)])
    ordered = in_order(rows, [benchmark.name for benchmark in recipe.decontaminate.benchmarks])
    with storage.commit(storage.join(release, FILE)) as sink:
        pq.write_table(ordered, sink, compression="zstd", write_page_checksum=True)
    return FILE
