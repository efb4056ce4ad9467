"""The input of each step of Decide: small columns of the documents that are still kept."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.decisions.document_states import QUANTILES, kept_documents, order_metric, ranks_of, rated_part
from tamis.pipelines.decisions.epoch_copies import copy_numbers, per_phase_rows, spaced_copies
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.beam import ranking, unique_ids
from tamis.transforms.beam.exchange import PartState
from tamis.transforms.core.documents import row_of
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.rater import METADATA
from tamis.transforms.curriculum.order import BY_QUANTILE, Ordering, quantile, sort_value
from tamis.transforms.select import allocation, diversify
from tamis.transforms.text.hashing import hash128, mix
from tamis.transforms.text.metadata import field_texts

_SEPARATOR = "\x1f"  # of phase and source in the name of a group


def unique_id_rows(part_state: PartState) -> pa.RecordBatch:
    """The rows that `Identify` reads."""
    table = rated_part(part_state).sketch(["id", "text_hash_0", "text_hash_1", "record_hash"])
    hashes = hash128(table["id"].combine_chunks())
    table = table.append_column("id_hash_0", pa.array(hashes[:, 0])).append_column("id_hash_1", pa.array(hashes[:, 1]))
    return _one_batch(table.select(unique_ids.ROWS.names))


def id_rows(part_state: PartState) -> pa.RecordBatch:
    """The rows that `JoinScores` reads: the ids of the input, not numbered."""
    return _one_batch(rated_part(part_state).sketch(["id"]))


def duplicate_rows(part_state: PartState, recipe: Recipe) -> pa.RecordBatch:
    """The rows that `Deduplicate` reads."""
    table = kept_documents(part_state, recipe)
    names = ["text_hash_0", "text_hash_1"]
    if recipe.dedup is not None and recipe.dedup.minhash is not None:
        names.append("bands")
    sketch = rated_part(part_state).sketch(names).take(pa.array(row_of(table["doc_ref"].to_numpy())))
    table = table.select(["doc_ref", "id", "quality", "tie_break"])
    for name in names:
        table = table.append_column(name, sketch[name])
    return _one_batch(table)


def texts_of(part_state: PartState, rows: np.ndarray) -> Iterator[tuple[np.ndarray, pa.Array]]:
    """The texts of the given rows of a part, a row group at a time."""
    for read, batch in rated_part(part_state).read(rows, ["text"]):
        yield read, batch["text"]


def embedding_rows(part_state: PartState, recipe: Recipe) -> Iterator[pa.RecordBatch]:
    """The rows that `Diversify` reads: documents with an embedding, a row group at a time."""
    options = recipe.select.diverse
    assert options is not None
    table = kept_documents(part_state, recipe).combine_chunks()
    rows, first = row_of(table["doc_ref"].to_numpy()), 0
    for read, batch in rated_part(part_state).read(rows, ["metadata"]):
        group = table.slice(first, len(read))
        first += len(read)
        try:
            embedding = diversify.vectors(batch["metadata"], options.column.removeprefix(METADATA))
        except ValueError as error:
            name = group["id"][error.args[0]]
            raise RunError(
                f"select.diverse: {options.column} of document {str(name)!r} is not a list of numbers. "
                "Correct it, remove it, or name another column with select.diverse.column"
            ) from None
        if options.within is None:
            cluster = pa.nulls(len(group), pa.string())
        elif options.within == "source":
            cluster = group["source"]
        else:
            cluster = field_texts(batch["metadata"], options.within.removeprefix(METADATA))
        columns = {name: group[name] for name in ("doc_ref", "id", "quality", "tie_break", "id_hash")}
        embedded = pa.table({**columns, "cluster": cluster, "embedding": embedding}, schema=diversify.ROWS)
        yield _one_batch(embedded.filter(embedding.is_valid()))


def selection_rows(part_state: PartState, recipe: Recipe) -> pa.RecordBatch:
    """Ranks documents from best to worst, all together or within their bins."""
    table = kept_documents(part_state, recipe)
    group = table["bin"] if recipe.select.by_bin else pa.repeat(pa.scalar(""), len(table))
    tie_break = table["tie_break"].to_numpy()
    quality = allocation.gumbel_scores(table["quality"].to_numpy(), tie_break, recipe.select.temperature)
    return _ranking_rows(table, group, sort_value(Ordering(order="descending"), quality, tie_break))


def mixture_budgets(bin_tokens: Mapping[str, int], recipe: Recipe) -> dict[str, int]:
    """Tokens that a mixture gives each bin. Raises RunError if it weights an unknown bin."""
    try:
        return allocation.allocate(bin_tokens, recipe.select)
    except ValueError as error:
        raise RunError(f"select.mixture: {error}") from None


def phase_rows(part_state: PartState, recipe: Recipe) -> pa.RecordBatch:
    """Ranks documents within their source to cut them into phases."""
    table = kept_documents(part_state, recipe)
    order = Ordering(order="ascending" if recipe.curriculum.assign == "quality" else "uniform")
    major = sort_value(order, order_metric(table), mix(table["tie_break"].to_numpy(), 1))
    return _ranking_rows(table, _source_group(table, recipe), major, copies=table["epochs"])


def quantile_rows(part_state: PartState, recipe: Recipe) -> pa.RecordBatch:
    """Ranks documents by quality within their phase and source, if its order needs quantiles."""
    table = per_phase_rows(part_state, recipe)
    phases = [index for index, phase in enumerate(recipe.curriculum.effective_phases) if phase.order in BY_QUANTILE]
    table = table.filter(pc.is_in(table["phase"], value_set=pa.array(phases, pa.int64())))
    major = sort_value(Ordering(order="ascending"), order_metric(table), table["tie_break"].to_numpy())
    return _per_phase_ranking(table, major, recipe)


def order_rows(part_state: PartState, recipe: Recipe) -> pa.RecordBatch:
    """Ranks documents by the curriculum within phase and source; all copies count as its tokens."""
    table = per_phase_rows(part_state, recipe)
    curriculum = recipe.curriculum
    document_phase, tie_break = table["phase"].to_numpy(), table["tie_break"].to_numpy()
    metric, copy_no = order_metric(table), copy_numbers(table, recipe)
    rank, group_tokens = ranks_of(table["doc_ref"].combine_chunks(), part_state.result(QUANTILES), copy_no)
    share = quantile(rank, table["tokens"].to_numpy() * table["phase_copies"].to_numpy(), group_tokens)
    major = np.zeros(len(table), np.uint64)
    for index, phase in enumerate(curriculum.effective_phases):
        in_phase = document_phase == index
        cells = curriculum.cells(index) if phase.order == "lr_weighted" else None
        major[in_phase] = sort_value(phase, metric[in_phase], tie_break[in_phase], share[in_phase], cells)
    return _per_phase_ranking(table, major, recipe)


def phase_tokens(group_tokens: Mapping[str, int]) -> dict[str, int]:
    """Tokens of the whole phase that each group of `order_rows` is in."""
    sums: dict[str, int] = {}
    for group, tokens in group_tokens.items():
        phase = group.split(_SEPARATOR)[0]
        sums[phase] = sums.get(phase, 0) + tokens
    return {group: sums[group.split(_SEPARATOR)[0]] for group in group_tokens}


def copy_order_rows(part_state: PartState, recipe: Recipe) -> pa.RecordBatch:
    """Ranks all copies within their phase and source so that those of one document are apart."""
    table, major = spaced_copies(part_state, recipe)
    return _ranking_rows(table, _phase_group(table, recipe), major, copy_no=table["epoch"])


def _source_group(table: pa.Table, recipe: Recipe) -> pa.Array:
    if recipe.curriculum.interleave_by == "source":
        return table["source"].combine_chunks()
    return pa.repeat(pa.scalar(""), len(table))


def _phase_group(table: pa.Table, recipe: Recipe) -> pa.Array:
    return pc.binary_join_element_wise(table["phase"].cast(pa.string()), _source_group(table, recipe), _SEPARATOR)


def _per_phase_ranking(table: pa.Table, major: np.ndarray, recipe: Recipe) -> pa.RecordBatch:
    """Ranks the rows of `per_phase_rows`."""
    copies, copy_no = table["phase_copies"], copy_numbers(table, recipe)
    return _ranking_rows(table, _phase_group(table, recipe), major, copies, copy_no)


def _ranking_rows(
    table: pa.Table,
    group: pa.Array,
    major: np.ndarray,
    copies: pa.ChunkedArray | None = None,
    copy_no: pa.Array | pa.ChunkedArray | None = None,
) -> pa.RecordBatch:
    columns = {"doc_ref": table["doc_ref"], "group": group, "major": pa.array(major)}
    columns |= {name: table[name] for name in ("tie_break", "id_hash", "tokens")}
    if copies is not None:
        columns["tokens"] = pc.multiply(table["tokens"], copies)
    if copy_no is not None:
        columns["copy_no"] = copy_no
    return _one_batch(pa.table(columns, schema=ranking.ROWS if copy_no is None else ranking.COPY_ROWS))


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
