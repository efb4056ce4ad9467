"""The input of each step of Decide: small columns of the documents that are still kept."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.pipelines.decisions.document_states import kept_documents, order_metric, signal_columns
from tamis.pipelines.decisions.epoch_copies import copy_numbers, per_phase_rows, spaced_copies
from tamis.pipelines.decisions.ranks import QUANTILES, ranking_rows, ranks_of
from tamis.pipelines.recipe.schema import Recipe
from tamis.transforms.beam import unique_ids
from tamis.transforms.beam.exchange import PartState
from tamis.transforms.beam.step import one_batch, rated_part
from tamis.transforms.core.documents import row_of
from tamis.transforms.curriculum.order import Ordering, quantile, sort_value
from tamis.transforms.select.quality.fuse import directed_values
from tamis.transforms.select.quality.score_buckets import Scores
from tamis.transforms.text.hashing import hash128, mix

_SEPARATOR = "\x1f"  # of phase and source in the name of a group


def unique_id_rows(part_state: PartState) -> pa.RecordBatch:
    """The rows that `Identify` reads."""
    table = rated_part(part_state).sketch(["id", "text_hash_0", "text_hash_1", "record_hash"])
    hashes = hash128(table["id"].combine_chunks())
    table = table.append_column("id_hash_0", pa.array(hashes[:, 0])).append_column("id_hash_1", pa.array(hashes[:, 1]))
    return one_batch(table.select(unique_ids.ROWS.names))


def id_rows(part_state: PartState) -> pa.RecordBatch:
    """The rows that `JoinScores` reads: the ids of the input, not numbered."""
    return one_batch(rated_part(part_state).sketch(["id"]))


def scores(part_state: PartState, recipe: Recipe) -> tuple[pa.Array, Scores]:
    """doc_ref and the values of the signals of quality of all documents of a part, higher is better."""
    assert recipe.fusion is not None
    signals = signal_columns(part_state, {weight.signal for weight in recipe.weights}, recipe)
    doc_ref = rated_part(part_state).sketch([])["doc_ref"].combine_chunks()
    return doc_ref, directed_values(signals, recipe.fusion, recipe.all_signals | recipe.undeclared)


def score_rows(part_state: PartState, recipe: Recipe) -> pa.RecordBatch:
    """Ranks the values of each signal of quality, the lowest first, of the documents that thresholds keep."""
    table = kept_documents(part_state, recipe)
    values = scores(part_state, recipe)[1][row_of(table["doc_ref"].to_numpy())]
    document, number = np.nonzero(~np.isnan(values))
    table = table.take(pa.array(document))
    major = sort_value(Ordering(order="ascending"), values[document, number], table["tie_break"].to_numpy())
    return ranking_rows(table, pa.array(number.astype(str), pa.string()), major, copy_no=pa.array(number))


def phase_rows(part_state: PartState, recipe: Recipe) -> pa.RecordBatch:
    """Ranks documents within their source to cut them into phases."""
    table = kept_documents(part_state, recipe)
    order = Ordering(order="ascending" if recipe.curriculum.assign == "quality" else "uniform")
    major = sort_value(order, order_metric(table), mix(table["tie_break"].to_numpy(), 1))
    return ranking_rows(table, _source_group(table, recipe), major, copies=table["epochs"])


def quantile_rows(part_state: PartState, recipe: Recipe) -> pa.RecordBatch:
    """Ranks documents by quality within their phase and source, if its order needs quantiles."""
    table = per_phase_rows(part_state, recipe)
    phases = [index for index, phase in enumerate(recipe.curriculum.effective_phases) if phase.rule.by_quantile]
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
    return ranking_rows(table, _phase_group(table, recipe), major, copy_no=table["epoch"])


def _source_group(table: pa.Table, recipe: Recipe) -> pa.Array:
    if recipe.curriculum.interleave_by == "source":
        return table["source"].combine_chunks()
    return pa.repeat(pa.scalar(""), len(table))


def _phase_group(table: pa.Table, recipe: Recipe) -> pa.Array:
    return pc.binary_join_element_wise(table["phase"].cast(pa.string()), _source_group(table, recipe), _SEPARATOR)


def _per_phase_ranking(table: pa.Table, major: np.ndarray, recipe: Recipe) -> pa.RecordBatch:
    """Ranks the rows of `per_phase_rows`."""
    copies, copy_no = table["phase_copies"], copy_numbers(table, recipe)
    return ranking_rows(table, _phase_group(table, recipe), major, copies, copy_no)
