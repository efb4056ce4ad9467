"""What a person should know of a finished run: guards that it fails, and what looks wrong though nothing failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run import receipts
from tamis.pipelines.run.receipts import Json, PartSummary, ShardReceipt, ShardSegment
from tamis.transforms.curriculum import lint
from tamis.transforms.curriculum.lint import LintWarning
from tamis.transforms.curriculum.order import WILDCARD
from tamis.transforms.select import guards

LARGE = 5
"""A document this many times the mean is a large one; by so much a source may be ahead of its share."""

DROP_SHARE = 0.9
"""A run that drops more than this share of its documents is told so: most often a threshold is wrong, or a field."""


def guarded(
    recipe: Recipe, counts: Json, tokens: Sequence[int], kinds: Mapping[str, Sequence[int]], real: int, before: Json | None
) -> list[guards.GuardViolation]:
    """What the recipe's guards object to: of segments in training order their tokens, all and by guard; the real tokens, and
    the record of the release before."""
    found = guards.check_guards(recipe.guards, tokens, kinds, _large(counts))
    if recipe.guards.real_tokens and before is not None:
        found += guards.check_real_tokens(real, before.get("real_tokens"))
    return found


def warnings(
    recipe: Recipe, counts: Json, summaries: list[PartSummary], shards: list[ShardReceipt], segments: list[ShardSegment]
) -> Iterator[LintWarning]:
    """What looks wrong: in the recipe, in how the corpus came out, in the input."""
    yield from lint.lint(recipe.curriculum)
    yield from lint.lint_shares([segment.sources for segment in segments], _large(counts))
    yield from _repeats(recipe, counts, summaries, shards)
    yield from _length(summaries)
    if renamed := sum(summary.renamed for summary in summaries):
        yield LintWarning(
            "ids-renamed",
            f"{renamed:,} documents had the id of another; they are numbered (id#2). "
            "Ids that should be unique: set duplicate_ids: error",
            {"documents": renamed},
        )
    if capped := sum(summary.capped for summary in summaries):
        yield LintWarning(
            "dedup-capped",
            f"{capped:,} documents had more near-duplicate candidates than dedup.minhash.max_candidates; "
            "copies of them may remain",
            {"documents": capped},
        )
    if strangers := sorted(recipe.curriculum.by.keys() - counts["sources"].keys() - {WILDCARD}):
        yield LintWarning(
            "by-no-source",
            f"curriculum.by names {', '.join(strangers[:5])}, and no document is of such a source; there are "
            f"{', '.join(list(counts['sources'])[:20])}",
            {"sources": len(strangers)},
        )
    read = counts["records"] - counts["rejected"]
    for reason in counts["reasons"]:
        if reason["documents"] > DROP_SHARE * read:
            share = reason["documents"] / read
            yield LintWarning(
                "drops-nearly-all",
                f"{reason['reason']} takes {share:.1%} of the documents; check its threshold and the text field",
                {"share": share},
            )
    if not read:
        yield LintWarning("no-documents", "the input holds no documents", {})


def _large(counts: Json) -> float:
    """Tokens of a large document."""
    return float(LARGE * counts["tokens"]["kept"] / max(counts["kept"], 1))


def _repeats(recipe: Recipe, counts: Json, summaries: list[PartSummary], shards: list[ShardReceipt]) -> Iterator[LintWarning]:
    """Copies nearer to each other than asked, by more than documents' sizes explain; phases not as long as they say."""
    distance, of_phase = receipts.copy_distance(recipe, summaries, shards), receipts.tokens_by_phase(shards)
    yield from lint.lint_repeats(distance.closest, int(distance.minimum - 2 * _large(counts)))
    whole = max(of_phase.total(), 1)
    for stretch in recipe.curriculum.effective_phases if recipe.select.phases else ():
        share = of_phase[stretch.name] / whole
        if abs(share - stretch.share) > lint.DRIFT:
            yield LintWarning(
                "phase-share",
                f"Phase '{stretch.name}' came to {share:.1%} of the tokens, not {stretch.share:.1%}: the learning rates it was "
                "placed at are others. Set its share to what it is, or take more or less in it (select.epochs).",
                {"share": share, "stated": stretch.share, "threshold": lint.DRIFT},
            )


def _length(summaries: list[PartSummary]) -> list[LintWarning]:
    """Whether quality goes with length, by the ranks of the bins that the documents kept fall into."""
    cells: Counter[tuple[int, int]] = Counter()
    for summary in summaries:
        for quality, lengths in summary.lengths.items():
            cells.update({(quality, length): documents for length, documents in lengths.items()})
    quality_bins, length_bins = zip(*cells, strict=True) if cells else ((), ())
    return lint.lint_length(quality_bins, length_bins, list(cells.values()))
