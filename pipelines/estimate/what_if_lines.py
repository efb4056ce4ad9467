"""`tamis what-if` as text: what is kept, what each limit ends, what changes, and examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from tamis.pipelines.estimate.what_if import PASSING, Answer, Flow, Outcome, Totals, total
from tamis.pipelines.formatting import compact, plural, storage_size

_SHOWN = 5  # reasons or sources of what changes
_EXCERPT = 240  # characters


def lines(answer: Answer, limits: Collection[str], texts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The answer. `limits`: the signals with limits, before or now; `texts`: those of its examples, by id."""
    kept = answer.outcomes.get(Outcome("keep"), (Totals(), Totals()))
    documents, tokens = ([getattr(each, name) for each in kept] for name in ("documents", "tokens"))
    yield f"kept {_change(*documents)} documents, {compact(tokens[0])} → {compact(tokens[1])} tokens"
    by_limits = {outcome: pair for outcome, pair in answer.outcomes.items() if outcome.reason in limits}
    later = {
        outcome: pair
        for outcome, pair in answer.outcomes.items()
        if outcome.decision in ("drop", "review") and outcome.reason not in limits
    }
    yield from _table("by limits, exact:", by_limits)
    yield from _table("by what comes later, as it stands in the release:", later)
    yield from _newly("no longer kept", answer.newly_dropped, [flow.after for flow in answer.newly_dropped])
    yield from _newly("newly passing", answer.newly_kept, [flow.before for flow in answer.newly_kept])
    passing = total(flow for flow in answer.newly_kept if flow.after.decision == PASSING).documents
    if passing:
        steps = " and ".join(answer.steps)
        yield f"{steps} have not judged what passes newly: {documents[1]:,} to {documents[1] + passing:,} would be kept"
    for example in answer.examples:
        shown, verb = texts[example.id], "now passes" if example.is_newly_kept else "no longer kept"
        outcome = example.before if example.is_newly_kept else example.after
        yield ""
        yield _visible(f"{example.id}  ({example.source}{', ' + shown['url'] if shown['url'] else ''})")
        yield _visible(f"{verb}: {outcome.reason}{' ' + example.detail if example.detail else ''}")
        yield f"  {_excerpt(shown['text'] or '')}"


def _table(title: str, outcomes: Mapping[Outcome, tuple[Totals, Totals]]) -> Iterator[str]:
    """The outcomes whose number changes, a line each, and how many others there are."""
    changed = {
        f"{outcome.reason} ({outcome.decision})": (before.documents, after.documents)
        for outcome, (before, after) in outcomes.items()
        if before.documents != after.documents
    }
    if not outcomes:
        return
    yield title
    width = max(map(len, changed), default=0)
    for name, pair in changed.items():
        yield f"  {name:<{width}}  {_change(*pair)}"
    if same := len(outcomes) - len(changed):
        yield f"  {plural(same, 'reason')} {'more ' if changed else ''}with the same number"


def _newly(title: str, flows: Sequence[Flow], outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What changes, by reason and by source."""
    all_of = total(flows)
    if not all_of.documents:
        yield f"{title}: no document"
        return
    reasons, sources = Counter[str](), Counter[str]()
    for flow, outcome in zip(flows, outcomes, strict=True):
        reasons[outcome.reason or ""] += flow.totals.documents
        sources[flow.source] += flow.totals.documents
    yield (
        f"{title}: {plural(all_of.documents, 'document')} with {plural(all_of.tokens, 'token')} and "
        f"{storage_size(all_of.bytes)}, by {_largest(reasons)}; of {_largest(sources)}"
    )


def _largest(counts: Counter[str]) -> str:
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return ", ".join(f"{name} {count:,}" for name, count in rows[:_SHOWN]) + more


def _change(before: int, after: int) -> str:
    return f"{before:,} → {after:,} ({after - before:+,})"


def _excerpt(text: str) -> str:
    """The beginning of a text in one line."""
    line = " ".join(text[: 2 * _EXCERPT].split())
    more = len(line) > _EXCERPT or len(text) > 2 * _EXCERPT
    return _visible(line[:_EXCERPT]) + ("…" if more else "")


def _visible(text: str) -> str:
    """Text of a document with its control characters escaped, since they would act on a terminal."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
