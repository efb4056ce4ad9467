"""What a run left, added up: receipts and summaries become the manifest, and the manifest becomes the report."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines import receipts
from pipelines.plan import REPORT, Plan
from pipelines.receipts import QUALITY_BINS, edges
from pipelines.recipe import Recipe
from transforms import release, storage
from transforms.curriculum import lint
from transforms.curriculum.order import OTHERS
from transforms.documents import part_of, row_of
from transforms.errors import RunError
from transforms.parts import Part
from transforms.provenance import manifest as manifests
from transforms.provenance import releases
from transforms.redaction import public
from transforms.select import guards

if TYPE_CHECKING:
    from pipelines.report import Benchmark, Cluster, Contaminated, Data, Histogram, Repeats, Segment

Json = dict[str, Any]

CLUSTERS, EXAMPLES = 10, 5
"""Clusters, and contaminated documents of a benchmark, that the report shows."""

EXCERPT = 240
"""Characters of a document that the report shows."""

LARGE = 5
"""A document this many times the mean is a large one; by so much a source may be ahead of its share."""

DROP_SHARE = 0.9
"""A run that drops more than this share of its documents is told so: most often a threshold is wrong, or a field."""


def finish(recipe: Recipe, todo: Plan, environment: Json) -> Json:
    """Writes the manifest, which finishes the run, and the report. Raises RunError when the runner left a part undone."""
    asked = {work.part.ordinal: work.part.receipt() for work in todo.work}
    parts = {ordinal: receipt for ordinal, receipt in asked.items() if receipt is not None}
    if undone := len(asked) - len(parts):
        raise RunError(f"the runner says that it is done, but {undone} of {len(asked)} parts were never rated; run it again")
    summaries, shards = receipts.summaries(todo.run), receipts.shards(todo.run)
    inputs: list[Json] = [
        {"part": ordinal, **receipt.input, "documents": receipt.documents, "rejected": receipt.rejected}
        for ordinal, receipt in sorted(parts.items())
    ]
    counts = _counts(summaries, sum(entry["rejected"] for entry in inputs))
    curriculum = _curriculum(recipe, shards)
    real = sum(summary["real_tokens"] for summary in summaries)
    found = _guarded(recipe, counts, shards, real, releases.latest(todo.run))
    if failing := [finding.message for finding in found if finding.fails]:
        raise RunError("the corpus is no release, since it fails its guards. " + " ".join(failing))
    files: list[Json] = [vars(file) for receipt in parts.values() for file in receipt.files]
    files += [entry["file"] for entry in (*summaries, *shards)]
    body = {
        "tamis": version("tamis"),
        "recipe": _public(recipe.model_dump(mode="json")),
        "tokenizer": recipe.tokens.told,
        "fingerprint": todo.fingerprint,
        "inputs": inputs,
        "counts": counts,
        "curriculum": curriculum,
        "guards": {"real_tokens": real, "shares": _shares(recipe, shards)},
        "warnings": [*_warnings(recipe, counts, summaries, shards), *(_warning(finding) for finding in found)],
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


def _public(value: Any) -> Any:
    """A recipe may name files by addresses with credentials: they are not kept."""
    if isinstance(value, dict):
        return {name: _public(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_public(inner) for inner in value]
    return public(value) if isinstance(value, str) else value


def _counts(summaries: Sequence[Json], rejected: int) -> Json:
    decisions = {"keep": "kept", "drop": "dropped", "review": "review"}
    documents: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    by_reason: Counter[tuple[str, str]] = Counter()
    reason_tokens: Counter[tuple[str, str]] = Counter()
    sources: dict[str, Counter[str]] = {}
    for row in (row for summary in summaries for row in summary["counts"]):
        decision = decisions[row["decision"]]
        documents[decision] += row["documents"]
        tokens[decision] += row["tokens"]
        of_source = sources.setdefault(row["source"], Counter(dict.fromkeys(decisions.values(), 0)))
        of_source.update({decision: row["documents"], f"{decision}_tokens": row["tokens"]})
        if row["reason"]:
            by_reason[row["decision"], row["reason"]] += row["documents"]
            reason_tokens[row["decision"], row["reason"]] += row["tokens"]
    repeated: Counter[str] = Counter(documents=0, tokens=0)
    for summary in summaries:
        repeated.update(summary["repeated"])
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


def _curriculum(recipe: Recipe, shards: list[Json]) -> Json:
    """Where every shard lies in the run's tokens, and the learning rates it meets there."""
    schedule = recipe.curriculum.schedule
    total = sum(shard["tokens"] for shard in shards)
    placed, first = [], 0
    for shard in shards:
        low, high = schedule.lr_range(first / max(total, 1), (first + shard["tokens"]) / max(total, 1))
        placed.append(
            {
                "path": shard["file"]["path"],
                "phase": shard["phase"],
                "documents": shard["documents"],
                "first_token": first,
                "tokens": shard["tokens"],
                "lr_min": low,
                "lr_max": high,
            }
        )
        first += shard["tokens"]
    first_token, tokens = ([segment[name] for segment in segments(shards)] for name in ("first_token", "tokens"))
    deciles = lint.measured_masses(schedule, first_token, tokens, _deciles(shards)).tolist()
    sources, of_source = _sources(shards)
    return {
        **recipe.curriculum.model_dump(mode="json"),
        "tokens": total,
        "lr_mass_best_decile": deciles[0],
        "lr_mass_deciles": deciles,
        "lr_mass_sources": dict(
            zip(sources, lint.measured_masses(schedule, first_token, tokens, of_source).tolist(), strict=True)
        ),
        "shards": placed,
    }


def segments(shards: list[Json]) -> Iterator[Json]:
    """The segments of all shards in training order, each with its first token."""
    first = 0
    for shard in shards:
        for segment in shard["segments"]:
            yield {"first_token": first, **segment}
            first += segment["tokens"]


def _deciles(shards: list[Json]) -> np.ndarray:
    """Tokens of every segment by tenth of the corpus, the best first: f64[segments, 10]."""
    bins = np.zeros(QUALITY_BINS)
    for segment in segments(shards):
        for name, tokens in segment["quality"].items():
            bins[int(name)] += tokens
    above, whole = bins.sum() - np.cumsum(bins), bins.sum()
    ends = whole * np.arange(11) / 10
    # A bin that several tenths share is given to them as if its tokens were even.
    inside = np.clip(ends[None, 1:] - above[:, None], 0, bins[:, None]) - np.clip(
        ends[None, :-1] - above[:, None], 0, bins[:, None]
    )
    share = inside / np.maximum(bins, 1)[:, None]
    found = np.zeros((sum(1 for _ in segments(shards)), 10))
    for row, segment in zip(found, segments(shards), strict=True):
        for name, tokens in segment["quality"].items():
            row += share[int(name)] * tokens
    return found


def _sources(shards: list[Json]) -> tuple[list[str], np.ndarray]:
    """The sources, and the tokens of every segment by source: f64[segments, sources]."""
    names = sorted({name for segment in segments(shards) for name in segment["sources"]})
    tokens = [[segment["sources"].get(name, 0) for name in names] for segment in segments(shards)]
    return names, np.array(tokens, np.float64).reshape(len(tokens), len(names))


def _guarded(recipe: Recipe, counts: Json, shards: list[Json], real: int, before: Json | None) -> list[guards.Finding]:
    """What the recipe's guards object to."""
    cut = list(segments(shards))
    of_guard = {name: [segment["guarded"].get(name, 0) for segment in cut] for name in recipe.guards.named}
    found = guards.check(recipe.guards, [segment["tokens"] for segment in cut], of_guard, _large(counts))
    if recipe.guards.real_tokens and before is not None:
        found += guards.check_real(real, before.get("real_tokens"))
    return found


def _shares(recipe: Recipe, shards: list[Json]) -> dict[str, float]:
    """Share of the corpus' tokens that each guard is about."""
    cut = list(segments(shards))
    whole = max(sum(segment["tokens"] for segment in cut), 1)
    return {name: sum(segment["guarded"].get(name, 0) for segment in cut) / whole for name in recipe.guards.named}


def _large(counts: Json) -> float:
    """Tokens of a large document."""
    return float(LARGE * counts["tokens"]["kept"] / max(counts["kept"], 1))


def _repeats(recipe: Recipe, counts: Json, summaries: list[Json], shards: list[Json]) -> Iterator[lint.LintWarning]:
    """Copies nearer to each other than asked, by more than documents' sizes explain; phases not as long as they say."""
    of_phase = _phases(shards)
    found = _apart(recipe, summaries, of_phase)
    yield from lint.lint_repeats(found["closest"], int(found["asked"] - 2 * _large(counts)))
    whole = max(of_phase.total(), 1)
    for stretch in recipe.curriculum.stretches if recipe.select.phases else ():
        share = of_phase[stretch.name] / whole
        if abs(share - stretch.share) > lint.DRIFT:
            yield lint.LintWarning(
                "phase-share",
                f"Phase '{stretch.name}' came to {share:.1%} of the tokens, not {stretch.share:.1%}: the learning rates it was "
                "placed at are others. Set its share to what it is, or take more or less in it (select.epochs).",
                {"share": share, "stated": stretch.share, "threshold": lint.DRIFT},
            )


def _phases(shards: list[Json]) -> Counter[str]:
    """Tokens of each phase."""
    of_phase: Counter[str] = Counter()
    for shard in shards:
        of_phase[shard["phase"]] += shard["tokens"]
    return of_phase


def _apart(recipe: Recipe, summaries: list[Json], of_phase: Counter[str]) -> Repeats:
    """How near copies of a document are to each other, and how far apart they should be."""
    asked = recipe.select.distance
    gaps = [summary["closest"] for summary in summaries if summary["closest"] is not None]
    return {
        "closest": min(gaps, default=None),
        "asked": asked if isinstance(asked, int) else int(asked * min(of_phase.values(), default=0)),
    }


def _length(summaries: list[Json]) -> list[lint.LintWarning]:
    """Whether quality goes with length, by the ranks of the bins that the documents kept fall into."""
    cells: Counter[tuple[int, int]] = Counter()
    for summary in summaries:
        for quality, lengths in summary["lengths"].items():
            cells.update({(int(quality), int(length)): documents for length, documents in lengths.items()})
    quality_bins, length_bins = zip(*cells, strict=True) if cells else ((), ())
    return lint.lint_length(quality_bins, length_bins, list(cells.values()))


def _warning(found: lint.LintWarning | guards.Finding) -> Json:
    return {"code": found.code, "message": found.message, "numbers": found.numbers}


def _warnings(recipe: Recipe, counts: Json, summaries: list[Json], shards: list[Json]) -> list[Json]:
    drifts = lint.lint_shares([segment["sources"] for segment in segments(shards)], _large(counts))
    repeats = _repeats(recipe, counts, summaries, shards)
    found = [_warning(each) for each in (*lint.lint(recipe.curriculum), *drifts, *repeats, *_length(summaries))]
    renamed = sum(summary["renamed"] for summary in summaries)
    if renamed:
        found.append(
            {
                "code": "ids-renamed",
                "numbers": {"documents": renamed},
                "message": f"{renamed:,} documents had the id of another; they are numbered (id#2). "
                "Ids that should be unique: set duplicate_ids: error",
            }
        )
    capped = sum(summary["capped"] for summary in summaries)
    if capped:
        found.append(
            {
                "code": "dedup-capped",
                "numbers": {"documents": capped},
                "message": f"{capped:,} documents had more near-duplicate candidates than dedup.minhash.max_candidates; "
                "copies of them may remain",
            }
        )
    if strangers := sorted(recipe.curriculum.by.keys() - counts["sources"].keys() - {OTHERS}):
        found.append(
            {
                "code": "by-no-source",
                "numbers": {"sources": len(strangers)},
                "message": f"curriculum.by names {', '.join(strangers[:5])}, and no document is of such a source; there are "
                f"{', '.join(list(counts['sources'])[:20])}",
            }
        )
    read = counts["records"] - counts["rejected"]
    for reason in counts["reasons"]:
        if read and reason["documents"] > DROP_SHARE * read:
            found.append(
                {
                    "code": "drops-nearly-all",
                    "numbers": {"share": reason["documents"] / read},
                    "message": f"{reason['reason']} takes {reason['documents'] / read:.1%} of the documents; "
                    "check its threshold and the text field",
                }
            )
    if not read:
        found.append({"code": "no-documents", "numbers": {}, "message": "the input holds no documents"})
    return found


def _packages() -> dict[str, str]:
    return {name: version(name) for name in ("apache-beam", "pyarrow", "numpy", "numba")}


def write_report(run: str) -> str:
    """Writes report.html from the manifest and what the run's receipts hold, and returns where."""
    from pipelines.report import render

    finished = release.read(run)
    recipe = Recipe.model_validate(finished["recipe"])
    summaries, shards = receipts.summaries(run), receipts.shards(run)
    uri = storage.join(run, REPORT)
    before = releases.before(run, finished) if recipe.guards.real_tokens else None
    data: Data = {
        "histograms": _histograms(recipe, summaries),
        "clusters": _clusters(run, summaries),
        "contamination": _contamination(run, recipe, summaries),
        "segments": _drawn(shards),
        "repeats": _apart(recipe, summaries, _phases(shards)),
        "real_before": before.get("real_tokens") if before is not None else None,
    }
    storage.write_bytes(uri, render(finished, data).encode())
    return uri


def _histograms(recipe: Recipe, summaries: list[Json]) -> dict[str, Histogram]:
    found: dict[str, Histogram] = {}
    for name, signal in recipe.signals.items():
        bins = edges(signal, recipe)
        if bins is not None and summaries:
            counted = [summary["histograms"][name] for summary in summaries]
            found[name] = {
                "unit": signal.unit,
                "edges": bins,
                "counts": np.sum([each["counts"] for each in counted], axis=0).tolist(),
                "missing": sum(each["missing"] for each in counted),
            }
    return found


def _clusters(run: str, summaries: list[Json]) -> list[Cluster]:
    rows = [row for summary in summaries for row in summary["clusters"]]
    rows = sorted(rows, key=lambda row: (-row["copies"], row["id"]))[:CLUSTERS]
    seen = _glimpses(run, (row["ticket"] for row in rows))
    shown = [(row, *seen[row["ticket"]]) for row in rows]
    return [{"id": row["id"], "copies": row["copies"], "source": source, "excerpt": excerpt} for row, source, excerpt in shown]


def _contamination(run: str, recipe: Recipe, summaries: list[Json]) -> list[Benchmark]:
    """Documents by the benchmark they hold items of; an item is named `benchmark item:field` in the detail."""
    rows = sorted((row for summary in summaries for row in summary["contamination"]), key=lambda row: row["id"])
    by_name: dict[str, list[Json]] = (
        {benchmark.name: [] for benchmark in recipe.decontaminate.benchmarks} if recipe.decontaminate is not None else {}
    )
    for row in rows:
        by_name[row["benchmark"]].append(row)
    seen = _glimpses(run, (row["ticket"] for of in by_name.values() for row in of[:EXAMPLES]))
    found: list[Benchmark] = []
    for name, of in by_name.items():
        examples: list[Contaminated] = [
            {"id": row["id"], "decision": row["decision"], "detail": row["detail"], "excerpt": seen[row["ticket"]][1]}
            for row in of[:EXAMPLES]
        ]
        found.append({"name": name, "documents": len(of), "examples": examples})
    return found


def _glimpses(run: str, tickets: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Source and first words of documents, by ticket: a row group is read once however many of them it holds."""
    wanted = np.unique(np.fromiter(tickets, np.uint64))
    seen: dict[int, tuple[str, str]] = {}
    for part in np.unique(part_of(wanted)).tolist():
        here = wanted[part_of(wanted) == part]
        for read, batch in Part(run, part).read(row_of(here), ["source", "text"]):
            found = here[np.searchsorted(row_of(here), read)].tolist()
            texts = (text[:EXCERPT] for text in batch["text"].to_pylist())
            seen |= zip(found, zip(batch["source"].to_pylist(), texts, strict=True), strict=True)
    return seen


def _drawn(shards: list[Json]) -> list[Segment]:
    """The segments with their mean quality, by the middles of its bins."""
    drawn: list[Segment] = []
    for segment in segments(shards):
        middle = sum((int(name) + 0.5) / QUALITY_BINS * tokens for name, tokens in segment["quality"].items())
        mean = middle / segment["tokens"] if segment["tokens"] else None
        sources, guarded = segment["sources"], segment["guarded"]
        drawn.append({"tokens": segment["tokens"], "quality": mean, "sources": sources, "guarded": guarded})
    return drawn
