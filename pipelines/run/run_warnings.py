"""Checks a run at its end: violations of its guards, and warnings."""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tamis.pipelines.formatting import plural
from tamis.pipelines.recipe.lint_recipe import lint_recipe
from tamis.pipelines.recipe.schema import Recipe
from tamis.pipelines.run import receipts
from tamis.pipelines.run.receipts import PartSummary, SampledDocument, ShardReceipt, ShardSegment
from tamis.transforms.core.component import METADATA
from tamis.transforms.core.manifest import Counts, InputEntry
from tamis.transforms.core.parts import PartReceipt
from tamis.transforms.curriculum import lint
from tamis.transforms.curriculum.lint import LintWarning
from tamis.transforms.decontaminate.contamination_rater import Contamination
from tamis.transforms.provenance.release_chain import ReleaseRecord
from tamis.transforms.rate.metadata_signals import MISTYPED
from tamis.transforms.read.input_options import UnreadFile
from tamis.transforms.runtime.credentials import redact
from tamis.transforms.select import guards
from tamis.transforms.urls.consent import ConsentRater
from tamis.transforms.urls.url_lists import UrlListRater

NAMED = 10  # files of each kind in warnings; the manifest names all
LARGE = 5  # a document of this many mean lengths is large; sources may be ahead by one of these
SMALL_SOURCE = 10  # documents in a source, below which an order within it means nothing
SMALL_SOURCES, SMALL_SHARE = 10, 0.1  # so many of them, with this share of the tokens, are told
DROP_SHARE = 0.9  # if one reason drops a larger share, often a threshold or a field is wrong
RULE_SHARE = 0.1  # a threshold that takes a larger share is warned about, with examples to read
FEW = 10  # documents of which no share is taken seriously


def guard_violations(
    recipe: Recipe,
    counts: Counts,
    tokens: Sequence[int],
    guarded: Mapping[str, Sequence[int]],
    real_tokens: int,
    last: ReleaseRecord | None,
) -> list[guards.GuardViolation]:
    """Violations of the recipe's guards. `tokens` are those of each segment in training order,
    `guarded` those that each guard watches; `last` is the last release."""
    violations = guards.check_guards(recipe.guards, tokens, guarded, _large_document(counts))
    if recipe.guards.real_tokens and last is not None:
        violations += guards.check_real_tokens(real_tokens, last.real_tokens)
    return violations


def warnings(
    recipe: Recipe, counts: Counts, summaries: list[PartSummary], shards: list[ShardReceipt], segments: list[ShardSegment]
) -> Iterator[LintWarning]:
    """Warnings about the recipe, the corpus and the input."""
    yield from lint_recipe(recipe)
    yield from lint.lint_shares([segment.sources for segment in segments], _large_document(counts))
    yield from _phases_and_copies(recipe, counts, summaries, shards)
    yield from _length_bias(summaries)
    yield from _declared_signals(summaries)
    if renamed := sum(summary.renamed for summary in summaries):
        yield LintWarning(
            "ids-renamed",
            f"{plural(renamed, 'document')} had the id of another one, with another text, and got a number (id#2). "
            "If ids should be unique, set duplicate_ids: error",
            {"documents": renamed},
        )
    hostless = sum(summary.hostless for summary in summaries)
    if hostless and hostless == sum(row.documents for each in summaries for row in each.counts):
        yield LintWarning(
            "lines-no-host",
            "dedup compares pieces of texts within a host, but no document has an address with one, so nothing is cut; check "
            "input.fields.url, or set within: source",
            {"documents": hostless},
        )
    yield from _unmatchable_items(recipe)
    yield from _unread_lines(recipe)
    yield from _small_sources(recipe, counts)
    read = counts["kept"] + counts["dropped"] + counts["review"]
    yield from _large_drops(recipe, counts, read, summaries)
    if not read:
        yield LintWarning("no-documents", "the input holds no documents", {})


def _unmatchable_items(recipe: Recipe) -> Iterator[LintWarning]:
    """Items of benchmarks that nothing can find in a document."""
    for rater in recipe.raters:
        if not isinstance(rater, Contamination):
            continue
        index = rater.index
        for number, name in enumerate(index.names.to_pylist()):
            ids = [index.labels[item].as_py() for item in index.unmatchable.tolist() if index.benchmark[item] == number]
            items = int((index.benchmark == number).sum())
            if ids:
                named = ", ".join(ids[:NAMED]) + (", …" if len(ids) > NAMED else "")
                yield LintWarning(
                    "items-unmatchable",
                    f"{len(ids):,} of {items:,} items of benchmark {name} have no words that tell them apart, so no copy of "
                    f"them is found: {named}. If their answers have, name the field as `answer`",
                    {"items": len(ids), "share": len(ids) / items},
                )


def _unread_lines(recipe: Recipe) -> Iterator[LintWarning]:
    """Lines of lists and rows of tables that decide about no document."""
    for rater in recipe.raters:
        if isinstance(rater, UrlListRater):
            read = {f"the list {name}": lines for name, lines in rater.index.lines.items()}
        elif isinstance(rater, ConsentRater):
            read = {f"the table {redact(rater.options.robots)}": rater.index.notes}
        else:
            continue
        for name, lines in read.items():
            if lines.refused:
                kinds = (f"{count:,}: {reason}, as in {', '.join(named)}" for reason, (count, named) in lines.unread.items())
                yield LintWarning(
                    "list-lines-unread",
                    redact(
                        f"{lines.refused:,} lines or rows of {name} are not used as they are ({'; '.join(kinds)}). Correct them"
                    ),
                    {"lines": lines.refused, "entries": lines.entries},
                )
            if lines.passed_over:
                files = ", ".join(lines.passed_over[:NAMED]) + (", …" if len(lines.passed_over) > NAMED else "")
                yield LintWarning(
                    "files-not-lists",
                    f"{len(lines.passed_over):,} files in the folder of {name} are no lists of hosts: {files}. Regular "
                    "expressions are not read; a list has a name such as domains, urls or NAME.txt",
                    {"files": len(lines.passed_over)},
                )


def _large_drops(recipe: Recipe, counts: Counts, read: int, summaries: list[PartSummary]) -> Iterator[LintWarning]:
    """Reasons that take nearly all documents, and thresholds that take many."""
    rules = {*recipe.rules.signals, *(f"after_cuts.{name}" for name in recipe.after_cuts)}
    taken: Counter[str] = Counter()
    for row in counts["reasons"]:
        taken[row["reason"]] += row["documents"]
    sampled: dict[str | None, list[SampledDocument]] = {}
    for sample in (row for summary in summaries for row in summary.samples if row.detail):
        sampled.setdefault(sample.reason, []).append(sample)
    for reason, documents in taken.items():
        few = sorted(sampled.get(reason, ()), key=lambda row: (row.key, row.id))[: receipts.SAMPLES]
        such_as = f", such as {', '.join(f'{row.id} ({row.detail})' for row in few)}" if few else ""
        share = documents / read
        if share > DROP_SHARE:
            yield LintWarning(
                "drops-nearly-all",
                f"{reason} removes {share:.1%} of the documents{such_as}; check its threshold and the text field",
                {"share": share},
            )
        elif reason in rules and share > RULE_SHARE and documents >= FEW:
            yield LintWarning(
                "rule-takes-many",
                f"{reason} takes {share:.1%} of the documents{such_as}. Read some (`tamis sample RUN --reason {reason}`): "
                f"if you would keep them, move the limit under {_sections(recipe, reason)}, or take the rule away",
                {"documents": documents, "share": share},
            )
        else:
            yield from _large_drops_of_sources(recipe, reason, summaries)


def _large_drops_of_sources(recipe: Recipe, reason: str, summaries: list[PartSummary]) -> Iterator[LintWarning]:
    """Sources whose own limits take many of their documents, though few of all."""
    for source, block in recipe.per_source.items():
        own = [row for summary in summaries for row in summary.counts if row.source == source]
        taken, read = (sum(row.documents for row in rows) for rows in ([row for row in own if row.reason == reason], own))
        if reason in block.thresholds and read and taken / read > RULE_SHARE and taken >= FEW:
            yield LintWarning(
                "rule-takes-many",
                f"{reason} takes {taken / read:.1%} of the documents of {source}. Read some (`tamis sample RUN "
                f"--reason {reason} --source {shlex.quote(source)}`): if you would keep them, move the limit under "
                f"{_sections(recipe, reason)}, or set it to null there",
                {"documents": taken, "share": taken / read},
            )


def _sections(recipe: Recipe, reason: str) -> str:
    """Where the limits stand whose signal is a reason."""
    name = reason.removeprefix("after_cuts.")
    return "after_cuts" if name != reason else " or ".join(recipe.rules.of_signal(name))


def lost_records(inputs: Sequence[InputEntry]) -> Iterator[LintWarning]:
    """A warning for each file with damage whose size nobody knows, whatever `max_rejects` allows."""
    lost: Counter[str] = Counter()
    for entry in inputs:
        lost[entry["uri"]] += entry["estimated"]
    files = [(uri, records) for uri, records in lost.items() if records]
    for uri, records in files[:NAMED]:
        yield LintWarning(
            "records-lost",
            f"{uri} is damaged: about {records:,} of its records are lost, by an estimate; rejects/ says where and why. "
            "Get the file again",
            {"records": records},
        )
    if more := files[NAMED:]:
        total = sum(records for _, records in more)
        message = f"{len(more):,} more files are damaged, and about {total:,} of their records are lost"
        yield LintWarning("records-lost", message, {"records": total})


def unread_files(files: Sequence[UnreadFile]) -> Iterator[LintWarning]:
    """A warning for each reason why files of the input were not read."""
    by_reason: dict[str, list[str]] = {}
    for file in files:
        by_reason.setdefault(file.reason, []).append(redact(file.uri))
    for reason, uris in sorted(by_reason.items()):
        names = ", ".join(uris[:NAMED]) + (f" and {len(uris) - NAMED:,} more" if len(uris) > NAMED else "")
        yield LintWarning("files-not-read", f"{names}: not read, since {reason}", {"files": len(uris)})


def absent_fields(recipe: Recipe, parts: Sequence[PartReceipt]) -> Iterator[LintWarning]:
    """A warning for each part of a document whose field the recipe names and some documents lack."""
    instead = {"id": "their ids are hashes", "source": f"their source is '{recipe.input.source}'"}
    absent: Counter[str] = Counter()
    for part in parts:
        absent.update(part.absent)
    documents = sum(part.documents for part in parts)
    for name, lacking in sorted(absent.items()):
        fields = " or ".join(getattr(recipe.input.fields, name))
        yield LintWarning(
            "field-missing",
            f"input.fields.{name}: {lacking:,} of {documents:,} documents have no {fields}, so "
            f"{instead.get(name, f'they have no {name}')}. Check the name, or list another field behind it",
            {"documents": lacking},
        )


def _declared_signals(summaries: list[PartSummary]) -> Iterator[LintWarning]:
    """Declared fields of the metadata that hold values of another type, or none at all."""
    histograms = [summary.histograms for summary in summaries]
    for name in sorted({name for each in histograms for name in each if name.startswith(METADATA)}):
        parts = [each[name] for each in histograms if name in each]
        values = sum(sum(part.counts) for part in parts)
        if name == MISTYPED and (wrong := values - sum(part.counts[0] for part in parts)):
            yield LintWarning(
                "signals-mistyped",
                f"{wrong:,} documents have a field of another type than declared under signals, which counts as missing; "
                f"find them by {MISTYPED}",
                {"documents": wrong},
            )
        elif not values and any(part.missing for part in parts):
            yield LintWarning(
                "signal-missing", f"no document has a value of '{name}': check its name and type under signals", {}
            )


def unmatched_scores(recipe: Recipe, folder: str) -> Iterator[LintWarning]:
    """Documents without a score from other files, and scores without a document."""
    for name in recipe.scores:
        counts = receipts.read_scores(folder, name)
        if counts is not None and (counts.unscored or counts.unused or counts.ambiguous):
            yield LintWarning(
                "scores-unmatched",
                f"scores.{name}: {counts.unscored:,} of {counts.documents:,} documents have no score; {counts.unused:,} of "
                f"{counts.scores:,} scores belong to no document; {counts.ambiguous:,} ids have two scores, so none",
                {"unscored": counts.unscored, "unused": counts.unused, "ambiguous": counts.ambiguous},
            )


def _small_sources(recipe: Recipe, counts: Counts) -> Iterator[LintWarning]:
    """Sources with so few documents that an order within each means nothing: the only document of a
    source is always the last one of its order."""
    kept = [source for source in counts["sources"].values() if source["kept"]]
    if recipe.curriculum.interleave_by != "source":
        return
    small = [source["kept_tokens"] for source in kept if source["kept"] < SMALL_SOURCE]
    share = sum(small) / max(sum(source["kept_tokens"] for source in kept), 1)
    if len(small) >= SMALL_SOURCES and share > SMALL_SHARE:
        yield LintWarning(
            "sources-too-small",
            f"{len(small):,} of {len(kept):,} sources have fewer than {SMALL_SOURCE} kept documents, together {share:.0%} of "
            "the tokens. Each source is ordered by itself, so their last documents meet at the end of the run. Set "
            "curriculum.interleave_by: none, or name another field with input.fields.source",
            {"sources": len(small), "share": share},
        )


def _large_document(counts: Counts) -> float:
    """The tokens of a large document."""
    return float(LARGE * counts["tokens"]["kept"] / max(counts["kept"], 1))


def _phases_and_copies(
    recipe: Recipe, counts: Counts, summaries: list[PartSummary], shards: list[ShardReceipt]
) -> Iterator[LintWarning]:
    """Copies that are too close, beyond the size of a document; a budget that a curve cannot fill; phases that missed their
    share."""
    distance, tokens = receipts.copy_distance(recipe, summaries, shards), receipts.tokens_by_phase(shards)
    yield from lint.lint_repeats(distance.closest, int(distance.minimum - 2 * _large_document(counts)))
    seen: Counter[str] = Counter()
    for segment in receipts.segments(shards):
        seen.update(segment.sources)
    once = {name: source["kept_tokens"] for name, source in counts["sources"].items() if source.get("kept_tokens")}
    yield from lint.lint_epochs({name: seen[name] / tokens for name, tokens in once.items()})
    curve, asked = recipe.select.curve, recipe.select.tokens
    budget = sum(asked.values()) if isinstance(asked, dict) else asked or 0
    left = (row["tokens"] for row in counts["reasons"] if row["reason"] == "select.curve")
    if curve is not None and budget > curve.most_epochs * (counts["tokens"]["kept"] + sum(left)):
        yield LintWarning(
            "budget-unfilled",
            f"The corpus has {tokens.total():,} of the {budget:,} tokens under select.tokens: a curve with cap {curve.cap:g} "
            f"that drops {curve.drop:g} gives at most {curve.most_epochs:.4g} times what a bin has. Raise the cap, or add "
            "documents.",
            {"tokens": tokens.total(), "budget": budget},
        )
    for phase in recipe.curriculum.effective_phases if recipe.select.phases else ():
        share = tokens[phase.name] / max(tokens.total(), 1)
        if abs(share - phase.share) > lint.DRIFT:
            yield LintWarning(
                "phase-share",
                f"Phase '{phase.name}' got {share:.1%} of the tokens, not {phase.share:.1%}, so it gets other learning "
                "rates than planned. Set its share to what it is, or select more or less for it (select.epochs).",
                {"share": share, "stated": phase.share, "threshold": lint.DRIFT},
            )


def _length_bias(summaries: list[PartSummary]) -> list[LintWarning]:
    """Whether quality follows length, by the ranks of the bins of the kept documents."""
    cells: Counter[tuple[int, int]] = Counter()
    for summary in summaries:
        for quality, lengths in summary.lengths.items():
            cells.update({(quality, length): documents for length, documents in lengths.items()})
    quality_bins, length_bins = zip(*cells, strict=True) if cells else ((), ())
    return lint.lint_length(quality_bins, length_bins, list(cells.values()))
