"""Finalizes a run: adds up the receipts and summaries, and writes the manifest and the report."""

import platform
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, cast

import numpy as np

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run import receipts, run_warnings
from tamis.pipelines.run.receipts import QUALITY_BINS, PartSummary, ShardReceipt, ShardSegment
from tamis.pipelines.run.work_plan import WorkPlan
from tamis.transforms.core.errors import RunError
from tamis.transforms.core.manifest import (
    Counts,
    CurriculumEntry,
    Environment,
    InputEntry,
    Manifest,
    RunWarning,
    ShardEntry,
    write_manifest,
)
from tamis.transforms.core.parts import PartReceipt
from tamis.transforms.curriculum import lint
from tamis.transforms.provenance import release_chain
from tamis.transforms.provenance.verify import seal
from tamis.transforms.runtime.credentials import redact
from tamis.transforms.select.guards import GuardViolation, token_shares


def finalize_run(recipe: Recipe, plan: WorkPlan, environment: Environment) -> Manifest:
    """Writes the manifest, which finishes the run, and the report. Raises RunError if a part was
    not rated, or if the corpus fails its guards."""
    from tamis.pipelines.report.page import write_report

    part_receipts = {task.ordinal: task.part.receipt() for task in plan.tasks}
    parts = {ordinal: receipt for ordinal, receipt in sorted(part_receipts.items()) if receipt is not None}
    if missing := len(plan.tasks) - len(parts):
        raise RunError(f"the runner finished, but {missing} of {len(plan.tasks)} parts were not rated; run it again")
    summaries, shards = receipts.summaries(plan.run), receipts.shards(plan.run)
    inputs = [_input_entry(ordinal, receipt) for ordinal, receipt in parts.items()]
    counts = _counts(summaries, sum(entry["rejected"] for entry in inputs))
    segments = receipts.segments(shards)
    real_tokens = sum(summary.real_tokens for summary in summaries)
    tokens = [segment.tokens for segment in segments]
    guarded = {name: [segment.guarded.get(name, 0) for segment in segments] for name in recipe.guards.by_name}
    violations = run_warnings.guard_violations(recipe, counts, tokens, guarded, real_tokens, release_chain.latest(plan.run))
    if failures := [violation.message for violation in violations if violation.fails]:
        raise RunError("the corpus fails its guards, so it is not released. " + " ".join(failures))
    warnings = run_warnings.warnings(recipe, counts, summaries, shards, segments)
    files = [file for receipt in parts.values() for file in receipt.files]
    files += [summary.file for summary in summaries]
    files += [shard.file for shard in shards]
    body = {
        "tamis": version("tamis"),
        "recipe": _without_credentials(recipe.model_dump(mode="json")),
        "tokenizer": recipe.tokens.tokenizer_id,
        "fingerprint": plan.fingerprint,
        "inputs": inputs,
        "counts": counts,
        "curriculum": _curriculum(recipe, shards, segments),
        "guards": {
            "real_tokens": real_tokens,
            "shares": {name: token_shares(tokens, part)[0] for name, part in guarded.items()},
        },
        "warnings": [*map(_entry, warnings), *map(_entry, violations)],
        "environment": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "packages": {name: version(name) for name in ("apache-beam", "pyarrow", "numpy", "numba")},
            **environment,
        },
    }
    manifest = seal(body, [{"path": file.path, "bytes": file.bytes, "sha256": file.sha256} for file in files])
    write_manifest(plan.run, manifest)
    write_report(plan.run)
    return manifest


def _input_entry(ordinal: int, receipt: PartReceipt) -> InputEntry:
    entry = {"part": ordinal, **receipt.input, "documents": receipt.documents, "rejected": receipt.rejected}
    return cast(InputEntry, entry)


def _entry(warning: lint.LintWarning | GuardViolation) -> RunWarning:
    return {"code": warning.code, "message": warning.message, "numbers": warning.numbers}


def _without_credentials(value: Any) -> Any:
    """A recipe with the credentials in its URLs masked."""
    if isinstance(value, dict):
        return {name: _without_credentials(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_credentials(item) for item in value]
    return redact(value) if isinstance(value, str) else value


def _counts(summaries: Sequence[PartSummary], rejected: int) -> Counts:
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
        "records": documents.total() + rejected,
        "kept": documents["kept"],
        "dropped": documents["dropped"],
        "review": documents["review"],
        "rejected": rejected,
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


def _curriculum(recipe: Recipe, shards: list[ShardReceipt], segments: list[ShardSegment]) -> CurriculumEntry:
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
