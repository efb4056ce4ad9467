"""What a run left, added up: receipts and summaries become the manifest."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run import receipts, run_warnings
from tamis.pipelines.run.receipts import QUALITY_BINS, Json, PartSummary, ShardReceipt, ShardSegment
from tamis.pipelines.run.work_plan import WorkPlan
from tamis.transforms.core.errors import RunError
from tamis.transforms.curriculum import lint
from tamis.transforms.provenance import release_chain
from tamis.transforms.provenance import verify as manifests
from tamis.transforms.runtime.redaction import redact
from tamis.transforms.select.guards import GuardViolation, token_shares


def finish(recipe: Recipe, todo: WorkPlan, environment: Json) -> Json:
    """Writes the manifest, which finishes the run, and the report.

    Raises RunError when the runner left a part undone, and when the corpus fails its guards.
    """
    from tamis.pipelines.report.page import write_report

    asked = {work.part.ordinal: work.part.receipt() for work in todo.tasks}
    parts = {ordinal: receipt for ordinal, receipt in asked.items() if receipt is not None}
    if undone := len(asked) - len(parts):
        raise RunError(f"the runner says that it is done, but {undone} of {len(asked)} parts were never rated; run it again")
    summaries, shards = receipts.summaries(todo.run), receipts.shards(todo.run)
    inputs: list[Json] = [
        {"part": ordinal, **receipt.input, "documents": receipt.documents, "rejected": receipt.rejected}
        for ordinal, receipt in sorted(parts.items())
    ]
    counts = _counts(summaries, sum(entry["rejected"] for entry in inputs))
    segments = receipts.segments(shards)
    real = sum(summary.real_tokens for summary in summaries)
    kinds = {name: [segment.guarded.get(name, 0) for segment in segments] for name in recipe.guards.by_name}
    tokens = [segment.tokens for segment in segments]
    found = run_warnings.guarded(recipe, counts, tokens, kinds, real, release_chain.latest(todo.run))
    if failing := [finding.message for finding in found if finding.fails]:
        raise RunError("the corpus is no release, since it fails its guards. " + " ".join(failing))
    files: list[Json] = [vars(file) for receipt in parts.values() for file in receipt.files]
    files += [vars(summary.file) for summary in summaries]
    files += [vars(shard.file) for shard in shards]
    body = {
        "tamis": version("tamis"),
        "recipe": _public(recipe.model_dump(mode="json")),
        "tokenizer": recipe.tokens.tokenizer_id,
        "fingerprint": todo.fingerprint,
        "inputs": inputs,
        "counts": counts,
        "curriculum": _curriculum(recipe, shards, segments),
        "guards": {"real_tokens": real, "shares": {name: token_shares(tokens, kind)[0] for name, kind in kinds.items()}},
        "warnings": [
            *(_told(warning) for warning in run_warnings.warnings(recipe, counts, summaries, shards, segments)),
            *(_told(finding) for finding in found),
        ],
        manifests.ENVIRONMENT: {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "packages": _packages(),
            **environment,
        },
    }
    sealed = manifests.seal(body, files)
    manifests.write(todo.run, sealed)
    write_report(todo.run)
    return sealed


def _told(found: lint.LintWarning | GuardViolation) -> Json:
    return {"code": found.code, "message": found.message, "numbers": found.numbers}


def _public(value: Any) -> Any:
    """A recipe may name files by addresses with credentials: they are not kept."""
    if isinstance(value, dict):
        return {name: _public(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_public(inner) for inner in value]
    return redact(value) if isinstance(value, str) else value


def _counts(summaries: Sequence[PartSummary], rejected: int) -> Json:
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
        of_source = sources.setdefault(row.source, Counter(dict.fromkeys(decisions.values(), 0)))
        of_source.update({decision: row.documents, f"{decision}_tokens": row.tokens})
        if row.reason:
            by_reason[row.decision, row.reason] += row.documents
            reason_tokens[row.decision, row.reason] += row.tokens
    repeated: Counter[str] = Counter(documents=0, tokens=0)
    for summary in summaries:
        repeated.update(vars(summary.repeated))
    return {
        "records": documents.total() + rejected,
        **{name: documents[name] for name in decisions.values()},
        "rejected": rejected,
        "repeated": dict(repeated),
        "tokens": {"in": tokens.total(), **{name: tokens[name] for name in decisions.values()}},
        "reasons": [
            {"decision": key[0], "reason": key[1], "documents": by_reason[key], "tokens": reason_tokens[key]}
            for key in sorted(by_reason, key=lambda key: (-by_reason[key], key))
        ],
        "sources": {name: dict(sorted(counted.items())) for name, counted in sorted(sources.items())},
    }


def _curriculum(recipe: Recipe, shards: list[ShardReceipt], segments: list[ShardSegment]) -> Json:
    """Where every shard lies in the run's tokens, and the learning rates it meets there."""
    schedule = recipe.curriculum.schedule
    total = sum(shard.tokens for shard in shards)
    placed, first = [], 0
    for shard in shards:
        low, high = schedule.lr_range(first / max(total, 1), (first + shard.tokens) / max(total, 1))
        placed.append(
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
    sources, of_source = _sources(segments)
    return {
        **recipe.curriculum.model_dump(mode="json"),
        "tokens": total,
        "lr_mass_best_decile": deciles[0],
        "lr_mass_deciles": deciles,
        "lr_mass_sources": dict(
            zip(sources, lint.lr_mass_shares(schedule, first_token, tokens, of_source).tolist(), strict=True)
        ),
        "shards": placed,
    }


def _deciles(segments: list[ShardSegment]) -> np.ndarray:
    """Tokens of every segment by tenth of the corpus, the best first: f64[segments, 10]."""
    bins = np.zeros(QUALITY_BINS)
    for segment in segments:
        for index, tokens in segment.quality.items():
            bins[index] += tokens
    above, whole = bins.sum() - np.cumsum(bins), bins.sum()
    ends = whole * np.arange(11) / 10
    # A bin that several tenths share is given to them as if its tokens were even.
    inside = np.clip(ends[None, 1:] - above[:, None], 0, bins[:, None]) - np.clip(
        ends[None, :-1] - above[:, None], 0, bins[:, None]
    )
    share = inside / np.maximum(bins, 1)[:, None]
    found = np.zeros((len(segments), 10))
    for row, segment in zip(found, segments, strict=True):
        for index, tokens in segment.quality.items():
            row += share[index] * tokens
    return found


def _sources(segments: list[ShardSegment]) -> tuple[list[str], np.ndarray]:
    """The sources, and the tokens of every segment by source: f64[segments, sources]."""
    names = sorted({name for segment in segments for name in segment.sources})
    tokens = [[segment.sources.get(name, 0) for name in names] for segment in segments]
    return names, np.array(tokens, np.float64).reshape(len(tokens), len(names))


def _packages() -> dict[str, str]:
    return {name: version(name) for name in ("apache-beam", "pyarrow", "numpy", "numba")}
