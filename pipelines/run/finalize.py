"""Finalizes a run: adds up the receipts and summaries, checks the corpus, and seals its release."""

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Literal, cast, get_args

import numpy as np
import pyarrow.parquet as pq

from tamis.pipelines.contamination.benchmark_receipt import write_benchmark_receipt
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.releases.refusals import refuse_empty, refuse_shrunk
from tamis.pipelines.releases.seal import mend_release, seal_release
from tamis.pipelines.run import receipts, run_warnings
from tamis.pipelines.run.receipts import QUALITY_BINS, PartSummary, ShardReceipt, ShardSegment
from tamis.pipelines.run.work_plan import WorkPlan, input_order, rated_parts
from tamis.transforms import storage
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import (
    CharacterCounts,
    Counts,
    CurriculumEntry,
    CutEntry,
    EditEntry,
    Environment,
    File,
    InputEntry,
    RunWarning,
    ShardEntry,
)
from tamis.transforms.core.parts import Characters, Part, PartReceipt
from tamis.transforms.core.release import Release
from tamis.transforms.curriculum import lint
from tamis.transforms.decontaminate.record import FILE as RECORD_FILE
from tamis.transforms.dedup.released.index_files import FILE as INDEX_FILE
from tamis.transforms.dedup.released.index_files import FOLDER as INDEX_FOLDER
from tamis.transforms.dedup.released.index_files import MERGED, IndexFile
from tamis.transforms.provenance import release_chain
from tamis.transforms.runtime.credentials import redact
from tamis.transforms.select.guards import GuardViolation, token_shares


def finalize_run(recipe: Recipe, plan: WorkPlan, environment: Environment, allow_shrink: bool) -> Release:
    """Seals the release that a run has made, or mends the one whose files it has made again. Raises
    RunError if a part was not rated, or if the corpus is refused: it fails its guards, it is empty,
    or (unless `allow_shrink`) it shrank for no reason that can be seen."""
    from tamis.pipelines.decisions.named_values import unmatched_names  # which imports Beam

    parts = _rated_parts(plan)
    summaries, shards = receipts.summaries(plan.receipts), receipts.shards(plan.receipts)
    if recipe.decontaminate is not None:
        _check_record(plan, summaries)
        write_benchmark_receipt(recipe, summaries, plan.folder)
    if plan.mended is not None:
        return mend_release(plan.mended, plan.damaged, plan.folder)
    counts = _counts(parts, summaries)
    counts["characters"] = count_characters(
        [receipt for _, receipt in parts], summaries, shards, [editor.name for editor in recipe.editors]
    )
    segments = receipts.segments(shards)
    real_tokens = sum(summary.real_tokens for summary in summaries)
    tokens = [segment.tokens for segment in segments]
    guarded = {name: [segment.guarded.get(name, 0) for segment in segments] for name in recipe.guards.by_name}
    violations = run_warnings.guard_violations(recipe, counts, tokens, guarded, real_tokens, release_chain.latest(plan.run))
    unmatched = list(unmatched_names(recipe, summaries))
    causes = "".join(f". {warning.message}" for warning in unmatched)
    if failures := [violation.message for violation in violations if violation.fails]:
        raise RunError("the corpus fails its guards, so it is not released. " + " ".join(failures) + causes.removeprefix("."))
    warnings = run_warnings.warnings(recipe, counts, summaries, shards, segments)
    inputs = _inputs(parts)
    input_warnings = [*run_warnings.lost_records(inputs), *run_warnings.unread_files(plan.unread)]
    input_warnings += run_warnings.absent_fields(recipe, [receipt for _, receipt in parts])
    input_warnings += run_warnings.unmatched_scores(recipe, plan.receipts)
    saved_recipe = _without_credentials(recipe.model_dump(mode="json"))
    refuse_empty(counts, causes)
    if plan.current is not None and not allow_shrink:
        refuse_shrunk(saved_recipe, counts, inputs, plan.current.manifest)
    body = {
        "tamis": version("tamis"),
        "release": plan.number,
        "recipe": saved_recipe,
        "tokenizer": recipe.tokens.tokenizer_id,
        "fingerprint": plan.fingerprint,
        "parts": [part.name for part, _ in parts],
        "inputs": inputs,
        "unread": [{"uri": redact(file.uri), "reason": redact(file.reason)} for file in plan.unread],
        "counts": counts,
        "curriculum": curriculum_entry(recipe, shards, segments),
        "guards": {
            "real_tokens": real_tokens,
            "shares": {name: token_shares(tokens, part)[0] for name, part in guarded.items()},
        },
        "warnings": [*map(_entry, [*unmatched, *warnings, *input_warnings]), *map(_entry, violations)],
        "environment": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "packages": {name: version(name) for name in ("apache-beam", "pyarrow", "numpy", "numba")},
            **environment,
        },
    }
    shared = [File.read(part.run, part.path("rated", "json")) for part, _ in parts]
    shared += [file for _, receipt in parts for file in receipt.files]
    own = [File.read(plan.folder, f"{receipts.FOLDER}/{name}") for name in storage.names(plan.receipts)]
    own += [File.read(plan.folder, RECORD_FILE)] if recipe.decontaminate is not None else []
    own += _index_files(recipe, plan, counts["kept"])
    own += [*(summary.file for summary in summaries), *(shard.file for shard in shards)]
    return seal_release(plan.run, plan.number, body, shared, own)


def decided_counts(plan: WorkPlan) -> Counts | None:
    """The counts of a run whose parts are all rated; None while one is not decided."""
    parts, summaries = _rated_parts(plan), receipts.summaries(plan.receipts)
    return _counts(parts, summaries) if len(summaries) == len(parts) else None


def _counts(parts: Sequence[tuple[Part, PartReceipt]], summaries: Sequence[PartSummary]) -> Counts:
    skipped: Counter[str] = Counter()
    for _, receipt in parts:
        skipped.update(receipt.skipped)
    return count_documents(summaries, sum(receipt.rejected for _, receipt in parts), skipped)


def _check_record(plan: WorkPlan, summaries: Sequence[PartSummary]) -> None:
    """Raises RunError unless the record of contamination has the matches of all parts."""
    uri = storage.join(plan.folder, RECORD_FILE)
    written, found = -1, sum(summary.matches for summary in summaries)
    if storage.exists(uri):
        with storage.open_binary(uri) as file:
            written = pq.ParquetFile(file).metadata.num_rows
    if written != found:
        state = f"has {written:,} matches" if written >= 0 else "is missing"
        raise RunError(f"{uri} {state}, and the parts have {found:,}; run the same command again")


def _index_files(recipe: Recipe, plan: WorkPlan, kept: int) -> list[File]:
    """The files of the index, if the release leaves one. Raises RunError unless it has all that was kept,
    and the one that it merges is finished."""
    if recipe.dedup is None or not recipe.dedup.index:
        return []
    folder = storage.join(plan.folder, INDEX_FOLDER)
    index = IndexFile.read(storage.join(folder, INDEX_FILE))
    if index is None or index.documents != kept:
        raise RunError(f"{folder} does not have the {kept:,} documents that were kept; run the same command again")
    merged = storage.join(folder, MERGED)
    if MERGED in index.before and IndexFile.read(storage.join(merged, INDEX_FILE)) is None:
        raise RunError(f"{merged} is not finished; run the same command again")
    return [File.read(plan.folder, f"{INDEX_FOLDER}/{name}") for name in storage.files(folder)]


def _rated_parts(plan: WorkPlan) -> list[tuple[Part, PartReceipt]]:
    """The parts of all tasks by ordinal. Raises RunError if one is missing."""
    parts: list[tuple[Part, PartReceipt]] = []
    for task in plan.tasks:
        if not (rated := rated_parts(task)):
            raise RunError("the runner finished, but not all parts were rated; run the same command again")
        parts += rated
    return sorted(parts, key=lambda rated: input_order(*rated))


_Count = Literal["documents", "rejected", "estimated", "skipped"]
_COUNTS: tuple[_Count, ...] = get_args(_Count)


def _inputs(parts: Sequence[tuple[Part, PartReceipt]]) -> list[InputEntry]:
    """The splits of the input in the order of their parts, each with all parts that hold it."""
    inputs: dict[str, InputEntry] = {}
    for ordinal, (_, receipt) in enumerate(parts):
        for counts in receipt.inputs:
            fields: dict[str, Any] = counts.model_dump(exclude={"fingerprint"}) | dict.fromkeys(_COUNTS, 0) | {"parts": []}
            entry = inputs.setdefault(counts.fingerprint, cast(InputEntry, fields))
            entry["parts"].append(ordinal)
            for name in _COUNTS:
                entry[name] += getattr(counts, name)
    return list(inputs.values())


def _entry(warning: lint.LintWarning | GuardViolation) -> RunWarning:
    return {"code": warning.code, "message": warning.message, "numbers": warning.numbers}


def _without_credentials(value: Any) -> Any:
    """A recipe with the credentials in its URLs masked."""
    if isinstance(value, dict):
        return {name: _without_credentials(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_credentials(item) for item in value]
    return redact(value) if isinstance(value, str) else value


def count_characters(
    parts: Sequence[PartReceipt], summaries: Sequence[PartSummary], shards: Sequence[ShardReceipt], editors: Iterable[str]
) -> CharacterCounts:
    """The characters of a release: as they were read and rated, from the receipts of its parts; as
    documents ended, from the summaries; as they were written, from the receipts of its shards.
    `editors`: their names, in their order."""
    measured = Characters()
    for part in parts:
        measured.add(part.characters)
    cut: dict[str, CutEntry] = {}
    for reason in sorted({reason for summary in summaries for reason in summary.cut}):
        counts = [summary.cut[reason] for summary in summaries if reason in summary.cut]
        cut[reason] = {"documents": sum(each.documents for each in counts), "characters": sum(each.chars for each in counts)}
    ended = Counter[str]()
    for row in (row for summary in summaries for row in summary.counts):
        ended[row.decision] += row.chars
    return {
        "read": measured.read,
        "editors": {name: cast(EditEntry, asdict(measured.edits[name])) for name in editors if name in measured.edits},
        "rated": measured.rated,
        "cut": cut,
        "kept": ended["keep"],
        "dropped": ended["drop"],
        "review": ended["review"],
        "repeated": sum(summary.repeated.chars for summary in summaries),
        "emitted": sum(shard.characters for shard in shards),
    }


def count_documents(summaries: Sequence[PartSummary], rejected: int, skipped: Mapping[str, int]) -> Counts:
    """The counts of a release, from the summaries of its parts. `skipped`: records by reason."""
    decisions = {"keep": "kept", "drop": "dropped", "review": "review"}
    documents: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    by_reason: Counter[tuple[str, str]] = Counter()
    reason_tokens: Counter[tuple[str, str]] = Counter()
    sources: dict[str, Counter[str]] = {}
    for row in (row for summary in summaries for row in summary.counts):
        decision = decisions[row.decision]
        documents[decision] += row.documents
        tokens[decision] += row.tokens
        source = sources.setdefault(row.source, Counter(dict.fromkeys(decisions.values(), 0)))
        source.update({decision: row.documents, f"{decision}_tokens": row.tokens})
        if row.reason:
            by_reason[row.decision, row.reason] += row.documents
            reason_tokens[row.decision, row.reason] += row.tokens
    return {
        "records": documents.total() + rejected + sum(skipped.values()),
        "kept": documents["kept"],
        "dropped": documents["dropped"],
        "review": documents["review"],
        "rejected": rejected,
        "skipped": sum(skipped.values()),
        "skipped_reasons": dict(sorted(skipped.items())),
        "repeated": {
            "documents": sum(summary.repeated.documents for summary in summaries),
            "tokens": sum(summary.repeated.tokens for summary in summaries),
        },
        "tokens": {"in": tokens.total(), **{name: tokens[name] for name in decisions.values()}},
        "reasons": [
            {"decision": key[0], "reason": key[1], "documents": by_reason[key], "tokens": reason_tokens[key]}
            for key in sorted(by_reason, key=lambda key: (-by_reason[key], key))
        ],
        "sources": {name: dict(sorted(source.items())) for name, source in sorted(sources.items())},
    }


def curriculum_entry(recipe: Recipe, shards: list[ShardReceipt], segments: list[ShardSegment]) -> CurriculumEntry:
    """The curriculum of a release, with the paths of its shards in the folder of the release."""
    schedule = recipe.curriculum.schedule
    total = sum(shard.tokens for shard in shards)
    entries: list[ShardEntry] = []
    first = 0
    for shard in shards:
        low, high = schedule.lr_range(first / max(total, 1), (first + shard.tokens) / max(total, 1))
        entries.append(
            {
                "path": shard.file.path,
                "phase": shard.phase,
                "documents": shard.documents,
                "first_token": first,
                "tokens": shard.tokens,
                "lr_min": low,
                "lr_max": high,
            }
        )
        first += shard.tokens
    tokens = [segment.tokens for segment in segments]
    first_token = np.cumsum([0, *tokens])[:-1]
    deciles = lint.lr_mass_shares(schedule, first_token, tokens, _deciles(segments)).tolist()
    sources, source_tokens = _sources(segments)
    source_shares = lint.lr_mass_shares(schedule, first_token, tokens, source_tokens).tolist()
    totals = {
        "tokens": total,
        "lr_mass_best_decile": deciles[0],
        "lr_mass_deciles": deciles,
        "lr_mass_sources": dict(zip(sources, source_shares, strict=True)),
        "shards": entries,
    }
    return cast(CurriculumEntry, recipe.curriculum.model_dump(mode="json") | totals)


def _deciles(segments: list[ShardSegment]) -> np.ndarray:
    """Tokens of each segment by quality decile of the corpus, the best first: f64[segments, 10]."""
    bins = np.zeros(QUALITY_BINS)
    for segment in segments:
        for index, tokens in segment.quality.items():
            bins[index] += tokens
    above, total = bins.sum() - np.cumsum(bins), bins.sum()
    ends = total * np.arange(11) / 10
    # A bin that spans several deciles is split as if its tokens were spread evenly.
    below_end = np.clip(ends[None, :] - above[:, None], 0, bins[:, None])
    shares = np.diff(below_end, axis=1) / np.maximum(bins, 1)[:, None]
    deciles = np.zeros((len(segments), 10))
    for row, segment in zip(deciles, segments, strict=True):
        for index, tokens in segment.quality.items():
            row += shares[index] * tokens
    return deciles


def _sources(segments: list[ShardSegment]) -> tuple[list[str], np.ndarray]:
    """The sources, and the tokens of each segment by source: f64[segments, sources]."""
    names = sorted({name for segment in segments for name in segment.sources})
    tokens = [[segment.sources.get(name, 0) for name in names] for segment in segments]
    return names, np.array(tokens, np.float64).reshape(len(tokens), len(names))
