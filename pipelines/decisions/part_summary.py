"""Writes the decisions about the documents of a part, and their summary."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis.pipelines.decisions.document_states import GUARD_PREFIX, explained_documents, signal_columns
from tamis.pipelines.decisions.epoch_copies import emitted_copies
from tamis.pipelines.decisions.match_rows import match_rows
from tamis.pipelines.decisions.named_values import named_columns
from tamis.pipelines.decisions.rated_decisions import REMOVED
from tamis.pipelines.decisions.shard_layout import Layout
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run import receipts
from tamis.pipelines.run.progress import Progress
from tamis.transforms import storage
from tamis.transforms.beam import unique_ids
from tamis.transforms.beam.cuts import MERGED, RECOUNT, recounted, spans_of
from tamis.transforms.beam.exchange import PartState
from tamis.transforms.beam.step import rated_part
from tamis.transforms.core.documents import hosts
from tamis.transforms.core.manifest import File
from tamis.transforms.core.parts import Part
from tamis.transforms.licences.judge_licences import LicenceReader
from tamis.transforms.licences.licence_options import Licences
from tamis.transforms.provenance.ledger import sample_keys

COLUMNS = [  # of decisions/
    *("id", "source", "decision", "reason", "detail", "quality", "tokens", "bytes", "chars", "cut_chars", "cuts"),
    *("representative", "jaccard", "copies", "epochs", "phase", "place", "shard"),
    *("url", "input_id", "text_hash", "record_hash"),
]

OPTIONAL = ["copy_sources"]
"""Columns of decisions/ that are there if the recipe asks for them."""

LANGUAGE = "language.label"
_OUTCOMES = {"keep": "kept", "review": "review", "drop": "dropped"}

CUTS_OF_DOCUMENT = pa.list_(pa.struct([MERGED.field(name) for name in ("start", "stop", "chars", "reason", "detail")]))
"""The column `cuts` of decisions/: bytes of the rated text, in text order, and their characters."""


def write_decisions(part_state: PartState, layout: Layout, recipe: Recipe, release: str, fingerprint: str) -> str:
    """Writes decisions/part-N.parquet into the folder `release`, one row for each document, then
    the summary of the part: Decide is done with it. Returns the path of the decisions there."""
    part = rated_part(part_state)
    spans = spans_of(part_state)
    table = _with_texts(_with_shard(explained_documents(part_state, recipe), layout), part_state, spans)
    path = f"decisions/part-{part.ordinal:05d}.parquet"
    with storage.commit(storage.join(release, path)) as sink:
        columns = [*COLUMNS, *(name for name in OPTIONAL if name in table.column_names)]
        pq.write_table(table.select(columns), sink, compression="zstd", write_page_checksum=True)
    groups, uncounted = group_counts(table, part, recipe.licences)
    renamed = part_state.result(unique_ids.STEP)
    matched = match_rows(part_state, table, recipe)
    summary = receipts.PartSummary(
        fingerprint=fingerprint,
        file=File(path, sink.size, sink.sha256),
        counts=decision_counts(table),
        real_tokens=_real_tokens(table),
        repeated=repeated_count(table),
        closest=_closest_copies(part_state, recipe, layout),
        histograms=_histograms(part_state, recipe),
        lengths=_lengths(table),
        clusters=_largest_clusters(table),
        matches=len(matched),
        sampled_matches=_sampled_matches(matched, recipe.seed),
        renamed=0 if renamed is None else pc.sum(pc.invert(renamed["copy"]), min_count=0).as_py(),
        cut=cut_counts(table),
        hostless=_hostless(table, recipe),
        samples=samples(table, recipe.seed),
        groups=groups,
        uncounted=uncounted,
        aligned=True,
        named=named_columns(part_state, recipe, table),
    )
    summary.write(receipts.summary_uri(release, part.ordinal))
    Progress(part.run, "decide").finish()
    return path


def _with_shard(table: pa.Table, layout: Layout) -> pa.Table:
    """Adds the path of the shard each kept document goes to."""
    kept = pc.equal(table["decision"], "keep").to_numpy(zero_copy_only=False)
    destination = np.zeros(len(table), np.int64)
    destination[kept] = layout.destination(table["phase"].to_numpy()[kept], table["place"].to_numpy()[kept])
    paths = pa.array([layout.path(index) for index in range(sum(layout.shards))], pa.string())
    return table.append_column("shard", paths.take(pa.array(destination, mask=~kept)))


def _with_texts(table: pa.Table, part_state: PartState, spans: pa.Table | None) -> pa.Table:
    """Adds what the texts are as they end, and what other tables can be joined by: characters, those
    that were cut, and the spans (bytes of the rated text); the address, the id in the input (`id`
    may have a number), the hash of the text (32 hex digits) and that of all other fields but the id."""
    part, doc_ref, results = rated_part(part_state), table["doc_ref"].combine_chunks(), part_state.result(RECOUNT)
    sketch = part.sketch(["id", "chars", "text_hash_0", "text_hash_1", "record_hash"])

    def ended(name: str) -> pa.Array:
        return recounted(sketch[name].combine_chunks(), doc_ref, results, name)

    halves = np.stack([ended(name).to_numpy() for name in ("text_hash_0", "text_hash_1")], axis=1)
    digits = halves.astype(">u8").tobytes().hex().encode()
    offsets = np.arange(0, len(digits) + 1, 32, dtype=np.int32)
    columns = {
        "chars": ended("chars"),
        "cut_chars": recounted(pa.repeat(pa.scalar(0, pa.int64()), len(table)), doc_ref, results, "cut_chars"),
        "cuts": _cuts(doc_ref, spans),
        "url": part.columns(["url"])["url"],
        "input_id": sketch["id"],
        "text_hash": pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(digits)),
        "record_hash": sketch["record_hash"],
    }
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table


def _cuts(doc_ref: pa.Array, spans: pa.Table | None) -> pa.Array:
    """The spans that were cut out of each document of a part, in text order; null if none were."""
    if spans is None:
        return pa.nulls(len(doc_ref), CUTS_OF_DOCUMENT)
    first = np.searchsorted(spans["doc_ref"].to_numpy(), np.append(doc_ref.to_numpy(), np.uint64(2**64 - 1)))
    fields = list(CUTS_OF_DOCUMENT.value_type)
    rows = pa.StructArray.from_arrays([spans[field.name].combine_chunks() for field in fields], fields=fields)
    lists = pa.ListArray.from_arrays(pa.array(first.astype(np.int32)), rows, type=CUTS_OF_DOCUMENT)
    return pc.if_else(pa.array(np.diff(first) > 0), lists, pa.scalar(None, CUTS_OF_DOCUMENT))


def decision_counts(table: pa.Table) -> list[receipts.DecisionCount]:
    """Documents, tokens, bytes and characters by source, decision and reason, from rows of decisions/."""
    counted = [name for name in ("tokens", "bytes", "chars") if name in table.column_names]  # older runs have no chars
    keys, sums = ["source", "decision", "reason"], [*((name, "sum") for name in counted), ("id", "count")]
    rows = table.group_by(keys).aggregate(sums).sort_by([(key, "ascending") for key in keys]).to_pylist()
    names = (*keys, "tokens_sum", "bytes_sum", "id_count", "chars_sum")
    return [receipts.DecisionCount(*(row[name] for name in names if name in row)) for row in rows]


def _real_tokens(table: pa.Table) -> int:
    real = pc.equal(table["decision"], "keep")
    if GUARD_PREFIX + "synthetic" in table.column_names:
        real = pc.and_(real, pc.invert(table[GUARD_PREFIX + "synthetic"]))
    return int(pc.sum(table["tokens"].filter(real), min_count=0).as_py())


def repeated_count(table: pa.Table) -> receipts.RepeatedCount:
    """Copies beyond the first, from rows of decisions/."""
    repeats = np.maximum(table["epochs"].to_numpy() - 1, 0) * pc.equal(table["decision"], "keep").to_numpy()
    sums = {name: int(repeats @ table[name].to_numpy()) for name in ("tokens", "chars") if name in table.column_names}
    return receipts.RepeatedCount(documents=int(repeats.sum()), **sums)


def cut_counts(table: pa.Table) -> dict[str, receipts.CutCount]:
    """What was cut by reason, from rows of decisions/."""
    cuts = table["cuts"].combine_chunks()
    spans, document = pc.list_flatten(cuts), pc.list_parent_indices(cuts)
    columns = {name: pc.struct_field(spans, name) for name in ("reason", "chars")}
    by_reason = pa.table({"document": document, **columns}).group_by("reason")
    rows = by_reason.aggregate([("document", "count_distinct"), ("chars", "sum")]).sort_by("reason").to_pylist()
    return {row["reason"]: receipts.CutCount(row["document_count_distinct"], row["chars_sum"]) for row in rows}


def _closest_copies(part_state: PartState, recipe: Recipe, layout: Layout) -> int | None:
    """Fewest tokens from the end of a copy to the start of the next, approximately."""
    if not recipe.select.repeats:
        return None
    table = emitted_copies(part_state, recipe)
    phase, place, tokens, epoch = (table[name].to_numpy() for name in ("phase", "place", "tokens", "epoch"))
    end = np.concatenate([[0], np.cumsum(layout.tokens)])[phase] + place * np.array(layout.tokens)[phase]
    later = np.flatnonzero(epoch > 1)  # the row before is the copy before
    return int((end[later] - tokens[later] - end[later - 1]).min()) if len(later) else None


def _histograms(part_state: PartState, recipe: Recipe) -> dict[str, receipts.SignalCounts]:
    """Documents by bin of each numeric signal. The outermost bins count the values beyond, too."""
    all_edges = {name: receipts.edges(signal, recipe) for name, signal in recipe.all_signals.items()}
    bins = {name: np.array(each) for name, each in all_edges.items() if each is not None}
    columns = signal_columns(part_state, bins, recipe)
    histograms: dict[str, receipts.SignalCounts] = {}
    for name, edge in bins.items():
        values = columns[name].drop_null().cast(pa.float64()).to_numpy()
        counts, _ = np.histogram(np.clip(values, edge[0], edge[-1]), edge)
        histograms[name] = receipts.SignalCounts(counts.tolist(), columns[name].null_count)
    return histograms


def _lengths(table: pa.Table) -> dict[int, dict[int, int]]:
    """Kept documents by bin of quality, then by length in tokens: four bins per doubling."""
    table = table.filter(pc.and_(pc.equal(table["decision"], "keep"), pc.is_finite(table["quality"])))
    fraction, exponent = np.frexp(table["tokens"].to_numpy().astype(np.float64))
    lengths = 4 * exponent.astype(np.int64) + (8 * fraction).astype(np.int64) - 4  # 0 tokens: -4
    bins = receipts.quality_bins(table["quality"].to_numpy())
    cells, documents = np.unique(np.stack([bins, lengths]), axis=1, return_counts=True)
    counts: dict[int, dict[int, int]] = {}
    for quality, length, count in zip(*cells.tolist(), documents.tolist(), strict=True):
        counts.setdefault(quality, {})[length] = count
    return counts


def _largest_clusters(table: pa.Table) -> list[receipts.ClusterSize]:
    names = {"doc_ref": "doc_ref", "id": "id", "copies": "copies", "copy_sources": "sources"}
    names = {name: field for name, field in names.items() if name in table.column_names}
    clusters = table.filter(pc.greater(table["copies"], 1)).select(list(names)).rename_columns(names)
    largest = clusters.sort_by([("copies", "descending"), ("id", "ascending")]).slice(0, receipts.CLUSTERS)
    return [receipts.ClusterSize(**row) for row in largest.to_pylist()]


def samples(table: pa.Table, seed: int) -> list[receipts.SampledDocument]:
    """The sample of a part, from rows of decisions/ with their doc_refs: the smallest keys of each decision
    and reason, and of the kept documents in each bin of quality."""
    table = table.filter(pc.invert(pc.is_in(table["reason"].fill_null(""), value_set=pa.array(REMOVED))))
    key = sample_keys(table["id"].combine_chunks(), seed)
    kept = pc.equal(table["decision"], "keep").to_numpy()
    outcome = pc.binary_join_element_wise(table["decision"], table["reason"].fill_null(""), " ").combine_chunks()
    chosen = _smallest(key, outcome.dictionary_encode().indices.to_numpy(), receipts.SAMPLES)
    bins = receipts.quality_bins(table["quality"].to_numpy())
    rows = np.flatnonzero(kept)
    chosen = np.union1d(chosen, rows[_smallest(key[rows], bins[rows], 1)])
    names = ["doc_ref", "id", "decision", "reason", "detail", "quality"]
    sampled = table.select(names).append_column("key", pa.array(key)).take(pa.array(chosen))
    return [receipts.SampledDocument(**row) for row in sampled.sort_by("id").to_pylist()]


def _smallest(key: np.ndarray, group: np.ndarray, count: int) -> np.ndarray:
    """The rows with the `count` smallest keys of each group."""
    order = np.lexsort((key, group))
    first = np.flatnonzero(np.diff(group[order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(first, np.diff(np.append(first, len(order))))
    return np.asarray(order[place < count])


def group_counts(
    table: pa.Table, part: Part, licences: Licences | None
) -> tuple[dict[str, dict[str, receipts.GroupCount]], dict[str, int]]:
    """Documents and kept tokens by host, year, licence and language, of the largest groups, from rows of
    decisions/; and the documents of the smaller ones."""
    dates = part.columns(["date"])["date"].combine_chunks()
    years = pc.struct_field(pc.extract_regex(dates, r"^(?P<year>\d{4})(?:-|/|$)"), "year")
    columns = {"host": hosts(table["url"].combine_chunks()), "year": years, "licence": _licences(part, licences)}
    if LANGUAGE in part.schema().names:
        columns["language"] = part.columns([LANGUAGE])[LANGUAGE].combine_chunks()
    groups, uncounted = dict[str, dict[str, receipts.GroupCount]](), dict[str, int]()
    for kind, names in columns.items():
        if names.null_count == len(names):
            continue
        rows = pa.table({"name": names, "decision": table["decision"], "tokens": table["tokens"]}).filter(names.is_valid())
        sums = rows.group_by(["name", "decision"]).aggregate([("tokens", "sum"), ("tokens", "count")])
        counts: dict[str, dict[str, int]] = {}
        for row in sums.to_pylist():
            of_name = counts.setdefault(row["name"], {})
            of_name[_OUTCOMES[row["decision"]]] = row["tokens_count"]
            if row["decision"] == "keep":
                of_name["kept_tokens"] = row["tokens_sum"]
        documents = {name: sum(each.get(outcome, 0) for outcome in _OUTCOMES.values()) for name, each in counts.items()}
        largest = sorted(counts, key=lambda name: (-documents[name], name))[: receipts.GROUPS]
        groups[kind] = {name: receipts.GroupCount(**counts[name]) for name in largest}
        uncounted[kind] = sum(documents.values()) - sum(documents[name] for name in largest)
    return groups, uncounted


def _licences(part: Part, options: Licences | None) -> pa.Array:
    """The licence of each document as an SPDX expression; null where it has none that is known."""
    columns = part.columns(["licence", "source"])
    return LicenceReader(options or Licences()).expressions(*(columns[name].combine_chunks() for name in columns.column_names))


def _hostless(table: pa.Table, recipe: Recipe) -> int:
    """Documents without a host, if pieces of them are compared within one."""
    repeats = () if recipe.dedup is None else (recipe.dedup.lines, recipe.dedup.paragraphs, recipe.dedup.sentences)
    if not any(each is not None and each.within == "host" for each in repeats):
        return 0
    return hosts(table["url"].combine_chunks()).null_count


def _sampled_matches(rows: pa.Table, seed: int) -> list[receipts.SampledMatch]:
    """Matches of each benchmark, class and action, from the `match_rows` of the part."""
    keys = sample_keys(pc.binary_join_element_wise(rows["id"], rows["number"].cast(pa.string()), " ").combine_chunks(), seed)
    outcome = pc.binary_join_element_wise(rows["benchmark"], rows["class"], rows["action"], "\x1f").combine_chunks()
    chosen = _smallest(keys, outcome.dictionary_encode().indices.to_numpy(), receipts.MATCH_SAMPLES)
    sampled = rows.drop_columns(["metric"]).append_column("key", pa.array(keys)).take(pa.array(np.sort(chosen)))
    names = ["kind" if name == "class" else name for name in sampled.column_names]
    return [receipts.SampledMatch(**row) for row in sampled.rename_columns(names).to_pylist()]
