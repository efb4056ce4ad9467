"""Writes the comparison of two releases as text, the parts of which `tamis diff` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tamis.pipelines.formatting import number, plural, share
from tamis.pipelines.releases.comparison import change, outcome_name
from tamis.pipelines.releases.release_diff import FlippedDocument, Flips, NamedShift, OrderChange, Outcome, ReleaseDiff

GROUPS = 12
"""Flips of a direction that are listed, and shifts."""

LEVEL = 0.05
"""Shifts with a corrected p-value below it are listed."""

_VALUE = 40  # characters of a field of a recipe


def lines(diff: ReleaseDiff) -> Iterator[str]:
    """The comparison, without the texts of the samples."""
    counts = diff.counts
    yield f"{diff.before} → {diff.after}"
    for name, (before, after) in diff.recipe.items():
        yield f"recipe: {name} {_value(before)} → {_value(after)}"
    facts = [f"{plural(counts.both, 'document')} in both", f"{counts.gone:,} only before", f"{counts.new:,} only after"]
    facts += [f"{counts.other_text:,} with another text"] if counts.other_text else []
    facts += [f"{counts.other_reason:,} not kept for another reason"] if counts.other_reason else []
    yield ", ".join(facts)
    tokens = change((counts.tokens_before, counts.tokens_after), short=True)
    yield f"kept {change((counts.kept_before, counts.kept_after))} documents, {tokens} tokens"
    yield from _order(diff.order)
    for title, groups in (("kept before, not kept now", diff.lost), ("not kept before, kept now", diff.gained)):
        documents = sum(flips.documents for flips in groups)
        yield ""
        yield f"{title}: {plural(documents, 'document')}" + (f" ({share(documents / counts.both)})" if documents else "")
        yield from _flips(groups)
    yield ""
    yield from _shifts(diff.shifts)


def sample_lines(document: FlippedDocument) -> Iterator[str]:
    """A document that flipped, with the beginning of its text."""
    yield f"{document.id}  ({document.source}{', ' + document.url if document.url else ''})"
    decided = document.before if document.after.decision == "keep" else document.after
    detail = f": {document.detail}" if document.detail else ""
    yield f"{'was' if decided is document.before else 'now'} {_outcome(decided)}{detail}"
    yield " ".join(document.excerpt.split())


def _order(order: OrderChange) -> Iterator[str]:
    if order.spearman is None or order.kendall is None:
        return
    phases = f"{order.moved:,} in another phase; " if order.moved else ""
    yield (
        f"order of the {order.documents:,} documents that both keep: {phases}"
        f"Spearman's ρ {order.spearman:.3f}, Kendall's τ {order.kendall:.3f}"
    )


def _flips(groups: Sequence[Flips]) -> Iterator[str]:
    shown = groups[:GROUPS]
    outcomes = [_outcome(flips.before if flips.after.decision == "keep" else flips.after) for flips in shown]
    widths = [max(map(len, texts), default=0) for texts in ([flips.source for flips in shown], outcomes)]
    for flips, outcome in zip(shown, outcomes, strict=True):
        yield f"  {flips.source:<{widths[0]}}  {outcome:<{widths[1]}}  {flips.documents:>9,}  {flips.tokens:>12,} tokens"
    if len(groups) > GROUPS:
        yield f"  and {plural(len(groups) - GROUPS, 'group')} more, which --json lists"


def _shifts(shifts: Sequence[NamedShift]) -> Iterator[str]:
    """The shifts that are hardly by chance."""
    found = [each for each in shifts if each.p_corrected < LEVEL]
    tests = plural(len(shifts), "test")
    if not found:
        yield f"the kept documents have shifted in nothing (p ≥ {LEVEL:g} after {tests})"
        return
    yield f"shifts of the kept documents with p < {LEVEL:g} after {tests} (Holm), the largest first"
    width = max(len(each.name) for each in found[:GROUPS])
    for each in found[:GROUPS]:
        middle = "" if each.middle is None else f"median {number(each.middle[0])} → {number(each.middle[1])}"
        yield f"  {each.name:<{width}}  {share(each.shift.effect):>6}  p {_p(each.p_corrected)}  {middle}".rstrip()
    if len(found) > GROUPS:
        yield f"  and {len(found) - GROUPS:,} more, which --json lists"


def _outcome(outcome: Outcome) -> str:
    return outcome_name(outcome.decision, outcome.reason or "")


def _p(value: float) -> str:
    return "< 1e-12" if value < 1e-12 else f"{value:7.1e}"


def _value(value: Any) -> str:
    text = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text[: _VALUE - 1]}…" if len(text) > _VALUE else text
