"""What each step of Decide reads of a part: small columns of the documents that are still kept when the step comes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.decisions.copies import apart, mark_of, turns
from tamis.pipelines.decisions.state import GRADED, kept, ordered_by, ranked, rated_part
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.beam import ranking, unique_ids
from tamis.transforms.beam.exchange import PartState
from tamis.transforms.core.documents import row_of
from tamis.transforms.core.errors import RunError
from tamis.transforms.curriculum.order import BY_QUANTILE, Ordering, quantile, sort_value
from tamis.transforms.select import allocation, bins, diversify
from tamis.transforms.text.hashing import hash128, mix


def identity_rows(part_state: PartState) -> pa.RecordBatch:
    """What `Identify` reads of a part."""
    table = rated_part(part_state).sketch(["id", "text_hash_0", "text_hash_1", "record_hash"])
    hashes = hash128(table["id"].combine_chunks())
    table = table.append_column("id_hash_0", pa.array(hashes[:, 0])).append_column("id_hash_1", pa.array(hashes[:, 1]))
    return _batch(table.select(unique_ids.ROWS.names))


def copy_rows(part_state: PartState, recipe: Recipe) -> pa.RecordBatch:
    """What `Deduplicate` reads of a part: the documents that passed the thresholds and are not contaminated."""
    table = kept(part_state, recipe)
    names = ["text_hash_0", "text_hash_1"]
    if recipe.dedup is not None and recipe.dedup.minhash is not None:
        names.append("bands")
    sketch = rated_part(part_state).sketch(names).take(pa.array(row_of(table["doc_ref"].to_numpy())))
    table = table.select(["doc_ref", "id", "quality", "tie_break"])
    for name in names:
        table = table.append_column(name, sketch[name])
    return _batch(table)


def copy_texts(part_state: PartState, rows: np.ndarray) -> Iterator[tuple[np.ndarray, pa.Array]]:
    """The texts of the given rows, a row group at a time."""
    for read, batch in rated_part(part_state).read(rows, ["text"]):
        yield read, batch["text"]


def vector_rows(part_state: PartState, recipe: Recipe) -> Iterator[pa.RecordBatch]:
    """What `Diversify` reads of a part: the documents kept so far that have an embedding, a row group at a time."""
    options = recipe.select.diverse
    assert options is not None
    table = kept(part_state, recipe).combine_chunks()
    rows, first = row_of(table["doc_ref"].to_numpy()), 0
    for read, batch in rated_part(part_state).read(rows, ["metadata"]):
        some = table.slice(first, len(read))
        first += len(read)
        try:
            embedding = diversify.vectors(batch["metadata"], options.column.removeprefix(bins.METADATA))
        except ValueError as error:
            name = some["id"][error.args[0]]
            raise RunError(f"select.diverse: {options.column} of document {str(name)!r} is no list of numbers") from None
        if options.within is None:
            cluster = pa.nulls(len(some), pa.string())
        elif options.within == "source":
            cluster = some["source"]
        else:
            cluster = bins.metadata_field(batch["metadata"], options.within.removeprefix(bins.METADATA))
        columns = {name: some[name] for name in ("doc_ref", "id", "quality", "tie_break", "id_hash")}
        found = pa.table({**columns, "cluster": cluster, "embedding": embedding}, schema=diversify.ROWS)
        yield _batch(found.filter(embedding.is_valid()))


def selection_rows(part_state: PartState, recipe: Recipe) -> pa.RecordBatch:
    """Ranks documents from the best down, all together or within their bins."""
    table = kept(part_state, recipe)
    group = table["bin"] if recipe.select.by_bin else pa.repeat(pa.scalar(""), len(table))
    tie_break = table["tie_break"].to_numpy()
    quality = allocation.gumbel_scores(table["quality"].to_numpy(), tie_break, recipe.select.temperature)
    return _ranking_rows(table, group, sort_value(Ordering(order="descending"), quality, tie_break))


def allotted(whole: Mapping[str, int], recipe: Recipe) -> dict[str, int]:
    """What a mixture gives each bin. Raises RunError for a weight of a bin that there is not."""
    try:
        return allocation.allocate(whole, recipe.select)
    except ValueError as error:
        raise RunError(f"select.mixture: {error}") from None


def phase_rows(part_state: PartState, recipe: Recipe) -> pa.RecordBatch:
    """Ranks documents within their source to cut them into phases."""
    table = kept(part_state, recipe)
    order = Ordering(order="ascending" if recipe.curriculum.assign == "quality" else "uniform")
    major = sort_value(order, ordered_by(table), mix(table["tie_break"].to_numpy(), 1))
    return _ranking_rows(table, _group(table, recipe), major, times=table["epochs"])


def grade_rows(part_state: PartState, recipe: Recipe) -> pa.RecordBatch:
    """Ranks documents by quality within their phase and source, where the phase's order asks for quantiles."""
    table = turns(part_state, recipe)
    asking = [index for index, stretch in enumerate(recipe.curriculum.effective_phases) if stretch.order in BY_QUANTILE]
    table = table.filter(pc.is_in(table["phase"], value_set=pa.array(asking, pa.int64())))
    major = sort_value(Ordering(order="ascending"), ordered_by(table), table["tie_break"].to_numpy())
    return _ranking_rows(table, _phase_group(table, recipe), major, times=table["times"], mark=mark_of(table, recipe))


def place_rows(part_state: PartState, recipe: Recipe) -> pa.RecordBatch:
    """Ranks documents within their phase and source by the curriculum; a repeated one takes the room of its copies."""
    table = turns(part_state, recipe)
    curriculum = recipe.curriculum
    phase, tie_break, tokens = (table[name].to_numpy() for name in ("phase", "tie_break", "tokens"))
    quality, mark = ordered_by(table), mark_of(table, recipe)
    through, whole = ranked(table["doc_ref"].combine_chunks(), part_state.result(GRADED), mark)
    share = quantile(through, tokens * table["times"].to_numpy(), whole)
    major = np.zeros(len(table), np.uint64)
    for index, stretch in enumerate(curriculum.effective_phases):
        inside = phase == index
        cells = curriculum.cells(index) if stretch.order == "lr_weighted" else None
        major[inside] = sort_value(stretch, quality[inside], tie_break[inside], share[inside], cells)
    return _ranking_rows(table, _phase_group(table, recipe), major, times=table["times"], mark=mark)


def phase_tokens(whole: Mapping[str, int]) -> dict[str, int]:
    """Tokens of the whole phase that each group of `place_rows` is in."""
    sums: dict[str, int] = {}
    for group, tokens in whole.items():
        phase = group.split(_JOINT)[0]
        sums[phase] = sums.get(phase, 0) + tokens
    return {group: sums[group.split(_JOINT)[0]] for group in whole}


def repeat_rows(part_state: PartState, recipe: Recipe) -> pa.RecordBatch:
    """Ranks the copies of all documents within their phase and source, so that copies of one lie apart."""
    table, major = apart(part_state, recipe)
    return _ranking_rows(table, _phase_group(table, recipe), major, mark=table["epoch"])


def _group(table: pa.Table, recipe: Recipe) -> pa.Array:
    if recipe.curriculum.interleave_by == "source":
        return table["source"].combine_chunks()
    return pa.repeat(pa.scalar(""), len(table))


def _phase_group(table: pa.Table, recipe: Recipe) -> pa.Array:
    return pc.binary_join_element_wise(table["phase"].cast(pa.string()), _group(table, recipe), _JOINT)


_JOINT = "\x1f"


def _ranking_rows(
    table: pa.Table,
    group: pa.Array,
    major: np.ndarray,
    times: pa.ChunkedArray | None = None,
    mark: pa.Array | pa.ChunkedArray | None = None,
) -> pa.RecordBatch:
    columns = {"doc_ref": table["doc_ref"], "group": group, "major": pa.array(major)}
    columns |= {name: table[name] for name in ("tie_break", "id_hash", "tokens")}
    if times is not None:
        columns["tokens"] = pc.multiply(table["tokens"], times)
    if mark is not None:
        columns["mark"] = mark
    return _batch(pa.table(columns, schema=ranking.ROWS if mark is None else ranking.MARKED))


def _batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
